//! The forecasters, written as any user of the library would: one step of each cell, and what the
//! transformations make of it.
//!
//! A forecast is the last value of the target plus the change that the network reads off its last
//! state. The readout starts at zero, so training starts from the forecast "no change", and a
//! series that drifts out of the range of its training rows is still followed. On the shipped
//! weather this is as accurate as forecasting the value itself. The weights that are validated, kept
//! and stored are a running mean over the last hundred or so steps of the optimizer, since the
//! minibatches of a small file make single steps noisy.

use std::fmt;

use anyhow::{Context, Result, ensure};
use rondeau::io::Record;
use rondeau::train::{Stop, Trainer};
use rondeau::{Array, Tree, export, jit, random, scan, sigmoid, tanh, tree, value_and_grad, vmap};

use crate::args::CellKind;
use crate::data::Prepared;
use crate::fit::{Fitted, Forecasts, Network, Schedule, fit, span_loss};
use crate::progress::Progress;

/// One step of a recurrent cell.
trait Cell: Tree + 'static {
    /// What goes from step to step.
    type State: Tree;

    /// Random weights; the biases are constant.
    fn init(key: &Array, n_inputs: usize, hidden: usize) -> Self;

    /// The state before the first step.
    fn start(&self) -> Self::State;

    /// x: `[n_inputs]` → the next state.
    fn step(&self, state: &Self::State, x: &Array) -> Self::State;

    /// What is read off a state, `[hidden]`.
    fn output(state: &Self::State) -> Array;
}

/// A gated recurrent unit; matrices are `[hidden, ..]`, biases `[hidden]`.
///
/// `z = σ(Wz·x + Uz·h + bz)`, `r = σ(Wr·x + Ur·h + br)`,
/// `h' = (1-z)∘h + z∘tanh(Wh·x + Uh·(r∘h) + bh)`.
#[derive(Clone, Tree)]
struct Gru {
    wz: Array,
    uz: Array,
    bz: Array,
    wr: Array,
    ur: Array,
    br: Array,
    wh: Array,
    uh: Array,
    bh: Array,
}

impl Cell for Gru {
    type State = Array;

    fn init(key: &Array, n_inputs: usize, hidden: usize) -> Gru {
        let mut next = weights(key, 6, hidden);
        let bias = || Array::zeros([hidden]);
        Gru {
            wz: next(n_inputs),
            uz: next(hidden),
            bz: bias(),
            wr: next(n_inputs),
            ur: next(hidden),
            br: bias(),
            wh: next(n_inputs),
            uh: next(hidden),
            bh: bias(),
        }
    }

    fn start(&self) -> Array {
        self.bh.zeros_like()
    }

    fn step(&self, h: &Array, x: &Array) -> Array {
        let z = sigmoid(self.wz.dot(x) + self.uz.dot(h) + &self.bz);
        let r = sigmoid(self.wr.dot(x) + self.ur.dot(h) + &self.br);
        let candidate = tanh(self.wh.dot(x) + self.uh.dot(r * h) + &self.bh);
        (1.0 - &z) * h + z * candidate
    }

    fn output(h: &Array) -> Array {
        h.clone()
    }
}

/// Long short-term memory; matrices are `[hidden, ..]`, biases `[hidden]`. Its state is (h, c).
///
/// `i, f, o = σ(W·x + U·h + b)`, each with its own; `c' = f∘c + i∘tanh(Wg·x + Ug·h + bg)`,
/// `h' = o∘tanh(c')`. The bias of the forget gate starts at 1, so that memory lasts at first.
#[derive(Clone, Tree)]
struct Lstm {
    wi: Array,
    ui: Array,
    bi: Array,
    wf: Array,
    uf: Array,
    bf: Array,
    wg: Array,
    ug: Array,
    bg: Array,
    wo: Array,
    uo: Array,
    bo: Array,
}

impl Cell for Lstm {
    type State = (Array, Array);

    fn init(key: &Array, n_inputs: usize, hidden: usize) -> Lstm {
        let mut next = weights(key, 8, hidden);
        let bias = || Array::zeros([hidden]);
        Lstm {
            wi: next(n_inputs),
            ui: next(hidden),
            bi: bias(),
            wf: next(n_inputs),
            uf: next(hidden),
            bf: Array::ones([hidden]),
            wg: next(n_inputs),
            ug: next(hidden),
            bg: bias(),
            wo: next(n_inputs),
            uo: next(hidden),
            bo: bias(),
        }
    }

