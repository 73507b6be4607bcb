//! The primitives: a closed enum, one file a family, every question answered by every family.
//!
//! A family implements [`Rules`], which has no default bodies, so that nothing can be forgotten;
//! `prims!` declares the enum, the dispatch, and the list of examples that the laws run over.
//! Lowering is no rule: it has an answer for each target and lives in `compile`.

mod build;
mod call;
mod cond;
mod dot;
mod elementwise;
mod functions;
mod index;
mod movement;
mod random;
mod reduce;
mod scan;
mod sort;
mod tap;
mod while_;

use std::sync::Arc;

pub use call::{Call, CallKind, CustomLinear};
pub use cond::Cond;
pub use dot::DotGeneral;
pub use elementwise::{Binary, Bitcast, Convert, Select, Unary};
pub use index::{Bounds, DynamicSlice, DynamicUpdate, Gather, Scatter, Write};
pub use movement::{Broadcast, Concat, Iota, Pad, Reshape, Reverse, Slice, Transpose};
pub use random::Threefry;
pub use reduce::{ArgReduce, Cumulative, Fold, Reduce};
pub use scan::Scan;
pub use sort::Sort;
pub use tap::Tap;
pub(crate) use tap::emit as show_tap;
pub use while_::While;

use crate::buffer::Buffer;
use crate::error::{Misfit, Result};
use crate::ir::{Atom, Aval, Builder, Params, Program};
use crate::transform::{Partial, PartialBuilder};

/// The derivative of a value along the direction of differentiation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tangent {
    /// Zero, whatever the values are; integers and booleans have no other.
    Zero,
    /// The tangent, of its primal's type.
    Value(Atom),
}

/// The derivative of the final result with respect to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cotangent {
    /// Zero, whatever the values are.
    Zero,
    /// The cotangent, of its value's type.
    Value(Atom),
}

/// What a transposed equation reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A value that the equation is not differentiated by.
    Known(Atom),
    /// A value in which the equation is linear; only its type is known.
    Linear(Aval),
}

/// A value under `vmap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batched {
    /// One value for all examples.
    Shared(Atom),
    /// A value for each example, along axis 0.
    Mapped(Atom),
}

impl Tangent {
    /// The tangent, if it is not known to be zero.
    pub fn value(self) -> Option<Atom> {
        match self {
            Tangent::Zero => None,
            Tangent::Value(atom) => Some(atom),
        }
    }

    /// The tangent, with zeros written out.
    pub fn instantiate(self, b: &mut Builder, primal: Atom) -> Atom {
        match self {
            Tangent::Value(atom) => atom,
            Tangent::Zero => {
                let aval = b.aval(primal);
                b.full(0.0, &aval)
            }
        }
    }
}

impl Cotangent {
    /// The cotangent, if it is not known to be zero.
    pub fn value(self) -> Option<Atom> {
        match self {
            Cotangent::Zero => None,
            Cotangent::Value(atom) => Some(atom),
        }
    }

    /// The cotangent, with zeros written out.
    pub fn instantiate(self, b: &mut Builder, aval: &Aval) -> Atom {
        match self {
            Cotangent::Value(atom) => atom,
            Cotangent::Zero => b.full(0.0, aval),
        }
    }
}

impl Operand {
    /// Whether the equation is linear in it.
    pub fn is_linear(&self) -> bool {
        matches!(self, Operand::Linear(_))
    }

    /// The value, which must be known.
    pub fn known(&self) -> Atom {
        match self {
            Operand::Known(atom) => *atom,
            Operand::Linear(aval) => panic!("internal: a linear {aval} where a value is needed"),
        }
    }

    /// The operand's type.
    pub fn aval(&self, b: &Builder) -> Aval {
        match self {
            Operand::Known(atom) => b.aval(*atom),
            Operand::Linear(aval) => aval.clone(),
        }
    }
}

impl Batched {
    /// The value, with or without the axis of examples.
    pub fn atom(self) -> Atom {
        match self {
            Batched::Shared(atom) | Batched::Mapped(atom) => atom,
        }
    }

    /// Whether it has the axis of examples.
    pub fn is_mapped(self) -> bool {
        matches!(self, Batched::Mapped(_))
    }

