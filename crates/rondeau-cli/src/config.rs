//! `--config FILE`: options from a TOML file, put behind those of the command line.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::{Arg, ArgAction, Command};
use toml::{Table, Value};

/// The longest file of options. What is read takes some hundred bytes for each byte of brackets.
const MOST_BYTES: usize = 1 << 16;

/// Of a name that is no option, so many characters are shown.
const LONGEST_SHOWN: usize = 40;

/// The arguments with the tasks that are not written out, and the options of a `--config` file that
/// are not given.
///
/// # Errors
/// If the file cannot be read, or has an option that the command does not have.
pub fn completed(root: &Command, mut args: Vec<OsString>) -> Result<Vec<OsString>> {
    let is = |i: usize, name: &str| args.get(i).is_some_and(|arg| arg == name);
    let tasks = ["series", "text", "labels", "help", "-h", "--help"];
    if is(1, "train") && !tasks.iter().any(|task| is(2, task)) {
        args.insert(2, "series".into());
    }
    let Some(path) = value_of(&args, "config") else { return Ok(args) };
    let (mut command, mut depth) = (root, 1);
    while let Some(inner) = args.get(depth).and_then(|arg| command.find_subcommand(arg)) {
        (command, depth) = (inner, depth + 1);
    }
    let added = read(Path::new(&path))
        .and_then(|text| options(command, &text, &args))
        .with_context(|| format!("cannot use the options in {}", Path::new(&path).display()))?;
    args.extend(added);
    Ok(args)
}

/// The bytes of a file that is not too long.
fn read(path: &Path) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(MOST_BYTES as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// The options that a TOML text gives a command and its arguments do not have, as arguments.
///
/// # Errors
/// If the text is no TOML in UTF-8, or too long; or has an option that the command does not have, or
/// a value that it cannot be.
pub fn options(command: &Command, bytes: &[u8], args: &[OsString]) -> Result<Vec<OsString>> {
    if bytes.len() > MOST_BYTES {
        bail!("it has more than {MOST_BYTES} bytes");
    }
    let table: Table = std::str::from_utf8(bytes)?.parse()?;
    let known: Vec<&Arg> = command.get_arguments().filter(|arg| is_option(arg)).collect();
    let mut added = Vec::new();
    for (key, value) in &table {
        let arg = known.iter().find(|arg| arg.get_long() == Some(key.as_str()));
        let Some(arg) = arg else { bail!(unknown(key, &known)) };
        if is_given(args, key) {
            continue;
        }
        let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
        match value {
            Value::Boolean(true) if is_switch => added.push(format!("--{key}").into()),
            Value::Boolean(false) if is_switch => {}
            _ if is_switch => bail!("`{key}` is true or false"),
            value => added.push(format!("--{key}={}", text(key, value)?).into()),
        }
    }
    Ok(added)
}

fn is_option(arg: &Arg) -> bool {
    arg.get_long().is_some_and(|name| !["config", "help", "version"].contains(&name))
}

/// A value as the command line has it.
fn text(key: &str, value: &Value) -> Result<String> {
    Ok(match value {
        Value::String(text) => text.clone(),
        Value::Integer(n) => n.to_string(),
        Value::Float(x) => x.to_string(),
        Value::Boolean(b) => b.to_string(),
        Value::Array(items) => {
            items.iter().map(|item| text(key, item)).collect::<Result<Vec<_>>>()?.join(",")
        }
        Value::Datetime(_) | Value::Table(_) => bail!("`{key}` is a number, a text or a list"),
    })
}

/// What `--name VALUE` or `--name=VALUE` says.
fn value_of(args: &[OsString], name: &str) -> Option<OsString> {
    let (option, prefix) = (format!("--{name}"), format!("--{name}="));
    args.iter().enumerate().find_map(|(i, arg)| {
        if arg.as_os_str() == OsStr::new(&option) {
            return args.get(i + 1).cloned();
        }
        arg.to_str()?.strip_prefix(&prefix).map(Into::into)
    })
}

fn is_given(args: &[OsString], name: &str) -> bool {
    let (option, prefix) = (format!("--{name}"), format!("--{name}="));
    let texts = args.iter().filter_map(|arg| arg.to_str());
    texts
        .into_iter()
        .any(|arg| arg == option || arg.starts_with(&prefix) || (name == "quiet" && arg == "-q"))
}

/// An option that there is not, and the one whose name is nearest.
fn unknown(key: &str, known: &[&Arg]) -> String {
    let names = known.iter().filter_map(|arg| arg.get_long());
    let nearest = names.min_by_key(|name| distance(key, name)).unwrap_or_default();
    let key: String = key.chars().flat_map(char::escape_debug).take(LONGEST_SHOWN).collect();
    format!("there is no option `{key}`\nhelp: the nearest is `{nearest}`; see --help for all")
}

/// Levenshtein's distance: the fewest insertions, deletions and changes of characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let all = [("hiden", "hidden"), ("", "abc"), ("kitten", "sitting"), ("same", "same")];
        assert_eq!(all.map(|(a, b)| distance(a, b)), [1, 3, 3, 0]);
    }
}
