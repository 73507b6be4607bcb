//! The examples' functions against references in plain Rust.

#[path = "../../examples/gae.rs"]
#[allow(dead_code)]
mod gae;
#[path = "../../examples/hmm.rs"]
#[allow(dead_code)]
mod hmm;
#[path = "../../examples/kalman.rs"]
#[allow(dead_code)]
mod kalman;
#[path = "../../examples/rk4.rs"]
#[allow(dead_code)]
mod rk4;

use rondeau::{Array, DType, grad, jit, nn, random};

fn numbers(x: &Array) -> Vec<f64> {
    x.to(DType::F64).to_vec::<f64>().unwrap_or_else(|error| panic!("{error}"))
}

fn draw(seed: i64, shape: &[usize]) -> Array {
    random::normal_f64(&random::key(seed), shape)
}

fn near(a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= tolerance, "{a} and not {b}");
    }
}

#[test]
fn advantages_are_discounted_sums_of_errors() {
    let n = 9;
    let (rewards, values) = (draw(0, &[n]), draw(1, &[n + 1]));
    let dones = vec![0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0];
    let (gamma, lambda) = (0.97, 0.9);
    let of = |rewards: &Array, values: &Array| {
        gae::advantages(rewards, values, &Array::from(dones.clone()), gamma, lambda)
    };
    let got = numbers(&jit(of).apply(&rewards, &values));
    let (r, v) = (numbers(&rewards), numbers(&values));
    let sum_from = |t: usize| {
        let (mut sum, mut factor) = (0.0, 1.0);
        for k in t..n {
            let goes_on = 1.0 - dones[k];
            sum += factor * (r[k] + gamma * goes_on * v[k + 1] - v[k]);
            factor *= gamma * lambda * goes_on;
        }
        sum
    };
    near(&got, &(0..n).map(sum_from).collect::<Vec<_>>(), 1e-12);
}

#[test]
fn the_forward_algorithm_sums_all_paths() {
    let (n_states, n_steps) = (3, 5);
    let initial = draw(0, &[n_states]).log_softmax(-1);
    let transitions = draw(1, &[n_states, n_states]).log_softmax(-1);
    let evidence = draw(2, &[n_steps, n_states]);
    let [i, t, e] = [&initial, &transitions, &evidence].map(numbers);
    let (mut total, mut visits) = (0.0, vec![0.0; n_steps * n_states]);
    for mut number in 0..n_states.pow(n_steps as u32) {
        let mut path = vec![];
        for _ in 0..n_steps {
            path.push(number % n_states);
            number /= n_states;
        }
        let mut score = i[path[0]];
        score += path.windows(2).map(|pair| t[pair[0] * n_states + pair[1]]).sum::<f64>();
        score += path.iter().enumerate().map(|(t, s)| e[t * n_states + s]).sum::<f64>();
        total += score.exp();
        path.iter().enumerate().for_each(|(t, s)| visits[t * n_states + s] += score.exp());
    }
    let got = jit(hmm::log_likelihood).apply(&initial, &transitions, &evidence);
    near(&numbers(&got), &[total.ln()], 1e-12);
    let posterior = jit(hmm::posterior).apply(&initial, &transitions, &evidence);
    let want: Vec<f64> = visits.iter().map(|visit| visit / total).collect();
    near(&numbers(&posterior), &want, 1e-12);
}

/// The solution of `a·x = b` by elimination.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for i in 0..n {
        for k in i + 1..n {
            let factor = a[k][i] / a[i][i];
            let pivot = a[i].clone();
            a[k].iter_mut().zip(pivot).skip(i).for_each(|(x, p)| *x -= factor * p);
            b[k] -= factor * b[i];
        }
    }
    for i in (0..n).rev() {
        let rest: f64 = (i + 1..n).map(|j| a[i][j] * b[j]).sum();
        b[i] = (b[i] - rest) / a[i][i];
    }
    b
}

#[test]
fn smoothed_means_minimize_the_whole_sum_of_squares() {
    let n = 6;
    let model = nn::cast(&kalman::model(0.2), DType::F64);
    let prior = (Array::from([0.3, -0.2]), Array::eye(2).to(DType::F64) * 0.5);
    let measured = draw(3, &[n]);
    let (filtered, predicted, _) = jit(kalman::filter).apply(&model, &prior, &measured);
    let (means, _) = jit(kalman::smooth).apply(&model, &filtered, &predicted);

    // The mean of all states together is where the gradient of the exponent is zero, and that is
    // linear: one row of the system for each number of the states before, at and after the times.
    let energy = |states: &Array| {
        let states = states.reshape([n + 1, 2]);
        let square = |x: Array, variance: f64| x.square().sum() / variance;
        let start = square(states.at(0) - &prior.0, 0.5);
        let moves = states.at(1..) - states.at(..-1).dot(model.transition.t());
        let misses = states.at((1.., 0)) - &measured;
        let (q, r) = (numbers(&model.process)[0], numbers(&model.noise)[0]);
        start + square(moves, q) + square(misses, r)
    };
    let slope = jit(grad(energy));
    let size = 2 * (n + 1);
    let at = |x: Vec<f64>| numbers(&slope.apply(&Array::from(x)));
    let zero = at(vec![0.0; size]);
    let column = |j: usize| {
        let mut x = vec![0.0; size];
        x[j] = 1.0;
        at(x).iter().zip(&zero).map(|(a, b)| a - b).collect::<Vec<f64>>()
    };
    let columns: Vec<Vec<f64>> = (0..size).map(column).collect();
    let matrix = (0..size).map(|i| columns.iter().map(|column| column[i]).collect()).collect();
    let best = solve(matrix, zero.iter().map(|x| -x).collect());
    near(&numbers(&means), &best[2..], 1e-9);
    // The last one has seen all measurements already when it is filtered.
    near(&numbers(&filtered.0.at(-1)), &best[size - 2..], 1e-9);
}

#[test]
fn runge_kutta_has_the_fourth_order() {
    // y' = -y, whose solution is known.
    let error = |n: usize| {
        let y0 = Array::from(1.0_f64);
        let ys = rk4::solve(|y| -y, &y0, 1.0 / n as f64, n);
        (numbers(&ys.at(-1))[0] - (-1.0_f64).exp()).abs()
    };
    let order = (error(10) / error(20)).log2();
    assert!((order - 4.0).abs() < 0.1, "{order}");
    // Without friction, the energy of a pendulum stays.
    let still = Array::from(0.0_f64);
    let y0 = Array::from([1.0_f64, 0.0]);
    let ys = jit(|y0: &Array| rk4::solve(|y| rk4::pendulum(&still, y), y0, 0.01, 500)).apply(&y0);
    let energy = ys.at((.., 1)).square() * 0.5 - ys.at((.., 0)).cos();
    near(&numbers(&energy), &vec![-(1.0_f64).cos(); 500], 1e-9);
}