    /// The value with the axis of examples, repeated along it (without a copy) if it is shared.
    pub fn materialize(self, b: &mut Builder, size: usize) -> Atom {
        match self {
            Batched::Mapped(atom) => atom,
            Batched::Shared(atom) => b.repeat(atom, size),
        }
    }
}

/// What the laws feed a primitive: the primitive and the types of its inputs.
pub type Example<P> = (P, Vec<Aval>);

/// The questions that every primitive answers.
pub trait Rules: Sized {
    /// The name in programs.
    fn name(&self) -> &'static str;
    /// What else tells it apart, printed after the name.
    fn params(&self) -> Params;
    /// The inverse of `name` and `params`; `None` if they are not this family's.
    fn from_params(name: &str, params: &Params) -> Option<Self>;
    /// The types of the outputs.
    fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit>;
    /// The outputs: slow, obvious, the meaning of the primitive.
    fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer>;
    /// Outputs and their tangents.
    fn jvp(
        &self,
        b: &mut Builder,
        primals: &[Atom],
        tangents: &[Tangent],
    ) -> (Vec<Atom>, Vec<Tangent>);
    /// The cotangents of the linear inputs (zero for the known ones), from those of the outputs.
    /// At least one output's cotangent is a value.
    fn transpose(
        &self,
        b: &mut Builder,
        cts: &[Cotangent],
        inputs: &[Operand],
    ) -> Result<Vec<Cotangent>>;
    /// The outputs for all examples at once. At least one input is mapped.
    fn batch(&self, b: &mut Builder, size: usize, inputs: &[Batched]) -> Vec<Batched>;
    /// Primitives and input types for the laws to run over.
    fn examples() -> Vec<Example<Self>>;
}

/// What is kept of an equation some of whose outputs nobody reads.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The primitive that computes the kept outputs only.
    pub prim: Prim,
    /// Which inputs it still reads.
    pub inputs: Vec<bool>,
    /// Which outputs it still has.
    pub outputs: Vec<bool>,
}

/// The questions to primitives that hold programs.
pub trait BodyRules {
    /// The programs that it holds.
    fn bodies(&self) -> Vec<&Arc<Program>>;
    /// Splits the equation: what the known inputs determine goes to `b.known`, the rest to
    /// `b.unknown`. Some input is unknown, or some equation inside cannot be computed as it is.
    fn partial_eval(&self, b: &mut PartialBuilder, inputs: &[Partial]) -> Vec<Partial>;
    /// What is kept if only these outputs are read.
    fn dce(&self, used: &[bool]) -> Kept;
}

