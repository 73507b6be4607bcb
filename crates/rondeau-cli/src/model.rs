//! The models of all tasks: symbols or numbers in, layers of one cell, and what is read off the last
//! of them.

use anyhow::{Result, ensure};
use rondeau::io::Record;
use rondeau::nn::{self, Cell, Embedding, Linear};
use rondeau::optim::{self, Adam, ClipByGlobalNorm, Decay, Schedule, StateOf};
use rondeau::{Array, Tree, random};
use serde::{Deserialize, Serialize};

use crate::cells::{AnyCell, Cells};

/// The most layers.
pub const MOST_LAYERS: usize = 64;
/// The longest vector of a symbol.
const LONGEST_SYMBOL: usize = 64;

/// What a model is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The name of the recurrent cell.
    pub cell: String,
    /// The units of each layer.
    pub hidden: usize,
    /// The layers.
    pub layers: usize,
    /// What goes in at each step.
    pub inputs: Inputs,
    /// How many numbers come out.
    pub outputs: usize,
    /// Where the first weights come from.
    pub seed: u64,
}

/// What goes in at each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Inputs {
    /// So many numbers.
    Numbers(usize),
    /// One of so many symbols.
    Symbols(usize),
}

/// A model; as a cell, it goes from an input to what is read off.
#[derive(Clone, Debug, Tree)]
pub struct Model {
    /// Vectors of the symbols, if symbols go in.
    pub embedding: Option<Embedding>,
    /// The recurrent layers, each fed by the one before.
    pub layers: Vec<AnyCell>,
    /// What is read off the last layer's output.
    pub readout: Linear,
}

impl Model {
    /// A model with random weights.
    ///
    /// # Errors
    /// If there is no such cell, or a layer does not take what it is given.
    pub fn init(cells: &Cells, spec: &Spec) -> Result<Model> {
        let entry = cells.get(&spec.cell)?;
        let keys = random::split(&random::fold_in(&key_of(spec.seed), 0_u32), spec.layers + 2);
        let (embedding, mut size) = match spec.inputs {
            Inputs::Numbers(n) => (None, n),
            Inputs::Symbols(n) => {
                let size = n.min(LONGEST_SYMBOL);
                (Some(Embedding::init(&keys.at(0), n, size)), size)
            }
        };
        let mut layers = Vec::with_capacity(spec.layers);
        for i in 0..spec.layers {
            let cell = entry.init(&keys.at(i + 1), size, spec.hidden)?;
            size = cell.output_size(size)?;
            layers.push(cell);
        }
        let readout = Linear::init(&keys.at(spec.layers + 1), size, spec.outputs);
        Ok(Model { embedding, layers, readout })
    }

    /// A model with stored weights.
    ///
    /// # Errors
    /// If weights are missing, not expected, or of another shape; all are named.
    pub fn load(cells: &Cells, spec: &Spec, weights: &Record) -> Result<Model> {
        // The library's layers have matrices over what goes into them, so a card cannot ask for much
        // more memory than its file takes.
        let given: usize = weights.arrays().iter().map(|(_, array)| array.size()).sum();
        let (Inputs::Numbers(n) | Inputs::Symbols(n)) = spec.inputs;
        let deep = spec.hidden.saturating_mul(spec.hidden).saturating_mul(spec.layers - 1) / 2;
        let deep = if cells.get(&spec.cell)?.own { spec.layers } else { deep };
        let least = n.max(spec.outputs).max(spec.hidden).max(deep);
        ensure!(least <= given, "the weights do not fit their card: {given} numbers are too few");
        Ok(weights.fill(&Model::init(cells, spec)?)?)
    }

    /// Runs many sequences: the last carries, and the outputs of the last layer.
    ///
    /// # Shapes
    /// `xs: [batch, time, input]`, or `i32[batch, time]` symbols → `[batch, time, units]`.
    #[track_caller]
    pub fn outputs(&self, carries: &Carry, xs: &Array) -> (Carry, Array) {
        nn::run_batch(&self.layers, carries, &self.embedded(xs))
    }

    /// Symbols as vectors; numbers as they are.
    #[track_caller]
    pub fn embedded(&self, xs: &Array) -> Array {
        self.embedding.as_ref().map_or_else(|| xs.clone(), |embedding| embedding.of(xs))
    }

    /// One step of the layers: the next carry, and the last layer's output.
    #[track_caller]
    pub fn output(&self, carry: &Carry, x: &Array) -> (Carry, Array) {
        self.layers.step(carry, &self.embedded(x))
    }

    /// How many numbers there are in it.
    pub fn n_weights(&self) -> usize {
        rondeau::tree::leaves(self).iter().map(|leaf| leaf.size()).sum()
    }
}

/// The carry of a model: of each layer, the leaves of its cell's.
pub type Carry = Vec<Vec<Array>>;

impl Cell for Model {
    type Carry = Carry;

    fn initial_carry(&self) -> Carry {
        self.layers.initial_carry()
    }

    #[track_caller]
    fn step(&self, carry: &Carry, x: &Array) -> (Carry, Array) {
        let (carry, y) = self.output(carry, x);
        (carry, self.readout.of(&y))
    }
}

/// The optimizer of all tasks.
pub type Optimizer = (ClipByGlobalNorm, Adam);
/// Its state.
pub type OptimizerState = StateOf<Optimizer, Model>;

/// Adam with gradients cut to a norm of 1 and decay of the matrices.
pub fn optimizer(rate: impl Schedule + 'static, decay: f64) -> Optimizer {
    (optim::clip_by_global_norm(1.0), optim::adamw(rate, Decay::new(decay).matrices()))
}

/// A model in training, and the running mean of it, which is what is validated and kept.
#[derive(Clone, Debug, Tree)]
pub struct Weights {
    /// What is trained.
    pub model: Model,
    /// Its mean over the last hundred or so steps.
    pub mean: Model,
}

/// The key of a run.
pub fn key_of(seed: u64) -> Array {
    random::key_from_words((seed >> 32) as u32, seed as u32)
}
