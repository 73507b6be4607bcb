//! The numbers of JAX and other frameworks in `tests/golden`: which cases there are, their arrays, and how results are
//! compared with them. Each section of the manifest has a module here that says for each case what
//! to compute; a case that no module knows fails, unless it stands in a table with the reason.

mod cells_authors;
mod cells_jax;
mod cells_keras;
mod cells_onnx;
mod cells_torch;
mod compare;
mod control;
mod data;
mod function;
mod optim;
mod prng;
mod scan;
mod seed;
mod sequences;
mod train;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use rondeau::{Array, Tree, tree};

use compare::{Distance, Tolerance};
use data::Section;

/// The sections that have a module.
const SECTIONS: [&str; 13] = [
    "prng",
    "prng_x64",
    "seed_f32",
    "seed_f64",
    "scan",
    "control",
    "cells_jax",
    "cells_torch",
    "cells_onnx",
    "cells_keras",
    "cells_authors",
    "optim",
    "train",
];

/// Roles of tensors that a case must compare with.
const RESULTS: [&str; 3] = ["out", "grad", "jvp"];

/// Cases that are not run: an id, or the beginning of ids before `*`, and the reason. After an id,
/// `/` and a role leave out the tensors of that role alone.
pub(crate) type Exclusions = &'static [(&'static str, &'static str)];

/// One case of the manifest. Places of its tensors are `role/path`, such as `in/x` or `out`.
pub(crate) struct Case<'a> {
    /// Its name in the manifest.
    pub(crate) id: &'a str,
    section: &'a Section,
    about: &'a serde_json::Value,
    tolerance: Tolerance,
    /// Roles that are not compared.
    left_out: Vec<&'static str>,
    compared: RefCell<BTreeSet<String>>,
    failures: RefCell<Vec<String>>,
    farthest: RefCell<Distance>,
}

impl<'a> Case<'a> {
    fn new(section: &'a Section, about: &'a serde_json::Value, exclusions: Exclusions) -> Case<'a> {
        let id = about["id"].as_str().expect("a case has an id");
        let role = |(pattern, _): &(&'static str, _)| pattern.strip_prefix(id)?.strip_prefix('/');
        Case {
            id,
            section,
            about,
            tolerance: Tolerance::of(about, section.x64),
            left_out: exclusions.iter().filter_map(role).collect(),
            compared: RefCell::default(),
            failures: RefCell::default(),
            farthest: RefCell::default(),
        }
    }

    /// Whether JAX had 64-bit types enabled.
    pub(crate) fn is_x64(&self) -> bool {
        self.section.x64
    }

    /// The array at a place, such as `in/x`.
    pub(crate) fn array(&self, place: &str) -> Array {
        self.of(self.id, place)
    }

    /// The input of this name.
    pub(crate) fn input(&self, name: &str) -> Array {
        self.array(&format!("in/{name}"))
    }

    /// An array of another case of the section.
    pub(crate) fn of(&self, id: &str, place: &str) -> Array {
        let name = format!("{id}/{place}");
        match self.section.find(&name) {
            Some(tensor) => tensor.array,
            None => panic!("there is no tensor {name}"),
        }
    }

    /// Whether there is a tensor at a place, or below it.
    pub(crate) fn has(&self, place: &str) -> bool {
        self.section.has(&format!("{}/{place}", self.id))
    }

    /// A whole number that the manifest gives for the case.
    pub(crate) fn integer(&self, key: &str) -> i64 {
        self.about[key].as_i64().unwrap_or_else(|| panic!("{}: no integer {key}", self.id))
    }

    /// A number that the manifest gives for the case.
    pub(crate) fn float(&self, key: &str) -> f64 {
        self.about[key].as_f64().unwrap_or_else(|| panic!("{}: no number {key}", self.id))
    }

    /// Compares a text with the one that the manifest gives for the case.
    pub(crate) fn check_text(&self, key: &str, got: &str) {
        if self.about[key] != got {
            self.fail(format!("{key} is {got:?}, and JAX has {}", self.about[key]));
        }
    }

    /// The tree with the arrays of another case of the section (or this one) at its leaves; zeros
    /// where there is none for an integer. The path of a leaf follows `place` after a `.`, or a `/`
    /// after a role. Names of fields may differ from the file's in case.
    pub(crate) fn tree<T: Tree>(&self, id: &str, place: &str, like: &T) -> T {
        let leaves = tree::leaves_with_paths(like)
            .into_iter()
            .map(|(path, leaf)| self.leaf(&format!("{id}/{}", below(place, &path)), leaf));
        tree::rebuild(like, leaves.collect::<Vec<_>>())
    }

    fn leaf(&self, name: &str, like: &Array) -> Array {
        match self.section.find(name) {
            Some(tensor) => tensor.array,
            None if !like.dtype().is_float() => like.zeros_like(),
            None => panic!("there is no tensor {name}"),
        }
    }

    /// Compares an array with the one at a place.
    pub(crate) fn check(&self, place: &str, got: &Array) {
        self.check_within(self.tolerance, place, None, got);
    }

    /// Compares an array with the one at a place, of which it must have every bit, whatever the
    /// manifest allows.
    pub(crate) fn check_bits(&self, place: &str, got: &Array) {
        self.check_within(Tolerance::Exact, place, None, got);
    }

