//! The loop.

use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;

use super::events::EventWriter;
use super::log::CsvLog;
use super::state::{Setup, State};
use super::{Data, Stop};
use crate::io::{Checkpoints, safetensors};
use crate::{Array, DType, Error, NonFinite, Result, Tree, find_nonfinite, jit, random, tree};

/// An epoch that is done.
#[derive(Clone, Debug, PartialEq)]
pub struct Epoch {
    /// Its number, from 1.
    pub epoch: u64,
    /// The updates since the start of the run.
    pub step: u64,
    /// The mean of each metric over its batches, the loss first.
    pub metrics: Vec<(String, f64)>,
    /// The loss over the validation data after it, if there is any.
    pub validation: Option<f64>,
}

impl Epoch {
    /// What it is judged by: the validation loss, or the mean training loss if there is none.
    pub fn value(&self) -> f64 {
        let training = || self.metrics.first().map_or(f64::NAN, |(_, value)| *value);
        self.validation.unwrap_or_else(training)
    }
}

/// An update that is done.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct StepDone<'a> {
    /// The updates since the start of the run, this one included.
    pub step: u64,
    /// The epoch, from 1.
    pub epoch: u64,
    /// The batches of the epoch that are done, this one included.
    pub batch: u64,
    /// The metrics of the batch, the loss first.
    pub metrics: &'a [(String, f64)],
}

/// What is to be done at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plan {
    /// The most epochs.
    pub n_epochs: u64,
    /// The batches of an epoch.
    pub n_batches: u64,
    /// The examples of a batch.
    pub batch_size: usize,
    /// The step that the run begins behind; 0 if it is a new one.
    pub from_step: u64,
}

/// Watches a run, for example to show its progress. All methods do nothing unless written.
pub trait Observer {
    /// The run begins.
    fn begin(&mut self, plan: Plan) {
        let _ = plan;
    }

    /// An update is done.
    fn step(&mut self, done: StepDone<'_>) {
        let _ = done;
    }

    /// An epoch is done; `best` is the best so far.
    fn epoch(&mut self, done: &Epoch, best: f64) {
        let _ = (done, best);
    }

    /// Something that the user should know, such as a damaged checkpoint that was passed over.
    fn note(&mut self, note: &str) {
        let _ = note;
    }
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// All epochs are done.
    AllEpochs,
    /// No epoch was better for as long as the patience lasts.
    NoProgress,
    /// It was asked to stop.
    Stopped,
}

/// A run that has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Trained<P, S> {
    /// The parameters after the last update.
    pub params: P,
    /// The optimizer's state after the last update.
    pub optimizer: S,
    /// The parameters after the best epoch; the first ones if no epoch is done.
    pub best: P,
    /// The best epoch, from 1; 0 if no epoch is done.
    pub best_epoch: u64,
    /// The epochs that are done, those before a checkpoint included.
    pub epochs: Vec<Epoch>,
    /// The updates since the start.
    pub steps: u64,
    /// Why it ended.
    pub ended: Ended,
}

type Update<'a, P, S, B, M> = Box<dyn Fn(&P, &S, &B, &Array) -> Result<(P, S, M)> + 'a>;
type Find<'a, P, S, B> = Box<dyn Fn(&P, &S, &B, &Array) -> Result<Option<NonFinite>> + 'a>;
type Validate<'a, P> = Box<dyn FnMut(&P) -> Result<f64> + 'a>;

