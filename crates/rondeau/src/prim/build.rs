//! Short names for the equations that rules append most.

use super::*;
use crate::buffer::{DType, Scalar, Shape};

impl Builder {
    /// `x`, repeated: its axis `i` is axis `axes[i]` of `shape`.
    pub fn broadcast(&mut self, x: Atom, shape: &Shape, axes: &[usize]) -> Atom {
        self.bind1(Broadcast { shape: shape.clone(), axes: axes.to_vec() }, &[x])
    }

    /// `x`, repeated along a new axis 0.
    pub fn repeat(&mut self, x: Atom, size: usize) -> Atom {
        let aval = self.aval(x);
        let axes: Vec<usize> = (1..=aval.rank()).collect();
        self.broadcast(x, &aval.shape.prepend(size), &axes)
    }

    /// `x` in another shape; itself if it has that shape.
    pub fn reshape(&mut self, x: Atom, shape: &Shape) -> Atom {
        if self.aval(x).shape == *shape {
            return x;
        }
        self.bind1(Reshape { shape: shape.clone() }, &[x])
    }

    /// `x` with its axes permuted; itself if nothing moves.
    pub fn permute(&mut self, x: Atom, permutation: &[usize]) -> Atom {
        if permutation.iter().enumerate().all(|(i, &axis)| i == axis) {
            return x;
        }
        self.bind1(Transpose { permutation: permutation.to_vec() }, &[x])
    }

    /// `x` with one axis moved to another place, the others kept in order.
    pub fn move_axis(&mut self, x: Atom, from: usize, to: usize) -> Atom {
        let mut order: Vec<usize> = (0..self.aval(x).rank()).collect();
        let axis = order.remove(from);
        order.insert(to, axis);
        self.permute(x, &order)
    }

    /// The sum over axes; `x` itself if there are none.
    pub fn sum(&mut self, x: Atom, axes: &[usize]) -> Atom {
        if axes.is_empty() {
            return x;
        }
        self.bind1(Reduce { fold: Fold::Sum, axes: axes.to_vec() }, &[x])
    }

    /// `x` in another element type; itself if it has that type.
    pub fn convert(&mut self, x: Atom, dtype: DType) -> Atom {
        if self.aval(x).dtype == dtype {
            return x;
        }
        self.bind1(Convert { dtype }, &[x])
    }

    /// Where `condition`, `x`, elsewhere `y`.
    pub fn select(&mut self, condition: Atom, x: Atom, y: Atom) -> Atom {
        self.bind1(Select, &[condition, x, y])
    }

    /// A number of the element type of `like`.
    pub fn lit(&self, value: f64, like: Atom) -> Atom {
        Atom::Lit(Scalar::of(value, self.aval(like).dtype))
    }

    /// Applies a unary primitive.
    pub fn unary(&mut self, op: Unary, x: Atom) -> Atom {
        self.bind1(op, &[x])
    }

    /// Applies a binary primitive.
    pub fn binary(&mut self, op: Binary, x: Atom, y: Atom) -> Atom {
        self.bind1(op, &[x, y])
    }

    /// `x + y`.
    pub fn add(&mut self, x: Atom, y: Atom) -> Atom {
        self.binary(Binary::Add, x, y)
    }

    /// `x - y`.
    pub fn sub(&mut self, x: Atom, y: Atom) -> Atom {
        self.binary(Binary::Sub, x, y)
    }

    /// `x · y`.
    pub fn mul(&mut self, x: Atom, y: Atom) -> Atom {
        self.binary(Binary::Mul, x, y)
    }

    /// `x / y`.
    pub fn div(&mut self, x: Atom, y: Atom) -> Atom {
        self.binary(Binary::Div, x, y)
    }

    /// `-x`.
    pub fn neg(&mut self, x: Atom) -> Atom {
        self.unary(Unary::Neg, x)
    }

    /// The sum of two tangents, zeros left out.
    pub fn add_tangents(&mut self, x: Tangent, y: Tangent) -> Tangent {
        match (x, y) {
            (Tangent::Zero, other) | (other, Tangent::Zero) => other,
            (Tangent::Value(x), Tangent::Value(y)) => Tangent::Value(self.add(x, y)),
        }
    }

    /// The sum of two cotangents, zeros left out.
    pub fn add_cotangents(&mut self, x: Cotangent, y: Cotangent) -> Cotangent {
        match (x, y) {
            (Cotangent::Zero, other) | (other, Cotangent::Zero) => other,
            (Cotangent::Value(x), Cotangent::Value(y)) => Cotangent::Value(self.add(x, y)),
        }
    }
}
