//! 200 steps of training the tutorial's GRU with a linear read-out, as optax does it, in f64.

use rondeau::nn::import::Weights;
use rondeau::nn::{self, Cell, Gate, loss};
use rondeau::optim::{self, Optimizer, Schedule, schedule};
use rondeau::{Array, DType, jit, scan_n, tree, value_and_grad, vmap, where_};

use super::{Case, run_section};

#[test]
fn train() {
    run_section("train", &[], run);
}

/// The GRU and the read-out that JAX's names stand for.
fn model(params: &Weights) -> nn::Projection<nn::Gru> {
    let gate = |letter: &str| Gate {
        w: params[&format!("gru.W{letter}")].clone(),
        u: params[&format!("gru.U{letter}")].clone(),
        b: params[&format!("gru.b{letter}")].clone(),
    };
    nn::Projection {
        cell: nn::Gru { update: gate("z"), reset: gate("r"), candidate: gate("h") },
        projection: nn::Linear { weight: params["Wo"].clone(), bias: params["bo"].clone() },
    }
}

fn predict(params: &Weights, xs: &Array) -> Array {
    let model = model(params);
    let one = |xs: &Array| nn::run(&model, &model.initial_carry(), xs).1;
    vmap(one, (0,)).apply(xs)
}

fn error(params: &Weights, xs: &Array, ys: &Array) -> Array {
    loss::mse(&predict(params, xs), ys)
}

fn start(case: &Case<'_>) -> Weights {
    let names = ["Wz", "Uz", "bz", "Wr", "Ur", "br", "Wh", "Uh", "bh"];
    let names = names.map(|name| format!("gru.{name}")).into_iter();
    let names = names.chain(["Wo".to_owned(), "bo".to_owned()]);
    names.map(|name| (name.clone(), case.of("task", &format!("in/params.{name}")))).collect()
}

fn check_params(case: &Case<'_>, place: &str, params: &Weights) {
    for (name, array) in params {
        case.check(&format!("{place}.{name}"), array);
    }
}

fn run(case: &Case<'_>) {
    let (xs, ys) = (case.of("task", "in/X"), case.of("task", "in/Y"));
    match case.id {
        "task" => {
            let params = start(case);
            case.check("out/pred0", &jit(predict).apply(&params, &xs));
            let (loss, gradient) = jit(value_and_grad(error)).apply(&params, &xs, &ys);
            case.check("out/loss0", &loss);
            check_params(case, "out/grad0", &gradient);
        }
        "train_sgd" => train_by(case, optim::sgd(0.5)),
        "train_momentum" => train_by(case, optim::sgd(0.1).momentum(0.9).nesterov()),
        "train_adam" => train_by(case, optim::adam(0.01)),
        "train_adamw_clip_cosine" => {
            let adamw = optim::adamw(schedule::cosine(0.02, 200, 0.0), 0.01);
            train_by(case, (optim::clip_by_global_norm(0.25), adamw));
        }
        "train_adamw_warmup" => {
            train_by(case, (optim::clip_by_global_norm(1.0), optim::adamw(single_warmup, 0.01)));
        }
        "train_rmsprop" => train_by(case, optim::rmsprop(0.003)),
        "train_adam_as_scan" => {
            let adam = optim::adam(0.01);
            let step = optim::training_step(error, adam.clone());
            let all = jit(|params: &Weights, xs: &Array, ys: &Array| {
                let one = |(params, state): &(Weights, optim::StateOf<optim::Adam, Weights>)| {
                    let (params, state, loss) = step(params, state, xs, ys);
                    ((params, state), loss)
                };
                let ((params, _), losses) = scan_n(one, &(params.clone(), adam.init(params)), 50);
                (params, losses)
            });
            let (params, losses) = all.apply(&start(case), &xs, &ys);
            case.check("out/losses", &losses);
            check_params(case, "out/params", &params);
        }
        _ => case.fail("no test knows this case".to_owned()),
    }
}

/// `warmup_cosine(0.0, 0.02, 20, 200, 0.0)` with the roundings of optax, which computes it in f32
/// of an i32 count: both sums of the linear part are rounded once, the cosine at its end.
fn single_warmup(count: &Array) -> Array {
    let peak = f64::from(0.02_f32);
    let rest = 1.0 - count.to(DType::F64) * f64::from(0.05_f32);
    let rest = rest.to(DType::F32).to(DType::F64);
    let cosine = schedule::cosine(0.02, 180, 0.0).at(&(count - 20));
    where_(count.lt(20), peak - peak * rest, cosine).to(DType::F32).to(DType::F64)
}

/// What a run of training went through.
struct Run {
    losses: Array,
    norms: Array,
    params_10: Weights,
    params: Weights,
}

fn train_from<O: Optimizer>(case: &Case<'_>, optimizer: &O, mut params: Weights) -> Run {
    let (xs, ys) = (case.of("task", "in/X"), case.of("task", "in/Y"));
    let mut state = optimizer.init(&params);
    let step = jit(|params: &Weights, state: &O::State<Weights>, xs: &Array, ys: &Array| {
        let (loss, gradient) = value_and_grad(error).apply(params, xs, ys);
        let (updates, state) = optimizer.update(&gradient, state, params);
        (optim::apply(params, &updates), state, loss, optim::global_norm(&gradient))
    });
    let (mut losses, mut norms, mut params_10) = (vec![], vec![], params.clone());
    for i in 0..200 {
        let (next, next_state, loss, norm) = step.apply(&params, &state, &xs, &ys);
        (params, state) = (next, next_state);
        losses.push(loss.item::<f64>().unwrap_or_else(|error| panic!("{error}")));
        norms.push(norm.item::<f64>().unwrap_or_else(|error| panic!("{error}")));
        if i == 9 {
            params_10 = params.clone();
        }
    }
    Run { losses: Array::from(losses), norms: Array::from(norms), params_10, params }
}

/// Rounding grows along a run, and without bound where the loss jumps. So the run is made a second
/// time from parameters that are a few roundings away: what the two disagree on by more than a
/// tenth of the tolerance, no run determines, and it is not compared. The first 50 losses and the
/// parameters after 10 steps always are.
fn train_by<O: Optimizer>(case: &Case<'_>, optimizer: O) {
    let start = start(case);
    let beside = tree::map(&start, |leaf| leaf * (1.0 + 1e-15));
    let run = train_from(case, &optimizer, start);
    let twin = train_from(case, &optimizer, beside);
    let check = |place: &str, got: &Array, twin: &Array| {
        let is_settled = (got - twin).abs().le((1e-10 + 1e-7 * got.abs()) / 10.0);
        case.check(place, &where_(is_settled, got, case.array(place)));
    };
    check("out/losses", &run.losses, &twin.losses);
    check("out/grad_norms", &run.norms, &twin.norms);
    let want = case.array("out/losses");
    let distance = ((&run.losses - &want) / &want).at(..50).abs().max();
    let distance = distance.item::<f64>().unwrap_or_else(|error| panic!("{error}"));
    if distance > 1e-7 {
        case.fail(format!("the first 50 losses are up to {distance:e} from JAX's"));
    }
    check_params(case, "out/params10", &run.params_10);
    for (name, got) in &run.params {
        check(&format!("out/params.{name}"), got, &twin.params[name]);
    }
    let (xs, ys) = (case.of("task", "in/X"), case.of("task", "in/Y"));
    let last = |params: &Weights| error(params, &xs, &ys);
    check("out/final_loss", &last(&run.params), &last(&twin.params));
}
