//! Limits of gradients.

use super::optimizer::Optimizer;
use crate::{Array, DType, Tree, tree, where_};

/// The Euclidean length of all numbers of a tree together.
///
/// # Shapes
/// Any tree of floats → `[]`, of the first leaf's element type.
#[track_caller]
pub fn global_norm<P: Tree>(tree: &P) -> Array {
    let leaves = tree::leaves(tree);
    let dtype = leaves.first().map_or(DType::F32, |leaf| leaf.dtype());
    let convert = |sum: Array| if sum.dtype() == dtype { sum } else { sum.to(dtype) };
    let squares = leaves.into_iter().map(|leaf| convert(leaf.square().sum()));
    squares.reduce(|a, b| a + b).map_or(Array::from(0.0_f32), |sum| sum.sqrt())
}

/// See [`clip_by_global_norm`].
#[derive(Clone, Copy, Debug)]
pub struct ClipByGlobalNorm {
    limit: f64,
}

/// See [`clip_by_value`].
#[derive(Clone, Copy, Debug)]
pub struct ClipByValue {
    limit: f64,
}

/// Gradients scaled down, all by one factor, if their [`global_norm`] is above the limit.
///
/// # Source
/// Pascanu et al. 2013 (arXiv:1211.5063); `optax.clip_by_global_norm`.
/// # Examples
/// ```
/// use rondeau::{Array, optim, optim::Optimizer};
///
/// let gradient = (Array::from([3.0_f32]), Array::from([4.0_f32]));
/// let clip = optim::clip_by_global_norm(1.0);
/// let (clipped, ()) = clip.update(&gradient, &(), &gradient);
/// assert!((optim::global_norm(&clipped).item::<f32>()? - 1.0).abs() < 1e-6);
/// # Ok::<(), rondeau::Error>(())
/// ```
pub fn clip_by_global_norm(limit: f64) -> ClipByGlobalNorm {
    ClipByGlobalNorm { limit }
}

/// Each number of the gradients between `-limit` and `limit`.
///
/// # Source
/// `optax.clip`.
pub fn clip_by_value(limit: f64) -> ClipByValue {
    ClipByValue { limit }
}

impl Optimizer for ClipByGlobalNorm {
    type State<P: Tree> = ();

    fn init<P: Tree>(&self, _: &P) {}

    fn update<P: Tree>(&self, gradient: &P, (): &(), _: &P) -> (P, ()) {
        let norm = global_norm(gradient);
        let is_below = norm.lt(self.limit);
        let clipped = tree::map(gradient, |leaf| {
            let norm =
                if norm.dtype() == leaf.dtype() { norm.clone() } else { norm.to(leaf.dtype()) };
            where_(&is_below, leaf, leaf / norm * self.limit)
        });
        (clipped, ())
    }
}

impl Optimizer for ClipByValue {
    type State<P: Tree> = ();

    fn init<P: Tree>(&self, _: &P) {}

    fn update<P: Tree>(&self, gradient: &P, (): &(), _: &P) -> (P, ()) {
        (tree::map(gradient, |leaf| leaf.clip(-self.limit, self.limit)), ())
    }
}
