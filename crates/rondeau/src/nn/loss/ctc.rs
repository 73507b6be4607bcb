//! Connectionist temporal classification.

use crate::{Array, concatenate, scan, stack, where_};

/// What stands for the logarithm of zero: so small that it is nothing beside any other number, and
/// finite, so that differences of two are.
const LOG_ZERO: f64 = -1e5;

/// The negative logarithm of the probability that the logits give a sequence of labels, over all
/// ways to write it with repeated labels and blanks. Class 0 is the blank.
///
/// # Shapes
/// `logits: [time, classes]`, `n_steps: i32[]` of them are real; `labels: i32[n]`, `n_labels: i32[]`
/// of them are real → `[]`. For a batch, use [`vmap`](crate::vmap).
/// # Source
/// Graves et al. 2006; the numbers of `optax.ctc_loss`.
/// # Examples
/// ```
/// use rondeau::{Array, nn::loss};
///
/// // Two steps, a blank and one label, all equally likely: `a`, `-a`, `a-` and `aa` write "a".
/// let logits = Array::zeros([2, 2]);
/// let loss = loss::ctc(&logits, &Array::from(2), &Array::from([1]), &Array::from(1));
/// assert!((loss.item::<f32>()? - (4.0_f32 / 3.0).ln()).abs() < 1e-6);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn ctc(logits: &Array, n_steps: &Array, labels: &Array, n_labels: &Array) -> Array {
    // Blanks between the labels and around them: -, a, -, b, -.
    let blanks = labels.zeros_like();
    let pairs = stack(&[&blanks, labels], -1).ravel();
    let states = concatenate(&[pairs, Array::from([0])], 0);
    let n_states = 2 * labels.len() + 1;
    let earlier = |x: &Array, n: usize, fill: f64| x.pad(&[(n, 0)], fill).at(..n_states);
    // A label may follow another one at once; a blank, or the same label, does not skip.
    let before = states.pad(&[(2, 0)], 0).at(..n_states);
    let skips = states.ne(0) & states.ne(before);

    let scores = logits.log_softmax(-1).take(&states, -1);
    // Before the first step, in a state before the first one: a blank or a label may come.
    let start = where_(Array::arange(n_states).lt(1), scores.at(0).zeros_like(), LOG_ZERO);
    let step = |(alpha, t): &(Array, Array), score: &Array| {
        let skip = where_(&skips, earlier(alpha, 2, LOG_ZERO), LOG_ZERO);
        let next = alpha.logaddexp(earlier(alpha, 1, LOG_ZERO)).logaddexp(skip) + score;
        ((where_(t.lt(n_steps), next, alpha), t + 1), ())
    };
    let ((alpha, _), ()) = scan(step, &(start, Array::from(0)), &scores);
    let end = |state: Array| alpha.at(state.maximum(0));
    let last = end(2 * n_labels);
    let label = where_(n_labels.gt(0), end(2 * n_labels - 1), LOG_ZERO);
    -last.logaddexp(label)
}
