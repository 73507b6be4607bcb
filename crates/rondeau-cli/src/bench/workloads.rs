//! The workloads by which recurrent libraries are compared: names and shapes.

use anyhow::{Result, bail};
use serde::Serialize;

use super::library;

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Kind {
    /// The outputs of a sequence, or of a batch of them.
    #[serde(rename = "fwd")]
    Forward,
    /// One step of a stream.
    #[serde(rename = "step")]
    Step,
    /// The mean squared error and its gradients by all parameters.
    #[serde(rename = "grad")]
    Gradient,
}

/// Whose step it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellKind {
    /// The gated recurrent unit that resets before the product.
    Gru,
    /// The same with a peephole and a layer norm, which no library has fused.
    Custom,
    /// The recurrent part of the gated recurrent unit: the products with the inputs are given.
    Loop,
    /// Long short-term memory with layer norms.
    LnLstm,
    /// The minimal gated unit.
    Mgu,
    /// A selective state space.
    S6,
    /// The cell of `rondeau::nn` that `--cell` calls so.
    Library(&'static str),
}

/// A workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// What users call it by.
    pub name: String,
    /// What it is about, for a table.
    pub title: &'static str,
    /// What is timed.
    pub kind: Kind,
    /// Whose step it is.
    pub cell: CellKind,
    /// Steps of a sequence.
    pub steps: usize,
    /// Inputs of a step.
    pub inputs: usize,
    /// Hidden units.
    pub hidden: usize,
    /// Sequences; 0 for one sequence without a batch axis.
    pub batch: usize,
}

impl Workload {
    /// Its steps, inputs, hidden units and batch, as a cell of a table.
    pub fn shape(&self) -> String {
        let batch = if self.batch > 0 { self.batch.to_string() } else { "-".to_owned() };
        format!("{}, {}, {}, {batch}", self.steps, self.inputs, self.hidden)
    }
}

