//! Forecasters of the next row of a series.
//!
//! A forecast is the last value of the target plus the change that the model reads off its last
//! state. The readout starts at zero, so training starts from the forecast "no change", and a
//! series that drifts out of the range of its training rows is still followed. On the shipped
//! weather this is as accurate as forecasting the value itself. The weights that are validated, kept
//! and stored are a running mean over the last hundred or so steps of the optimizer, since the
//! minibatches of a small file make single steps noisy.

use std::fmt;

use anyhow::Result;
use rondeau::io::Record;
use rondeau::optim::{self, Ema, EmaState, Optimizer as _};
use rondeau::train::{Stop, Trainer};
use rondeau::{Array, jit, nn, nn::Cell, tree, value_and_grad, vmap};

use crate::args::Common;
use crate::cells::Cells;
use crate::commands::equip;
use crate::data::Prepared;
use crate::fit::{Fitted, Forecasts, Network, Schedule, fit, span_loss};
use crate::model::{Inputs, Model, OptimizerState, Spec, Weights, key_of, optimizer};
use crate::progress::Progress;

/// xs: `[window, n_inputs]` → the change that follows, `[]`, and the last output, `[units]`.
fn forecast(model: &Model, xs: &Array) -> (Array, Array) {
    let (_, outputs) = nn::run(&model.layers, &model.initial_carry(), xs);
    let output = outputs.at(-1);
    (model.readout.of(&output).at(0), output)
}

/// The mean squared error over windows xs `[n, window, n_inputs]` followed by changes ys `[n]`.
fn loss(model: &Model, xs: &Array, ys: &Array) -> Array {
    let forecast = |model: &Model, xs: &Array| forecast(model, xs).0;
    let changes = vmap(forecast, (None, 0)).apply(model, xs);
    (changes - ys).square().mean()
}

/// The optimizer's state, and that of the running mean.
type State = (OptimizerState, EmaState<Model>);

/// How much of itself the mean keeps at each step.
const KEPT: f64 = 0.99;

/// The first weights and the state before the first step.
fn start(model: &Model, rate: f64) -> (Weights, State) {
    let state = (optimizer(rate, 0.0).init(model), Ema::new(KEPT).init(model));
    (Weights { model: model.clone(), mean: model.clone() }, state)
}

/// One step of the optimizer on a batch, and the loss before it.
fn update(
    weights: &Weights,
    (state, mean): &State,
    (xs, ys): &(Array, Array),
    rate: f64,
) -> (Weights, State, Array) {
    let (loss, gradient) = value_and_grad(loss).apply(&weights.model, xs, ys);
    let (updates, state) = optimizer(rate, 0.0).update(&gradient, state, &weights.model);
    let model = optim::apply(&weights.model, &updates);
    let ema = Ema::new(KEPT);
    let mean = ema.update(mean, &model);
    (Weights { model, mean: ema.params(&mean) }, (state, mean), loss)
}

type Forecast = Box<dyn Fn(&Model, &Array) -> rondeau::Result<(Array, Array)>>;

/// A forecaster, and the compiled function that forecasts with it.
pub struct Forecaster {
    n_inputs: usize,
    model: Model,
    forecast: Forecast,
}

impl fmt::Debug for Forecaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Forecaster")
    }
}

impl Forecaster {
    /// A forecaster with random weights.
    ///
    /// # Errors
    /// If there is no such cell.
    pub fn init(cells: &Cells, spec: &Spec) -> Result<Forecaster> {
        let mut model = Model::init(cells, spec)?;
        model.readout = tree::map(&model.readout, Array::zeros_like);
        let (Inputs::Numbers(n) | Inputs::Symbols(n)) = spec.inputs;
        Ok(Forecaster::of(model, n))
    }

    /// A forecaster of a model that takes so many numbers for each row.
    pub fn of(model: Model, n_inputs: usize) -> Forecaster {
        let compiled = jit(vmap(forecast, (None, 0)));
        Forecaster {
            n_inputs,
            model,
            forecast: Box::new(move |model, xs| compiled.call(model, xs)),
        }
    }

    /// Trains it, and leaves it with the weights of the best epoch.
    ///
    /// # Errors
    /// If the computation fails, or a loss is not finite.
    pub fn train(
        &mut self,
        data: &Prepared,
        schedule: Schedule,
        common: &Common,
        progress: &mut Progress,
        stop: Stop,
    ) -> Result<Fitted> {
        let rate = common.learning_rate;
        let rows = data.split.validation.clone();
        let trainer = Trainer::new(
            move |weights: &Weights, state: &State, batch: &(Array, Array), _: &Array| {
                update(weights, state, batch, rate)
            },
        );
        let trainer = equip(trainer, common, schedule.plan(data.split.train.len()).n_batches)?
            .key(key_of(common.seed))
            .validate(|weights| {
                span_loss(&With { network: self, model: &weights.mean }, data, rows.clone())
            })
            .observer(progress)
            .stop(stop);
        let (trained, fitted) = fit(trainer, schedule, data, start(&self.model, rate))?;
        self.model = trained.best.mean;
        Ok(fitted)
    }

    /// The weights, by their paths in the model.
    ///
    /// # Errors
    /// If a computation before has failed.
    pub fn weights(&self) -> Result<Record> {
        Ok(Record::of(&self.model)?)
    }
}

/// The forecaster with some weights.
struct With<'a> {
    network: &'a Forecaster,
    model: &'a Model,
}

impl Network for With<'_> {
    fn forecast(&self, windows: &[f32], n: usize) -> rondeau::Result<Forecasts> {
        let n_inputs = self.network.n_inputs;
        let shape = [n, windows.len() / (n * n_inputs), n_inputs];
        let xs = Array::new(shape, windows.to_vec());
        let (changes, states) = (self.network.forecast)(self.model, &xs)?;
        Ok(Forecasts { changes: changes.to_vec()?, states: states.to_vec()? })
    }
}

impl Network for Forecaster {
    fn forecast(&self, windows: &[f32], n: usize) -> rondeau::Result<Forecasts> {
        With { network: self, model: &self.model }.forecast(windows, n)
    }
}
