//! All that changes during a run, as one value: what a checkpoint holds, and all it holds.

use super::Epoch;
use crate::io::Record;
use crate::{Array, Error, Result, Tree};

/// The layout of a run's record.
const FORMAT: u64 = 1;

/// All that changes during a run.
#[derive(Clone, Debug)]
pub(super) struct State<P, S> {
    pub(super) params: P,
    pub(super) optimizer: S,
    /// The parameters at the end of the best epoch.
    pub(super) best: P,
    pub(super) best_epoch: u64,
    /// What the best epoch was judged by.
    pub(super) best_value: f64,
    /// The epoch that is being run, from 1.
    pub(super) epoch: u64,
    /// The batches of it that are done.
    pub(super) batch: u64,
    /// The updates since the start.
    pub(super) step: u64,
    /// The names of the metrics; none before the first step.
    pub(super) names: Vec<String>,
    /// The sum of each metric over the batches of this epoch.
    pub(super) sums: Vec<f64>,
    /// The epochs that are done.
    pub(super) epochs: Vec<Epoch>,
}

/// What must be the same for a run to be gone on with.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) examples: usize,
    pub(super) batch_size: usize,
    pub(super) shuffled: bool,
    pub(super) key: Array,
}

impl Setup {
    fn texts(&self) -> Result<[(&'static str, String); 4]> {
        Ok([
            ("examples", self.examples.to_string()),
            ("batch_size", self.batch_size.to_string()),
            ("shuffled", self.shuffled.to_string()),
            ("key", format!("{:?}", self.key.to_vec::<u32>()?)),
        ])
    }
}

impl<P: Tree, S: Tree> State<P, S> {
    pub(super) fn start(params: P, optimizer: S) -> State<P, S> {
        State {
            best: params.clone(),
            params,
            optimizer,
            best_epoch: 0,
            best_value: f64::INFINITY,
            epoch: 1,
            batch: 0,
            step: 0,
            names: Vec::new(),
            sums: Vec::new(),
            epochs: Vec::new(),
        }
    }

    pub(super) fn to_record(&self, setup: &Setup) -> Result<Record> {
        let mut record = Record::new()
            .with("params", &self.params)?
            .with("optimizer", &self.optimizer)?
            .with("best", &self.best)?;
        let n_columns = self.names.len() + 2;
        let mut history = Vec::with_capacity(self.epochs.len() * n_columns);
        for epoch in &self.epochs {
            history.push(epoch.step as f64);
            history.extend(epoch.metrics.iter().map(|(_, value)| *value));
            history.push(epoch.validation.unwrap_or(f64::NAN));
        }
        record.insert("run.history", Array::new([self.epochs.len(), n_columns], history))?;
        record.insert("run.sums", Array::new([self.sums.len()], self.sums.clone()))?;
        record.insert("run.best_value", Array::from(self.best_value))?;
        let counts = [
            ("format", FORMAT),
            ("epoch", self.epoch),
            ("batch", self.batch),
            ("step", self.step),
            ("best_epoch", self.best_epoch),
        ];
        for (key, count) in counts {
            record = record.with_text(key, count.to_string());
        }
        for (key, text) in setup.texts()? {
            record = record.with_text(key, text);
        }
        Ok(record.with_text("metrics", self.names.join("\n")))
    }

    /// The state in a record, with the structures of parameters and optimizer.
    pub(super) fn from_record(
        record: &Record,
        setup: &Setup,
        params: &P,
        optimizer: &S,
    ) -> Result<State<P, S>> {
        let text = |key: &str| record.texts().get(key).map_or("", String::as_str);
        let count = |key: &str| text(key).parse::<u64>().map_err(|_| strange());
        if count("format")? != FORMAT {
            return Err(strange());
        }
        let differences: Vec<String> = setup
            .texts()?
            .into_iter()
            .filter(|(key, own)| text(key) != own)
            .map(|(key, own)| format!("{key} is {own} and was {}", text(key)))
            .collect();
        if !differences.is_empty() {
            return Err(Error::other_run(&differences));
        }
        let names: Vec<String> = text("metrics").lines().map(str::to_owned).collect();
        let numbers = |name: &str| {
            record.get(name).and_then(|array| array.to_vec::<f64>().ok()).ok_or_else(strange)
        };
        let history = numbers("run.history")?;
        let n_columns = names.len() + 2;
        if !history.len().is_multiple_of(n_columns) {
            return Err(strange());
        }
        let rows = history.chunks_exact(n_columns).zip(1..);
        let epoch = |(row, epoch): (&[f64], u64)| Epoch {
            epoch,
            step: row[0] as u64,
            metrics: names.iter().cloned().zip(row[1..].iter().copied()).collect(),
            validation: row.last().copied().filter(|validation| !validation.is_nan()),
        };
        let epochs: Vec<Epoch> = rows.map(epoch).collect();
        let sums = numbers("run.sums")?;
        let [best_value] = numbers("run.best_value")?[..] else { return Err(strange()) };
        let state = State {
            params: record.fill_part("params", params)?,
            optimizer: record.fill_part("optimizer", optimizer)?,
            best: record.fill_part("best", params)?,
            best_epoch: count("best_epoch")?,
            best_value,
            epoch: count("epoch")?,
            batch: count("batch")?,
            step: count("step")?,
            names,
            sums,
            epochs,
        };
        let is_whole = state.sums.len() == state.names.len()
            && state.epoch == state.epochs.len() as u64 + 1
            && state.best_epoch < state.epoch
            && state.batch <= (setup.examples / setup.batch_size.max(1)) as u64;
        if is_whole { Ok(state) } else { Err(strange()) }
    }
}

fn strange() -> Error {
    let help = "name the directory of a run, or start afresh in another";
    Error::format("checkpoint", "it is not of a training run of this version", help)
}