/// A training run: an update, and how it is to be run.
///
/// The update takes parameters, the optimizer's state, a batch and a random key, and returns the
/// new parameters, the new state and metrics: a tree of numbers, means over the batch, of which the
/// first is the loss. It is compiled at the first batch. All batches are of one size; the few
/// examples that are left over change from epoch to epoch.
///
/// # Examples
/// ```
/// use rondeau::train::{Ended, Rows, Trainer};
/// use rondeau::{Array, random, value_and_grad};
///
/// // A line through y = 2x + 1, by gradient descent.
/// fn loss((w, b): &(Array, Array), (xs, ys): &(Array, Array)) -> Array {
///     (w * xs + b - ys).square().mean()
/// }
/// let update = |params: &(Array, Array), (): &(), batch: &(Array, Array), _: &Array| {
///     let (loss, (dw, db)) = value_and_grad(loss).apply(params, batch);
///     ((&params.0 - dw * 0.1, &params.1 - db * 0.1), (), loss)
/// };
/// let xs = random::normal(&random::key(1), [64]);
/// let data = Rows::of((xs.clone(), xs * 2.0 + 1.0))?;
/// let start = (Array::from(0.0_f32), Array::from(0.0_f32));
/// let trained = Trainer::new(update).epochs(20).batch_size(8).run(start, (), &data)?;
/// assert!((trained.best.0.item::<f32>()? - 2.0).abs() < 1e-3);
/// assert_eq!((trained.steps, trained.ended), (160, Ended::AllEpochs));
/// # Ok::<(), rondeau::Error>(())
/// ```
pub struct Trainer<'a, P, S, B, M> {
    update: Update<'a, P, S, B, M>,
    find: Find<'a, P, S, B>,
    validate: Option<Validate<'a, P>>,
    epochs: u64,
    batch_size: usize,
    key: Array,
    shuffled: bool,
    patience: Option<u64>,
    checkpoints: Option<(Checkpoints, u64)>,
    resume: bool,
    csv: Option<PathBuf>,
    tensorboard: Option<PathBuf>,
    observer: Option<&'a mut dyn Observer>,
    stop: Stop,
    finish_epoch: bool,
    debug_nonfinite: bool,
}

impl<P, S, B, M> fmt::Debug for Trainer<'_, P, S, B, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trainer of {} epochs in batches of {}", self.epochs, self.batch_size)
    }
}

impl<'a, P, S, B, M> Trainer<'a, P, S, B, M>
where
    P: Tree + 'a,
    S: Tree + 'a,
    B: Tree + 'a,
    M: Tree + 'a,
{
    /// One epoch in batches of 32, shuffled by the key 0, unless told otherwise.
    pub fn new(update: impl Fn(&P, &S, &B, &Array) -> (P, S, M) + 'a) -> Self {
        let update = Rc::new(update);
        let same = update.clone();
        let compiled = jit(move |p: &P, s: &S, b: &B, k: &Array| update(p, s, b, k));
        Trainer {
            update: Box::new(move |p, s, b, k| compiled.call(p, s, b, k)),
            find: Box::new(move |p, s, b, k| {
                find_nonfinite(|p: &P, s: &S, b: &B, k: &Array| same(p, s, b, k), (p, s, b, k))
            }),
            validate: None,
            epochs: 1,
            batch_size: 32,
            key: random::key(0),
            shuffled: true,
            patience: None,
            checkpoints: None,
            resume: false,
            csv: None,
            tensorboard: None,
            observer: None,
            stop: Stop::new(),
            finish_epoch: false,
            debug_nonfinite: false,
        }
    }

    /// The most passes over the data. A run that is gone on with may have more than it had.
    pub fn epochs(mut self, epochs: u64) -> Self {
        self.epochs = epochs;
        self
    }

    /// The examples of a batch.
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// The key that orders of examples, and the keys that the update gets, are made from.
    pub fn key(mut self, key: Array) -> Self {
        self.key = key;
        self
    }

    /// Takes the examples in their order, in every epoch.
    pub fn in_order(mut self) -> Self {
        self.shuffled = false;
        self
    }

    /// Judges parameters after each epoch: a loss, so less is better. It must depend on the
    /// parameters alone.
    pub fn validate(mut self, loss: impl FnMut(&P) -> Result<f64> + 'a) -> Self {
        self.validate = Some(Box::new(loss));
        self
    }

    /// Ends the run after so many epochs without a better one.
    pub fn patience(mut self, epochs: u64) -> Self {
        self.patience = Some(epochs.max(1));
        self
    }

    /// Saves a checkpoint after every so many updates, when the run ends, and when it is asked to
    /// stop; beside them the best parameters so far, as `best.safetensors`.
    pub fn checkpoints(mut self, checkpoints: Checkpoints, every: u64) -> Self {
        self.checkpoints = Some((checkpoints, every.max(1)));
        self
    }

    /// Goes on from the newest checkpoint that is whole, if there is one.
    pub fn resume(mut self) -> Self {
        self.resume = true;
        self
    }

    /// Logs a line for each epoch to a CSV file, which is replaced.
    pub fn csv(mut self, path: impl Into<PathBuf>) -> Self {
        self.csv = Some(path.into());
        self
    }

    /// Logs metrics of each step and each epoch to a directory for TensorBoard.
    pub fn tensorboard(mut self, dir: impl Into<PathBuf>) -> Self {
        self.tensorboard = Some(dir.into());
        self
    }

    /// Lets somebody watch.
    pub fn observer(mut self, observer: &'a mut dyn Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Stops when this is asked for: after the update that is being made.
    pub fn stop(mut self, stop: Stop) -> Self {
        self.stop = stop;
        self
    }

    /// Stops at the end of an epoch only.
    pub fn finish_epoch(mut self) -> Self {
        self.finish_epoch = true;
        self
    }

    /// Sees after each update that all parameters, the optimizer's state and the metrics are finite.
    /// If one is not, the update is run again by the interpreter, and the error names the primitive,
    /// the row of the loop and the equation where that began; see [`find_nonfinite`].
    pub fn debug_nonfinite(mut self) -> Self {
        self.debug_nonfinite = true;
        self
    }

    /// Runs it, from these parameters and this state of the optimizer or from a checkpoint.
    ///
    /// # Errors
    /// If there are fewer examples than a batch takes; the update or the data make a mistake; a loss
    /// is not finite; a file cannot be written; or the checkpoint is of a run that was set up
    /// otherwise. Checkpoints that were saved before stay.
    pub fn run(
        self,
        params: P,
        optimizer: S,
        data: &impl Data<Batch = B>,
    ) -> Result<Trained<P, S>> {
        Run::begin(self, params, optimizer, data)?.until_the_end(data)
    }
}

/// What keys are made for.
#[derive(Clone, Copy)]
enum Purpose {
    Order = 0,
    Steps = 1,
}

/// A run that has begun.
struct Run<'a, P, S, B, M> {
    trainer: Trainer<'a, P, S, B, M>,
    setup: Setup,
    n_batches: u64,
    state: State<P, S>,
    /// The best epoch that was written beside the checkpoints.
    saved_best: u64,
    csv: Option<CsvLog>,
    events: Option<EventWriter>,
}

