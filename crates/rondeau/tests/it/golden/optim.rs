//! The optimizers, schedules and losses of optax, in f64.

use std::collections::BTreeMap;

use rondeau::nn::loss;
use rondeau::optim::{self, Optimizer, Schedule, schedule};
use rondeau::{Array, DType, Tree, jit, vmap};

use super::function::check_named;
use super::{Case, Exclusions, run_section};

const EXCLUSIONS: Exclusions = &[
    ("opt_adadelta", "the library does not have this optimizer"),
    ("opt_adamax", "the library does not have this optimizer"),
    ("opt_radam", "the library does not have this optimizer"),
    ("opt_lamb", "the library does not have this optimizer"),
    ("opt_amsgrad", "the library does not have this optimizer"),
    ("opt_multi_steps_2", "optax adds f64 gradients up in f32 here"),
];

#[test]
fn optim() {
    let groups = [optimizers, chains, schedules, losses];
    run_section("optim", EXCLUSIONS, |case| super::function::run_groups(case, &groups));
}

#[derive(Clone, Tree)]
struct Params {
    a: Array,
    b: Array,
}

/// Six updates by the gradients of the case `grads`, one by one and compiled.
fn descend<O: Optimizer>(case: &Case<'_>, optimizer: O) {
    let read = |place: &str| Params {
        a: case.of("grads", &format!("in/{place}.a")),
        b: case.of("grads", &format!("in/{place}.b")),
    };
    let start = read("p");
    let update = |gradient: &Params, state: &O::State<Params>, params: &Params| {
        let (updates, state) = optimizer.update(gradient, state, params);
        (optim::apply(params, &updates), state)
    };
    let compiled = jit(update);
    let (mut eager, mut eager_state) = (start.clone(), optimizer.init(&start));
    let (mut fast, mut fast_state) = (start.clone(), optimizer.init(&start));
    for t in 0..6 {
        let gradient = read(&format!("g.{t}"));
        (eager, eager_state) = update(&gradient, &eager_state, &eager);
        (fast, fast_state) = compiled.apply(&gradient, &fast_state, &fast);
        case.check_tree(&format!("out/{t}"), &eager);
        case.check_tree(&format!("out/{t}"), &fast);
    }
}

fn optimizers(case: &Case<'_>) -> bool {
    match case.id {
        // The numbers that the others begin with.
        "grads" => {}
        "opt_sgd" => descend(case, optim::sgd(0.1)),
        "opt_sgd_momentum" => descend(case, optim::sgd(0.1).momentum(0.9)),
        "opt_sgd_nesterov" => descend(case, optim::sgd(0.1).momentum(0.9).nesterov()),
        "opt_adam" => descend(case, optim::adam(0.01)),
        "opt_adam_nesterov" => descend(case, optim::nadam(0.01)),
        "opt_adamw" => descend(case, optim::adamw(0.01, 0.1)),
        "opt_adamw_default" => descend(case, optim::adamw(0.01, 1e-4)),
        "opt_rmsprop" => descend(case, optim::rmsprop(0.01)),
        "opt_rmsprop_centered_mom" => descend(case, optim::rmsprop(0.01).centered().momentum(0.9)),
        "opt_adagrad" => descend(case, optim::adagrad(0.1)),
        "opt_lion" => descend(case, optim::lion(0.01, 0.1)),
        _ => return false,
    }
    true
}

fn chains(case: &Case<'_>) -> bool {
    match case.id {
        "opt_clip_global_then_sgd" => {
            descend(case, (optim::clip_by_global_norm(1.0), optim::sgd(0.1)));
        }
        "opt_clip_then_adam" => descend(case, (optim::clip_by_value(0.5), optim::adam(0.01))),
        "opt_clip_adamw_cosine" => {
            let adamw = optim::adamw(schedule::cosine(0.05, 5, 0.1), 0.01);
            descend(case, (optim::clip_by_global_norm(1.0), adamw));
        }
        "opt_add_decayed_sgd" => descend(case, (optim::add_decay(0.1), optim::sgd(0.1))),
        _ => return false,
    }
    true
}

/// The values at the counts 0 to 23.
fn schedules(case: &Case<'_>) -> bool {
    let rate = match case.id {
        "sched_constant" => schedule::constant(0.1),
        "sched_cosine" => schedule::cosine(0.1, 20, 0.05),
        "sched_warmup_cosine" => schedule::warmup_cosine(0.0, 0.1, 5, 20, 0.01),
        "sched_linear" => schedule::linear(0.1, 0.01, 10, 3),
        "sched_exponential" => schedule::exponential(0.1, 5, 0.5),
        "sched_exponential_stair" => schedule::staircase(0.1, 5, 0.5, 2),
        "sched_piecewise" => schedule::piecewise(0.1, &[(5, 0.5), (12, 0.1)]),
        "sched_polynomial" => schedule::polynomial(0.1, 0.01, 2.0, 10, 0),
        "sched_onecycle" => schedule::one_cycle(20, 0.1),
        "sched_join" => {
            schedule::join(schedule::linear(0.0, 0.1, 5, 0), 5, schedule::cosine(0.1, 10, 0.0))
        }
        _ => return false,
    };
    let at = |count: &Array| rate.at(count);
    let counts = Array::arange(24);
    case.check("out", &rondeau::map(at, &counts));
    case.check("out", &jit(vmap(at, (0,))).apply(&counts));
    true
}

fn losses(case: &Case<'_>) -> bool {
    match case.id {
        "global_norm" => {
            let leaves = ["a", "b"].map(|leaf| case.of("grads", &format!("in/g.0.{leaf}")));
            case.check("out", &optim::global_norm(&leaves));
        }
        "loss_softmax_int" => check_named(case, &[""], &|given: &BTreeMap<_, _>| {
            vec![loss::cross_entropy(&given["logits"], &given["y"])]
        }),
        "loss_sigmoid_bce" => check_named(case, &[""], &|given| {
            vec![loss::binary_cross_entropy(&given["logits"], &given["y"])]
        }),
        "loss_huber" => check_named(case, &[""], &|given| {
            vec![loss::huber(&given["x"], &Array::from(0.0_f64), 1.0)]
        }),
        "loss_ctc" => {
            let length = |paddings: &str| {
                (1.0 - case.input(paddings).to(DType::F64)).sum_axis(-1).to(DType::I32)
            };
            let (n_steps, n_labels) = (length("logit_paddings"), length("label_paddings"));
            let labels = case.input("labels");
            super::function::check(case, ["logits"], |logits: &Array| {
                vmap(loss::ctc, (0, 0, 0, 0)).apply(logits, &n_steps, &labels, &n_labels)
            });
        }
        _ => return false,
    }
    true
}
