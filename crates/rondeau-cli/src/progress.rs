//! What a user sees while training: a bar on a terminal, lines elsewhere, or nothing.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rondeau::train::{Epoch, Observer, StepDone};

/// How training is shown, on stderr.
#[derive(Debug)]
pub struct Progress {
    shown: Shown,
    plan: Plan,
    started: Instant,
    n_sequences: u64,
    /// The epochs that were done before the checkpoint that the run goes on from.
    n_before: usize,
    /// When something was last told.
    told_at: Instant,
    /// Whether an epoch was.
    has_told: bool,
}

/// After so long without a line, one is told in the middle of an epoch.
const LONG_SILENCE: Duration = Duration::from_secs(30);
/// The same of what is beside a bar.
const SHORT_SILENCE: Duration = Duration::from_millis(200);

/// How much there is to do at most.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The most epochs.
    pub n_epochs: usize,
    /// The minibatches of an epoch.
    pub n_batches: usize,
    /// The windows of a minibatch.
    pub batch: usize,
}

/// An epoch that is done.
#[derive(Clone, Copy, Debug)]
struct EpochDone {
    /// Its number, from 1.
    epoch: usize,
    /// The mean loss over its minibatches.
    train_loss: f64,
    /// The loss over what is held out, after it, and the lowest of them so far; none if nothing is.
    held_out: Option<(f64, f64)>,
}

impl Observer for Progress {
    fn begin(&mut self, plan: rondeau::train::Plan) {
        self.n_before = (plan.from_step / plan.n_batches.max(1)) as usize;
        if let Shown::Bar(bar) = &self.shown {
            bar.set_position(plan.from_step);
        }
    }

    fn note(&mut self, note: &str) {
        match &self.shown {
            Shown::Bar(bar) => bar.suspend(|| crate::tell(false, &[note.to_owned()])),
            Shown::Lines => crate::tell(false, &[note.to_owned()]),
            Shown::Nothing => {}
        }
    }

    fn step(&mut self, done: StepDone<'_>) {
        self.batch();
        let silence = match self.shown {
            // Beside the bar is what was told of the last epoch, if there was one.
            Shown::Bar(_) if !self.has_told => SHORT_SILENCE,
            Shown::Lines => LONG_SILENCE,
            Shown::Bar(_) | Shown::Nothing => return,
        };
        if self.told_at.elapsed() > silence {
            let loss = done.metrics.first().map_or(f64::NAN, |(_, loss)| *loss);
            self.say(step_line(self.plan, done.epoch, done.batch, loss));
        }
    }

    fn epoch(&mut self, done: &Epoch, best_loss: f64) {
        self.told(EpochDone {
            epoch: done.epoch as usize,
            train_loss: done.metrics.first().map_or(f64::NAN, |(_, loss)| *loss),
            held_out: done.validation.map(|loss| (loss, best_loss)),
        });
    }
}

#[derive(Debug)]
enum Shown {
    Bar(ProgressBar),
    Lines,
    Nothing,
}

impl Progress {
    /// A bar if stderr is a terminal, lines if it is not, nothing if quiet.
    pub fn start(quiet: bool, plan: Plan) -> Progress {
        let shown = if quiet {
            Shown::Nothing
        } else if std::io::stderr().is_terminal() {
            Shown::Bar(bar(plan))
        } else {
            Shown::Lines
        };
        let now = Instant::now();
        Progress {
            shown,
            plan,
            started: now,
            n_sequences: 0,
            n_before: 0,
            told_at: now,
            has_told: false,
        }
    }

    /// Tells that a minibatch is done.
    fn batch(&mut self) {
        self.n_sequences += self.plan.batch as u64;
        if let Shown::Bar(bar) = &self.shown {
            bar.inc(1);
        }
    }

    /// Tells that an epoch is done.
    fn told(&mut self, done: EpochDone) {
        let pace = self.pace(done.epoch);
        self.has_told = true;
        match &self.shown {
            Shown::Bar(_) => self.say(short_line(self.plan, done, pace)),
            Shown::Lines => {
                let is_silent = self.told_at.elapsed() > LONG_SILENCE;
                if is_silent || is_told(done.epoch, self.plan.n_epochs) {
                    self.say(line(self.plan, done, pace));
                }
            }
            Shown::Nothing => {}
        }
    }

    fn say(&mut self, line: String) {
        match &self.shown {
            Shown::Bar(bar) => bar.set_message(line),
            Shown::Lines => {
                // A reader that has gone away is no reason to stop training.
                let _ = writeln!(std::io::stderr(), "{line}");
            }
            Shown::Nothing => {}
        }
        self.told_at = Instant::now();
    }

    /// Takes the bar away, and says how training ended and how long it took.
    pub fn finish(self, message: &str) {
        match self.shown {
            Shown::Bar(bar) => bar.finish_and_clear(),
            Shown::Lines => {}
            Shown::Nothing => return,
        }
        let seconds = self.started.elapsed().as_secs_f64();
        let _ = writeln!(std::io::stderr(), "{message} ({seconds:.1} s)");
    }