    fn start(&self) -> (Array, Array) {
        (self.bi.zeros_like(), self.bi.zeros_like())
    }

    fn step(&self, (h, c): &(Array, Array), x: &Array) -> (Array, Array) {
        let i = sigmoid(self.wi.dot(x) + self.ui.dot(h) + &self.bi);
        let f = sigmoid(self.wf.dot(x) + self.uf.dot(h) + &self.bf);
        let g = tanh(self.wg.dot(x) + self.ug.dot(h) + &self.bg);
        let o = sigmoid(self.wo.dot(x) + self.uo.dot(h) + &self.bo);
        let c = f * c + i * g;
        (o * tanh(&c), c)
    }

    fn output((h, _): &(Array, Array)) -> Array {
        h.clone()
    }
}

/// A plain recurrent layer: `h' = tanh(W·x + U·h + b)`.
#[derive(Clone, Tree)]
struct Rnn {
    w: Array,
    u: Array,
    b: Array,
}

impl Cell for Rnn {
    type State = Array;

    fn init(key: &Array, n_inputs: usize, hidden: usize) -> Rnn {
        let mut next = weights(key, 2, hidden);
        Rnn { w: next(n_inputs), u: next(hidden), b: Array::zeros([hidden]) }
    }

    fn start(&self) -> Array {
        self.b.zeros_like()
    }

    fn step(&self, h: &Array, x: &Array) -> Array {
        tanh(self.w.dot(x) + self.u.dot(h) + &self.b)
    }

    fn output(h: &Array) -> Array {
        h.clone()
    }
}

/// Matrices of `hidden` rows one after the other, uniform within ±1/√hidden, as PyTorch's are.
fn weights(key: &Array, n: usize, hidden: usize) -> impl FnMut(usize) -> Array {
    let keys = random::split(key, n);
    let bound = 1.0 / (hidden as f32).sqrt();
    let mut i = 0;
    move |n_columns| {
        i += 1;
        random::uniform_between(&keys.at(i - 1), [hidden, n_columns], -bound, bound)
    }
}

/// A cell, and what reads the change off its last state.
#[derive(Clone, Tree)]
struct Model<C> {
    cell: C,
    /// `[hidden]`
    readout: Array,
    /// `[]`
    bias: Array,
}

impl<C: Cell> Model<C> {
    fn init(key: &Array, n_inputs: usize, hidden: usize) -> Model<C> {
        Model {
            cell: C::init(key, n_inputs, hidden),
            readout: Array::zeros([hidden]),
            bias: Array::from(0.0_f32),
        }
    }

    /// xs: `[window, n_inputs]` → the change that follows, `[]`, and the last output, `[hidden]`.
    fn forecast(&self, xs: &Array) -> (Array, Array) {
        let step = |state: &C::State, x: &Array| (self.cell.step(state, x), ());
        let (last, ()) = scan(step, &self.cell.start(), xs);
        let output = C::output(&last);
        (self.readout.dot(&output) + &self.bias, output)
    }
}

/// The mean squared error over windows xs `[n, window, n_inputs]` followed by changes ys `[n]`.
fn loss<C: Cell>(model: &Model<C>, xs: &Array, ys: &Array) -> Array {
    let forecast = |model: &Model<C>, xs: &Array| model.forecast(xs).0;
    let changes = vmap(forecast, (None, 0)).apply(model, xs);
    (changes - ys).square().mean()
}

/// A model in training, and the running mean of it, which is what is validated and kept.
#[derive(Clone, Tree)]
struct Weights<C> {
    model: Model<C>,
    mean: Model<C>,
}

/// Adam's running mean of the gradient, and of its square, and the steps taken, `[]`.
#[derive(Clone, Tree)]
struct Moments<C> {
    first: Model<C>,
    second: Model<C>,
    n_steps: Array,
}

impl<C: Cell> Weights<C> {
    fn start(model: Model<C>) -> (Weights<C>, Moments<C>) {
        let zeros = tree::map(&model, Array::zeros_like);
        let n_steps = Array::from(0.0_f32);
        let moments = Moments { first: zeros.clone(), second: zeros, n_steps };
        (Weights { mean: model.clone(), model }, moments)
    }

