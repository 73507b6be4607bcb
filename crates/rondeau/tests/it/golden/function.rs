//! Cases that are one function: its arguments are read by the names of its parameters.

use std::collections::BTreeMap;

use rondeau::{Arguments, Array, Function, Tree, jit, jvp, tree, vjp};

use super::Case;

/// Trees whose leaves are read by their paths.
pub(super) trait Given: Tree {
    /// The tree at a path, from the array at each path.
    fn given(get: &dyn Fn(&str) -> Array, path: &str) -> Self;
}

/// One step further on a path.
pub(super) fn below(path: &str, segment: &str) -> String {
    if path.is_empty() { segment.to_owned() } else { format!("{path}.{segment}") }
}

impl Given for Array {
    fn given(get: &dyn Fn(&str) -> Array, path: &str) -> Array {
        get(path)
    }
}

macro_rules! tuple {
    ($($item:ident $i:literal)*) => {
        impl<$($item: Given),*> Given for ($($item,)*) {
            fn given(get: &dyn Fn(&str) -> Array, path: &str) -> Self {
                ($($item::given(get, &below(path, $i)),)*)
            }
        }
    };
}
tuple!(A "0");
tuple!(A "0" B "1");
tuple!(A "0" B "1" C "2");
tuple!(A "0" B "1" C "2" D "3");
tuple!(A "0" B "1" C "2" D "3" E "4");

/// Compares a function with JAX's: results, vjp and jvp, step by step and compiled. The names are
/// those of its parameters in the file.
pub(super) fn check<const N: usize, Args, F>(case: &Case<'_>, names: [&str; N], f: F)
where
    Args: Arguments + Given,
    F: Function<Args>,
{
    // An argument's leaf has the argument's name instead of its position.
    let named = |path: &str| {
        let (position, rest) = path.split_once('.').unwrap_or((path, ""));
        let name = names[position.parse::<usize>().expect("arguments are a tuple")];
        if rest.is_empty() { name.to_owned() } else { below(name, rest) }
    };
    let paths = |tree: Vec<(String, &Array)>| tree.into_iter().map(|(path, _)| path).collect();
    let args = Args::given(&|path| case.input(&named(path)), "");
    let inputs: Vec<String> = paths(tree::leaves_with_paths(&args));
    let outputs = paths(tree::leaves_with_paths(&f.invoke(args.refs())));
    let owned = |leaves: Vec<&Array>| leaves.into_iter().cloned().collect::<Vec<Array>>();
    let flat = |leaves: &Vec<Array>| {
        let args = tree::rebuild(&args, leaves.iter().cloned());
        owned(tree::leaves(&f.invoke(args.refs())))
    };
    let inputs = inputs.iter().map(|path| named(path)).collect();
    check_flat(case, &Flat { inputs, outputs, f: &flat }, &owned(tree::leaves(&args)));
}

/// [`check`] for a function of named arrays: all inputs of the case by their names, such as
/// `params.gru.b`. It returns the outputs of the names given.
pub(super) fn check_named(case: &Case<'_>, outputs: &[&str], f: &dyn Fn(&Named) -> Vec<Array>) {
    let place = format!("{}/in", case.id);
    let names = case.section.names_below(&place);
    let inputs: Vec<String> = names.map(|name| name[place.len() + 1..].to_owned()).collect();
    let args: Vec<Array> = inputs.iter().map(|name| case.input(name)).collect();
    let flat =
        |leaves: &Vec<Array>| f(&inputs.iter().cloned().zip(leaves.iter().cloned()).collect());
    let outputs = outputs.iter().map(|&name| name.to_owned()).collect();
    check_flat(case, &Flat { inputs: inputs.clone(), outputs, f: &flat }, &args);
}

/// Arrays by name.
pub(super) type Named = BTreeMap<String, Array>;

/// A function of leaves. So there is one type of functions to transform, not one for each case.
struct Flat<'a> {
    inputs: Vec<String>,
    outputs: Vec<String>,
    f: &'a dyn Fn(&Vec<Array>) -> Vec<Array>,
}

fn check_flat(case: &Case<'_>, function: &Flat<'_>, args: &Vec<Array>) {
    let Flat { inputs, outputs, f } = function;
    let place = |role: &str, path: &str| match path {
        "" => role.to_owned(),
        _ => format!("{role}/{path}"),
    };
    let compare = |role: &str, paths: &[String], got: Vec<Array>| {
        let leaves = paths.iter().zip(&got);
        leaves.for_each(|(path, leaf)| case.check_leaf(&place(role, path), leaf));
    };
    let read = |role: &str, paths: &[String], like: &[Array]| -> Vec<Array> {
        let leaves = paths.iter().zip(like);
        let name = |path| format!("{}/{}", case.id, place(role, path));
        leaves.map(|(path, leaf)| case.leaf(&name(path), leaf)).collect()
    };

    let out = f(args);
    if let Some(error) = out.iter().find_map(Array::error) {
        return case.fail(error.to_string());
    }
    compare("out", outputs, out.clone());
    compare("out", outputs, jit(f).apply(args));
    if case.has("ct") {
        let ct = read("ct", outputs, &out);
        let pull = |args: &Vec<Array>, ct: &Vec<Array>| vjp(f, (args,)).1.apply(ct).0;
        compare("grad", inputs, pull(args, &ct));
        compare("grad", inputs, jit(pull).apply(args, &ct));
    }
    if case.has("tan") {
        let tangents = read("tan", inputs, args);
        let push = |args: &Vec<Array>, tangents: &Vec<Array>| jvp(f, (args,), (tangents,)).1;
        compare("jvp", outputs, push(args, &tangents));
        compare("jvp", outputs, jit(push).apply(args, &tangents));
    }
}

/// Runs the first group that knows the case.
pub(super) fn run_groups(case: &Case<'_>, groups: &[fn(&Case<'_>) -> bool]) {
    if !groups.iter().any(|group| group(case)) {
        case.fail("no test knows this case".to_owned());
    }
}
