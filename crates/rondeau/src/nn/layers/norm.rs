//! Normalization along the last axis.

use crate::nn::Cell;
use crate::{Array, Tree};

/// Layer normalization: `(x - mean) / √(variance + ε)·scale + offset`, along the last axis.
///
/// # Shapes
/// `scale, offset: [size]`; `x: [.., size]` → `[.., size]`.
/// # Source
/// Ba et al. 2016 (arXiv:1607.06450).
/// # Examples
/// ```
/// use rondeau::{Array, nn};
///
/// let y = nn::LayerNorm::init(4).of(&Array::from([1.0_f32, 2.0, 3.0, 4.0]));
/// assert!(y.mean().item::<f32>()?.abs() < 1e-6);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[derive(Clone, Debug, Tree)]
pub struct LayerNorm {
    /// What the normalized numbers are multiplied by.
    pub scale: Array,
    /// What is added to them.
    pub offset: Array,
    /// `ε`, which keeps the root from zero.
    #[tree(fixed)]
    pub epsilon: f64,
}

impl LayerNorm {
    /// Scale 1, offset 0, `ε = 1e-5`.
    pub fn init(size: usize) -> LayerNorm {
        LayerNorm { scale: Array::ones([size]), offset: Array::zeros([size]), epsilon: 1e-5 }
    }

    /// The normalized vectors along the last axis.
    #[track_caller]
    pub fn of(&self, x: &Array) -> Array {
        let centered = x - x.mean_axis(-1).expand_dims(-1);
        let variance = centered.square().mean_axis(-1).expand_dims(-1);
        centered * (variance + self.epsilon).rsqrt() * &self.scale + &self.offset
    }
}

/// Root mean square normalization: `x / √(mean of squares + ε)·scale`, along the last axis.
///
/// # Shapes
/// `scale: [size]`; `x: [.., size]` → `[.., size]`.
/// # Source
/// Zhang and Sennrich 2019 (arXiv:1910.07467).
/// # Examples
/// ```
/// use rondeau::{Array, nn};
///
/// let y = nn::RmsNorm::init(2).of(&Array::from([3.0_f32, 4.0]));
/// assert!((y.square().mean().item::<f32>()? - 1.0).abs() < 1e-5);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[derive(Clone, Debug, Tree)]
pub struct RmsNorm {
    /// What the normalized numbers are multiplied by.
    pub scale: Array,
    /// `ε`, which keeps the root from zero.
    #[tree(fixed)]
    pub epsilon: f64,
}

impl RmsNorm {
    /// Scale 1, `ε = 1e-6`.
    pub fn init(size: usize) -> RmsNorm {
        RmsNorm { scale: Array::ones([size]), epsilon: 1e-6 }
    }

    /// The normalized vectors along the last axis.
    #[track_caller]
    pub fn of(&self, x: &Array) -> Array {
        let power = x.square().mean_axis(-1).expand_dims(-1);
        x * (power + self.epsilon).rsqrt() * &self.scale
    }
}

macro_rules! cell_without_carry {
    ($($layer:ident)*) => {$(
        impl Cell for $layer {
            type Carry = ();

            fn initial_carry(&self) {}

            #[track_caller]
            fn step(&self, (): &(), x: &Array) -> ((), Array) {
                ((), self.of(x))
            }

            fn input_size(&self) -> Option<usize> {
                Some(self.scale.len())
            }
        }
    )*};
}
cell_without_carry!(LayerNorm RmsNorm);
