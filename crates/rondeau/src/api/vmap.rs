//! `vmap`: a function of one example becomes a function of many.

use std::fmt;
use std::sync::Arc;

use super::function::{avals, owned, paths_of, settle, trace_function};
use super::{Arguments, Function, Transformed};
use crate::error::{Error, Result};
use crate::ir::{Aval, Builder};
use crate::prim::Batched;
use crate::trace::apply;
use crate::transform::{pruned, vmap_into};
use crate::tree;

/// A batched function; see [`vmap`].
#[derive(Clone)]
pub struct Vmap<F> {
    f: F,
    in_axes: Axes,
    out_axes: Axes,
    size: Option<usize>,
}

/// Which axis of each leaf holds the examples, as a tree that mirrors the arguments.
///
/// Numbers, `None` and tuples of them become one by [`IntoAxes`]; [`Axes::fields`] speaks of the
/// leaves of a struct.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Axes {
    /// All leaves are the same for all examples.
    Shared,
    /// This axis of all leaves; negative from the end.
    At(isize),
    /// One for each item of a tuple, array or vector.
    Items(Vec<Axes>),
    /// By the path of a leaf, or the beginning of one; leaves that are not named are shared.
    Fields(Vec<(String, Axes)>),
}

impl Axes {
    /// By the path of leaves, as in `Axes::fields([("wz", 0), ("gru.bias", 1)])`. Leaves that no
    /// entry names are shared by all examples.
    pub fn fields<A: IntoAxes, const N: usize>(fields: [(&str, A); N]) -> Axes {
        Axes::Fields(fields.map(|(path, axes)| (path.to_owned(), axes.into_axes())).into())
    }

    /// The axis of each leaf, by its path. The first segments of the path choose.
    fn of_paths(
        &self,
        paths: &[String],
        what: &str,
        structure: &str,
    ) -> Result<Vec<Option<isize>>> {
        let unfit = || Error::vmap_axes(what, &self.to_string(), structure);
        match self {
            Axes::Shared => Ok(vec![None; paths.len()]),
            Axes::At(axis) => Ok(vec![Some(*axis); paths.len()]),
            Axes::Items(items) => {
                let parts = items.iter().enumerate().map(|(i, axes)| (i.to_string(), axes));
                let found = of_parts(paths, parts, what, structure)?;
                // An axis for an item that is not there; items without leaves do not show here.
                let item = |path: &String| path.split('.').next()?.parse::<usize>().ok();
                let n_items = paths.iter().filter_map(item).map(|i| i + 1).max().unwrap_or(0);
                if items.iter().skip(n_items).any(|axes| *axes != Axes::Shared) {
                    return Err(unfit());
                }
                // Every leaf belongs to an item; an item may have no leaves.
                found.into_iter().map(|axis| axis.ok_or_else(unfit)).collect()
            }
            Axes::Fields(fields) => {
                let is_named = |name: &str| paths.iter().any(|path| below(path, name).is_some());
                if fields.iter().any(|(name, _)| !is_named(name)) {
                    return Err(unfit());
                }
                let parts = fields.iter().map(|(name, axes)| (name.clone(), axes));
                let found = of_parts(paths, parts, what, structure)?;
                Ok(found.into_iter().map(Option::flatten).collect())
            }
        }
    }
}

/// The rest of a path that begins with this one.
fn below(path: &str, name: &str) -> Option<String> {
    let rest = path.strip_prefix(name)?;
    match rest.strip_prefix('.') {
        Some(rest) => Some(rest.to_owned()),
        None => rest.is_empty().then(String::new),
    }
}

/// For each path the axis that the first part above it gives; `None` if there is no such part.
fn of_parts<'a>(
    paths: &[String],
    parts: impl Iterator<Item = (String, &'a Axes)>,
    what: &str,
    structure: &str,
) -> Result<Vec<Option<Option<isize>>>> {
    let mut found = vec![None; paths.len()];
    for (name, axes) in parts {
        let is_free = |i: &usize| found[*i].is_none() && below(&paths[*i], &name).is_some();
        let own: Vec<usize> = (0..paths.len()).filter(is_free).collect();
        let rest: Vec<String> = own.iter().filter_map(|&i| below(&paths[i], &name)).collect();
        for (i, axis) in own.into_iter().zip(axes.of_paths(&rest, what, structure)?) {
            found[i] = Some(axis);
        }
    }
    Ok(found)
}

