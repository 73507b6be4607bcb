//! The forecasters, written as any user of the library would: one step of each cell, and what the
//! transformations make of it.
//!
//! A forecast is the last value of the target plus the change that the network reads off its last
//! state. The readout starts at zero, so training starts from the forecast "no change", and a
//! series that drifts out of the range of its training rows is still followed. On the shipped
//! weather this is as accurate as forecasting the value itself. The weights that are validated, kept
//! and stored are a running mean over the last hundred or so steps of the optimizer, since the
//! minibatches of a small file make single steps noisy.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, ensure};
use rondeau::{Array, Tree, jit, random, scan, sigmoid, tanh, tree, value_and_grad, vmap};

use crate::args::CellKind;
use crate::fit::{Batch, Forecasts, Network};
use crate::weights::Tensor;

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

/// All that changes while training.
#[derive(Clone, Tree)]
struct Training<C> {
    model: Model<C>,
    /// The running mean of the model.
    mean: Model<C>,
    /// Adam's running mean of the gradient, and of its square.
    first: Model<C>,
    second: Model<C>,
    /// The steps taken, `[]`.
    n_steps: Array,
}

impl<C: Cell> Training<C> {
    fn start(model: Model<C>) -> Training<C> {
        let zeros = tree::map(&model, Array::zeros_like);
        Training {
            mean: model.clone(),
            first: zeros.clone(),
            second: zeros,
            model,
            n_steps: Array::from(0.0_f32),
        }
    }

    /// One step of Adam along the gradient, cut to a norm of at most 1, and of the running mean.
    ///
    /// `m' = β₁m + (1-β₁)g`, `v' = β₂v + (1-β₂)g²`,
    /// `p' = p - rate · m'/(1-β₁ᵗ) / (√(v'/(1-β₂ᵗ)) + ε)`.
    ///
    /// # Source
    /// Kingma and Ba 2014 (arXiv:1412.6980); the mean is Polyak and Juditsky's, with a weight that
    /// grows to 0.99.
    fn step(&self, gradient: &Model<C>, rate: f64) -> Training<C> {
        const BETA_1: f64 = 0.9;
        const BETA_2: f64 = 0.999;
        const EPSILON: f64 = 1e-8;
        const MOST_MEAN: f64 = 0.99;
        let t = &self.n_steps + 1.0;
        let unbias = |beta: f64| 1.0 - (&t * beta.ln()).exp();
        let (unbias_1, unbias_2) = (unbias(BETA_1), unbias(BETA_2));
        let kept = ((&t + 1.0) / (&t + 10.0)).minimum(MOST_MEAN);

        let gradients = tree::leaves(gradient);
        let squares = gradients.iter().map(|g| g.square().sum());
        let norm = squares.reduce(|a, b| a + b).unwrap_or_else(|| Array::from(0.0_f32)).sqrt();
        let scale = 1.0 / norm.maximum(1.0);

        let leaves = tree::leaves(&self.model).into_iter().zip(tree::leaves(&self.mean));
        let moments = tree::leaves(&self.first).into_iter().zip(tree::leaves(&self.second));
        let mut new: [Vec<Array>; 4] = Default::default();
        for (((p, mean), (m, v)), g) in leaves.zip(moments).zip(gradients) {
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
        Training { model, mean, first, second, n_steps: t }
    }
}

type Update<C> = Box<dyn Fn(&Training<C>, &Array, &Array) -> rondeau::Result<(Training<C>, Array)>>;
type Forecast<C> = Box<dyn Fn(&Model<C>, &Array) -> rondeau::Result<(Array, Array)>>;

/// A model in training, with its compiled functions.
struct Learner<C> {
    n_inputs: usize,
    training: Training<C>,
    /// The mean of the best epoch.
    best: Model<C>,
    update: Update<C>,
    forecast: Forecast<C>,
}

impl<C: Cell> Learner<C> {
    fn boxed(plan: &Plan, rate: f64) -> Box<dyn Trainable> {
        let model = Model::<C>::init(&first_key(plan.seed), plan.n_inputs, plan.hidden);
        let update = jit(move |training: &Training<C>, xs: &Array, ys: &Array| {
            let (loss, gradient) = value_and_grad(loss::<C>).apply(&training.model, xs, ys);
            (training.step(&gradient, rate), loss)
        });
        let forecast = jit(vmap(Model::<C>::forecast, (None, 0)));
        Box::new(Learner {
            n_inputs: plan.n_inputs,
            best: model.clone(),
            training: Training::start(model),
            update: Box::new(move |training, xs, ys| update.call(training, xs, ys)),
            forecast: Box::new(move |model, xs| forecast.call(model, xs)),
        })
    }

