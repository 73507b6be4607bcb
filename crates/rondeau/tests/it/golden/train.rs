//! 200 steps of training the tutorial's GRU with a linear read-out, as optax does it, in f64.

use rondeau::nn::import::Weights;
use rondeau::nn::{self, Cell, Gate, loss};
use rondeau::optim::{self, Optimizer, schedule};
use rondeau::{Array, jit, scan_n, value_and_grad, vmap};

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
            let rate = schedule::warmup_cosine(0.0, 0.02, 20, 200, 0.0);
            train_by(case, (optim::clip_by_global_norm(1.0), optim::adamw(rate, 0.01)));
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

fn train_by<O: Optimizer>(case: &Case<'_>, optimizer: O) {
    let (xs, ys) = (case.of("task", "in/X"), case.of("task", "in/Y"));
    let mut params = start(case);
    let mut state = optimizer.init(&params);
    let step = jit(|params: &Weights, state: &O::State<Weights>, xs: &Array, ys: &Array| {
        let (loss, gradient) = value_and_grad(error).apply(params, xs, ys);
        let (updates, state) = optimizer.update(&gradient, state, params);
        (optim::apply(params, &updates), state, loss, optim::global_norm(&gradient))
    });
    let (mut losses, mut norms) = (vec![], vec![]);
    for i in 0..200 {
        let (next, next_state, loss, norm) = step.apply(&params, &state, &xs, &ys);
        (params, state) = (next, next_state);
        losses.push(loss.item::<f64>().unwrap_or_else(|error| panic!("{error}")));
        norms.push(norm.item::<f64>().unwrap_or_else(|error| panic!("{error}")));
        if i == 9 {
            check_params(case, "out/params10", &params);
        }
    }
    case.check("out/losses", &Array::from(losses));
    case.check("out/grad_norms", &Array::from(norms));
    check_params(case, "out/params", &params);
    case.check("out/final_loss", &error(&params, &xs, &ys));
}
