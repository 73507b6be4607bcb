//! Other libraries' programs, run for the same workloads.
//!
//! A peer is a command. It prints one JSON line for each result, with `median_us` and, if it has
//! several ways, `variant`; the best one counts. A peer that is missing, fails, takes too long or
//! does not know the workload is passed over, with a note.

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::workloads::Workload;

/// A peer: its name, and how it is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// What the table calls it by.
    pub name: String,
    /// What the names of its workloads begin with; all workloads if empty.
    pub workloads: Vec<String>,
    /// The words of the command, with `{w}`, `{T}` and the like in them.
    pub words: Vec<String>,
    /// Words that are added once its best variant is known, with `{variant}` in them.
    pub again: Vec<String>,
}

/// One result of a peer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Measured {
    /// Which of its ways.
    #[serde(default)]
    pub variant: String,
    /// The name of the workload, as the peer has it.
    #[serde(default)]
    workload: Option<String>,
    #[serde(rename = "T", default)]
    steps: Option<usize>,
    #[serde(rename = "H", default)]
    hidden: Option<usize>,
    /// The median time of a call.
    pub median_us: f64,
    /// Its largest error, by its own measure.
    #[serde(default)]
    pub max_err: Option<f64>,
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It could not be started.
    Start(String),
    /// It ended badly; what it said last.
    Ended(String),
    /// It was ended after so many seconds.
    TooLong(u64),
    /// It ended well and had nothing to say about the workload.
    Nothing,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Start(why) => write!(f, "did not start: {why}"),
            Failure::Ended(how) => write!(f, "failed: {how}"),
            Failure::TooLong(seconds) => write!(f, "was ended after {seconds} s"),
            Failure::Nothing => f.write_str("has no result for it"),
        }
    }
}

impl Peer {
    /// Reads `name [beginnings of workloads] = command ; words for later rounds`; the parts in
    /// brackets and behind the semicolon can be absent.
    ///
    /// # Errors
    /// If there is no name, no command, or a bracket or a quote is left open.
    pub fn parse(text: &str) -> Result<Peer> {
        let (head, command) = text.split_once('=').with_context(|| {
            format!("a peer is written `name=command`, and `{text}` has no `=`")
        })?;
        let (name, workloads) = match head.split_once('[') {
            None => (head, ""),
            Some((name, rest)) => {
                let list = rest.trim_end().strip_suffix(']');
                (name, list.with_context(|| format!("`{head}` has no `]`"))?)
            }
        };
        let name = name.trim();
        if name.is_empty() || name.contains(char::is_whitespace) {
            bail!("a peer is written `name=command`, and `{text}` has no name of one word");
        }
        let all = words(command)?;
        let mut parts = all.split(|word| word == ";").map(<[String]>::to_vec);
        let (words, again) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if words.is_empty() {
            bail!("the peer `{name}` has no command");
        }
        let workloads = workloads.split_whitespace().map(str::to_owned).collect();
        Ok(Peer { name: name.to_owned(), workloads, words, again })
    }

    /// Whether it is to be asked for this workload.
    pub fn knows(&self, workload: &Workload) -> bool {
        let begins = |name: &String| workload.name.starts_with(name.as_str());
        self.workloads.is_empty() || self.workloads.iter().any(begins)
    }

    /// The command for a workload; `variant` is the best one, if it is known.
    fn command(&self, workload: &Workload, budget: Duration, variant: Option<&str>) -> Vec<String> {
        let again: &[String] = if variant.is_some() { &self.again } else { &[] };
        let threads = rondeau::run::threads().unwrap_or(1).to_string();
        let fill = |word: &String| {
            let filled = word
                .replace("{w}", &workload.name)
                .replace("{T}", &workload.steps.to_string())
                .replace("{I}", &workload.inputs.to_string())
                .replace("{H}", &workload.hidden.to_string())
                .replace("{B}", &workload.batch.max(1).to_string())
                .replace("{threads}", &threads)
                .replace("{budget}", &format!("{:.3}", budget.as_secs_f64()))
                .replace("{variant}", variant.unwrap_or_default());
            // The peer runs in a directory of its own.
            match Path::new(&filled).canonicalize() {
                Ok(path) if filled.contains('/') => absolute(&filled, &path),
                _ => filled,
            }
        };
        self.words.iter().chain(again).map(fill).collect()
    }

