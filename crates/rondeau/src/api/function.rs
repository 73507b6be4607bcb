//! Functions of trees, their arguments, and the wrapper that gives transformed functions their
//! `call`.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;

use crate::error::{Error, Result};
use crate::ir::Aval;
use crate::trace::{Array, Closed, outline, poisoned, trace};
pub(super) use crate::trace::{avals, owned};
use crate::tree::{self, Path, Tree};

/// The arguments of a function: a tuple of up to eight trees.
#[diagnostic::on_unimplemented(
    message = "`{Self}` are not the arguments of a function",
    note = "arguments are a tuple of up to eight trees; for one argument write `(x,)`"
)]
pub trait Arguments: Tree {
    /// References to the arguments, as a call gives them.
    type Refs<'a>: Copy
    where
        Self: 'a;
    /// The arguments by value; arrays are shared, not copied.
    fn own(refs: Self::Refs<'_>) -> Self;
    /// References to these arguments.
    fn refs(&self) -> Self::Refs<'_>;
    /// Calls `visit` with each leaf, in order.
    fn visit_refs<'a>(refs: Self::Refs<'a>, visit: &mut dyn FnMut(&'a Array));
    /// Writes the structure, as [`Tree::structure`] does.
    fn structure_of_refs(refs: Self::Refs<'_>, out: &mut dyn fmt::Write) -> fmt::Result;
    /// Writes the part of it in which values of these types can differ, as [`Tree::variant`] does.
    fn variant_of_refs(refs: Self::Refs<'_>, out: &mut dyn fmt::Write) -> fmt::Result;
}

/// A function from trees to a tree that can be traced, transformed and called.
///
/// Implemented by closures and `fn`s of up to eight references to trees, and by all that the
/// transformations return. Closures outside of a call need types: `|x: &Array| x.sum()`.
#[diagnostic::on_unimplemented(
    message = "this is not a function of one to eight references to trees",
    label = "not a function that can be transformed",
    note = "its arguments are references with their types, as in `|x: &Array| x.sum()`, and it \
            returns a tree",
    note = "more than eight arguments go together into a struct with `#[derive(Clone, Tree)]`"
)]
pub trait Function<Args: Arguments> {
    /// What it returns.
    type Output: Tree;
    /// The result; mistakes are inside, as arrays that carry them.
    fn invoke(&self, args: Args::Refs<'_>) -> Self::Output;
}

/// A transformed function: [`call`](Transformed::call) it, or transform it further.
pub struct Transformed<K, Args> {
    pub(super) kind: K,
    args: PhantomData<fn(Args)>,
}

impl<K, Args> Transformed<K, Args> {
    pub(super) fn new(kind: K) -> Transformed<K, Args> {
        Transformed { kind, args: PhantomData }
    }

    pub(super) fn map<L>(self, f: impl FnOnce(K) -> L) -> Transformed<L, Args> {
        Transformed::new(f(self.kind))
    }
}

impl<K: Clone, Args> Clone for Transformed<K, Args> {
    fn clone(&self) -> Self {
        Transformed::new(self.kind.clone())
    }
}

impl<K: Copy, Args> Copy for Transformed<K, Args> {}

impl<K, Args> fmt::Debug for Transformed<K, Args> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", std::any::type_name::<K>())
    }
}

impl<K: Function<Args>, Args: Arguments> Function<Args> for Transformed<K, Args> {
    type Output = K::Output;
    fn invoke(&self, args: Args::Refs<'_>) -> K::Output {
        self.kind.invoke(args)
    }
}

impl<K: Function<Args>, Args: Arguments> Function<Args> for &Transformed<K, Args> {
    type Output = K::Output;
    fn invoke(&self, args: Args::Refs<'_>) -> K::Output {
        self.kind.invoke(args)
    }
}

/// The tree, if no leaf carries a mistake; else the first mistake.
pub(super) fn checked<T: Tree>(tree: T) -> Result<T> {
    let mut error = None;
    tree.each(&mut |leaf| error = error.or(leaf.error()));
    match error.cloned() {
        Some(error) => Err(error),
        None => Ok(tree),
    }
}

/// An error if an argument carries a mistake: the first one.
fn first_mistake<Args: Arguments>(args: Args::Refs<'_>) -> Result<()> {
    let mut error = None;
    Args::visit_refs(args, &mut |leaf| error = error.or(leaf.error()));
    error.map_or(Ok(()), |error| Err(error.clone()))
}

/// The result, or the function's own result with the mistake in every leaf.
///
/// The function is asked for its result's structure with variables of the arguments' types, so
/// that it may look at their shapes; only arguments that are mistakes themselves have none.
pub(super) fn settle<F, Args>(f: &F, args: Args::Refs<'_>, result: Result<F::Output>) -> F::Output
where
    F: Function<Args>,
    Args: Arguments,
{
    result.unwrap_or_else(|error| {
        let args = Args::own(args);
        let output = match avals(&args) {
            Ok(avals) => {
                outline(&avals, |variables| f.invoke(tree::rebuild(&args, variables).refs()))
            }
            Err(_) => f.invoke(poisoned(&args, &error).refs()),
        };
        poisoned(&output, &error)
    })
}

/// A traced function with the structure of its result.
pub(crate) struct TracedFunction<R> {
    pub(crate) closed: Closed,
    pub(crate) output: R,
}

/// The name of a leaf in printed programs: its path without the argument's position.
fn leaf_name(path: &str) -> String {
    path.split_once('.').map_or(String::new(), |(_, name)| name.to_owned())
}

/// Traces a function for arguments of given types, one for each leaf.
pub(crate) fn trace_function<F, Args>(
    f: &F,
    args: &Args,
    avals: &[Aval],
) -> Result<TracedFunction<F::Output>>
where
    F: Function<Args>,
    Args: Arguments,
{
    let paths = tree::leaves_with_paths(args);
    let inputs = avals.iter().zip(&paths).map(|(aval, (path, _))| (aval.clone(), leaf_name(path)));
    let output = RefCell::new(None);
    let closed = trace(inputs.collect(), |variables| {
        let args = tree::rebuild(args, variables);
        let result = f.invoke(args.refs());
        let leaves = tree::leaves(&result).into_iter().cloned().collect();
        *output.borrow_mut() = Some(result);
        Ok(leaves)
    })?;
    Ok(TracedFunction { closed, output: output.into_inner().expect("internal: it was invoked") })
}

/// The argument at position `I`, to differentiate by: `grad(f).wrt(Arg::<1>)`, or
/// `grad(f).wrt((Arg::<0>, Arg::<2>))`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arg<const I: usize>;

/// A tuple of arguments that has one at position `I`.
#[diagnostic::on_unimplemented(
    message = "the arguments `{Self}` have none at position {I}",
    label = "no such argument",
    note = "positions count from 0"
)]
pub trait Pick<const I: usize> {
    /// The argument's type.
    type Item: Tree;
    /// The argument.
    fn pick(&self) -> &Self::Item;
}