    /// One step of Adam along the gradient, cut to a norm of at most 1, and of the running mean.
    ///
    /// `m' = β₁m + (1-β₁)g`, `v' = β₂v + (1-β₂)g²`,
    /// `p' = p - rate · m'/(1-β₁ᵗ) / (√(v'/(1-β₂ᵗ)) + ε)`.
    ///
    /// # Source
    /// Kingma and Ba 2014 (arXiv:1412.6980); the mean is Polyak and Juditsky's, with a weight that
    /// grows to 0.99.
    fn step(
        &self,
        moments: &Moments<C>,
        gradient: &Model<C>,
        rate: f64,
    ) -> (Weights<C>, Moments<C>) {
        const BETA_1: f64 = 0.9;
        const BETA_2: f64 = 0.999;
        const EPSILON: f64 = 1e-8;
        const MOST_MEAN: f64 = 0.99;
        let t = &moments.n_steps + 1.0;
        let unbias = |beta: f64| 1.0 - (&t * beta.ln()).exp();
        let (unbias_1, unbias_2) = (unbias(BETA_1), unbias(BETA_2));
        let kept = ((&t + 1.0) / (&t + 10.0)).minimum(MOST_MEAN);

        let gradients = tree::leaves(gradient);
        let squares = gradients.iter().map(|g| g.square().sum());
        let norm = squares.reduce(|a, b| a + b).unwrap_or_else(|| Array::from(0.0_f32)).sqrt();
        let scale = 1.0 / norm.maximum(1.0);

        let leaves = tree::leaves(&self.model).into_iter().zip(tree::leaves(&self.mean));
        let both = tree::leaves(&moments.first).into_iter().zip(tree::leaves(&moments.second));
        let mut new: [Vec<Array>; 4] = Default::default();
        for (((p, mean), (m, v)), g) in leaves.zip(both).zip(gradients) {
            let g = g * &scale;
            let m = m * BETA_1 + &g * (1.0 - BETA_1);
            let v = v * BETA_2 + g.square() * (1.0 - BETA_2);
            let p = p - rate * (&m / &unbias_1) / ((&v / &unbias_2).sqrt() + EPSILON);
            let mean = &kept * mean + (1.0 - &kept) * &p;
            for (list, leaf) in new.iter_mut().zip([p, mean, m, v]) {
                list.push(leaf);
            }
        }
        let [model, mean, first, second] = new.map(|leaves| tree::rebuild(&self.model, leaves));
        (Weights { model, mean }, Moments { first, second, n_steps: t })
    }
}

/// One step of the optimizer on a batch, and the loss before it.
fn update<C: Cell>(
    weights: &Weights<C>,
    moments: &Moments<C>,
    (xs, ys): &(Array, Array),
    rate: f64,
) -> (Weights<C>, Moments<C>, Array) {
    let (loss, gradient) = value_and_grad(loss::<C>).apply(&weights.model, xs, ys);
    let (weights, moments) = weights.step(moments, &gradient, rate);
    (weights, moments, loss)
}

type Forecast<C> = Box<dyn Fn(&Model<C>, &Array) -> rondeau::Result<(Array, Array)>>;

/// A model that can be trained, and the compiled function that forecasts with it.
struct Learner<C> {
    n_inputs: usize,
    seed: u64,
    rate: f64,
    model: Model<C>,
    forecast: Forecast<C>,
}

impl<C: Cell> Learner<C> {
    fn boxed(plan: &Plan, rate: f64) -> Box<dyn Trainable> {
        let first_key = random::fold_in(&key_of(plan.seed), 0_u32);
        let forecast = jit(vmap(Model::<C>::forecast, (None, 0)));
        Box::new(Learner {
            n_inputs: plan.n_inputs,
            seed: plan.seed,
            rate,
            model: Model::<C>::init(&first_key, plan.n_inputs, plan.hidden),
            forecast: Box::new(move |model, xs| forecast.call(model, xs)),
        })
    }

    fn with<'a>(&'a self, model: &'a Model<C>) -> With<'a, C> {
        With { learner: self, model }
    }
}

/// The forecaster with some weights.
struct With<'a, C> {
    learner: &'a Learner<C>,
    model: &'a Model<C>,
}

impl<C: Cell> Network for With<'_, C> {
    fn forecast(&self, windows: &[f32], n: usize) -> rondeau::Result<Forecasts> {
        let n_inputs = self.learner.n_inputs;
        let shape = [n, windows.len() / (n * n_inputs), n_inputs];
        let (changes, states) =
            (self.learner.forecast)(self.model, &Array::new(shape, windows.to_vec()))?;
        Ok(Forecasts { changes: changes.to_vec()?, states: states.to_vec()? })
    }
}