    /// Runs it once in `place`, with the processors that this process may use.
    ///
    /// # Errors
    /// [`Failure`] says what went wrong; nothing of it is fatal.
    pub fn run(
        &self,
        workload: &Workload,
        budget: Duration,
        variant: Option<&str>,
        place: &Path,
        limit: Duration,
    ) -> Result<Vec<Measured>, Failure> {
        let words = self.command(workload, budget, variant);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(place).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        // These would choose other kernels for OpenBLAS than it would choose itself.
        command.env_remove("OPENBLAS_CORETYPE").env_remove("OPENBLAS_L2_SIZE");
        let (status, stdout, stderr) = finish(command, limit)?;
        let found = measured(&stdout, workload);
        if found.is_empty() && !status.success() {
            let last = stderr.lines().rev().find(|line| !line.trim().is_empty());
            let last: String = last.unwrap_or_default().trim().chars().take(200).collect();
            return Err(Failure::Ended(format!("{status} {last}").trim_end().to_owned()));
        }
        if found.is_empty() { Err(Failure::Nothing) } else { Ok(found) }
    }
}

/// An interpreter in a virtual environment is a link that must stay one.
fn absolute(given: &str, resolved: &Path) -> String {
    let joined = std::env::current_dir().map(|here| here.join(given));
    joined.as_deref().unwrap_or(resolved).display().to_string()
}

/// Waits for a command to end, at most so long, and returns what it printed.
fn finish(mut command: Command, limit: Duration) -> Result<(ExitStatus, String, String), Failure> {
    let mut child = command.spawn().map_err(|error| Failure::Start(error.to_string()))?;
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let begin = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if begin.elapsed() > limit => {
                // If it has ended meanwhile there is nothing to end.
                let _ = child.kill();
                let _ = child.wait();
                return Err(Failure::TooLong(limit.as_secs()));
            }
            Ok(None) => thread::sleep(Duration::from_millis(30)),
            Err(error) => return Err(Failure::Ended(error.to_string())),
        }
    };
    let text = |reader: thread::JoinHandle<String>| reader.join().unwrap_or_default();
    Ok((status, text(stdout), text(stderr)))
}

/// The most that is read of what a peer prints.
const MOST_TEXT: u64 = 1 << 24;

fn collect(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(pipe) = pipe {
            let mut lines = BufReader::new(pipe.take(MOST_TEXT));
            // What was read before an error counts.
            while lines.read_until(b'\n', &mut text).is_ok_and(|n| n > 0) {}
        }
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// The results for a workload among the lines that a peer printed; other lines are passed over.
///
/// A line without the name of a workload, or with a name of the peer's own, belongs to it if the
/// steps and hidden units do.
pub fn measured(text: &str, workload: &Workload) -> Vec<Measured> {
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Measured>(line).ok());
    let fits = |line: &Measured| match line.workload.as_deref() {
        Some(name) if name != "custom" => name == workload.name,
        _ => line.steps == Some(workload.steps) && line.hidden == Some(workload.hidden),
    };
    lines.filter(|line| fits(line) && line.median_us.is_finite() && line.median_us > 0.0).collect()
}

/// Splits at blanks; quotes keep them.
fn words(text: &str) -> Result<Vec<String>> {
    let (mut words, mut word, mut quote): (Vec<String>, Option<String>, Option<char>) =
        (vec![], None, None);
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    if let Some(open) = quote {
        bail!("`{}` has an open quote {open}", text.trim());
    }
    words.extend(word);
    Ok(words)
}

/// Reads a file of peers: one a line, `#` begins a comment line, `{dir}` is the file's directory.
///
/// # Errors
/// If the file cannot be read, or a line is no peer.
pub fn read(path: &Path) -> Result<Vec<Peer>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let directory = path.parent().unwrap_or(Path::new(".")).display().to_string();
    let directory = if directory.is_empty() { ".".to_owned() } else { directory };
    let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            let line = line.replace("{dir}", &directory);
            Peer::parse(&line).with_context(|| format!("{}:{number}", path.display()))
        })
        .collect()
}