    /// The numbers of `n` windows, `[n, window, n_inputs]`.
    fn windows(&self, numbers: &[f32], n: usize) -> Array {
        let window = numbers.len() / (n * self.n_inputs);
        Array::new([n, window, self.n_inputs], numbers.to_vec())
    }
}

impl<C: Cell> Network for Learner<C> {
    fn train(&mut self, batch: &Batch) -> Result<f64> {
        let xs = self.windows(&batch.windows, batch.n);
        let ys = Array::new([batch.n], batch.changes.clone());
        let (training, loss) = (self.update)(&self.training, &xs, &ys)?;
        self.training = training;
        Ok(f64::from(loss.item::<f32>()?))
    }

    fn forecast(&self, windows: &[f32], n: usize) -> Result<Forecasts> {
        let xs = self.windows(windows, n);
        let (changes, states) = (self.forecast)(&self.training.mean, &xs)?;
        Ok(Forecasts { changes: changes.to_vec()?, states: states.to_vec()? })
    }

    fn keep(&mut self) {
        self.best = self.training.mean.clone();
    }

    fn restore(&mut self) {
        self.training.mean = self.best.clone();
    }
}

/// A network whose weights can be stored.
trait Trainable: Network {
    /// The weights that forecasts are made with.
    fn tensors(&self) -> Result<Vec<Tensor>>;

    /// Forecasts with these weights from now on.
    fn load(&mut self, tensors: Vec<Tensor>) -> Result<()>;
}

impl<C: Cell> Trainable for Learner<C> {
    fn tensors(&self) -> Result<Vec<Tensor>> {
        let tensor = |(name, leaf): (String, &Array)| {
            Ok(Tensor { name, shape: leaf.shape().to_vec(), values: leaf.to_vec()? })
        };
        tree::leaves_with_paths(&self.training.mean).into_iter().map(tensor).collect()
    }

    fn load(&mut self, tensors: Vec<Tensor>) -> Result<()> {
        let mut given: BTreeMap<String, Tensor> =
            tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        let mut wrong = Vec::new();
        let mut leaves = Vec::new();
        for (name, leaf) in tree::leaves_with_paths(&self.training.mean) {
            let need = leaf.shape();
            match given.remove(&name) {
                None => wrong.push(format!("`{name}` is missing")),
                Some(tensor) if tensor.shape != need => {
                    wrong.push(format!("`{name}` is {:?} and should be {need:?}", tensor.shape));
                }
                Some(tensor) => leaves.push(Array::new(tensor.shape, tensor.values)),
            }
        }
        wrong.extend(given.into_keys().map(|name| format!("`{name}` is not expected")));
        ensure!(wrong.is_empty(), "the weights do not fit their card: {}", wrong.join(", "));
        self.training.mean = tree::rebuild(&self.training.mean, leaves);
        Ok(())
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
    pub fn load(plan: &Plan, tensors: Vec<Tensor>) -> Result<Forecaster> {
        // Every cell has matrices over the state and over the input, so a card cannot ask for more
        // memory than its file takes.
        let least = plan.hidden.saturating_mul(plan.hidden.saturating_add(plan.n_inputs));
        let given: usize = tensors.iter().map(|tensor| tensor.values.len()).sum();
        ensure!(least <= given, "the weights do not fit their card: {given} numbers are too few");
        let mut forecaster = Forecaster::init(plan, 0.0);
        forecaster.0.load(tensors)?;
        Ok(forecaster)
    }

    /// The weights, by their paths in the model.
    ///
    /// # Errors
    /// If a computation before has failed.
    pub fn tensors(&self) -> Result<Vec<Tensor>> {
        self.0.tensors()
    }
}

impl Network for Forecaster {
    fn train(&mut self, batch: &Batch) -> Result<f64> {
        self.0.train(batch)
    }

