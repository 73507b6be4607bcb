//! Training that is killed and gone on with.

use std::fs;
use std::path::Path;

use rondeau::io::{Checkpoints, safetensors};
use rondeau::train::{Ended, Observer, Rows, StepDone, Stop, Trained, Trainer};
use rondeau::{Array, Tree, random, scan, tanh, tree, value_and_grad, vmap};

use crate::child::{Process, Role, idle};
use crate::harness::{Rng, Tally, count};

/// `h' = tanh(W·x + U·h + b)`, and a number read off the last state.
#[derive(Clone, Tree)]
struct Model {
    w: Array,
    u: Array,
    b: Array,
    out: Array,
}

/// Adam's state, with its number of steps for the schedule of the step size.
#[derive(Clone, Tree)]
struct Adam {
    first: Model,
    second: Model,
    n_steps: Array,
}

#[derive(Clone, Tree)]
struct Metrics {
    loss: Array,
    gradient: Array,
}

type Batch = (Array, Array);

fn forecast(model: &Model, xs: &Array) -> Array {
    let step = |h: &Array, x: &Array| (tanh(model.w.dot(x) + model.u.dot(h) + &model.b), ());
    scan(step, &model.b.zeros_like(), xs).0.dot(&model.out)
}

fn loss(model: &Model, (xs, ys): &Batch) -> Array {
    (vmap(forecast, (None, 0)).apply(model, xs) - ys).square().mean()
}

/// Adam with a falling step size, along the gradient for noisy inputs.
fn update(model: &Model, adam: &Adam, batch: &Batch, key: &Array) -> (Model, Adam, Metrics) {
    let noisy = &batch.0 + random::normal(key, Vec::from(batch.0.shape())) * 0.05;
    let (loss, gradient) = value_and_grad(loss).apply(model, &(noisy, batch.1.clone()));
    let n_steps = &adam.n_steps + 1.0;
    let rate = 0.02 / (1.0 + &n_steps * 0.02);
    let square = tree::leaves(&gradient).into_iter().map(|g| g.square().sum());
    let square = square.reduce(|a, b| a + b).unwrap();
    let first = tree::map2(&adam.first, &gradient, |m, g| m * 0.9 + g * 0.1).unwrap();
    let second = tree::map2(&adam.second, &gradient, |v, g| v * 0.99 + g.square() * 0.01).unwrap();
    let steps = tree::map2(&first, &second, |m, v| m / (v.sqrt() + 1e-6)).unwrap();
    let model = tree::map2(model, &steps, |p, step| p - step * &rate).unwrap();
    (model, Adam { first, second, n_steps }, Metrics { loss, gradient: square.sqrt() })
}

fn start() -> (Model, Adam) {
    let keys = random::split(&random::key(3), 3);
    let model = Model {
        w: random::normal(&keys.at(0), [6, 2]) * 0.3,
        u: random::normal(&keys.at(1), [6, 6]) * 0.3,
        b: Array::zeros([6]),
        out: random::normal(&keys.at(2), [6]) * 0.3,
    };
    let zeros = tree::map(&model, Array::zeros_like);
    let adam = Adam { first: zeros.clone(), second: zeros, n_steps: Array::from(0.0_f32) };
    (model, adam)
}

fn data(n: usize) -> Batch {
    let xs = random::normal(&random::key(5), [n, 7, 2]);
    let ys = xs.sum_axis(1).sum_axis(1) * 0.1;
    (xs, ys)
}

struct Says;

impl Observer for Says {
    fn step(&mut self, done: StepDone<'_>) {
        println!("child: {}", done.step);
    }
}

const EPOCHS: u64 = 8;
const N_STEPS: u64 = EPOCHS * 5;

fn trainer<'a>(
    dir: &Path,
    observer: &'a mut dyn Observer,
) -> Trainer<'a, Model, Adam, Batch, Metrics> {
    let validation = data(20);
    Trainer::new(update)
        .epochs(EPOCHS)
        .batch_size(8)
        .key(random::key(11))
        .validate(move |model: &Model| Ok(f64::from(loss(model, &validation).item::<f32>()?)))
        .checkpoints(Checkpoints::in_dir(dir, 2).unwrap(), 3)
        .csv(dir.join("log.csv"))
        .observer(observer)
}

/// The child: trains, or goes on with training, to the end.
pub(crate) fn run(dir: &Path) {
    let (model, adam) = start();
    let rows = Rows::of(data(43)).unwrap();
    let trained = trainer(dir, &mut Says).resume().run(model, adam, &rows).unwrap();
    write_final(dir, &trained);
}

fn write_final(dir: &Path, trained: &Trained<Model, Adam>) {
    let all = (trained.params.clone(), trained.optimizer.clone(), trained.best.clone());
    safetensors::save(dir.join("final.safetensors"), &all).unwrap();
}

