//! Conditional random fields over chains.

use crate::{Array, Tree, scan, scan_reverse};

/// A linear-chain conditional random field: labels of a sequence that depend on their neighbours.
///
/// The score of a sequence of labels is the sum of its emissions and of the transitions between
/// neighbours; its probability is the exponential of that over the sum for all sequences.
///
/// # Shapes
/// `transitions: [labels, labels]`, from the row to the column; emissions `[time, labels]`.
/// # Source
/// Lafferty et al. 2001.
/// # Examples
/// ```
/// use rondeau::{Array, nn::loss::Crf};
///
/// // Without transitions, each step is by itself.
/// let crf = Crf { transitions: Array::zeros([2, 2]) };
/// let emissions = Array::from([[1.0_f32, 0.0], [0.0, 3.0]]);
/// assert_eq!(crf.decode(&emissions).to_vec::<i32>()?, [0, 1]);
/// let loss = crf.loss(&emissions, &Array::from([0, 1])).item::<f32>()?;
/// let alone = (1.0 + (-1.0_f32).exp()).ln() + (1.0 + (-3.0_f32).exp()).ln();
/// assert!((loss - alone).abs() < 1e-6);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[derive(Clone, Debug, Tree)]
pub struct Crf {
    /// The score of a label that follows another.
    pub transitions: Array,
}

impl Crf {
    /// The negative logarithm of the labels' probability: `emissions: [time, labels]`,
    /// `labels: i32[time]` → `[]`.
    #[track_caller]
    pub fn loss(&self, emissions: &Array, labels: &Array) -> Array {
        self.log_partition(emissions) - self.score(emissions, labels)
    }

    /// The score of a sequence of labels.
    #[track_caller]
    pub fn score(&self, emissions: &Array, labels: &Array) -> Array {
        let own = emissions.take_along_axis(labels.expand_dims(-1), -1).sum();
        // Which transition is between two neighbours, as a number of the flat matrix.
        let n = self.transitions.len() as i32;
        let pairs = labels.at(..-1) * n + labels.at(1..);
        own + self.transitions.ravel().take(&pairs, 0).sum()
    }

    /// The logarithm of the sum of the scores' exponentials, over all sequences of labels.
    #[track_caller]
    pub fn log_partition(&self, emissions: &Array) -> Array {
        let step = |alpha: &Array, emission: &Array| {
            let through = alpha.expand_dims(-1) + &self.transitions;
            (through.logsumexp_axis(0) + emission, ())
        };
        let (alpha, ()) = scan(step, &emissions.at(0), &emissions.at(1..));
        alpha.logsumexp()
    }

    /// The most probable labels: `emissions: [time, labels]` → `i32[time]`.
    ///
    /// # Source
    /// Viterbi 1967.
    #[track_caller]
    pub fn decode(&self, emissions: &Array) -> Array {
        let step = |best: &Array, emission: &Array| {
            let through = best.expand_dims(-1) + &self.transitions;
            (through.max_axis(0) + emission, through.argmax(0))
        };
        let (best, from) = scan(step, &emissions.at(0), &emissions.at(1..));
        let last = best.argmax(0);
        let back = |label: &Array, from: &Array| (from.at(label), label.clone());
        let (first, rest) = scan_reverse(back, &last, &from);
        crate::concatenate(&[first.expand_dims(0), rest], 0)
    }
}
