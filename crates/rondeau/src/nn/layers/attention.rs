//! Attention over a memory.

use crate::nn::init;
use crate::{Array, Tree, random, where_};

/// Attention of one query over the rows of a memory, with several heads.
///
/// For each head, `Wo·Σₜ softmaxₜ(q·kₜ/√size)·vₜ` with `q = Wq·x`, `kₜ = Wk·mₜ`, `vₜ = Wv·mₜ`; the
/// heads are parts of `q`, `k` and `v`.
///
/// # Shapes
/// Weights `wq: [size, query]`, `wk, wv: [size, memory]`, `wo: [output, size]`; a query
/// `x: [query]` and a memory `[time, memory]` → `[output]`.
/// # Source
/// Vaswani et al. 2017 (arXiv:1706.03762); over a recurrent encoder, Luong et al. 2015
/// (arXiv:1508.04025).
/// # Examples
/// ```
/// use rondeau::{nn, random};
///
/// let attention = nn::Attention::init(&random::key(0), 8, 6, 4, 2);
/// let (x, memory) = (random::normal(&random::key(1), [8]), random::normal(&random::key(2), [9, 6]));
/// assert_eq!(attention.of(&x, &memory, None).shape(), [4]);
/// ```
#[derive(Clone, Debug, Tree)]
pub struct Attention {
    /// `Wq`, for the query.
    pub wq: Array,
    /// `Wk`, for what the query is compared with.
    pub wk: Array,
    /// `Wv`, for what is read.
    pub wv: Array,
    /// `Wo`, for the output.
    pub wo: Array,
    /// The number of heads; it divides `size`.
    #[tree(fixed)]
    pub heads: usize,
}

impl Attention {
    /// Weights by [`init::glorot_uniform`]; queries of length `query`, a memory of rows of length
    /// `memory`, and `size = heads·⌈output / heads⌉`.
    pub fn init(
        key: &Array,
        query: usize,
        memory: usize,
        output: usize,
        heads: usize,
    ) -> Attention {
        let keys = random::split(key, 4);
        let heads = heads.max(1);
        let size = output.div_ceil(heads) * heads;
        let weight = |i: usize, shape: [usize; 2]| init::glorot_uniform(&keys.at(i), shape);
        Attention {
            wq: weight(0, [size, query]),
            wk: weight(1, [size, memory]),
            wv: weight(2, [size, memory]),
            wo: weight(3, [output, size]),
            heads,
        }
    }

    /// What the query reads from the memory, at the rows where `mask: bool[time]` holds if it is
    /// given. It must hold for one row at least.
    #[track_caller]
    pub fn of(&self, x: &Array, memory: &Array, mask: Option<&Array>) -> Array {
        let size = self.wq.len();
        let heads = self.heads.max(1);
        let n_steps = memory.len();
        // [heads, size / heads], and the same for each row of the memory.
        let q = self.wq.dot(x).reshape([heads, size / heads]);
        let rows = |w: &Array| memory.dot(w.t()).reshape([n_steps, heads, size / heads]);
        let scale = 1.0 / ((size / heads).max(1) as f64).sqrt();
        let scores = (rows(&self.wk) * q).sum_axis(-1) * scale;
        let scores = match mask {
            Some(mask) => where_(mask.expand_dims(-1), scores, f64::NEG_INFINITY),
            None => scores,
        };
        let weights = scores.softmax(0).expand_dims(-1);
        self.wo.dot((weights * rows(&self.wv)).sum_axis(0).reshape([size]))
    }
}