/// All that a run leaves.
fn results(dir: &Path) -> Vec<Vec<u8>> {
    let last = format!("step-{N_STEPS:012}.ckpt");
    let names = ["final.safetensors", "best.safetensors", "log.csv", &last];
    names.map(|name| fs::read(dir.join(name)).unwrap()).into()
}

#[test]
fn a_run_that_is_killed_ends_with_the_same_bits() {
    let mut rng = Rng::new("a_run_that_is_killed_ends_with_the_same_bits");
    let whole = tempfile::tempdir().unwrap();
    Process::start(Role::Train, whole.path()).finish();
    let expected = results(whole.path());
    let n_runs = count(100, 3);
    let mut tally = Tally::new("runs killed and gone on with", n_runs);
    let mut n_kills = 0;
    for run in 0..n_runs {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..1 + rng.below(2) {
            let mut process = Process::start(Role::Train, dir.path());
            let at = 1 + rng.below(N_STEPS as usize) as u64;
            while process.number().is_some_and(|step| step < at) {}
            idle(rng.below(20_000));
            process.kill();
            n_kills += 1;
        }
        Process::start(Role::Train, dir.path()).finish();
        assert!(results(dir.path()) == expected, "run {run}");
        tally.pass();
    }
    tally.done(&format!("weights, optimizer, best, log bit-equal; {n_kills} kills"));
}

/// Asks to stop after a step.
struct StopsAt(u64, Stop);

impl Observer for StopsAt {
    fn step(&mut self, done: StepDone<'_>) {
        if done.step == self.0 {
            self.1.request();
        }
    }
}

#[test]
fn a_run_that_is_stopped_after_any_step_ends_with_the_same_bits() {
    let rows = Rows::of(data(43)).unwrap();
    let whole = tempfile::tempdir().unwrap();
    let (model, adam) = start();
    let trained = trainer(whole.path(), &mut Says).run(model.clone(), adam.clone(), &rows).unwrap();
    assert_eq!((trained.steps, trained.ended), (N_STEPS, Ended::AllEpochs));
    write_final(whole.path(), &trained);
    let expected = results(whole.path());
    let by = count(1, 9);
    let stops: Vec<u64> = (1..N_STEPS).step_by(by as usize).collect();
    let mut tally = Tally::new("runs stopped after each step, gone on with", stops.len() as u64);
    for &at in &stops {
        let dir = tempfile::tempdir().unwrap();
        let stop = Stop::new();
        let mut observer = StopsAt(at, stop.clone());
        let stopped = trainer(dir.path(), &mut observer).stop(stop);
        let stopped = stopped.run(model.clone(), adam.clone(), &rows).unwrap();
        assert_eq!((stopped.steps, stopped.ended), (at, Ended::Stopped));
        let resumed = |says| trainer(dir.path(), says).resume();
        let trained = resumed(&mut Says).run(model.clone(), adam.clone(), &rows).unwrap();
        write_final(dir.path(), &trained);
        assert!(results(dir.path()) == expected, "step {at}");
        tally.pass();
    }
    tally.done("bit-equal");
}

#[test]
fn a_damaged_checkpoint_falls_back_and_ends_with_the_same_bits() {
    let mut rng = Rng::new("a_damaged_checkpoint_falls_back_and_ends_with_the_same_bits");
    let rows = Rows::of(data(43)).unwrap();
    let (model, adam) = start();
    let whole = tempfile::tempdir().unwrap();
    let trained = trainer(whole.path(), &mut Says).run(model.clone(), adam.clone(), &rows).unwrap();
    write_final(whole.path(), &trained);
    let n = count(100, 3);
    let mut tally = Tally::new("damaged newest checkpoints", n);
    for _ in 0..n {
        let dir = tempfile::tempdir().unwrap();
        let stop = Stop::new();
        let mut observer = StopsAt(20, stop.clone());
        let stopped = trainer(dir.path(), &mut observer).stop(stop);
        stopped.run(model.clone(), adam.clone(), &rows).unwrap();
        let newest = dir.path().join("step-000000000020.ckpt");
        let mut bytes = fs::read(&newest).unwrap();
        let at = rng.below(bytes.len());
        bytes[at] ^= 1 << rng.below(8);
        fs::write(&newest, bytes).unwrap();

        let mut notes = Notes(vec![]);
        let trained = trainer(dir.path(), &mut notes).resume();
        let trained = trained.run(model.clone(), adam.clone(), &rows).unwrap();
        assert!(notes.0[0].contains("passed over a damaged checkpoint"), "{:?}", notes.0);
        assert!(notes.0[0].contains("step-000000000020"), "{:?}", notes.0);
        assert_eq!(notes.0[1], "going on behind step 18");
        write_final(dir.path(), &trained);
        assert!(results(dir.path()) == results(whole.path()));
        tally.pass();
    }
    tally.done("the one before was used, and said so");
}

struct Notes(Vec<String>);

impl Observer for Notes {
    fn note(&mut self, note: &str) {
        self.0.push(note.to_owned());
    }
}