/// Some of the arguments.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not select arguments to differentiate by",
    label = "not a selection of arguments",
    note = "select one by its position, as in `.wrt(Arg::<1>)`, or up to six as a tuple, as in \
            `.wrt((Arg::<0>, Arg::<2>))`"
)]
pub trait Selection<Args>: Copy {
    /// One argument's type, or a tuple of them.
    type Selected: Tree;
    /// The selected arguments.
    fn select(&self, args: &Args) -> Self::Selected;
    /// The positions of the selected arguments.
    fn positions(&self) -> Vec<usize>;
}

impl<Args: Pick<I>, const I: usize> Selection<Args> for Arg<I> {
    type Selected = Args::Item;
    fn select(&self, args: &Args) -> Args::Item {
        args.pick().clone()
    }
    fn positions(&self) -> Vec<usize> {
        vec![I]
    }
}

macro_rules! selection {
    ($($s:ident)*) => {
        impl<Args, $($s: Selection<Args>),*> Selection<Args> for ($($s,)*) {
            type Selected = ($($s::Selected,)*);
            #[allow(non_snake_case)]
            fn select(&self, args: &Args) -> Self::Selected {
                let ($($s,)*) = self;
                ($($s.select(args),)*)
            }
            #[allow(non_snake_case)]
            fn positions(&self) -> Vec<usize> {
                let ($($s,)*) = self;
                [$($s.positions()),*].concat()
            }
        }
    };
}
selection!(S0);
selection!(S0 S1);
selection!(S0 S1 S2);
selection!(S0 S1 S2 S3);
selection!(S0 S1 S2 S3 S4);
selection!(S0 S1 S2 S3 S4 S5);