impl<C: Cell> Network for Learner<C> {
    fn forecast(&self, windows: &[f32], n: usize) -> rondeau::Result<Forecasts> {
        self.with(&self.model).forecast(windows, n)
    }
}

/// A network that can be trained, and whose weights can be stored.
trait Trainable: Network {
    /// Trains it, and leaves it with the weights of the best epoch.
    fn train(
        &mut self,
        data: &Prepared,
        schedule: Schedule,
        progress: &mut Progress,
        stop: Stop,
    ) -> Result<Fitted>;

    /// The weights that forecasts are made with, by their paths.
    fn weights(&self) -> Result<Record>;

    /// Forecasts with these weights from now on.
    fn load(&mut self, weights: &Record) -> Result<()>;

    /// One step of the forecaster: the next row's inputs to the change that follows.
    fn exported(&self, name: &str) -> Result<export::Model>;
}

impl<C: Cell> Trainable for Learner<C> {
    fn train(
        &mut self,
        data: &Prepared,
        schedule: Schedule,
        progress: &mut Progress,
        stop: Stop,
    ) -> Result<Fitted> {
        let rate = self.rate;
        let rows = data.split.validation.clone();
        let trainer = Trainer::new(
            move |weights: &Weights<C>, moments: &Moments<C>, batch: &(Array, Array), _: &Array| {
                update(weights, moments, batch, rate)
            },
        );
        let trainer = trainer
            .key(key_of(self.seed))
            .validate(|weights| span_loss(&self.with(&weights.mean), data, rows.clone()))
            .observer(progress)
            .stop(stop);
        let (trained, fitted) = fit(trainer, schedule, data, Weights::start(self.model.clone()))?;
        self.model = trained.best.mean;
        Ok(fitted)
    }

    fn weights(&self) -> Result<Record> {
        Ok(Record::of(&self.model)?)
    }

    fn load(&mut self, weights: &Record) -> Result<()> {
        self.model = weights.fill(&self.model).context("the weights do not fit their card")?;
        Ok(())
    }

    fn exported(&self, name: &str) -> Result<export::Model> {
        let step = |model: &Model<C>, state: &C::State, x: &Array| {
            let state = model.cell.step(state, x);
            let change = model.readout.dot(C::output(&state)) + &model.bias;
            (state, change.expand_dims(0))
        };
        let x = Array::zeros([self.n_inputs]);
        Ok(export::Model::new(step, &self.model, &self.model.cell.start(), &x)?.name(name))
    }
}

/// What a network is to be.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The recurrent cell.
    pub cell: CellKind,
    /// How many numbers go in for each row.
    pub n_inputs: usize,
    /// The units of the state.
    pub hidden: usize,
    /// Where the first weights come from.
    pub seed: u64,
}

/// A forecaster with any of the cells.
pub struct Forecaster(Box<dyn Trainable>);

impl fmt::Debug for Forecaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Forecaster")
    }
}

impl Forecaster {
    /// A forecaster with random weights, to be trained with steps of the size `rate`.
    pub fn init(plan: &Plan, rate: f64) -> Forecaster {
        Forecaster(match plan.cell {
            CellKind::Gru => Learner::<Gru>::boxed(plan, rate),
            CellKind::Lstm => Learner::<Lstm>::boxed(plan, rate),
            CellKind::Rnn => Learner::<Rnn>::boxed(plan, rate),
        })
    }

    /// A forecaster with stored weights.
    ///
    /// # Errors
    /// If weights are missing, not expected, or of another shape; all are named.
    pub fn load(plan: &Plan, weights: &Record) -> Result<Forecaster> {
        // Every cell has matrices over the state and over the input, so a card cannot ask for more
        // memory than its file takes.
        let least = plan.hidden.saturating_mul(plan.hidden.saturating_add(plan.n_inputs));
        let given: usize = weights.arrays().iter().map(|(_, array)| array.size()).sum();
        ensure!(least <= given, "the weights do not fit their card: {given} numbers are too few");
        let mut forecaster = Forecaster::init(plan, 0.0);
        forecaster.0.load(weights)?;
        Ok(forecaster)
    }

    /// Trains it on the training rows, and leaves it with the weights of the epoch that was best
    /// over the validation rows.
    ///
    /// # Errors
    /// If a computation fails, or a loss is not finite.
    pub fn train(
        &mut self,
        data: &Prepared,
        schedule: Schedule,
        progress: &mut Progress,
        stop: Stop,
    ) -> Result<Fitted> {
        self.0.train(data, schedule, progress, stop)
    }

