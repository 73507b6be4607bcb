//! The cells of `rondeau::nn` as the workloads have them: all of them, with their own initial
//! weights and their own first carries.

use anyhow::{Context, Result};
use rondeau::nn::{self, Activation, Cell};
use rondeau::{Array, random};

use super::workloads::{CellKind, Kind, Workload};
use crate::cells::AnyCell;

/// Inputs of all cells but those whose channels are their inputs.
const INPUTS: usize = 64;
/// Hidden units, or states where a cell has no hidden units.
const HIDDEN: usize = 128;

/// A cell of the library.
struct Known {
    /// What `--cell` calls it.
    name: &'static str,
    title: &'static str,
    inputs: usize,
    /// Makes it of a key, inputs and hidden units.
    init: fn(&Array, usize, usize) -> AnyCell,
}

macro_rules! cells {
    ($($name:literal $title:literal $inputs:ident: |$k:ident, $i:ident, $h:ident| $cell:expr;)*) => {
        [$(Known {
            name: $name,
            title: $title,
            inputs: $inputs,
            init: |$k, $i, $h| AnyCell::of($cell),
        }),*]
    };
}

/// The cells in the order in which they run, with the sizes that the other side has too.
const CELLS: [Known; 17] = cells! {
    "rnn" "simple, tanh" INPUTS: |k, i, h| nn::Rnn::init(k, i, h, Activation::Tanh);
    "indrnn" "independent neurons" INPUTS: |k, i, h| nn::IndRnn::init(k, i, h);
    "gru" "resets before the product" INPUTS: |k, i, h| nn::Gru::init(k, i, h);
    "gru-reset-after" "resets after it" INPUTS: |k, i, h| nn::GruResetAfter::init(k, i, h);
    "layer-norm-gru" "with layer norms" INPUTS: |k, i, h| nn::LayerNormGru::init(k, i, h);
    "mgu" "minimal gated unit" INPUTS: |k, i, h| nn::Mgu::init(k, i, h);
    "mgu-reset-after" "resets after the product" INPUTS: |k, i, h| nn::MguResetAfter::init(k, i, h);
    "lstm" "long short-term memory" INPUTS: |k, i, h| nn::Lstm::init(k, i, h);
    "peephole-lstm" "with peepholes" INPUTS: |k, i, h| nn::PeepholeLstm::init(k, i, h);
    "projected-lstm" "to half of the units" INPUTS:
        |k, i, h| nn::ProjectedLstm::init(k, i, h, h / 2);
    "layer-norm-lstm" "with layer norms" INPUTS: |k, i, h| nn::LayerNormLstm::init(k, i, h);
    "slstm" "exponential gates" INPUTS: |k, i, h| nn::SLstm::init(k, i, h);
    "min-gru" "linear in its state" INPUTS: |k, i, h| nn::MinGru::init(k, i, h);
    "min-lstm" "linear in its state" INPUTS: |k, i, h| nn::MinLstm::init(k, i, h);
    "lru" "linear recurrent unit" INPUTS: |k, i, h| nn::Lru::init(k, i, h);
    "s5" "64 pairs of states" INPUTS: |k, i, h| nn::S5::init(k, i, h / 2);
    "selective-ssm" "16 states, rank 8" HIDDEN: |k, i, _h| nn::SelectiveSsm::init(k, i, 16, i / 16);
};

/// The forward pass of one sequence and the gradient of a batch, for each cell.
pub(super) fn workloads() -> impl Iterator<Item = Workload> {
    CELLS.iter().flat_map(|&Known { name, title, inputs, .. }| {
        [(Kind::Forward, "f", 1000, 0), (Kind::Gradient, "g", 100, 32)].map(
            |(kind, letter, steps, batch)| Workload {
                name: format!("w9{letter}_{name}"),
                title: if kind == Kind::Forward { title } else { "its gradient" },
                kind,
                cell: CellKind::Library(name),
                steps,
                inputs,
                hidden: HIDDEN,
                batch,
            },
        )
    })
}

/// The cell of a name, with the same weights each time.
///
/// # Errors
/// If there is none of this name.
pub(super) fn cell(name: &str, inputs: usize, hidden: usize) -> Result<AnyCell> {
    let found = CELLS.iter().find(|known| known.name == name);
    let known = found.with_context(|| format!("no workload has the cell `{name}`"))?;
    Ok((known.init)(&random::key(1), inputs, hidden))
}

/// All outputs of one sequence, `[time, output]`.
pub(super) fn sequence(cell: &AnyCell, carry: &Vec<Array>, xs: &Array) -> Array {
    nn::run(cell, carry, xs).1
}

/// All outputs of a batch of sequences, `[batch, time, output]`.
pub(super) fn batched(cell: &AnyCell, carries: &Vec<Array>, xs: &Array) -> Array {
    nn::run_batch(cell, carries, xs).1
}

/// The mean squared error of one sequence.
pub(super) fn loss(cell: &AnyCell, carry: &Vec<Array>, xs: &Array, y: &Array) -> Array {
    (sequence(cell, carry, xs) - y).square().mean()
}

/// The mean squared error of a batch.
pub(super) fn batched_loss(cell: &AnyCell, carries: &Vec<Array>, xs: &Array, y: &Array) -> Array {
    (batched(cell, carries, xs) - y).square().mean()
}

/// The first carry of one sequence, or those of a batch.
pub(super) fn start(cell: &AnyCell, batch: usize) -> Vec<Array> {
    if batch > 0 { nn::initial_carries(cell, batch) } else { cell.initial_carry() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::Cells;

    #[test]
    fn they_are_all_cells_of_the_library() {
        let mut names: Vec<&str> = CELLS.iter().map(|known| known.name).collect();
        let all = Cells::of_the_library();
        let mut need: Vec<&str> = all.names().collect();
        names.sort();
        need.sort();
        assert_eq!(names, need);
    }

    #[test]
    fn each_runs_at_its_sizes() {
        for Workload { name, cell: kind, inputs, hidden, .. } in workloads() {
            let CellKind::Library(of) = kind else { panic!("{name} has another cell") };
            let cell = cell(of, inputs, hidden).unwrap();
            let outputs = cell.output_size(inputs).unwrap();
            let xs = random::normal(&random::key(2), [2, 3, inputs]);
            let ys = batched(&cell, &start(&cell, 2), &xs);
            assert_eq!(ys.shape(), [2, 3, outputs], "{name}");
            assert!(ys.to_vec::<f32>().unwrap().iter().all(|y| y.is_finite()), "{name}");
        }
        assert!(cell("no", 1, 1).is_err());
    }
}
