//! `rondeau summary` and `rondeau program`: what a model is made of.

use anyhow::{Result, bail};
use rondeau::nn::{self, Cell};
use rondeau::optimize::{cost, optimize_with};
use rondeau::{Array, grad, ir, program as trace, random, tree};
use serde::Serialize;
use serde_json::json;

use crate::args::{Part, Program, Summary, Which};
use crate::cells::{Cells, stored};
use crate::model::{Carry, Inputs, Model, Spec};
use crate::weights::load;

/// The model that is asked for, with its weights or random ones.
fn chosen(cells: &Cells, which: &Which) -> Result<(Spec, Option<&'static str>, Model)> {
    if let Some(dir) = &which.dir {
        let (card, model) = load(cells, dir)?;
        return Ok((card.model, Some(card.task.name()), model));
    }
    let Which { hidden, layers, inputs, .. } = *which;
    let inputs = Inputs::Numbers(inputs);
    let spec = Spec { cell: stored(&which.cell)?, hidden, layers, inputs, outputs: 1, seed: 0 };
    let model = Model::init(cells, &spec)?;
    Ok((spec, None, model))
}

/// One input of a model.
pub fn input(inputs: Inputs) -> Array {
    match inputs {
        Inputs::Numbers(n) => Array::zeros([n]),
        Inputs::Symbols(_) => Array::from(0_i32),
    }
}

fn step(model: &Model, carry: &Carry, x: &Array) -> (Carry, Array) {
    model.step(carry, x)
}

/// What `summary` tells.
#[derive(Debug, Serialize)]
struct Told {
    #[serde(flatten)]
    spec: Spec,
    task: Option<&'static str>,
    parameters: Vec<Leaf>,
    n_parameters: usize,
    parameter_bytes: usize,
    carry: Vec<Leaf>,
    carry_bytes: usize,
    flops_per_step: f64,
    bytes_per_step: f64,
}

#[derive(Debug, Serialize)]
struct Leaf {
    name: String,
    shape: Vec<usize>,
}

