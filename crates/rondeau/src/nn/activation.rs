//! A choice of activation functions, as part of a cell's structure.

use std::fmt;

use super::Cell;
use crate::tree::Path;
use crate::{Array, Tree};

/// A function applied to each number. As a tree it has no leaves; as a cell, no carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Activation {
    /// `x`.
    Identity,
    /// The hyperbolic tangent.
    #[default]
    Tanh,
    /// `max(x, 0)`.
    Relu,
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid,
    /// `x·sigmoid(x)`.
    Silu,
    /// `x·Φ(x)`, by its approximation with a tanh.
    Gelu,
    /// `log(1 + eˣ)`.
    Softplus,
}

impl Activation {
    /// The function of `x`.
    #[track_caller]
    pub fn of(self, x: &Array) -> Array {
        match self {
            Activation::Identity => x.clone(),
            Activation::Tanh => x.tanh(),
            Activation::Relu => x.relu(),
            Activation::Sigmoid => x.sigmoid(),
            Activation::Silu => x.silu(),
            Activation::Gelu => x.gelu(),
            Activation::Softplus => x.softplus(),
        }
    }
}

impl Tree for Activation {
    fn visit<'a>(&'a self, _: &mut Path, _: &mut dyn FnMut(&Path, &'a Array)) {}

    fn map(&self, _: &mut Path, _: &mut dyn FnMut(&Path, &Array) -> Array) -> Self {
        *self
    }

    fn structure(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{self:?}")
    }
}

impl Cell for Activation {
    type Carry = ();

    fn initial_carry(&self) {}

    #[track_caller]
    fn step(&self, (): &(), x: &Array) -> ((), Array) {
        ((), self.of(x))
    }
}
