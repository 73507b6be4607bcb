//! Generalized advantage estimation (Schulman et al. 2015, arXiv:1506.02438), as one scan from the
//! last step to the first over a batch of episodes.
//!
//! ```sh
//! cargo run --release --example gae
//! ```

use rondeau::{Array, Result, concatenate, jit, random, scan_reverse, vmap};

/// The advantage of each step: `A[t] = δ[t] + γλ·(1 - done[t])·A[t+1]` with
/// `δ[t] = r[t] + γ·(1 - done[t])·v[t+1] - v[t]`.
///
/// `rewards, dones: [time]`, `values: [time + 1]` → `[time]`.
pub(crate) fn advantages(
    rewards: &Array,
    values: &Array,
    dones: &Array,
    gamma: f64,
    lambda: f64,
) -> Array {
    let goes_on = 1.0 - dones;
    let deltas = rewards + gamma * &goes_on * values.at(1..) - values.at(..-1);
    let step = |later: &Array, (delta, goes_on): &(Array, Array)| {
        let advantage = delta + gamma * lambda * goes_on * later;
        (advantage.clone(), advantage)
    };
    let none = deltas.at(0).zeros_like();
    scan_reverse(step, &none, &(deltas, goes_on)).1
}

fn main() -> Result<()> {
    let (batch, time) = (4, 12);
    let keys = random::split(&random::key(0), 3);
    let rewards = random::normal(&keys.at(0), [batch, time]);
    let values = random::normal(&keys.at(1), [batch, time + 1]);
    let dones = random::bernoulli(&keys.at(2), 0.1, [batch, time]).to(rewards.dtype());

    let one = |rewards: &Array, values: &Array, dones: &Array| {
        advantages(rewards, values, dones, 0.99, 0.95)
    };
    let all = jit(vmap(one, (0, 0, 0))).call(&rewards, &values, &dones)?;
    println!("advantages: {all}");

    // With λ = 0 an advantage is the error of one step.
    let last = concatenate(&[Array::zeros([1]), Array::ones([1])], 0);
    let short = advantages(&Array::ones([2]), &Array::zeros([3]), &last, 0.99, 0.0);
    println!("of one step each: {short}");
    Ok(())
}