/// As it is written: `(None, 0)`, `{"gru.bias": 1}`.
impl fmt::Display for Axes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Axes::Shared => f.write_str("None"),
            Axes::At(axis) => write!(f, "{axis}"),
            Axes::Items(items) => {
                let items: Vec<String> = items.iter().map(Axes::to_string).collect();
                write!(f, "({}{})", items.join(", "), if items.len() == 1 { "," } else { "" })
            }
            Axes::Fields(fields) => {
                let field = |(name, axes): &(String, Axes)| format!("{name:?}: {axes}");
                write!(f, "{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// What says which axis holds the examples: a number, `None` for shared, or a tuple of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say which axis holds the examples",
    label = "not an axis",
    note = "axes are a whole number, `None` for what all examples share, a tuple with one for each \
            argument or item, or `Axes::fields([(\"name\", 0)])`"
)]
pub trait IntoAxes {
    /// The axes.
    fn into_axes(self) -> Axes;
}

impl IntoAxes for Axes {
    fn into_axes(self) -> Axes {
        self
    }
}

impl IntoAxes for isize {
    fn into_axes(self) -> Axes {
        Axes::At(self)
    }
}

impl IntoAxes for Option<isize> {
    fn into_axes(self) -> Axes {
        self.map_or(Axes::Shared, Axes::At)
    }
}

macro_rules! tuple_axes {
    ($($a:ident)*) => {
        impl<$($a: IntoAxes),*> IntoAxes for ($($a,)*) {
            #[allow(non_snake_case)]
            fn into_axes(self) -> Axes {
                let ($($a,)*) = self;
                Axes::Items(vec![$($a.into_axes()),*])
            }
        }
    };
}
tuple_axes!(A);
tuple_axes!(A B);
tuple_axes!(A B C);
tuple_axes!(A B C D);
tuple_axes!(A B C D E);
tuple_axes!(A B C D E F);
tuple_axes!(A B C D E F G);
tuple_axes!(A B C D E F G H);

/// The function for many examples at once, which differ along the given axes of the arguments.
///
/// Axes are a number for all arguments, or a tuple with one for each: a number, `None` for an
/// argument that all examples share (it is never copied), or again a tuple or [`Axes::fields`]
/// for the leaves of a tree. Results get the axis of examples in front;
/// [`out_axes`](Transformed::out_axes) puts it elsewhere.
///
/// # Errors
/// [`Error`] if mapped axes differ in size, or an argument has no such axis.
/// # Source
/// `jax.vmap`.
/// # Examples
/// ```
/// use rondeau::{Array, vmap};
///
/// let affine = |w: &Array, x: &Array| w.dot(x);
/// let w = Array::from([[1.0_f32, 2.0], [3.0, 4.0]]);
/// let xs = Array::from([[1.0_f32, 0.0], [0.0, 1.0], [1.0, 1.0]]);
/// let ys = vmap(affine, (None, 0)).call(&w, &xs)?;
/// assert_eq!(ys.shape(), [3, 2]);
/// # Ok::<(), rondeau::Error>(())
/// ```
pub fn vmap<F, Args>(f: F, in_axes: impl IntoAxes) -> Transformed<Vmap<F>, Args>
where
    F: Function<Args>,
    Args: Arguments,
{
    Transformed::new(Vmap { f, in_axes: in_axes.into_axes(), out_axes: Axes::At(0), size: None })
}

impl<F, Args> Transformed<Vmap<F>, Args> {
    /// Where the results have the axis of examples; `None` for what all examples share.
    pub fn out_axes(self, out_axes: impl IntoAxes) -> Self {
        self.map(|kind| Vmap { out_axes: out_axes.into_axes(), ..kind })
    }

    /// The number of examples, where no argument is mapped.
    pub fn axis_size(self, size: usize) -> Self {
        self.map(|kind| Vmap { size: Some(size), ..kind })
    }
}

/// A possibly negative axis of a rank.
fn resolve(axis: isize, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis + rank as isize } else { axis };
    (0..rank as isize).contains(&axis).then_some(axis as usize)
}