    /// The weights, by their paths in the model.
    ///
    /// # Errors
    /// If a computation before has failed.
    pub fn weights(&self) -> Result<Record> {
        self.0.weights()
    }

    /// One step of the forecaster, to be written in another language: `x`, the normalised inputs of
    /// a row, to `y`, the normalised change of the target into the next one.
    ///
    /// # Errors
    /// If a computation before has failed.
    pub fn exported(&self, name: &str) -> Result<export::Model> {
        self.0.exported(name)
    }
}

impl Network for Forecaster {
    fn forecast(&self, windows: &[f32], n: usize) -> rondeau::Result<Forecasts> {
        self.0.forecast(windows, n)
    }
}

/// The key of a run.
fn key_of(seed: u64) -> Array {
    random::key_from_words((seed >> 32) as u32, seed as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [CellKind; 3] = [CellKind::Gru, CellKind::Lstm, CellKind::Rnn];

    fn plan(cell: CellKind) -> Plan {
        Plan { cell, n_inputs: 2, hidden: 3, seed: 7 }
    }

    /// 16 windows of five rows, and the mean of the first column of each, which is to be forecast.
    fn batch() -> (Vec<f32>, Vec<f32>) {
        let windows: Vec<f32> = (0..16 * 10).map(|i| (i as f32 * 0.7).sin()).collect();
        let mean = |window: &[f32]| window.iter().step_by(2).sum::<f32>() / 5.0;
        let changes = windows.chunks(10).map(mean).collect();
        (windows, changes)
    }

    #[test]
    fn the_first_forecast_is_that_nothing_changes() {
        for cell in KINDS {
            let said = Forecaster::init(&plan(cell), 0.1).forecast(&batch().0, 16).unwrap();
            assert_eq!(said.changes, [0.0; 16]);
            assert_eq!(said.states.len(), 16 * 3);
            assert!(said.states.iter().any(|h| h.abs() > 0.05), "{cell:?}");
        }
    }

    fn losses<C: Cell>() -> Vec<f32> {
        let step = jit(|weights: &Weights<C>, moments: &Moments<C>, batch: &(Array, Array)| {
            update(weights, moments, batch, 0.02)
        });
        let (windows, changes) = batch();
        let batch = (Array::new([16, 5, 2], windows), Array::new([16], changes));
        let (mut weights, mut moments) = Weights::start(Model::<C>::init(&key_of(7), 2, 3));
        let mut losses = Vec::new();
        for _ in 0..60 {
            let loss;
            (weights, moments, loss) = step.call(&weights, &moments, &batch).unwrap();
            losses.push(loss.item().unwrap());
        }
        losses
    }

    #[test]
    fn steps_reduce_the_loss() {
        for losses in [losses::<Gru>(), losses::<Lstm>(), losses::<Rnn>()] {
            assert!(losses[59] < 0.2 * losses[0], "{losses:?}");
        }
    }

    #[test]
    fn stored_weights_forecast_the_same() {
        for cell in KINDS {
            let network = Forecaster::init(&plan(cell), 0.02);
            let other = Plan { seed: 8, ..plan(cell) };
            let again = Forecaster::load(&other, &network.weights().unwrap()).unwrap();
            let (windows, _) = batch();
            let said = network.forecast(&windows, 16).unwrap();
            assert_eq!(again.forecast(&windows, 16).unwrap(), said);
            assert_ne!(Forecaster::init(&other, 0.02).forecast(&windows, 16).unwrap(), said);
        }
    }

    #[test]
    fn weights_that_do_not_fit_are_all_named() {
        let stored = Forecaster::init(&plan(CellKind::Rnn), 0.1).weights().unwrap();
        let mut changed = Record::new();
        for (i, (name, array)) in stored.arrays().iter().enumerate() {
            let (name, array) = match i {
                0 => ("cell.v", array.clone()),
                1 => (name.as_str(), Array::zeros([9])),
                _ => (name.as_str(), array.clone()),
            };
            changed.insert(name, array).unwrap();
        }
        let error = Forecaster::load(&plan(CellKind::Rnn), &changed).unwrap_err();
        insta::assert_snapshot!(format!("{error:#}"), @"
        the weights do not fit their card: the stored arrays do not fit the tree: 3 fit, and 3 are wrong
          `cell.w` is missing: f32[3,2]
          `cell.u` is stored as f32[9] and should be f32[3,3]
          `cell.v` is not expected
        help: build the tree as it was when it was stored, or rename what is stored
        ");
    }
}