impl<'a, P: Tree, S: Tree, B: Tree, M: Tree> Run<'a, P, S, B, M> {
    fn begin(
        mut trainer: Trainer<'a, P, S, B, M>,
        params: P,
        optimizer: S,
        data: &impl Data<Batch = B>,
    ) -> Result<Self> {
        let (examples, batch_size) = (data.len(), trainer.batch_size);
        if batch_size == 0 || examples < batch_size {
            return Err(Error::few_examples(examples, batch_size));
        }
        let (shuffled, key) = (trainer.shuffled, trainer.key.clone());
        let setup = Setup { examples, batch_size, shuffled, key };
        let n_batches = (examples / batch_size) as u64;
        let found = match &trainer.checkpoints {
            Some((checkpoints, _)) if trainer.resume => checkpoints.newest()?,
            _ => None,
        };
        let state = match found {
            None => State::start(params, optimizer),
            Some(found) => {
                for error in &found.passed_over {
                    let note = format!("passed over a damaged checkpoint: {error}");
                    trainer.tell(|observer| observer.note(&note));
                }
                let state = State::from_record(&found.record, &setup, &params, &optimizer)?;
                let note = format!("going on behind step {}", state.step);
                trainer.tell(|observer| observer.note(&note));
                state
            }
        };
        let mut csv = trainer.csv.as_deref().map(CsvLog::new);
        if let Some(csv) = &mut csv {
            csv.add(&state.epochs)?;
        }
        let mut events = trainer.tensorboard.as_ref().map(EventWriter::in_dir).transpose()?;
        if let (Some(events), 1..) = (&mut events, state.step) {
            events.restart(state.step + 1)?;
        }
        let n_epochs = trainer.epochs;
        let plan = Plan { n_epochs, n_batches, batch_size, from_step: state.step };
        trainer.tell(|observer| observer.begin(plan));
        Ok(Run { trainer, setup, n_batches, state, saved_best: 0, csv, events })
    }

    fn until_the_end(mut self, data: &impl Data<Batch = B>) -> Result<Trained<P, S>> {
        let ended = loop {
            if let Some(ended) = self.has_ended() {
                break ended;
            }
            let order = self.order()?;
            while self.state.batch < self.n_batches && !self.is_stopped_at_once() {
                let start = self.state.batch as usize * self.setup.batch_size;
                self.step(&data.batch(&order[start..start + self.setup.batch_size])?)?;
            }
            if self.state.batch < self.n_batches {
                break Ended::Stopped;
            }
            self.end_epoch()?;
        };
        self.save()?;
        if let Some(events) = &mut self.events {
            events.flush()?;
        }
        let State { params, optimizer, best, best_epoch, epochs, step: steps, .. } = self.state;
        Ok(Trained { params, optimizer, best, best_epoch, epochs, steps, ended })
    }

