//! The training loop: epochs of shuffled minibatches, stopped early by the validation span.
//! Knows of a network only what [`Network`] says.

use std::ops::Range;

use anyhow::{Result, bail};

use crate::data::Prepared;
use crate::interrupt::Interrupt;
use crate::progress::{EpochDone, Plan, Progress};
use crate::report::{EpochLoss, Stopped};

/// A forecaster that can be trained.
pub trait Network {
    /// Takes one step of the optimizer, and returns the loss before it.
    ///
    /// # Errors
    /// If the computation fails.
    fn train(&mut self, batch: &Batch) -> Result<f64>;

    /// Forecasts the changes into the rows after the windows `[n, window, n_inputs]`.
    ///
    /// # Errors
    /// If the computation fails.
    fn forecast(&self, windows: &[f32], n: usize) -> Result<Forecasts>;

    /// Remembers the present weights.
    fn keep(&mut self);

    /// Returns to the weights that were remembered.
    fn restore(&mut self);
}

/// Windows and what follows them.
#[derive(Clone, Debug)]
pub struct Batch {
    /// How many windows there are.
    pub n: usize,
    /// The windows, `[n, window, n_inputs]`.
    pub windows: Vec<f32>,
    /// The normalised changes that follow, `[n]`.
    pub changes: Vec<f32>,
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
        Plan { n_epochs: self.epochs, n_batches: n_train / self.batch }
    }
}

/// Trains the network, and leaves it with the weights of its best epoch.
///
/// `shuffled` gives the order of the training windows of an epoch. All minibatches are of one
/// size, so that one compiled function does for all; the few windows left over change from epoch
/// to epoch.
///
/// # Errors
/// If the network fails, or its loss is not finite.
pub fn fit(
    network: &mut impl Network,
    data: &Prepared,
    schedule: Schedule,
    mut shuffled: impl FnMut(usize) -> Result<Vec<usize>>,
    progress: &mut Progress,
    interrupt: &Interrupt,
) -> Result<Fitted> {
    let mut losses = Vec::new();
    let mut best = (0, f64::INFINITY);
    let mut stopped = Stopped::AllEpochs;
    for epoch in 1..=schedule.epochs {
        let order = shuffled(epoch)?;
        let mut sum = 0.0;
        let batches = order.chunks_exact(schedule.batch);
        let n_batches = batches.len();
        for batch in batches {
            let rows = || batch.iter().map(|&i| data.split.train.start + i);
            let (windows, changes) = (data.windows(rows()), data.changes(rows()));
            sum += network.train(&Batch { n: batch.len(), windows, changes })?;
            progress.batch(batch.len());
        }
        let train = sum / n_batches as f64;
        let validation = span_loss(network, data, data.split.validation.clone())?;
        if !(train.is_finite() && validation.is_finite()) {
            bail!(
                "the loss is not a number after epoch {epoch}\n\
                 help: take smaller steps (--learning-rate)"
            );
        }
        losses.push(EpochLoss { train, validation });
        if validation < best.1 {
            best = (epoch, validation);
            network.keep();
        }
        progress.epoch(EpochDone {
            epoch,
            train_loss: train,
            validation_loss: validation,
            best_loss: best.1,
        });
        if interrupt.requested() {
            stopped = Stopped::Interrupted;
            break;
        }
        if epoch - best.0 >= schedule.patience && epoch < schedule.epochs {
            stopped = Stopped::NoProgress;
            break;
        }
    }
    network.restore();
    Ok(Fitted { losses, best_epoch: best.0, stopped })
}