/// The leaves of the selected arguments, in the order of the selection.
pub(super) struct Selected<T> {
    /// For each selected leaf its position among all leaves.
    pub(super) leaves: Vec<usize>,
    /// The selected arguments.
    pub(super) tree: T,
}

/// Finds the selected leaves; they must be floats and selected once.
pub(super) fn selected<Args: Arguments, S: Selection<Args>>(
    op: &str,
    selection: S,
    args: &Args,
) -> Result<Selected<S::Selected>> {
    let all = tree::leaves_with_paths(args);
    let mut leaves = Vec::new();
    for position in selection.positions() {
        for (i, (path, leaf)) in all.iter().enumerate() {
            if path.split('.').next() != Some(&position.to_string()) {
                continue;
            }
            if !leaf.aval()?.is_float() {
                let place = format!("argument {path}");
                return Err(Error::gradient_by(op, &place, &leaf.aval()?.to_string()));
            }
            if leaves.contains(&i) {
                return Err(Error::selected_twice(op, position));
            }
            leaves.push(i);
        }
    }
    Ok(Selected { leaves, tree: selection.select(args) })
}

/// The path of each leaf.
pub(super) fn paths_of<T: Tree>(tree: &T) -> Vec<String> {
    let mut paths = Vec::new();
    tree.visit(&mut Path::new(), &mut |path, _| paths.push(path.to_string()));
    paths
}