    /// How fast it goes, after so many epochs in all.
    fn pace(&self, n_done: usize) -> Pace {
        let elapsed = self.started.elapsed();
        let n_left = self.plan.n_epochs.saturating_sub(n_done);
        let n_new = n_done.saturating_sub(self.n_before).max(1);
        let left = elapsed.as_secs_f64() / n_new as f64 * n_left as f64;
        Pace {
            per_second: self.n_sequences as f64 / elapsed.as_secs_f64().max(1e-9),
            left: Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX),
        }
    }
}

fn bar(plan: Plan) -> ProgressBar {
    let length = plan.n_epochs as u64 * plan.n_batches as u64;
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{bar:10} {wide_msg}") {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar.set_message("compiling the first step");
    bar
}

/// How fast it goes, and how long it can still take.
#[derive(Clone, Copy)]
struct Pace {
    per_second: f64,
    left: Duration,
}

fn line(plan: Plan, done: EpochDone, pace: Pace) -> String {
    let n_digits = plan.n_epochs.to_string().len();
    let held_out = done
        .held_out
        .map_or(String::new(), |(loss, best)| format!("validation {loss:.4} (best {best:.4})  "));
    format!(
        "epoch {:>n_digits$}/{}  train {:.4}  {held_out}{:.0} sequences/s  at most {} left",
        done.epoch,
        plan.n_epochs,
        done.train_loss,
        pace.per_second,
        clock(pace.left)
    )
}

/// How far a long epoch is, and the loss of the last batch.
fn step_line(plan: Plan, epoch: u64, batch: u64, loss: f64) -> String {
    let n_digits = plan.n_epochs.to_string().len();
    format!(
        "epoch {epoch:>n_digits$}/{}  train {loss:.4}  step {batch} of {}",
        plan.n_epochs, plan.n_batches
    )
}

/// A line that fits beside the bar on a terminal of 80 columns.
fn short_line(plan: Plan, done: EpochDone, pace: Pace) -> String {
    let held_out = done.held_out.map_or(String::new(), |(loss, _)| format!("valid {loss:.4}  "));
    format!(
        "epoch {}/{}  train {:.4}  {held_out}{:.0} seq/s  {} left",
        done.epoch,
        plan.n_epochs,
        done.train_loss,
        pace.per_second,
        clock(pace.left)
    )
}

/// Of many epochs about twenty lines are told: the first, the last, and even steps between.
fn is_told(epoch: usize, n_epochs: usize) -> bool {
    epoch == 1 || epoch == n_epochs || epoch.is_multiple_of(n_epochs.div_ceil(20))
}

/// Minutes and seconds, with hours if there are any.
fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_loss_rate_and_time_left() {
        let done = EpochDone { epoch: 7, train_loss: 0.5, held_out: Some((0.25, 0.125)) };
        let pace = Pace { per_second: 12_345.6, left: Duration::from_secs(83) };
        insta::assert_snapshot!(
            line(Plan { n_epochs: 200, n_batches: 3, batch: 32 }, done, pace),
            @"epoch   7/200  train 0.5000  validation 0.2500 (best 0.1250)  12346 sequences/s  at most 1:23 left"
        );
    }

    #[test]
    fn long_epochs_are_told_by_their_steps() {
        let plan = Plan { n_epochs: 20, n_batches: 500, batch: 32 };
        insta::assert_snapshot!(
            step_line(plan, 3, 234, 0.5),
            @"epoch  3/20  train 0.5000  step 234 of 500"
        );
    }

    #[test]
    fn nothing_is_said_of_what_is_not_held_out() {
        let done = EpochDone { epoch: 7, train_loss: 0.5, held_out: None };
        let pace = Pace { per_second: 12.0, left: Duration::from_secs(83) };
        insta::assert_snapshot!(
            line(Plan { n_epochs: 200, n_batches: 3, batch: 32 }, done, pace),
            @"epoch   7/200  train 0.5000  12 sequences/s  at most 1:23 left"
        );
    }

    #[test]
    fn the_bar_fits_a_terminal() {
        let done = EpochDone { epoch: 107, train_loss: 0.5, held_out: Some((0.25, 0.125)) };
        let pace = Pace { per_second: 123_456.0, left: Duration::from_secs(3599) };
        let text = short_line(Plan { n_epochs: 200, n_batches: 3, batch: 32 }, done, pace);
        insta::assert_snapshot!(text, @"epoch 107/200  train 0.5000  valid 0.2500  123456 seq/s  59:59 left");
        assert!(11 + text.len() <= 80, "{}", text.len());
    }

    #[test]
    fn times() {
        let clocks = [0, 59, 60, 3599, 3600, 36_061].map(Duration::from_secs).map(clock);
        assert_eq!(clocks, ["0:00", "0:59", "1:00", "59:59", "1:00:00", "10:01:01"]);
    }

    #[test]
    fn about_twenty_epochs_are_told() {
        for n_epochs in 1..500 {
            let told: Vec<_> = (1..=n_epochs).filter(|&epoch| is_told(epoch, n_epochs)).collect();
            assert!(told.len() <= 22 && told.first() == Some(&1) && told.last() == Some(&n_epochs));
        }
    }
}
