//! The cells that are operators of ONNX.

use super::proto::{self, Attr, Dim, value_info};
use super::translate::{Graph, Value};
use crate::buffer::DType;
use crate::error::{Error, Result};
use crate::ir::Aval;
use crate::nn::{Activation, Gate, Gru, GruResetAfter, Linear, Lstm, PeepholeLstm, Rnn};
use crate::trace::{Array, concatenate};

/// A layer that is an operator of ONNX.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Layer<'a> {
    /// `GRU`; the update gate is turned around.
    Gru(&'a Gru),
    /// `GRU` with `linear_before_reset=1`.
    GruResetAfter(&'a GruResetAfter),
    Lstm(&'a Lstm),
    /// `LSTM` with `P`.
    PeepholeLstm(&'a PeepholeLstm),
    /// `RNN`, of the activations tanh, relu and sigmoid.
    Rnn(&'a Rnn),
    /// `MatMul` and `Add`.
    Linear(&'a Linear),
}

macro_rules! from {
    ($($cell:ident)*) => {$(
        impl<'a> From<&'a $cell> for Layer<'a> {
            fn from(cell: &'a $cell) -> Layer<'a> {
                Layer::$cell(cell)
            }
        }
    )*};
}
from!(Gru GruResetAfter Lstm PeepholeLstm Rnn Linear);

/// Layers, each on the outputs of the one before, as a model of ONNX's own operators.
///
/// It takes `xs: [time, batch, input]`, starts from zeros, and gives `ys: [time, batch, output]` and
/// for each recurrent layer `i` its last state `last.i.h`, and `last.i.c` of an LSTM:
/// `[1, batch, hidden]`. For a carry to go in, or any other cell, see [`onnx`](crate::export::onnx).
///
/// # Errors
/// If weights carry a mistake, and for an RNN of an activation that ONNX has not.
///
/// # Examples
/// ```
/// use rondeau::{export, nn, random};
///
/// let gru = nn::Gru::init(&random::key(0), 3, 8);
/// let readout = nn::Linear::init(&random::key(1), 8, 1);
/// let model = export::onnx_layers("forecast", &[(&gru).into(), (&readout).into()])?;
/// assert!(model.len() > 4 * 3 * 8 * (3 + 8));
/// # Ok::<(), rondeau::Error>(())
/// ```
pub fn onnx_layers(name: &str, layers: &[Layer<'_>]) -> Result<Vec<u8>> {
    let mut graph = Graph::default();
    let (mut input, mut outputs) = (None, Vec::new());
    let mut x = Value { name: "xs".to_owned(), aval: Aval::scalar(DType::F32) };
    let mut size = 0;
    for (i, layer) in layers.iter().enumerate() {
        let (weight, n_out) = match layer {
            Layer::Gru(cell) => (&cell.update.w, cell.update.b.size()),
            Layer::GruResetAfter(cell) => (&cell.update.w, cell.update.b.size()),
            Layer::Lstm(cell) => (&cell.input.w, cell.input.b.size()),
            Layer::PeepholeLstm(cell) => (&cell.lstm.input.w, cell.lstm.input.b.size()),
            Layer::Rnn(cell) => (&cell.gate.w, cell.gate.b.size()),
            Layer::Linear(linear) => (&linear.weight, linear.bias.size()),
        };
        let weight = weight.aval()?;
        let n_in = weight.shape.last().copied().unwrap_or(0);
        input.get_or_insert((weight.dtype, n_in));
        if i > 0 && size != n_in {
            return Err(Error::layer_sizes(i, size, n_in));
        }
        size = n_out;
        x.aval.dtype = weight.dtype;
        x = match layer {
            Layer::Linear(linear) => {
                let w = graph.constant("weight", linear.weight.t().buffer()?);
                let b = graph.constant("bias", linear.bias.buffer()?);
                let product = graph.node("MatMul", &[&x.name, &w.name], &[], &x.aval);
                graph.node("Add", &[&product.name, &b.name], &[], &x.aval)
            }
            cell => {
                let (y, last) = recurrent(&mut graph, cell, &x, i, n_out)?;
                let dims = [Dim::Size(1), Dim::Any("batch"), Dim::Size(n_out)];
                outputs.extend(last.iter().map(|name| value_info(name, x.aval.dtype, &dims)));
                y
            }
        };
    }
    graph.push("Identity", &[&x.name], &["ys".to_owned()], &[]);
    let sequence = |name: &str, dtype, n| {
        value_info(name, dtype, &[Dim::Any("time"), Dim::Any("batch"), Dim::Size(n)])
    };
    let (dtype, n_in) = input.unwrap_or((DType::F32, 0));
    outputs.insert(0, sequence("ys", dtype, size));
    Ok(proto::model(&graph.finish(name, &[sequence("xs", dtype, n_in)], &outputs)))
}

/// The gate that is open where this one is closed: `σ(-s) = 1 - σ(s)`.
fn inverted(gate: &Gate) -> Gate {
    Gate { w: -&gate.w, u: -&gate.u, b: -&gate.b }
}

/// One recurrent layer: its outputs, and the names of its last state.
fn recurrent(
    graph: &mut Graph,
    cell: &Layer<'_>,
    x: &Value,
    i: usize,
    hidden: usize,
) -> Result<(Value, Vec<String>)> {
    let lstm = |cell: &Lstm| {
        [&cell.input, &cell.output, &cell.forget, &cell.candidate].map(Gate::clone).to_vec()
    };
    let (mut recurrent_bias, mut peepholes) = (None, None);
    let mut attrs = vec![("hidden_size", Attr::Int(hidden as i64))];
    let (op, gates) = match cell {
        Layer::Gru(cell) => {
            ("GRU", vec![inverted(&cell.update), cell.reset.clone(), cell.candidate.clone()])
        }
        Layer::GruResetAfter(cell) => {
            attrs.push(("linear_before_reset", Attr::Int(1)));
            recurrent_bias = Some(concatenate(
                &[&Array::zeros([2 * hidden]).to(x.aval.dtype), &cell.recurrent_bias],
                0,
            ));
            ("GRU", vec![cell.update.clone(), cell.reset.clone(), cell.candidate.clone()])
        }
        Layer::Lstm(cell) => ("LSTM", lstm(cell)),
        Layer::PeepholeLstm(cell) => {
            let each = [&cell.input_peephole, &cell.output_peephole, &cell.forget_peephole];
            peepholes = Some(concatenate(&each, 0));
            ("LSTM", lstm(&cell.lstm))
        }
        Layer::Rnn(cell) => {
            let activation = match cell.activation {
                Activation::Tanh => "Tanh",
                Activation::Relu => "Relu",
                Activation::Sigmoid => "Sigmoid",
                other => return Err(Error::not_exported("ONNX's RNN", &format!("{other:?}"))),
            };
            attrs.push(("activations", Attr::Texts(vec![activation])));
            ("RNN", vec![cell.gate.clone()])
        }
        Layer::Linear(_) => unreachable!("internal: it is not recurrent"),
    };
    let all = Gate::stacked(&gates);
    let recurrent_bias = recurrent_bias.unwrap_or_else(|| all.b.zeros_like());
    let b = concatenate(&[&all.b, &recurrent_bias], 0);
    let mut constant = |stem: &str, array: &Array| -> Result<String> {
        Ok(graph.constant(stem, array.expand_dims(0).buffer()?).name)
    };
    let (w, r, b) = (constant("W", &all.w)?, constant("R", &all.u)?, constant("B", &b)?);
    let p = peepholes.map(|p| constant("P", &p)).transpose()?;
    let mut inputs = vec![x.name.as_str(), &w, &r, &b];
    if let Some(p) = &p {
        inputs.extend(["", "", "", p]);
    }
    let y = graph.name("y");
    let mut last = vec![format!("last.{i}.h")];
    if op == "LSTM" {
        last.push(format!("last.{i}.c"));
    }
    let outputs: Vec<String> = [y.clone()].into_iter().chain(last.iter().cloned()).collect();
    graph.push(op, &inputs, &outputs, &attrs);
    // The axis of directions goes.
    let axis = graph.ints(&[1]);
    Ok((graph.node("Squeeze", &[&y, &axis], &[], &x.aval), last))
}