/// Programs of peers that are known by their file: the file, the peers in it.
const KNOWN: [(&str, &[&str]); 9] = [
    ("onednn_gru", &["onednn [w1 w2 w3 w4 w5] = {path} {w} {threads} {budget}"]),
    (
        "peers_py.py",
        &[
            "onnxruntime [w1 w2 w3 w4 w6f] = {python} {path} ort {w} --budget {budget}",
            "jax [w1 w2 w3 w4 w5 w6] = \
             {python} {path} jax {w} --budget {budget} ; --variant {variant}",
            "jax [w7] = {python} {path} jax w7 --mem-T {T} --budget {budget} --variant scan",
        ],
    ),
    (
        "peers_cells.py",
        &["jax [w8 w9] = {python} {path} {w} --budget {budget} ; --variant {variant}"],
    ),
    (
        "peers_operators.py",
        &[
            "onnxruntime [w9f_rnn w9f_gru w9f_lstm w9f_peephole] = \
             {python} {path} onnxruntime {w} --budget {budget}",
            "torch [w9f_rnn w9f_gru-reset w9f_lstm w9f_projected w9g_rnn w9g_gru-reset w9g_lstm \
             w9g_projected] = {python} {path} torch {w} --budget {budget}",
        ],
    ),
    ("limit", &["limit [loop] = {path} {H} {B} {T}"]),
    // It runs the models that ONNX Runtime's program leaves behind.
    ("tract_peer", &["tract [w1 w2 w3 w4 w6f] = {path} {w} --budget {budget}"]),
    ("burn_peer", &["burn [w1 w2 w3 w4 w5 w6] = {path} {w} --budget {budget}"]),
    ("candle_peer", &["candle [w1 w2 w3 w4 w5 w6] = {path} {w} --budget {budget}"]),
    ("rlx_probe", &["rlx [w1 w2 w3 w4 w5] = {path} {w} --budget {budget}"]),
];