/// The mean squared error of the normalised changes over a span.
fn span_loss(network: &impl Network, data: &Prepared, rows: Range<usize>) -> Result<f64> {
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
) -> Result<Forecasts> {
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

    /// Says the same change always, as a script tells it for each epoch.
    struct Scripted {
        says: Vec<f32>,
        n_batches: usize,
        epoch: usize,
        kept: usize,
        seen: Vec<Vec<f32>>,
    }

    impl Network for Scripted {
        fn train(&mut self, batch: &Batch) -> Result<f64> {
            self.seen.push(batch.changes.clone());
            self.epoch = (self.seen.len() - 1) / self.n_batches;
            Ok(1.0)
        }

        fn forecast(&self, windows: &[f32], n: usize) -> Result<Forecasts> {
            assert_eq!(windows.len(), n * 3);
            Ok(Forecasts { changes: vec![self.says[self.epoch]; n], states: windows.to_vec() })
        }

        fn keep(&mut self) {
            self.kept = self.epoch;
        }

        fn restore(&mut self) {
            self.epoch = self.kept;
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

    fn run(says: &[f32], patience: usize, interrupt: &Interrupt) -> Result<(Fitted, Scripted)> {
        let data = data();
        let n_train = data.split.train.len();
        let schedule = Schedule { epochs: says.len(), patience, batch: 10 }.for_rows(n_train);
        let plan = schedule.plan(n_train);
        let says = says.to_vec();
        let n_batches = plan.n_batches;
        let mut network = Scripted { says, n_batches, epoch: 0, kept: 0, seen: Vec::new() };
        let order = |_| Ok((0..n_train).collect());
        let mut progress = Progress::start(true, plan);
        let fitted = fit(&mut network, &data, schedule, order, &mut progress, interrupt)?;
        Ok((fitted, network))
    }

    // Changes alternate between 2 and -2 deviations, so the loss is least where 0 is said.

    #[test]
    fn the_best_epoch_is_kept_and_patience_ends() {
        let says = [3.0, 1.0, 0.5, 0.6, 0.5, 9.0, 0.0];
        let (fitted, network) = run(&says, 3, &Interrupt::default()).unwrap();
        assert_eq!((fitted.best_epoch, fitted.losses.len()), (3, 6));
        assert_eq!(fitted.stopped, Stopped::NoProgress);
        assert_eq!(network.epoch, 2);
        let (fitted, network) = run(&says, 7, &Interrupt::default()).unwrap();
        assert_eq!((fitted.best_epoch, fitted.losses.len()), (7, 7));
        assert_eq!(fitted.stopped, Stopped::AllEpochs);
        assert_eq!(network.epoch, 6);
    }

    #[test]
    fn every_window_is_seen_once_an_epoch_but_for_the_rest() {
        let (_, network) = run(&[0.0], 1, &Interrupt::default()).unwrap();
        let n_seen: usize = network.seen.iter().map(Vec::len).sum();
        assert_eq!((network.seen.len(), n_seen), (3, 30));
        assert_eq!(network.seen.concat()[..4], data().changes(3..7));
    }

    #[test]
    fn an_interrupt_ends_after_the_epoch() {
        let interrupt = Interrupt::pressed();
        let (fitted, _) = run(&[1.0, 0.0], 5, &interrupt).unwrap();
        assert_eq!((fitted.best_epoch, fitted.stopped), (1, Stopped::Interrupted));
    }

    #[test]
    fn a_loss_that_is_no_number_is_an_error() {
        let error = run(&[1.0, f32::NAN], 5, &Interrupt::default()).err().unwrap();
        insta::assert_snapshot!(error.to_string(), @"
        the loss is not a number after epoch 2
        help: take smaller steps (--learning-rate)
        ");
    }

    #[test]
    fn portions_make_no_difference() {
        let n_batches = 1;
        let says = vec![0.5];
        let network = Scripted { says, n_batches, epoch: 0, kept: 0, seen: Vec::new() };
        let inputs: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        let all = forecast_rows(&network, &inputs, 1, 3, 3..1001).unwrap();
        assert_eq!(all.changes.len(), 998);
        let windows = crate::data::windows(&inputs, 1, 3, 3..1001);
        assert_eq!(all.states, windows);
    }
}