    fn forecast(&self, windows: &[f32], n: usize) -> Result<Forecasts> {
        self.0.forecast(windows, n)
    }

    fn keep(&mut self) {
        self.0.keep();
    }

    fn restore(&mut self) {
        self.0.restore();
    }
}

fn first_key(seed: u64) -> Array {
    random::fold_in(&random::key_from_words((seed >> 32) as u32, seed as u32), 0_u32)
}

/// The order of `n` windows in an epoch, which counts from 1.
///
/// # Errors
/// If there are more windows than the library can number.
pub fn permutation(seed: u64, epoch: usize, n: usize) -> Result<Vec<usize>> {
    let key = random::key_from_words((seed >> 32) as u32, seed as u32);
    let order = random::permutation(&random::fold_in(&key, epoch as u32), n);
    Ok(order.to_vec::<i32>()?.into_iter().map(|i| i as usize).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [CellKind; 3] = [CellKind::Gru, CellKind::Lstm, CellKind::Rnn];

    fn plan(cell: CellKind) -> Plan {
        Plan { cell, n_inputs: 2, hidden: 3, seed: 7 }
    }

    /// Windows of five rows whose next change is the mean of the first column.
    fn batch() -> Batch {
        let n = 16;
        let windows: Vec<f32> = (0..n * 10).map(|i| (i as f32 * 0.7).sin()).collect();
        let mean = |window: &[f32]| window.iter().step_by(2).sum::<f32>() / 5.0;
        let changes = windows.chunks(10).map(mean).collect();
        Batch { n, windows, changes }
    }

    #[test]
    fn the_first_forecast_is_that_nothing_changes() {
        for cell in KINDS {
            let said = Forecaster::init(&plan(cell), 0.1).forecast(&batch().windows, 16).unwrap();
            assert_eq!(said.changes, [0.0; 16]);
            assert_eq!(said.states.len(), 16 * 3);
            assert!(said.states.iter().any(|h| h.abs() > 0.05), "{cell:?}");
        }
    }

    #[test]
    fn steps_reduce_the_loss() {
        for cell in KINDS {
            let mut network = Forecaster::init(&plan(cell), 0.02);
            let losses: Vec<f64> = (0..60).map(|_| network.train(&batch()).unwrap()).collect();
            assert!(losses[59] < 0.2 * losses[0], "{cell:?} {losses:?}");
        }
    }

    #[test]
    fn stored_weights_forecast_the_same() {
        for cell in KINDS {
            let mut network = Forecaster::init(&plan(cell), 0.02);
            network.train(&batch()).unwrap();
            let tensors = network.tensors().unwrap();
            let again = Forecaster::load(&plan(cell), tensors).unwrap();
            let windows = batch().windows;
            assert_eq!(
                again.forecast(&windows, 16).unwrap(),
                network.forecast(&windows, 16).unwrap()
            );
        }
    }

    #[test]
    fn weights_that_do_not_fit_are_all_named() {
        let mut tensors = Forecaster::init(&plan(CellKind::Rnn), 0.1).tensors().unwrap();
        tensors[0].name = "cell.v".to_owned();
        tensors[1].shape = vec![9];
        let error = Forecaster::load(&plan(CellKind::Rnn), tensors).unwrap_err();
        insta::assert_snapshot!(error.to_string(), @"the weights do not fit their card: `cell.w` is missing, `cell.u` is [9] and should be [3, 3], `cell.v` is not expected");
    }

    #[test]
    fn kept_weights_come_back() {
        let mut network = Forecaster::init(&plan(CellKind::Gru), 0.1);
        network.train(&batch()).unwrap();
        network.keep();
        let kept = network.tensors().unwrap();
        network.train(&batch()).unwrap();
        assert_ne!(network.tensors().unwrap(), kept);
        network.restore();
        assert_eq!(network.tensors().unwrap(), kept);
    }

    #[test]
    fn orders_are_permutations_that_differ() {
        let orders: Vec<_> = [(1, 1), (1, 2), (2, 1), (1 << 32, 1)]
            .into_iter()
            .map(|(seed, epoch)| permutation(seed, epoch, 50).unwrap())
            .collect();
        for (i, order) in orders.iter().enumerate() {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..50).collect::<Vec<_>>());
            assert!(!orders[..i].contains(order));
        }
    }
}