impl Leaf {
    fn size(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Prints the parameters of a model, and what one step costs.
///
/// # Errors
/// If the weights cannot be used.
pub fn summary(cells: &Cells, args: &Summary) -> Result<()> {
    let (spec, task, model) = chosen(cells, &args.which)?;
    let leaf = |(name, array): (String, &Array)| Leaf { name, shape: array.shape().to_vec() };
    let parameters: Vec<Leaf> = tree::leaves_with_paths(&model).into_iter().map(leaf).collect();
    let first = model.initial_carry();
    let mut carry = Vec::new();
    for (i, (layer, carries)) in model.layers.iter().zip(&first).enumerate() {
        for (path, array) in layer.carry_paths().iter().zip(carries) {
            let name = if path.is_empty() { i.to_string() } else { format!("{i}.{path}") };
            carry.push(Leaf { name, shape: array.shape().to_vec() });
        }
    }
    let optimized =
        rondeau::optimize::optimize(&trace(step).call(&model, &first, &input(spec.inputs))?);
    let cost = cost(&optimized);
    let n_parameters = parameters.iter().map(Leaf::size).sum();
    let bytes = |arrays: Vec<&Array>| arrays.iter().map(|a| a.size() * a.dtype().size()).sum();
    let told = Told {
        spec,
        task,
        n_parameters,
        parameter_bytes: bytes(tree::leaves(&model)),
        carry_bytes: bytes(tree::leaves(&first)),
        parameters,
        carry,
        flops_per_step: cost.flops,
        bytes_per_step: cost.bytes,
    };
    if args.json {
        return crate::print(format!("{}\n", serde_json::to_string_pretty(&told)?).as_bytes());
    }
    crate::print(told.text().as_bytes())
}

impl Told {
    fn text(&self) -> String {
        let Spec { cell, hidden, layers, .. } = &self.spec;
        let task = self.task.map_or(String::new(), |task| format!(", of {task}"));
        let mut text = format!("{cell}, {layers} x {hidden} units{task}\n\n");
        let leaves = || self.parameters.iter().chain(&self.carry);
        let width = leaves().map(|leaf| leaf.name.len()).max().unwrap_or(0).max(10) + 2;
        for (title, leaves) in [("parameters", &self.parameters), ("carry", &self.carry)] {
            text += &format!("{title:width$}{:>16}{:>12}\n", "shape", "numbers");
            for leaf in leaves {
                let shape = format!("{:?}", leaf.shape);
                text += &format!("{:width$}{shape:>16}{:>12}\n", leaf.name, leaf.size());
            }
            text += "\n";
        }
        let rows = [
            ("parameters", self.n_parameters as f64, ""),
            ("bytes of parameters", self.parameter_bytes as f64, ""),
            ("bytes of the carry", self.carry_bytes as f64, ""),
            ("operations a step", self.flops_per_step, "  (estimated)"),
            ("bytes moved a step", self.bytes_per_step, "  (estimated)"),
        ];
        for (name, value, note) in rows {
            text += &format!("{name:22}{value:>14.0}{note}\n");
        }
        text
    }
}

/// Prints the program of a model.
///
/// # Errors
/// If the weights cannot be used, or there is no such pass.
pub fn program(cells: &Cells, args: &Program) -> Result<()> {
    let (spec, _, model) = chosen(cells, &args.which)?;
    let xs = match spec.inputs {
        Inputs::Numbers(n) => Array::zeros([args.steps, n]),
        Inputs::Symbols(_) => Array::full([args.steps], 0_i32),
    };
    let run = |model: &Model, xs: &Array| nn::run(model, &model.initial_carry(), xs).1;
    let traced = match args.of {
        Part::Step => trace(step).call(&model, &model.initial_carry(), &input(spec.inputs))?,
        Part::Sequence => trace(run).call(&model, &xs)?,
        Part::Gradient => {
            let loss = |model: &Model, xs: &Array| run(model, xs).square().sum();
            trace(grad(loss)).call(&model, &xs)?
        }
    };
    let mut passes = vec![("trace", traced.n_eqns())];
    let mut after = (args.pass == "trace").then(|| traced.clone());
    let optimized = optimize_with(&traced, &mut |name, program| {
        passes.push((name, program.n_eqns()));
        if name == args.pass {
            after = Some(program.clone());
        }
    });
    let Some(after) = after else { bail!(no_pass(&args.pass, passes.iter().map(|p| p.0))) };
    if !args.json {
        return crate::print(format!("{after}\n").as_bytes());
    }
    let of = |program: &ir::Program| {
        let cost = cost(program);
        json!({ "flops": cost.flops, "bytes": cost.bytes })
    };
    let passes: Vec<_> =
        passes.iter().map(|(name, n)| json!({ "pass": name, "equations": n })).collect();
    let told = json!({
        "program": after.to_string(),
        "passes": passes,
        "traced": of(&traced),
        "optimized": of(&optimized),
    });
    crate::print(format!("{}\n", serde_json::to_string_pretty(&told)?).as_bytes())
}

/// What is said if there is no pass of a name.
pub fn no_pass(name: &str, passes: impl Iterator<Item = &'static str>) -> String {
    let mut names: Vec<&str> = Vec::new();
    passes.for_each(|pass| {
        if !names.contains(&pass) {
            names.push(pass);
        }
    });
    format!("there is no pass `{name}`; there are {}", names.join(", "))
}

/// Random inputs of a model: `[steps, input]`, or `i32[steps]` symbols.
pub fn random_inputs(inputs: Inputs, n_steps: usize, seed: u64) -> Array {
    let key = crate::model::key_of(seed);
    match inputs {
        Inputs::Numbers(n) => random::normal(&key, [n_steps, n]),
        Inputs::Symbols(n) => random::randint(&key, [n_steps], 0, n.try_into().unwrap_or(i32::MAX)),
    }
}
