//! What optax's numbers do not show: masks of decay, averages, plateaus, types and schedules.

use rondeau::optim::{self, Decay, Ema, Optimizer, Plateau, Schedule, schedule};
use rondeau::{Array, DType, Tree, jit, tree};

#[derive(Clone, Tree)]
struct Layer {
    w: Array,
    b: Array,
}

fn layer() -> Layer {
    Layer { w: Array::ones([2, 2]), b: Array::ones([2]) }
}

fn zeros() -> Layer {
    tree::map(&layer(), Array::zeros_like)
}

#[test]
fn decay_is_of_what_is_chosen() {
    let update = |decay: Decay| {
        let optimizer = optim::adamw(0.1, decay);
        optimizer.update(&zeros(), &optimizer.init(&layer()), &layer()).0
    };
    let [all, matrices, named] =
        [Decay::new(0.5), Decay::new(0.5).matrices(), Decay::new(0.5).of(|path, _| path == "b")]
            .map(update);
    let shrinks = |x: &Array| x.lt(0.0).all().item::<bool>().unwrap();
    assert!(shrinks(&all.w) && shrinks(&all.b));
    assert!(shrinks(&matrices.w) && !shrinks(&matrices.b));
    assert!(!shrinks(&named.w) && shrinks(&named.b));
}

/// Each optimizer keeps the parameters' types, f32 and f64 in one tree.
fn keeps_types<O: Optimizer>(name: &str, optimizer: O) {
    let params = (Array::ones([3]), Array::ones([2]).to(DType::F64));
    let step = jit(|params: &(Array, Array), state: &O::State<(Array, Array)>| {
        let (updates, state) = optimizer.update(params, state, params);
        (optim::apply(params, &updates), state)
    });
    let state = optimizer.init(&params);
    let (next, next_state) =
        step.call(&params, &state).unwrap_or_else(|error| panic!("{name}: {error}"));
    let types = |tree: Vec<&Array>| -> Vec<_> {
        tree.into_iter().map(|leaf| leaf.aval().unwrap()).collect()
    };
    assert_eq!(types(tree::leaves(&params)), types(tree::leaves(&next)), "{name}");
    assert_eq!(types(tree::leaves(&state)), types(tree::leaves(&next_state)), "{name}");
}

#[test]
fn updates_keep_types() {
    keeps_types("sgd", optim::sgd(0.1).momentum(0.9));
    keeps_types("adam", optim::adam(schedule::cosine(0.1, 10, 0.0)));
    keeps_types("adamw", optim::adamw(0.1, 0.1));
    keeps_types("nadam", optim::nadam(0.1));
    keeps_types("rmsprop", optim::rmsprop(0.1).centered().momentum(0.5));
    keeps_types("adagrad", optim::adagrad(0.1));
    keeps_types("lion", optim::lion(0.1, 0.1));
    keeps_types(
        "a chain",
        (optim::clip_by_global_norm(1.0), optim::add_decay(0.1), optim::sgd(0.1)),
    );
    keeps_types("accumulated", optim::accumulate(optim::adam(0.1), 3));
}

type Parts = optim::Accumulate<optim::Adam>;

#[test]
fn accumulated_gradients_are_one_mean() {
    let (whole, parts) = (optim::adam(0.1), optim::accumulate(optim::adam(0.1), 3));
    let start = Array::from([1.0_f64, -2.0]);
    let gradient = |t: i32| Array::from([0.3 + f64::from(t), (1.7 * f64::from(t)).sin()]);
    let step = jit(|gradient: &Array, state: &optim::StateOf<Parts, Array>, params: &Array| {
        let (updates, state) = parts.update(gradient, state, params);
        (params + updates, state)
    });
    let (mut by_parts, mut state) = (start.clone(), parts.init(&start));
    let (mut at_once, mut whole_state) = (start.clone(), whole.init(&start));
    for t in 0..6 {
        (by_parts, state) = step.apply(&gradient(t), &state, &by_parts);
        if t % 3 == 2 {
            let mean = (gradient(t - 2) + gradient(t - 1) + gradient(t)) / 3.0;
            let (updates, next) = whole.update(&mean, &whole_state, &at_once);
            (at_once, whole_state) = (at_once + updates, next);
        }
        let distance = (&by_parts - &at_once).abs().max().item::<f64>().unwrap();
        assert!(distance < 1e-14, "step {t}: {distance:e}");
    }
}

#[test]
fn clipping_leaves_small_gradients_alone() {
    let gradient = (Array::from([0.3_f32]), Array::from([0.4_f32]));
    let clip = optim::clip_by_global_norm(1.0);
    let (same, ()) = clip.update(&gradient, &(), &gradient);
    assert_eq!(same.0.item::<f32>().unwrap(), 0.3);
    let nothing = (Array::from([0.0_f32]), Array::from([0.0_f32]));
    let (same, ()) = clip.update(&nothing, &(), &nothing);
    assert_eq!(same.1.item::<f32>().unwrap(), 0.0);
    let (half, ()) = optim::clip_by_value(0.35).update(&gradient, &(), &gradient);
    assert_eq!(half.1.item::<f32>().unwrap(), 0.35);
}

#[test]
fn an_average_forgets() {
    let ema = Ema::new(0.5);
    let mut state = ema.init(&Array::from(0.0_f64));
    for x in [1.0, 3.0] {
        state = ema.update(&state, &Array::from(x));
    }
    // (0.25·1 + 0.5·3) / 0.75
    let average = ema.params(&state).item::<f64>().unwrap();
    assert!((average - 7.0 / 3.0).abs() < 1e-15, "{average}");
}

#[test]
fn a_plateau_falls_and_recovers() {
    let plateau = Plateau::new(0.1, 2).least(0.05);
    let observe = jit(|state: &optim::PlateauState, loss: &Array| plateau.observe(state, loss));
    let mut state = plateau.init();
    let mut scales = vec![];
    for loss in [1.0, 0.5, 0.6, 0.5, 0.4, 0.4, 0.4, 0.39999] {
        state = observe.apply(&state, &Array::from(loss));
        scales.push(state.scale.item::<f64>().unwrap());
    }
    assert_eq!(scales, [1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.05, 0.05]);
    let updates = plateau.scaled(&state, &Array::from([2.0_f32]));
    assert_eq!(updates.item::<f32>().unwrap(), 0.1);
}

#[test]
fn schedules_of_no_steps_are_numbers() {
    for rate in [
        schedule::linear(0.1, 0.2, 0, 0),
        schedule::cosine(0.1, 0, 0.0),
        schedule::exponential(0.1, 0, 0.5),
        schedule::staircase(0.1, 0, 0.5, 0),
        schedule::one_cycle(0, 0.1),
        schedule::warmup_cosine(0.0, 0.1, 5, 3, 0.0),
    ] {
        for count in [0, 1, 7] {
            let value = rate.at(&Array::from(count)).item::<f64>().unwrap();
            assert!(value.is_finite() && value >= 0.0, "{value}");
        }
    }
}

#[test]
fn trees_that_differ_are_told() {
    let sgd = optim::sgd(0.1);
    let (one, two) = (vec![Array::ones([2])], vec![Array::ones([2]); 2]);
    let (updates, _) = sgd.update(&one, &sgd.init(&one), &one);
    let error = optim::apply(&two, &updates)[0].error().unwrap().to_string();
    assert!(error.contains("must have one structure"), "{error}");
}
