//! ONNX models: a step as the body of a `Scan`, or the cells that are operators of ONNX as those.

mod layers;
mod proto;
mod translate;

use std::sync::Arc;

pub use layers::{Layer, onnx_layers};

use self::proto::{Dim, Message, value_info};
use self::translate::{Graph, Value, info};
use super::step::Step;
use crate::error::{Error, Result};
use crate::ir::{Atom, Aval, Builder};
use crate::prim::Scan;

/// The inputs and outputs of all steps.
fn timed(name: &str, aval: &Aval) -> Message {
    let sizes = aval.shape.iter().map(|&n| Dim::Size(n));
    let dims: Vec<Dim> = [Dim::Any("time")].into_iter().chain(sizes).collect();
    value_info(name, aval.dtype, &dims)
}

/// `x.a` and `xs` -> `xs.a`.
fn renamed(path: &str, root: &str) -> String {
    path.split_once('.').map_or(root.to_owned(), |(_, rest)| format!("{root}.{rest}"))
}

pub(super) fn onnx(name: &str, step: &Step) -> Result<Vec<u8>> {
    if step.x.is_empty() {
        return Err(Error::not_exported("ONNX", "a step without x"));
    }
    if step.carry.is_empty() && step.y.is_empty() {
        return Err(Error::not_exported("ONNX", "a step without results"));
    }
    let avals = step.program.input_avals();
    let (n_carry, n_x) = (step.carry.len(), step.x.len());
    // The constants come first in the body of a scan.
    let mut b = Builder::new();
    let consts: Vec<Atom> = avals[n_carry + n_x..].iter().map(|a| b.input(a.clone())).collect();
    let rest: Vec<Atom> = avals[..n_carry + n_x].iter().map(|a| b.input(a.clone())).collect();
    let outputs = b.inline(&step.program, &[rest, consts].concat());
    let body = b.finish_ordered(outputs);
    let scan = Scan {
        body: Arc::new(body),
        n_consts: step.constants.len(),
        n_carry,
        // How many steps there are is known when xs come.
        length: 1,
        reverse: false,
    };

    let mut graph = Graph::default();
    let constants: Vec<Value> =
        step.constants.iter().map(|(_, value)| graph.constant("constant", value)).collect();
    let (mut inputs, mut given) = (Vec::new(), constants);
    for ((path, first), aval) in step.carry.iter().zip(&avals) {
        let name = renamed(&format!("c.{path}"), "carry");
        inputs.push(info(&name, aval));
        // What is not given is the carry before the first step.
        graph.preset(&name, first);
        given.push(Value { name, aval: aval.clone() });
    }
    for (path, aval) in step.x.iter().zip(&avals[n_carry..]) {
        let name = renamed(path, "xs");
        inputs.push(timed(&name, aval));
        given.push(Value { name, aval: aval.clone() });
    }
    let outs = step.program.output_avals();
    let results = graph.scan(&scan, &given, &outs)?;
    let names = (step.carry.iter().map(|(path, _)| renamed(&format!("c.{path}"), "last")))
        .chain(step.y.iter().map(|path| renamed(path, "ys")));
    let mut outputs = Vec::new();
    for (i, (name, (value, aval))) in names.zip(results.iter().zip(&outs)).enumerate() {
        graph.push("Identity", &[&value.name], std::slice::from_ref(&name), &[]);
        outputs.push(if i < n_carry { info(&name, aval) } else { timed(&name, aval) });
    }
    Ok(proto::model(&graph.finish(name, &inputs, &outputs)))
}
