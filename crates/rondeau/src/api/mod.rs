//! What users call: `jit`, `grad`, `vmap` and their relatives, a few lines each, naming the
//! stations on the way.
//!
//! A function of trees is anything that is [`Function`]: a closure or `fn` of up to eight
//! references, or what a transformation returned. So transformations compose in any order.

/// Functions have no text of their own: `Debug` shows the type.
macro_rules! opaque_debug {
    ($($kind:ident<$($t:ident),*>)*) => {$(
        impl<$($t),*> std::fmt::Debug for $kind<$($t),*> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(std::any::type_name::<Self>())
            }
        }
    )*};
}

mod explain;
mod function;
mod grad;
mod jacobian;
mod jit;
mod linear;
mod nonfinite;
mod rules;
mod stream;
mod vmap;

pub use explain::{ExplainOf, Explanation, explain};
pub use function::{Arg, Arguments, Function, Pick, Selection, Transformed};
pub(crate) use function::{TracedFunction, trace_function};
pub use grad::{Grad, ValueAndGrad, ValueAndGradAux, grad, value_and_grad, value_and_grad_aux};
pub use jacobian::{Hessian, JacFwd, JacRev, hessian, jacfwd, jacrev};
pub use jit::{Jit, ProgramOf, jit, program};
pub use linear::{Linear, Pullback, hvp, jvp, linear_transpose, linearize, vjp};
pub use nonfinite::{NonFinite, Origin, find_nonfinite};
pub use rules::{Checkpoint, CustomJvp, CustomVjp, checkpoint, custom_jvp, custom_vjp};
pub use stream::Stream;
pub use vmap::{Axes, IntoAxes, Vmap, vmap};