/// The peers in a directory and in the places below it where builds leave programs: those of its
/// file `peers.txt` if there is one, else those that are known by their names.
///
/// # Errors
/// If `peers.txt` cannot be read.
pub fn discover(directory: &Path) -> Result<Vec<Peer>> {
    let list = directory.join("peers.txt");
    if list.is_file() {
        return read(&list);
    }
    let mut places = vec![directory.to_owned(), directory.join("release")];
    places.extend(["target/release", "bin"].map(|place| directory.join(place)));
    let entries = fs::read_dir(directory)
        .with_context(|| format!("{} cannot be read", directory.display()))?;
    let mut below: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    below.sort();
    for place in below.into_iter().filter(|path| path.is_dir()) {
        places.push(place.join("target/release"));
        places.push(place);
    }
    let python = std::env::var("RONDEAU_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut peers = vec![];
    for (file, entries) in KNOWN {
        let found = places.iter().map(|place| place.join(file)).find(|path| path.is_file());
        let Some(path) = found else { continue };
        let quote = |text: &str| format!("'{text}'");
        let path = quote(&path.display().to_string());
        for entry in entries {
            peers.push(Peer::parse(
                &entry.replace("{path}", &path).replace("{python}", &quote(&python)),
            )?);
        }
    }
    Ok(peers)
}

#[cfg(test)]
mod tests {
    use super::super::workloads::chosen;
    use super::*;

    fn workload(name: &str) -> Workload {
        chosen(&[name.to_owned()]).unwrap().remove(0)
    }

    #[test]
    fn a_peer_is_a_name_and_a_command() {
        let peer = Peer::parse("jax [w3 w5a] = 'my python' p.py {w} {T} ; --only {variant}");
        let peer = peer.unwrap();
        assert_eq!(
            (peer.name.as_str(), peer.workloads.as_slice()),
            ("jax", &["w3", "w5a"].map(String::from)[..])
        );
        assert!(peer.knows(&workload("w3a")) && !peer.knows(&workload("w5b")));
        let budget = Duration::from_millis(500);
        let first = peer.command(&workload("w3a"), budget, None);
        assert_eq!(first, ["my python", "p.py", "w3a", "1000"]);
        let later = peer.command(&workload("w3a"), budget, Some("unrolled"));
        assert_eq!(later[4..], ["--only", "unrolled"]);
    }

    #[test]
    fn mistakes_are_told() {
        let told = |text| Peer::parse(text).unwrap_err().to_string();
        assert_eq!(told("jax"), "a peer is written `name=command`, and `jax` has no `=`");
        assert_eq!(
            told("=x"),
            "a peer is written `name=command`, and `=x` has no name of one word"
        );
        assert_eq!(told("jax= "), "the peer `jax` has no command");
        assert_eq!(told("jax [w1 = x"), "`jax [w1 ` has no `]`");
        assert_eq!(told("jax = 'x"), "`'x` has an open quote '");
    }

    #[test]
    fn lines_of_other_workloads_and_other_text_are_passed_over() {
        let text = r#"starting
{"peer":"a","variant":"x","workload":"w3a","T":1000,"H":128,"median_us":20.5,"max_err":1e-6}
{"peer":"a","variant":"y","workload":"w3b","T":1000,"H":256,"median_us":1.0}
{"peer":"a","variant":"z","workload":"custom","T":1000,"H":128,"median_us":30,"more":[1]}
{"peer":"a","H":128,"B":1,"T":1000,"median_us":40}
{"peer":"a","workload":"w3a","error":"no"}
{"peer":"a","workload":"w3a","median_us":null}
{"peer":"a","workload":"w3a","median_us":-1}
"#;
        let found = measured(text, &workload("w3a"));
        let found: Vec<(&str, f64)> =
            found.iter().map(|line| (line.variant.as_str(), line.median_us)).collect();
        assert_eq!(found, [("x", 20.5), ("z", 30.0), ("", 40.0)]);
    }

    #[test]
    fn a_peer_that_is_absent_or_fails_says_so() {
        let run = |text: &str, limit| {
            let peer = Peer::parse(text).unwrap();
            let budget = Duration::from_millis(1);
            let limit = Duration::from_millis(limit);
            peer.run(&workload("w1"), budget, None, &std::env::temp_dir(), limit)
        };
        assert!(matches!(run("a=/no/such/program", 1000), Err(Failure::Start(_))));
        if cfg!(unix) {
            let failed = run("a=sh -c 'echo why >&2; exit 3'", 10_000).unwrap_err();
            assert_eq!(failed.to_string(), "failed: exit status: 3 why");
            assert_eq!(run("a=true", 10_000), Err(Failure::Nothing));
            assert_eq!(run("a=sleep 60", 50), Err(Failure::TooLong(0)));
            let good = r#"a=echo '{"workload":"{w}","median_us":2.5}'"#;
            assert_eq!(run(good, 10_000).unwrap()[0].median_us, 2.5);
        }
    }

    #[test]
    fn a_directory_is_searched_for_known_programs_or_read_as_its_list_says() {
        let place = tempfile::tempdir().unwrap();
        let builds = place.path().join("rust/target/release");
        fs::create_dir_all(&builds).unwrap();
        fs::write(builds.join("burn_peer"), "").unwrap();
        fs::write(place.path().join("peers_py.py"), "").unwrap();
        let names = || -> Vec<String> {
            let peers = discover(place.path()).unwrap();
            peers.into_iter().map(|peer| peer.name).collect()
        };
        assert_eq!(names(), ["onnxruntime", "jax", "jax", "burn"]);
        fs::write(place.path().join("peers.txt"), "# mine\n\nmine = {dir}/mine {w}\n").unwrap();
        assert_eq!(names(), ["mine"]);
        fs::write(place.path().join("peers.txt"), "mine").unwrap();
        let error = format!("{:#}", discover(place.path()).unwrap_err());
        assert!(error.contains("peers.txt:1: a peer is written"), "{error}");
    }
}