/// All workloads, in the order in which they run.
pub fn all() -> Vec<Workload> {
    use CellKind::{Custom, Gru, LnLstm, Mgu, S6};
    use Kind::{Forward, Gradient, Step};
    let named: [(&str, &'static str, Kind, CellKind, [usize; 4]); 23] = [
        ("w1", "a tutorial's size", Forward, Gru, [10, 5, 8, 0]),
        ("w2a", "one streaming step", Step, Gru, [1, 64, 128, 0]),
        ("w2b", "one streaming step", Step, Gru, [1, 128, 256, 0]),
        ("w3a", "a long sequence", Forward, Gru, [1000, 64, 128, 0]),
        ("w3b", "a long sequence", Forward, Gru, [1000, 128, 256, 0]),
        ("w3c", "a long sequence", Forward, Gru, [1000, 256, 512, 0]),
        ("w3d", "long and small", Forward, Gru, [10_000, 8, 16, 0]),
        ("w4a", "a batch", Forward, Gru, [100, 128, 256, 32]),
        ("w4b", "a batch", Forward, Gru, [100, 256, 512, 64]),
        ("w5a", "gradient, batch", Gradient, Gru, [100, 64, 128, 32]),
        ("w5b", "gradient, batch", Gradient, Gru, [256, 128, 256, 32]),
        ("w5c", "gradient, small", Gradient, Gru, [1000, 8, 16, 0]),
        ("w5d", "gradient, a tutorial's size", Gradient, Gru, [10, 5, 8, 0]),
        ("w6f", "a cell of one's own", Forward, Custom, [1000, 64, 128, 0]),
        ("w6g", "its gradient", Gradient, Custom, [100, 64, 128, 32]),
        ("w7a", "gradient, very long", Gradient, Gru, [10_000, 16, 32, 0]),
        ("w7b", "gradient, very long", Gradient, Gru, [100_000, 16, 32, 0]),
        ("w8f_lnlstm", "LSTM with layer norms", Forward, LnLstm, [1000, 64, 128, 0]),
        ("w8g_lnlstm", "its gradient", Gradient, LnLstm, [100, 64, 128, 32]),
        ("w8f_mgu", "minimal gated unit", Forward, Mgu, [1000, 64, 128, 0]),
        ("w8g_mgu", "its gradient", Gradient, Mgu, [100, 64, 128, 32]),
        ("w8f_s6", "selective state space", Forward, S6, [1000, 64, 128, 0]),
        ("w8g_s6", "its gradient", Gradient, S6, [100, 64, 128, 32]),
    ];
    let named = named.map(|(name, title, kind, cell, [steps, inputs, hidden, batch])| {
        let name = name.to_owned();
        Workload { name, title, kind, cell, steps, inputs, hidden, batch }
    });
    named.into_iter().chain(library::workloads()).chain(loops()).collect()
}

/// The recurrent loop alone at growing sizes, for one sequence and for 32.
fn loops() -> impl Iterator<Item = Workload> {
    let sizes = [8, 16, 32, 64, 128, 256, 512];
    let one = sizes.map(|hidden| (hidden, 0));
    let many = sizes.map(|hidden| (hidden, 32));
    one.into_iter().chain(many).map(|(hidden, batch)| Workload {
        name: if batch == 0 { format!("loop{hidden}") } else { format!("loop{hidden}b{batch}") },
        title: "the loop alone",
        kind: Kind::Forward,
        cell: CellKind::Loop,
        steps: if batch == 0 { 1000 } else { 100 },
        inputs: 0,
        hidden,
        batch,
    })
}

/// The workloads whose names begin with one of `wanted`, so that `w5` is all gradients, though a whole
/// name is only itself; all but the library's cells and the loops alone if nothing is wanted.
///
/// # Errors
/// If something is wanted that no name begins with.
pub fn chosen(wanted: &[String]) -> Result<Vec<Workload>> {
    let all = all();
    let begins = |workload: &Workload, name: &String| workload.name.starts_with(name.as_str());
    for name in wanted {
        if !all.iter().any(|workload| begins(workload, name)) {
            let names: Vec<&str> = all.iter().map(|workload| workload.name.as_str()).collect();
            bail!("there is no workload `{name}`; there are {}", names.join(" "));
        }
    }
    // `loop8` is not the beginning of `loop8b32`.
    let whole: Vec<&String> =
        wanted.iter().filter(|name| all.iter().any(|workload| workload.name == **name)).collect();
    let is_wanted = |workload: &Workload, name: &String| match whole.contains(&name) {
        true => workload.name == *name,
        false => begins(workload, name),
    };
    let mut chosen = all.clone();
    chosen.retain(|workload| match wanted {
        [] => !matches!(workload.cell, CellKind::Loop | CellKind::Library(_)),
        _ => wanted.iter().any(|name| is_wanted(workload, name)),
    });
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(wanted: &[&str]) -> Vec<String> {
        let wanted: Vec<String> = wanted.iter().map(|&name| name.to_owned()).collect();
        chosen(&wanted).unwrap().into_iter().map(|workload| workload.name).collect()
    }

    #[test]
    fn names_are_beginnings() {
        assert_eq!(names(&["w5"]), ["w5a", "w5b", "w5c", "w5d"]);
        assert_eq!(names(&["w2b", "w1"]), ["w1", "w2b"]);
        assert_eq!(names(&["loop8", "loop16b32"]), ["loop8", "loop16b32"]);
        assert_eq!(names(&["w9g_mgu"]), ["w9g_mgu"]);
        assert_eq!(names(&["w9f_mgu-"]), ["w9f_mgu-reset-after"]);
        assert_eq!((names(&["loop"]).len(), names(&["w9"]).len(), names(&[]).len()), (14, 34, 23));
    }

    #[test]
    fn no_two_have_one_name() {
        let mut names: Vec<String> = all().into_iter().map(|workload| workload.name).collect();
        let n = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), n);
    }

    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        let error = chosen(&["w0".to_owned()]).unwrap_err().to_string();
        assert!(error.starts_with("there is no workload `w0`; there are w1 w2a "), "{error}");
    }
}