macro_rules! prims {
    (@body $prim:expr, body) => { Some($prim) };
    (@body $prim:expr, plain) => {{ let _ = $prim; None }};
    ($($(#[$doc:meta])* $family:ident: $kind:ident,)*) => {
        /// A primitive. Adding a family stops the build wherever its lowering is missing.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum Prim {
            $($(#[$doc])* $family($family),)*
        }

        $(impl From<$family> for Prim {
            fn from(prim: $family) -> Prim {
                Prim::$family(prim)
            }
        })*

        impl Prim {
            /// The name in programs.
            pub fn name(&self) -> &'static str {
                match self { $(Prim::$family(prim) => Rules::name(prim),)* }
            }

            /// What else tells it apart, printed after the name.
            pub fn params(&self) -> Params {
                match self { $(Prim::$family(prim) => Rules::params(prim),)* }
            }

            /// The primitive of that name and these parameters.
            pub fn from_params(name: &str, params: &Params) -> Option<Prim> {
                None$(.or_else(|| $family::from_params(name, params).map(Prim::$family)))*
            }

            /// The types of the outputs.
            ///
            /// # Errors
            /// [`Misfit`] if the inputs do not fit.
            pub fn infer(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
                let outputs = self.infer_of_any_size(inputs)?;
                match outputs.iter().find(|aval| !aval.shape.is_reasonable(aval.dtype.size())) {
                    Some(aval) => Err(Misfit::new(format!("its result {aval} is too large"))
                        .help("arrays hold at most 2^34 bytes")),
                    None => Ok(outputs),
                }
            }

            /// The types of the outputs, also if no array is that large.
            ///
            /// # Errors
            /// [`Misfit`] if the inputs do not fit.
            pub fn infer_of_any_size(&self, inputs: &[Aval]) -> Result<Vec<Aval>, Misfit> {
                match self { $(Prim::$family(prim) => prim.infer(inputs),)* }
            }

            /// The outputs.
            pub fn eval(&self, inputs: &[Buffer]) -> Vec<Buffer> {
                match self { $(Prim::$family(prim) => prim.eval(inputs),)* }
            }

            /// Outputs and their tangents.
            pub fn jvp(
                &self,
                b: &mut Builder,
                primals: &[Atom],
                tangents: &[Tangent],
            ) -> (Vec<Atom>, Vec<Tangent>) {
                match self { $(Prim::$family(prim) => prim.jvp(b, primals, tangents),)* }
            }

            /// The cotangents of the linear inputs.
            ///
            /// # Errors
            /// If the primitive has no transpose.
            pub fn transpose(
                &self,
                b: &mut Builder,
                cts: &[Cotangent],
                inputs: &[Operand],
            ) -> Result<Vec<Cotangent>> {
                match self { $(Prim::$family(prim) => prim.transpose(b, cts, inputs),)* }
            }

            /// The outputs for all examples at once.
            pub fn batch(&self, b: &mut Builder, size: usize, inputs: &[Batched]) -> Vec<Batched> {
                match self { $(Prim::$family(prim) => prim.batch(b, size, inputs),)* }
            }

            /// Every family's examples.
            pub fn examples() -> Vec<Example<Prim>> {
                let mut all = Vec::new();
                $(all.extend($family::examples().into_iter().map(|(p, avals)| (p.into(), avals)));)*
                all
            }

            /// The rules of primitives that hold programs.
            pub fn body_rules(&self) -> Option<&dyn BodyRules> {
                match self { $(Prim::$family(prim) => prims!(@body prim, $kind),)* }
            }
        }
    };
}

prims! {
    /// One input, elementwise.
    Unary: plain,
    /// Two inputs, elementwise.
    Binary: plain,
    /// Chooses by a condition, elementwise.
    Select: plain,
    /// Changes the element type.
    Convert: plain,
    /// Reads the bits as another element type.
    Bitcast: plain,
    /// Repeats along new or unit axes.
    Broadcast: plain,
    /// Another shape for the same values.
    Reshape: plain,
    /// Permutes axes.
    Transpose: plain,
    /// A static range along each axis.
    Slice: plain,
    /// Edges and gaps of one value.
    Pad: plain,
    /// Joins along an axis.
    Concat: plain,
    /// Reverses axes.
    Reverse: plain,
    /// Counts along an axis.
    Iota: plain,
    /// Folds axes into one value.
    Reduce: plain,
    /// The place of the greatest or least value.
    ArgReduce: plain,
    /// Running folds.
    Cumulative: plain,
    /// Stable sort of several arrays by the first ones.
    Sort: plain,
    /// Products summed over pairs of axes.
    DotGeneral: plain,
    /// A range whose start is data.
    DynamicSlice: plain,
    /// Writes a range whose start is data.
    DynamicUpdate: plain,
    /// Rows chosen by indices.
    Gather: plain,
    /// Rows written or added at indices.
    Scatter: plain,
    /// The block cipher of the random numbers.
    Threefry: plain,
    /// Shows values while the program runs.
    Tap: plain,
    /// A loop of known length over rows.
    Scan: body,
    /// A loop that runs while a condition holds.
    While: body,
    /// One of several programs, chosen by an index.
    Cond: body,
    /// A program with a derivative, or a memory policy, of its own.
    Call: body,
    /// The linear part of a function with a reverse rule of its own.
    CustomLinear: body,
}

impl Prim {
    /// The programs that it holds.
    pub fn bodies(&self) -> Vec<&Arc<Program>> {
        self.body_rules().map_or_else(Vec::new, |rules| rules.bodies())
    }

    /// Whether it is, or holds, the linear part of a rule for cotangents, which cannot be computed.
    pub fn has_custom_linear(&self) -> bool {
        let holds =
            |body: &&Arc<Program>| body.eqns().iter().any(|eqn| eqn.prim.has_custom_linear());
        matches!(self, Prim::CustomLinear(_)) || self.bodies().iter().any(holds)
    }

    /// Whether running it does something besides computing its outputs.
    pub fn has_effects(&self) -> bool {
        matches!(self, Prim::Tap(_)) || self.bodies().iter().any(|body| body.has_effects())
    }
}
