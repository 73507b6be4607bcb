//! An ordinary differential equation by the classical Runge-Kutta method, as a scan; its
//! parameter is found from a trajectory by the gradient through the solver.
//!
//! ```sh
//! cargo run --release --example rk4
//! ```

use rondeau::{Array, Result, jit, scan_n, stack, value_and_grad};

/// All states of `y' = f(y)` from `y0` on, after each of `n` steps of `dt`: `[n, ..]`.
pub(crate) fn solve(f: impl Fn(&Array) -> Array, y0: &Array, dt: f64, n: usize) -> Array {
    let step = |y: &Array| {
        let k1 = f(y);
        let k2 = f(&(y + &k1 * (0.5 * dt)));
        let k3 = f(&(y + &k2 * (0.5 * dt)));
        let k4 = f(&(y + &k3 * dt));
        let y = y + (k1 + 2.0 * (k2 + k3) + k4) * (dt / 6.0);
        (y.clone(), y)
    };
    scan_n(step, y0, n).1
}

/// A pendulum of an angle and its velocity, with friction.
pub(crate) fn pendulum(friction: &Array, y: &Array) -> Array {
    let (angle, velocity) = (y.at(0), y.at(1));
    stack(&[&velocity, &(-angle.sin() - friction * &velocity)], 0)
}

fn main() -> Result<()> {
    let y0 = Array::from([2.0_f32, 0.0]);
    let swing = |friction: &Array| solve(|y| pendulum(friction, y), &y0, 0.05, 200);
    let seen = swing(&Array::from(0.3_f32));

    let error = |friction: &Array| (swing(friction) - &seen).square().mean();
    let step = jit(value_and_grad(error));
    let mut friction = Array::from(0.0_f32);
    for i in 0..100 {
        let (error, slope) = step.call(&friction)?;
        if i % 20 == 0 {
            println!("step {i}: friction {friction}, error {error}");
        }
        friction -= 0.02 * slope;
    }
    println!("friction found: {friction}, true: 0.3");
    Ok(())
}