    /// Compares an array with other numbers than those at a place, by the case's own tolerance.
    pub(crate) fn check_instead(&self, place: &str, want: &Array, got: &Array) {
        self.check_within(self.tolerance, place, Some(want), got);
    }

    fn check_within(
        &self,
        tolerance: Tolerance,
        place: &str,
        instead: Option<&Array>,
        got: &Array,
    ) {
        let name = format!("{}/{place}", self.id);
        let Some(mut tensor) = self.section.find(&name) else {
            return self.fail(format!("there is no tensor {name}"));
        };
        self.compared.borrow_mut().insert(tensor.name.clone());
        if let Some(array) = instead {
            tensor.array = array.clone();
        }
        match tolerance.compare(&tensor, got) {
            Ok(distance) => self.farthest.borrow_mut().widen(distance.at(&name)),
            Err(text) => self.fail(format!("{name}: {text}")),
        }
    }

    /// Compares the leaves of a tree with the arrays at and below a place. Among gradients and
    /// tangents, only floats are compared.
    pub(crate) fn check_tree<T: Tree>(&self, place: &str, got: &T) {
        for (path, leaf) in tree::leaves_with_paths(got) {
            self.check_leaf(&below(place, &path), leaf);
        }
    }

    fn check_leaf(&self, place: &str, leaf: &Array) {
        let is_float = leaf.aval().is_ok_and(|aval| aval.is_float());
        if self.left_out.iter().any(|role| place.starts_with(role)) {
            return;
        }
        let derivative = ["grad", "jvp"].iter().any(|role| place.starts_with(role));
        if is_float || !derivative || leaf.error().is_some() {
            self.check(place, leaf);
        }
    }

    /// Notes that the case has failed, and goes on.
    pub(crate) fn fail(&self, text: String) {
        self.failures.borrow_mut().push(text);
    }

    /// The failures, to which results are added that were not compared.
    fn finish(self) -> (Vec<String>, Distance) {
        let mut failures = self.failures.into_inner();
        let compared = self.compared.into_inner();
        for role in RESULTS.iter().filter(|role| !self.left_out.contains(role)) {
            for name in self.section.names_below(&format!("{}/{role}", self.id)) {
                if !compared.contains(name) && failures.is_empty() {
                    failures.push(format!("{name} was not compared"));
                }
            }
        }
        (failures, self.farthest.into_inner())
    }
}

/// The place of a leaf below another place.
fn below(place: &str, path: &str) -> String {
    match (path.is_empty(), place.contains('/')) {
        (true, _) => place.to_owned(),
        (false, true) => format!("{place}.{path}"),
        (false, false) => format!("{place}/{path}"),
    }
}

/// How many cases ran, of how many, in each section that is done.
static DONE: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

/// Runs all cases of a section and fails with all that went wrong.
pub(crate) fn run_section(name: &str, exclusions: Exclusions, run: impl Fn(&Case<'_>)) {
    let manifest = data::manifest();
    let section = Section::read(&manifest, name);
    let mut failed = Vec::new();
    let mut farthest = Distance::default();
    let mut used = BTreeSet::new();
    let mut n_ran = 0;
    for about in &section.cases {
        let case = Case::new(&section, about, exclusions);
        let id = case.id;
        if let Some((pattern, _)) = exclusions.iter().find(|(pattern, _)| matches(pattern, id)) {
            used.insert(*pattern);
            continue;
        }
        let partly = |(pattern, _): &&(&'static str, _)| pattern.split('/').next() == Some(id);
        used.extend(exclusions.iter().filter(partly).map(|(pattern, _)| *pattern));
        n_ran += 1;
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(&case))) {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
            case.fail(format!("panicked: {}", text.unwrap_or_default()));
        }
        let (failures, distance) = case.finish();
        farthest.widen(distance);
        if !failures.is_empty() {
            failed.push(format!("{id}\n    {}", failures.join("\n    ")));
        }
    }
    report(name, n_ran, section.cases.len(), &farthest);
    let stale: Vec<_> = exclusions.iter().filter(|(pattern, _)| !used.contains(pattern)).collect();
    assert!(stale.is_empty(), "no case is excluded by {stale:?}");
    let n_failed = failed.len();
    assert!(n_failed == 0, "{n_failed} of {n_ran} cases failed:\n  {}", failed.join("\n  "));
}

fn matches(pattern: &str, id: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == id, |start| id.starts_with(start))
}

/// Says how many cases ran, and after the last section of how many in all. Written past the test
/// runner, which would keep it to itself.
fn report(section: &str, n_ran: usize, n_cases: usize, farthest: &Distance) {
    let mut done = DONE.lock().expect("no thread panics here");
    done.push((n_ran, n_cases));
    let mut text = format!("golden {section}: {n_ran} of {n_cases} cases ran; {farthest}\n");
    if done.len() == SECTIONS.len() {
        let (ran, cases) = done.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        text += &format!("golden: {ran} of {cases} cases ran\n");
    }
    // Nothing depends on it being seen.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

#[test]
fn every_section_has_a_module() {
    let manifest = data::manifest();
    let sections = manifest["sections"].as_array().expect("a list of sections");
    let names: Vec<_> = sections.iter().filter_map(|section| section["section"].as_str()).collect();
    assert_eq!(names, SECTIONS);
}