macro_rules! arity {
    ($($n:tt $t:ident $x:ident)*) => {
        impl<$($t: Tree),*> Arguments for ($($t,)*) {
            type Refs<'a> = ($(&'a $t,)*) where Self: 'a;
            fn own(($($x,)*): Self::Refs<'_>) -> Self {
                ($($x.clone(),)*)
            }
            fn refs(&self) -> Self::Refs<'_> {
                let ($($x,)*) = self;
                ($($x,)*)
            }
            fn visit_refs<'a>(($($x,)*): Self::Refs<'a>, visit: &mut dyn FnMut(&'a Array)) {
                $($x.each(visit);)*
            }
            fn structure_of_refs(
                ($($x,)*): Self::Refs<'_>,
                out: &mut dyn fmt::Write,
            ) -> fmt::Result {
                $($x.structure(out)?; out.write_char(';')?;)*
                Ok(())
            }
            fn variant_of_refs(
                ($($x,)*): Self::Refs<'_>,
                out: &mut dyn fmt::Write,
            ) -> fmt::Result {
                $($x.variant(out)?;)*
                Ok(())
            }
        }

        impl<Func, R: Tree, $($t: Tree),*> Function<($($t,)*)> for Func
        where
            Func: Fn($(&$t),*) -> R,
        {
            type Output = R;
            fn invoke(&self, ($($x,)*): ($(&$t,)*)) -> R {
                self($($x),*)
            }
        }

        impl<K: Function<($($t,)*)>, $($t: Tree),*> Transformed<K, ($($t,)*)> {
            /// Calls the function.
            ///
            /// # Errors
            /// The first mistake that was made on the way, with its source line.
            #[allow(clippy::too_many_arguments)]
            #[track_caller]
            pub fn call(&self, $($x: &$t),*) -> Result<K::Output> {
                let at = Location::caller();
                first_mistake::<($($t,)*)>(($($x,)*))?;
                checked(self.kind.invoke(($($x,)*))).map_err(|error| error.at(at))
            }

            /// Calls the function; mistakes stay inside the result, as arrays that carry them. For
            /// use inside of functions that are themselves traced.
            #[allow(clippy::too_many_arguments)]
            pub fn apply(&self, $($x: &$t),*) -> K::Output {
                self.kind.invoke(($($x,)*))
            }
        }

        impl<Func, R: Tree, $($t: Tree),*> Transformed<super::Jit<Func, R>, ($($t,)*)>
        where
            Func: Function<($($t,)*), Output = R>,
        {
            /// Calls the function and overwrites `out` with the result, in the same memory: it is
            /// used again for arrays that nothing else shares, and whose type fits. So a training
            /// step can give its parameters back and forth without new memory.
            ///
            /// # Errors
            /// As [`call`](Transformed::call); `out` is what it was then.
            #[allow(clippy::too_many_arguments)]
            #[track_caller]
            pub fn call_into(&self, $($x: &$t,)* out: &mut R) -> Result<()> {
                let at = Location::caller();
                first_mistake::<($($t,)*)>(($($x,)*))?;
                let result = self.kind.run::<($($t,)*)>(($($x,)*), Some(out));
                *out = result.and_then(checked).map_err(|error| error.at(at))?;
                Ok(())
            }
        }

        impl<Func: Function<($($t,)*)>, $($t: Tree),*> super::ProgramOf<Func, ($($t,)*)> {
            /// The program for arguments of these types.
            ///
            /// # Errors
            /// The first mistake that was made on the way, with its source line.
            #[allow(clippy::too_many_arguments)]
            pub fn call(&self, $($x: &$t),*) -> Result<crate::ir::Program> {
                self.trace(($($x,)*))
            }
        }

        impl<Func: Function<($($t,)*)>, $($t: Tree),*> super::ExplainOf<Func, ($($t,)*)> {
            /// What becomes of the function for arguments of these types.
            ///
            /// # Errors
            /// The first mistake that was made on the way, with its source line.
            #[allow(clippy::too_many_arguments)]
            pub fn call(&self, $($x: &$t),*) -> Result<super::Explanation> {
                self.tell(($($x,)*))
            }
        }

        arity!(@pick [$($n $t $x)*] $($t)*);
    };
    (@pick [$($n:tt $u:ident $x:ident)*] $($t:ident)*) => {
        arity!(@picks ($($t,)*) [$($t)*] [$($n $u $x)*]);
    };
    (@picks $tuple:tt [$($t:ident)*] [$n:tt $u:ident $x:ident $($rest:tt)*]) => {
        impl<$($t: Tree),*> Pick<$n> for $tuple {
            type Item = $u;
            fn pick(&self) -> &$u {
                &self.$n
            }
        }
        arity!(@picks $tuple [$($t)*] [$($rest)*]);
    };
    (@picks $tuple:tt [$($t:ident)*] []) => {};
}

arity!(0 A a);
arity!(0 A a 1 B b);
arity!(0 A a 1 B b 2 C c);
arity!(0 A a 1 B b 2 C c 3 D d);
arity!(0 A a 1 B b 2 C c 3 D d 4 E e);
arity!(0 A a 1 B b 2 C c 3 D d 4 E e 5 F f);
arity!(0 A a 1 B b 2 C c 3 D d 4 E e 5 F f 6 G g);
arity!(0 A a 1 B b 2 C c 3 D d 4 E e 5 F f 6 G g 7 H h);