    /// Whether there is no further epoch, by the state alone: so a run that is gone on with ends
    /// where one that was not interrupted does.
    fn has_ended(&self) -> Option<Ended> {
        let n_done = self.state.epochs.len() as u64;
        let is_between = self.state.batch == 0;
        let without = n_done - self.state.best_epoch;
        if is_between && n_done >= self.trainer.epochs {
            return Some(Ended::AllEpochs);
        }
        if is_between && self.trainer.patience.is_some_and(|patience| without >= patience) {
            return Some(Ended::NoProgress);
        }
        // Between epochs, a wish to stop is always heard.
        self.trainer.stop.is_requested().then_some(Ended::Stopped)
    }

    fn is_stopped_at_once(&self) -> bool {
        !self.trainer.finish_epoch && self.trainer.stop.is_requested()
    }

    /// The order of the examples in this epoch.
    fn order(&self) -> Result<Vec<usize>> {
        let n = self.setup.examples;
        if !self.setup.shuffled {
            return Ok((0..n).collect());
        }
        let order = random::permutation(&self.subkey(Purpose::Order, self.state.epoch), n);
        Ok(order.to_vec::<i32>()?.into_iter().map(|i| i as usize).collect())
    }

    fn subkey(&self, purpose: Purpose, i: u64) -> Array {
        let key = random::fold_in(&self.setup.key, purpose as u32);
        random::fold_in(&random::fold_in(&key, (i >> 32) as u32), i as u32)
    }

    /// One update.
    fn step(&mut self, batch: &B) -> Result<()> {
        let key = self.subkey(Purpose::Steps, self.state.step);
        let State { params, optimizer, .. } = &self.state;
        let (new_params, new_optimizer, metrics) =
            (self.trainer.update)(params, optimizer, batch, &key)?;
        if self.state.step == 0 {
            keeps("parameters", params, &new_params)?;
            keeps("optimizer's state", optimizer, &new_optimizer)?;
        }
        let metrics = numbers(&metrics)?;
        let step = self.state.step + 1;
        let checked = match self.trainer.debug_nonfinite {
            false => None,
            true => first_bad("parameter", &new_params)
                .or_else(|| first_bad("state of the optimizer", &new_optimizer)),
        };
        let metric = metrics.iter().find(|(_, value)| !value.is_finite());
        let metric = metric.map(|(name, value)| format!("`{name}` is {value}"));
        if let Some(what) = metric.or(checked) {
            let place = format!("step {step}, in epoch {}", self.state.epoch);
            let origin = match self.trainer.debug_nonfinite {
                false => None,
                true => Some(match (self.trainer.find)(params, optimizer, batch, &key)? {
                    Some(found) => found.to_string(),
                    None => {
                        "the interpreter finds all of it finite: compiled code sums in another \
                             order, and a sum is near the limit of its type"
                            .to_owned()
                    }
                }),
            };
            return Err(Error::not_finite(&what, &place, origin.as_deref()));
        }

        let names: Vec<String> = metrics.iter().map(|(name, _)| name.clone()).collect();
        if self.state.names.is_empty() {
            self.state.sums = vec![0.0; names.len()];
            self.state.names = names;
        } else if self.state.names != names {
            let (was, is) = (self.state.names.join(", "), names.join(", "));
            return Err(Error::other_run(&[format!("the metrics are {is} and were {was}")]));
        }
        for (sum, (_, value)) in self.state.sums.iter_mut().zip(&metrics) {
            *sum += value;
        }
        (self.state.params, self.state.optimizer) = (new_params, new_optimizer);
        self.state.step = step;
        self.state.batch += 1;
        if let Some(events) = &mut self.events {
            for (name, value) in &metrics {
                events.scalar(&format!("train/{name}"), step, *value)?;
            }
        }
        let State { epoch, batch, .. } = self.state;
        let done = StepDone { step, epoch, batch, metrics: &metrics };
        self.trainer.tell(|observer| observer.step(done));
        match self.trainer.checkpoints {
            Some((_, every)) if step.is_multiple_of(every) => self.save(),
            _ => Ok(()),
        }
    }