impl<F> Vmap<F> {
    /// The mapped axis of each leaf, and the number of examples.
    fn mapped<Args: Arguments>(
        &self,
        args: &Args,
        avals: &[Aval],
    ) -> Result<(Vec<Option<usize>>, usize)> {
        let paths = paths_of(args);
        let structure = tree::structure_of(args);
        let axes = self.in_axes.of_paths(&paths, "in_axes", &structure)?;
        let mut mapped = Vec::new();
        let mut sizes = Vec::new();
        for ((path, aval), axis) in paths.iter().zip(avals).zip(axes) {
            let Some(axis) = axis else {
                mapped.push(None);
                continue;
            };
            let place = format!("argument {path}");
            let found = resolve(axis, aval.rank())
                .ok_or_else(|| Error::vmap_axis(&place, axis, &aval.to_string()))?;
            sizes.push((place, aval.to_string(), found, aval.shape[found]));
            mapped.push(Some(found));
        }
        let size = match (self.size, sizes.first()) {
            (Some(size), _) => size,
            (None, Some(&(.., size))) => size,
            (None, None) => return Err(Error::vmap_nothing()),
        };
        if sizes.iter().any(|&(.., other)| other != size) {
            let all: Vec<(String, String, usize)> =
                sizes.into_iter().map(|(place, aval, axis, _)| (place, aval, axis)).collect();
            return Err(Error::vmap_sizes(self.size, &all));
        }
        Ok((mapped, size))
    }

    fn run<Args>(&self, args: Args::Refs<'_>) -> Result<F::Output>
    where
        F: Function<Args>,
        Args: Arguments,
    {
        let args = Args::own(args);
        let all = avals(&args)?;
        let (mapped, size) = self.mapped(&args, &all)?;
        let examples: Vec<Aval> = all
            .iter()
            .zip(&mapped)
            .map(|(aval, axis)| match axis {
                Some(axis) => aval.reshaped(aval.shape.without(*axis)),
                None => aval.clone(),
            })
            .collect();
        let traced = trace_function(&self.f, &args, &examples)?;
        let program = &traced.closed.program;
        let paths = paths_of(&traced.output);
        let structure = tree::structure_of(&traced.output);
        let out_axes = self.out_axes.of_paths(&paths, "out_axes", &structure)?;

        let mut b = Builder::new();
        let n_captured = traced.closed.captured.len();
        let captured = b.inputs(&program.input_avals()[..n_captured]);
        let mut inputs: Vec<Batched> = captured.into_iter().map(Batched::Shared).collect();
        let names = &program.names[n_captured..];
        for ((aval, axis), name) in all.iter().zip(&mapped).zip(names) {
            let atom = b.named_input(aval.clone(), name.clone());
            inputs.push(match axis {
                Some(axis) => Batched::Mapped(b.move_axis(atom, *axis, 0)),
                None => Batched::Shared(atom),
            });
        }
        let outputs = vmap_into(&mut b, program, size, &inputs);
        let mut atoms = Vec::new();
        for ((output, axis), path) in outputs.into_iter().zip(out_axes).zip(&paths) {
            let path =
                if path.is_empty() { "the result".to_owned() } else { format!("result {path}") };
            atoms.push(match (output, axis) {
                (Batched::Shared(atom), None) => atom,
                (Batched::Mapped(_), None) => return Err(Error::vmap_out_shared(&path)),
                (output, Some(axis)) => {
                    let atom = output.materialize(&mut b, size);
                    let aval = b.aval(atom);
                    let to = resolve(axis, aval.rank())
                        .ok_or_else(|| Error::vmap_out_axis(&path, axis, &aval.to_string()))?;
                    b.move_axis(atom, 0, to)
                }
            });
        }
        let program = Arc::new(pruned(b.finish(atoms)));
        let inputs = [traced.closed.captured, owned(&args)].concat();
        Ok(tree::rebuild(&traced.output, apply(&program, &inputs)?))
    }
}

impl<F: Function<Args>, Args: Arguments> Function<Args> for Vmap<F> {
    type Output = F::Output;
    fn invoke(&self, args: Args::Refs<'_>) -> F::Output {
        settle(&self.f, args, self.run(args))
    }
}

opaque_debug!(Vmap<F>);
