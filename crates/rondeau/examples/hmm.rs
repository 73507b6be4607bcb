//! A hidden Markov model: the likelihood of what was seen by the forward algorithm, and what is
//! known of each hidden state as the gradient of its logarithm.
//!
//! ```sh
//! cargo run --release --example hmm
//! ```

use rondeau::{Arg, Array, Result, grad, jit, scan};

/// The logarithm of the probability of what was seen.
///
/// `initial: [states]`, `transitions: [states, states]` from the row to the column and
/// `evidence: [time, states]`, how likely each observation is in each state; all of them
/// logarithms.
pub(crate) fn log_likelihood(initial: &Array, transitions: &Array, evidence: &Array) -> Array {
    let step = |alpha: &Array, seen: &Array| {
        let next = (alpha.expand_dims(-1) + transitions).logsumexp_axis(0) + seen;
        (next, ())
    };
    let (alpha, ()) = scan(step, &(initial + evidence.at(0)), &evidence.at(1..));
    alpha.logsumexp()
}

/// The probability of each state at each time, after all that was seen: `[time, states]`. It is the
/// derivative of the logarithm of the likelihood by the evidence (Eisner 2016).
pub(crate) fn posterior(initial: &Array, transitions: &Array, evidence: &Array) -> Array {
    grad(log_likelihood).wrt(Arg::<2>).apply(initial, transitions, evidence)
}

fn main() -> Result<()> {
    // Rain and sun, and whether there are umbrellas.
    let initial = Array::from([0.5_f32, 0.5]).log();
    let transitions = Array::from([[0.7_f32, 0.3], [0.3, 0.7]]).log();
    let umbrella = Array::from([[0.9_f32, 0.2], [0.1, 0.8]]).log();
    let seen = Array::from([0, 0, 1, 0, 0]);
    let evidence = umbrella.take(&seen, 0);
    println!("log-likelihood: {}", jit(log_likelihood).call(&initial, &transitions, &evidence)?);
    println!("rain: {}", jit(posterior).call(&initial, &transitions, &evidence)?.at((.., 0)));
    Ok(())
}