    /// Judges the epoch, and begins the next.
    fn end_epoch(&mut self) -> Result<()> {
        let State { epoch, step, .. } = self.state;
        let means = self.state.sums.iter().map(|sum| sum / self.n_batches as f64);
        let metrics = self.state.names.iter().cloned().zip(means).collect();
        let validate = self.trainer.validate.as_mut();
        let validation = validate.map(|validate| validate(&self.state.params)).transpose()?;
        if let Some(loss) = validation.filter(|loss| !loss.is_finite()) {
            let what = format!("the validation loss is {loss}");
            return Err(Error::not_finite(&what, &format!("epoch {epoch}"), None));
        }
        let done = Epoch { epoch, step, metrics, validation };
        if done.value() < self.state.best_value || epoch == 1 {
            self.state.best_value = done.value();
            self.state.best_epoch = epoch;
            self.state.best = self.state.params.clone();
        }
        if let Some(events) = &mut self.events {
            for (name, mean) in &done.metrics {
                events.scalar(&format!("epoch/{name}"), step, *mean)?;
            }
            if let Some(loss) = validation {
                events.scalar("epoch/validation", step, loss)?;
            }
            events.flush()?;
        }
        let best = self.state.best_value;
        self.trainer.tell(|observer| observer.epoch(&done, best));
        self.state.epochs.push(done);
        self.state.epoch += 1;
        self.state.batch = 0;
        self.state.sums.fill(0.0);
        match &mut self.csv {
            Some(csv) => csv.add(&self.state.epochs),
            None => Ok(()),
        }
    }

    /// Saves a checkpoint, and the best parameters if they are new.
    fn save(&mut self) -> Result<()> {
        let Some((checkpoints, _)) = &self.trainer.checkpoints else { return Ok(()) };
        let record = self.state.to_record(&self.setup)?;
        checkpoints.save(self.state.step, &record)?;
        if self.state.best_epoch > self.saved_best {
            safetensors::save(checkpoints.dir().join("best.safetensors"), &self.state.best)?;
            self.saved_best = self.state.best_epoch;
        }
        Ok(())
    }
}

impl<P, S, B, M> Trainer<'_, P, S, B, M> {
    fn tell(&mut self, what: impl FnOnce(&mut dyn Observer)) {
        if let Some(observer) = &mut self.observer {
            what(*observer);
        }
    }
}

/// The metrics by name, which must be single numbers. The name of one alone is `loss`.
fn numbers<M: Tree>(metrics: &M) -> Result<Vec<(String, f64)>> {
    let mut numbers = Vec::new();
    for (path, leaf) in tree::leaves_with_paths(metrics) {
        let name = if path.is_empty() { "loss".to_owned() } else { path };
        let aval = leaf.aval()?;
        if leaf.size() != 1 {
            return Err(Error::metric(&name, &aval.to_string()));
        }
        let number = leaf.reshape(()).to(DType::F64).item::<f64>()?;
        numbers.push((name, number));
    }
    if numbers.is_empty() { Err(Error::no_metrics()) } else { Ok(numbers) }
}

/// Sees that an update returns what it takes, which the next one takes again.
fn keeps<T: Tree>(what: &str, before: &T, after: &T) -> Result<()> {
    let types = |tree: &T| -> Result<Vec<String>> {
        let leaves = tree::leaves_with_paths(tree).into_iter();
        leaves
            .map(|(path, leaf)| {
                let aval = leaf.aval()?;
                Ok(if path.is_empty() { aval.to_string() } else { format!("{path}: {aval}") })
            })
            .collect()
    };
    let (takes, returns) = (types(before)?, types(after)?);
    if let Some((takes, returns)) = takes.iter().zip(&returns).find(|(a, b)| a != b) {
        return Err(Error::update_changes(what, takes, returns));
    }
    let (takes, returns) = (tree::structure_of(before), tree::structure_of(after));
    if takes == returns { Ok(()) } else { Err(Error::update_changes(what, &takes, &returns)) }
}

/// The first leaf that is not finite.
fn first_bad<T: Tree>(what: &str, tree: &T) -> Option<String> {
    let is_bad = |leaf: &Array| match leaf.dtype() {
        DType::F32 => leaf.to_vec::<f32>().is_ok_and(|xs| xs.iter().any(|x| !x.is_finite())),
        DType::F64 => leaf.to_vec::<f64>().is_ok_and(|xs| xs.iter().any(|x| !x.is_finite())),
        _ => false,
    };
    let bad = tree::leaves_with_paths(tree).into_iter().find(|(_, leaf)| is_bad(leaf));
    bad.map(|(path, _)| match path.as_str() {
        "" => format!("the {what} is not finite"),
        path => format!("the {what} `{path}` is not finite"),
    })
}
