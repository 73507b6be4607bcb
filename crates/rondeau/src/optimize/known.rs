//! When the values of a loop's step are known: what can leave the loop, and what cannot.

use super::loops::{Loop, Source};
use crate::prim::Batched;

/// When a value of the body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Known {
    /// Before the loop: it is the same at every step.
    Always,
    /// Before the loop, once for each step.
    Rows,
    /// In its step only.
    InStep,
}

/// When each variable of the body of a loop is known.
pub(super) fn when_known(it: &Loop<'_>, sources: &[Option<Source>]) -> Vec<Known> {
    let mut known: Vec<Known> = sources
        .iter()
        .map(|source| match source {
            Some(Source::Given(Batched::Shared(_))) => Known::Always,
            Some(Source::Given(Batched::Mapped(_))) => Known::Rows,
            Some(Source::Carry(_)) | None => Known::InStep,
        })
        .collect();
    for eqn in it.body().eqns() {
        let read = eqn.inputs.iter().filter_map(|atom| atom.var());
        let mut latest = read.map(|var| known[var.index()]).max().unwrap_or(Known::Always);
        let holds_programs = eqn.prim.body_rules().is_some();
        if eqn.prim.has_effects() || (holds_programs && latest == Known::Rows) {
            latest = Known::InStep;
        }
        for var in &eqn.outputs {
            known[var.index()] = latest;
        }
    }
    known
}
