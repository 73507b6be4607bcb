//! Shows values while the program runs.

use std::io::Write as _;

use super::*;
use crate::buffer::DType;
use crate::ir::Value;

/// Writes its inputs to standard output, one line each time it runs; it has no outputs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tap {
    /// What the line begins with.
    pub label: Arc<str>,
}

/// Arrays of more values than this are shortened.
const SHOWN_WHOLE: usize = 64;
/// How many indices are shown at both ends of a shortened axis.
const EDGE: usize = 3;

/// Writes `label value value ...` to standard output.
pub(crate) fn emit(label: &str, values: &[Buffer]) {
    // A reader that has gone away is no reason to stop the program.
    let _ = writeln!(std::io::stdout().lock(), "{}", line(label, values));
}

fn line(label: &str, values: &[Buffer]) -> String {
    let mut line = label.to_owned();
    for value in values {
        if !line.is_empty() {
            line.push(' ');
        }
        show(&mut line, value, value.shape().count() > SHOWN_WHOLE);
    }
    line
}

fn show(line: &mut String, value: &Buffer, shorten: bool) {
    let Some(&size) = value.shape().first() else {
        line.push_str(&value.first().to_string());
        return;
    };
    line.push('[');
    let mut i = 0;
    while i < size {
        if i > 0 {
            line.push_str(", ");
        }
        if shorten && size > 2 * EDGE + 1 && i == EDGE {
            line.push_str("...");
            i = size - EDGE;
        } else {
            show(line, &value.row(i), shorten);
            i += 1;
        }
    }
    line.push(']');
}

impl Rules for Tap {
    fn name(&self) -> &'static str {
        "debug_print"
    }

    fn params(&self) -> Params {
        Params::new().with("label", Value::Text(self.label.to_string()))
    }

    fn from_params(name: &str, params: &Params) -> Option<Self> {
        (name == "debug_print").then_some(())?;
        match params.get("label")? {
            Value::Text(label) => Some(Tap { label: label.as_str().into() }),
            _ => None,
        }
    }

    fn infer(&self, _inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
        Ok(vec![])
    }

    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        emit(&self.label, inputs);
        vec![]
    }

    fn jvp(
        &self,
        b: &mut Builder,
        primals: &[Atom],
        _tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>) {
        b.bind(self.clone(), primals);
        (vec![], vec![])
    }

    fn transpose(
        &self,
        _b: &mut Builder,
        _cts: &[Cotangent],
        _inputs: &[Operand],
    ) -> Result<Vec<Cotangent>> {
        panic!("internal: debug_print has no outputs, so no cotangents")
    }

    /// One line shows the values of all examples.
    fn batch(&self, b: &mut Builder, _size: usize, inputs: &[Batched]) -> Vec<Batched> {
        let atoms: Vec<Atom> = inputs.iter().map(|input| input.atom()).collect();
        b.bind(self.clone(), &atoms);
        vec![]
    }

    fn examples() -> Vec<Example<Self>> {
        let tap = |label: &str| Tap { label: label.into() };
        vec![
            (tap("x"), vec![Aval::scalar(DType::F64)]),
            (
                tap("two \"values\""),
                vec![Aval::new(DType::I32, [2, 3]), Aval::new(DType::Bool, [0])],
            ),
            (tap(""), vec![]),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_label_and_values() {
        let (x, y) = (Buffer::new((), vec![0.5_f32]), Buffer::new([2, 2], vec![1, 2, 3, 4]));
        assert_eq!(line("loss", &[x, y]), "loss 0.5 [[1, 2], [3, 4]]");
        assert_eq!(line("here", &[]), "here");
        assert_eq!(line("", &[Buffer::new::<f32>([2, 0], vec![])]), "[[], []]");
    }

    #[test]
    fn long_axes_are_shortened() {
        let x = Buffer::new([100], (0..100).collect());
        assert_eq!(line("x", &[x]), "x [0, 1, 2, ..., 97, 98, 99]");
    }
}
