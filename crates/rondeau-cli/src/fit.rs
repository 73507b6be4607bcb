//! Training a forecaster: windows in batches, the validation span, and what comes of the run. The
//! loop is the library's.

use std::ops::Range;

use anyhow::Result;
use rondeau::train::{Data, Trained, Trainer};
use rondeau::{Array, Tree};

use crate::commands::explained;
use crate::data::Prepared;
use crate::progress::Plan;
use crate::report::{EpochLoss, Stopped};

/// A forecaster.
pub trait Network {
    /// Forecasts the changes into the rows after the windows `[n, window, n_inputs]`.
    ///
    /// # Errors
    /// If the computation fails.
    fn forecast(&self, windows: &[f32], n: usize) -> rondeau::Result<Forecasts>;
}

/// The windows before the training rows, `[n, window, n_inputs]`, and the normalised changes that
/// follow, `[n]`.
#[derive(Clone, Copy, Debug)]
pub struct Windows<'a>(pub &'a Prepared);

impl Data for Windows<'_> {
    type Batch = (Array, Array);

    fn len(&self) -> usize {
        self.0.split.train.len()
    }

    fn batch(&self, rows: &[usize]) -> rondeau::Result<(Array, Array)> {
        let rows_of_all = || rows.iter().map(|&row| self.0.split.train.start + row);
        let shape = [rows.len(), self.0.window, self.0.n_inputs()];
        let windows = Array::new(shape, self.0.windows(rows_of_all())).ok()?;
        Ok((windows, Array::new([rows.len()], self.0.changes(rows_of_all()))))
    }
}

/// What a network says of a number of windows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forecasts {
    /// The normalised change that follows each window, `[n]`.
    pub changes: Vec<f32>,
    /// The state at the end of each window, `[n, hidden]`.
    pub states: Vec<f32>,
}

/// How long to train.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// The most epochs.
    pub epochs: usize,
    /// The most epochs in a row without a better validation loss.
    pub patience: usize,
    /// The windows of a minibatch.
    pub batch: usize,
}

/// How training went.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// The losses of every epoch.
    pub losses: Vec<EpochLoss>,
    /// The epoch with the lowest validation loss, whose weights the network now has.
    pub best_epoch: usize,
    /// Why training stopped.
    pub stopped: Stopped,
}

impl Schedule {
    /// The schedule with minibatches no larger than the training span.
    pub fn for_rows(self, n_train: usize) -> Schedule {
        Schedule { batch: self.batch.min(n_train).max(1), ..self }
    }

    /// How much there is to do for so many training rows.
    pub fn plan(self, n_train: usize) -> Plan {
        Plan { n_epochs: self.epochs, n_batches: n_train / self.batch, batch: self.batch }
    }
}

/// Runs a trainer that is set up but for its schedule and data.
///
/// # Errors
/// If the computation fails, or a loss is not finite.
pub fn fit<'a, P: Tree + 'a, S: Tree + 'a, M: Tree + 'a>(
    trainer: Trainer<'a, P, S, (Array, Array), M>,
    schedule: Schedule,
    data: &Prepared,
    start: (P, S),
) -> Result<(Trained<P, S>, Fitted)> {
    let trainer = trainer
        .epochs(schedule.epochs as u64)
        .batch_size(schedule.batch)
        .patience(schedule.patience as u64)
        .finish_epoch();
    let (params, optimizer) = start;
    let trained = trainer.run(params, optimizer, &Windows(data)).map_err(explained)?;
    let loss = |epoch: &rondeau::train::Epoch| EpochLoss {
        train: epoch.metrics.first().map_or(f64::NAN, |(_, loss)| *loss),
        validation: epoch.value(),
    };
    let fitted = Fitted {
        losses: trained.epochs.iter().map(loss).collect(),
        best_epoch: trained.best_epoch as usize,
        stopped: trained.ended.into(),
    };
    Ok((trained, fitted))
}

/// The mean squared error of the normalised changes over a span.
///
/// # Errors
/// If the network fails.
pub fn span_loss(
    network: &impl Network,
    data: &Prepared,
    rows: Range<usize>,
) -> rondeau::Result<f64> {
    let n = rows.len() as f64;
    let truth = data.changes(rows.clone());
    let said = forecast_rows(network, &data.inputs, data.n_inputs(), data.window, rows)?.changes;
    let errors = said.iter().zip(&truth).map(|(said, truth)| f64::from(said - truth));
    Ok(errors.map(|error| error * error).sum::<f64>() / n)
}

/// The loss of saying that nothing changes.
pub fn last_value_loss(data: &Prepared, rows: Range<usize>) -> f64 {
    let n = rows.len() as f64;
    data.changes(rows).iter().map(|&change| f64::from(change).powi(2)).sum::<f64>() / n
}

/// Forecasts of the rows, in portions of one size that a bounded memory holds.
///
/// # Errors
/// If the network fails.
pub fn forecast_rows(
    network: &impl Network,
    inputs: &[f32],
    n_inputs: usize,
    window: usize,
    rows: Range<usize>,
) -> rondeau::Result<Forecasts> {
    const MOST_NUMBERS: usize = 1 << 24;
    let portion = (MOST_NUMBERS / (window * n_inputs).max(1)).clamp(1, 256);
    let mut all = Forecasts::default();
    let mut start = rows.start;
    while start < rows.end {
        let n = portion.min(rows.end - start);
        // The last portion is filled up with its last row: an equal shape is compiled only once.
        let filled = (start..start + portion).map(|row| row.min(rows.end - 1));
        let windows = crate::data::windows(inputs, n_inputs, window, filled);
        let said = network.forecast(&windows, portion)?;
        let n_units = said.states.len() / portion;
        all.changes.extend(&said.changes[..n]);
        all.states.extend(&said.states[..n * n_units]);
        start += n;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Calendar, Limits, Source, Table, Wanted, prepare};

    /// Says the same change always.
    struct Says(f32);

    impl Network for Says {
        fn forecast(&self, windows: &[f32], n: usize) -> rondeau::Result<Forecasts> {
            let last = windows.chunks(windows.len() / n).map(|w| w[w.len() - 1]);
            Ok(Forecasts { changes: vec![self.0; n], states: last.collect() })
        }
    }

    fn data() -> Prepared {
        let text: String = (0..60).map(|i| format!("{}\n", i % 2)).collect();
        let text = format!("y\n{text}");
        let source = Source { name: "a.csv".to_owned(), text: text.as_bytes() };
        let wanted = Wanted { named: Vec::new(), others: true };
        let table = Table::read(source, &wanted, Limits::default()).unwrap();
        prepare(&table, "y", 3, Calendar::Never).unwrap()
    }

    /// The parameter is the epoch that it was trained for last: each epoch is one batch.
    fn trainer<'a>() -> Trainer<'a, Array, (), (Array, Array), Array> {
        let update = |params: &Array, (): &(), batch: &(Array, Array), _: &Array| {
            (params + 1.0, (), batch.1.square().mean())
        };
        Trainer::new(update)
    }

    #[test]
    fn the_loss_is_least_where_nothing_is_said() {
        // Changes alternate between 2 and -2 deviations.
        let data = data();
        let loss = |says| span_loss(&Says(says), &data, data.split.validation.clone()).unwrap();
        assert!(loss(0.0) < loss(0.5) && loss(0.5) < loss(3.0));
        assert_eq!(loss(0.0), last_value_loss(&data, data.split.validation.clone()));
    }

    #[test]
    fn the_best_epoch_is_kept_and_patience_ends() {
        let data = data();
        let schedule = Schedule { epochs: 7, patience: 3, batch: 1000 };
        let schedule = schedule.for_rows(data.split.train.len());
        assert_eq!(schedule.plan(data.split.train.len()).n_batches, 1);
        let says = [3.0, 1.0, 0.5, 0.6, 0.5, 9.0, 0.0];
        let rows = data.split.validation.clone();
        let judged = trainer().validate(|epoch| {
            let says = says[epoch.item::<f32>()? as usize - 1];
            span_loss(&Says(says), &data, rows.clone())
        });
        let (trained, fitted) = fit(judged, schedule, &data, (Array::from(0.0_f32), ())).unwrap();
        assert_eq!((fitted.best_epoch, fitted.losses.len()), (3, 6));
        assert_eq!(fitted.stopped, Stopped::NoProgress);
        assert_eq!(trained.best.item::<f32>().unwrap(), 3.0);
    }

    #[test]
    fn a_loss_that_is_no_number_is_an_error() {
        let schedule = Schedule { epochs: 2, patience: 2, batch: 10 };
        let judged = trainer().validate(|_| Ok(f64::NAN));
        let error = fit(judged, schedule, &data(), (Array::from(0.0_f32), ())).err().unwrap();
        insta::assert_snapshot!(error.to_string(), @"
        the validation loss is NaN after epoch 1
        help: take smaller steps (--learning-rate)
        ");
    }

    #[test]
    fn portions_make_no_difference() {
        let inputs: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        let all = forecast_rows(&Says(0.5), &inputs, 1, 3, 3..1001).unwrap();
        assert_eq!(all.changes.len(), 998);
        let last: Vec<f32> = (2..1000).map(|i| i as f32).collect();
        assert_eq!(all.states, last);
    }
}
