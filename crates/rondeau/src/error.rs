//! Every mistake a user can make, as one type with one constructor each, so that all texts can be
//! read in one sitting.
//!
//! A message says which rule was broken, where, both sides, and what to do. The source line is
//! added by the front end, which knows it through `#[track_caller]`.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// What a fallible function of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A mistake in the use of the library: what is wrong, where, and what to do about it.
///
/// Cloning is cheap; an [`Array`](crate::Array) that carries a mistake shares it.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    headline: String,
    details: Vec<String>,
    help: Option<String>,
    at: Option<&'static Location<'static>>,
}

/// The class of a mistake, for programs that act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Shapes that do not fit together.
    Shape,
    /// Element types that do not fit together.
    DType,
    /// Trees (structured arguments) that differ in structure.
    Tree,
    /// An axis, index or size outside its range.
    Range,
    /// A derivative that does not exist or is not supported.
    Derivative,
    /// A value that is asked for while the program is being traced.
    Traced,
    /// Text or a file that does not read as what it should be.
    Parse,
    /// A file that could not be read or written.
    Io,
}

/// Why inputs do not fit a primitive; the caller adds the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// What is wrong, in one line.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Misfit {
    /// A misfit that explains itself.
    pub fn new(message: impl Into<String>) -> Misfit {
        Misfit { message: message.into(), help: None }
    }

    /// The same, with a way out.
    pub fn help(mut self, help: impl Into<String>) -> Misfit {
        self.help = Some(help.into());
        self
    }
}

impl Error {
    fn new(kind: ErrorKind, headline: impl Into<String>) -> Error {
        let inner =
            Inner { kind, headline: headline.into(), details: vec![], help: None, at: None };
        Error(Arc::new(inner))
    }

    fn edit(mut self, edit: impl FnOnce(&mut Inner)) -> Error {
        edit(Arc::make_mut(&mut self.0));
        self
    }

    fn detail(self, detail: impl Into<String>) -> Error {
        self.edit(|inner| inner.details.push(detail.into()))
    }

    fn help(self, help: impl Into<String>) -> Error {
        self.edit(|inner| inner.help = Some(help.into()))
    }

    /// The same mistake, with the source line where it was made; the innermost line is kept.
    pub fn at(self, at: &'static Location<'static>) -> Error {
        self.edit(|inner| inner.at = inner.at.or(Some(at)))
    }

    /// The same mistake, with one more fact.
    pub(crate) fn detailed(self, detail: &str) -> Error {
        self.detail(detail)
    }

    /// The class of the mistake.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The source line of the mistake, where it is known.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.0.at
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.headline)?;
        for detail in &self.0.details {
            write!(f, "\n  {detail}")?;
        }
        if let Some(help) = &self.0.help {
            write!(f, "\nhelp: {help}")?;
        }
        if let Some(at) = self.0.at {
            write!(f, "\n  at {}:{}:{}", at.file(), at.line(), at.column())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {self}")
    }
}

impl std::error::Error for Error {}

/// The mistakes, one constructor each.
impl Error {
    /// Inputs that do not fit a primitive.
    pub(crate) fn misfit(primitive: &str, inputs: &[String], misfit: Misfit) -> Error {
        let error = Error::new(ErrorKind::Shape, format!("`{primitive}`: {}", misfit.message));
        let error = match inputs {
            [] => error,
            inputs => error.detail(format!("its inputs are {}", inputs.join(", "))),
        };
        match misfit.help {
            Some(help) => error.help(help),
            None => error,
        }
    }

    /// Two shapes that do not broadcast together.
    pub(crate) fn broadcast(op: &str, left: &str, right: &str) -> Error {
        Error::new(ErrorKind::Shape, format!("`{op}` needs two shapes that broadcast together"))
            .detail(format!("the left side is {left}"))
            .detail(format!("the right side is {right}"))
            .help("axes are matched from the last; two sizes fit if they are equal or one is 1")
    }

    /// Two arrays of different element types.
    pub(crate) fn dtypes_differ(op: &str, left: &str, right: &str, to: &str) -> Error {
        Error::new(ErrorKind::DType, format!("`{op}` needs both sides of one element type"))
            .detail(format!("the left side is {left}"))
            .detail(format!("the right side is {right}"))
            .help(format!("convert one side, for example with `.to(DType::{to})`"))
    }

    /// Values that are asked for where they are, and lie in another order.
    pub(crate) fn not_dense(op: &str, array: &str) -> Error {
        Error::new(ErrorKind::Shape, format!("`{op}` needs values that lie in row-major order"))
            .detail(format!("the array is a view, {array}"))
            .help("copy them out with `to_vec`")
    }

    /// What a stream is given is not of the type that it was made for.
    pub(crate) fn stream_type(what: &str, path: &str, made_for: &str, given: &str) -> Error {
        let place = if path.is_empty() { what.to_owned() } else { format!("{what}.{path}") };
        Error::new(ErrorKind::Shape, format!("a stream takes one type of {what}"))
            .detail(format!("it was made for {place}: {made_for}"))
            .detail(format!("it was given {given}"))
            .help("give arrays of the same element type and shape, or make another stream")
    }

    /// A Rust number that the array's element type cannot hold.
    pub(crate) fn literal(op: &str, literal: &str, array: &str, help: &str) -> Error {
        let headline =
            format!("`{op}`: the number {literal} does not fit the array's element type");
        Error::new(ErrorKind::DType, headline).detail(format!("the array is {array}")).help(help)
    }

    /// An axis that the array does not have.
    pub(crate) fn axis(op: &str, axis: isize, array: &str) -> Error {
        Error::new(ErrorKind::Range, format!("`{op}`: there is no axis {axis}"))
            .detail(format!("the array is {array}"))
            .help("axes count from 0; negative ones from the end")
    }

    /// An index or range outside an axis.
    pub(crate) fn index(index: &str, axis: usize, array: &str) -> Error {
        Error::new(ErrorKind::Range, format!("index {index} is outside axis {axis}"))
            .detail(format!("the array is {array}"))
            .help("places count from 0; negative ones from the end")
    }

    /// A size or shape that does not work, in one sentence and with a way out.
    pub(crate) fn shape(headline: impl Into<String>, help: impl Into<String>) -> Error {
        Error::new(ErrorKind::Shape, headline).help(help)
    }

    /// A shape that holds another number of elements.
    pub(crate) fn reshape(array: &str, count: usize, shape: &dyn fmt::Display) -> Error {
        Error::new(ErrorKind::Shape, "`reshape` keeps the number of elements")
            .detail(format!("the array is {array}, of {count}"))
            .detail(format!("the new shape is {shape}"))
            .help("use `broadcast_to` to repeat elements, or `at` to take some of them")
    }

    /// A shape that an array does not repeat to.
    pub(crate) fn broadcast_to(array: &str, shape: &str) -> Error {
        Error::new(ErrorKind::Shape, "`broadcast_to` repeats new axes and axes of size 1 only")
            .detail(format!("the array is {array}"))
            .detail(format!("the new shape is {shape}"))
            .help("axes are matched from the last; use `expand_dims` to make one of size 1")
    }

    /// An axis of another size than 1 that is to be left out.
    pub(crate) fn squeeze(axis: usize, array: &str) -> Error {
        Error::new(
            ErrorKind::Shape,
            format!("`squeeze` leaves out axes of size 1, and {axis} is not"),
        )
        .detail(format!("the array is {array}"))
        .help("use `at` to take one place of the axis, or fold it, for example with `sum_axis`")
    }

    /// An axis that does not fall into equal parts.
    pub(crate) fn split(n: usize, axis: usize, array: &str) -> Error {
        Error::new(
            ErrorKind::Shape,
            format!("`split` makes equal parts, and {n} do not fit axis {axis}"),
        )
        .detail(format!("the array is {array}"))
        .help("give a number that divides the axis, or use `at` for parts of several sizes")
    }

    /// An array with another number of axes than an operation needs.
    pub(crate) fn rank(op: &str, needs: &str, got: &str) -> Error {
        Error::new(ErrorKind::Shape, format!("`{op}` needs {needs}"))
            .detail(format!("got {got}"))
            .help("use `reshape` or `expand_dims` to give it other axes")
    }

    /// Another number of parameters than there are axes.
    pub(crate) fn per_axis(op: &str, what: &str, given: usize, array: &str) -> Error {
        Error::new(ErrorKind::Shape, format!("`{op}` needs {what} for each axis"))
            .detail(format!("given are {given}"))
            .detail(format!("the array is {array}"))
            .help(format!("give as many {what} as the array has axes"))
    }

    /// A list of arrays without one.
    pub(crate) fn no_arrays(op: &str) -> Error {
        Error::new(ErrorKind::Shape, format!("`{op}` needs at least one array"))
            .help("its element type and shape come from the first one")
    }

    /// Arrays to be stacked that differ in type.
    pub(crate) fn stack(first: &str, i: usize, other: &str) -> Error {
        Error::new(ErrorKind::Shape, "`stack` needs arrays of one type")
            .detail(format!("array 0 is {first}"))
            .detail(format!("array {i} is {other}"))
            .help("use `concatenate` for arrays of several sizes along an axis that they have")
    }

    /// Axes of a product that differ in size.
    pub(crate) fn contracted(op: &str, [left, right]: &[(String, usize); 2]) -> Error {
        let headline = format!("`{op}` sums over two axes, which must have one size");
        Error::new(ErrorKind::Shape, headline)
            .detail(format!("the left side is {}, summed over axis {}", left.0, left.1))
            .detail(format!("the right side is {}, summed over axis {}", right.0, right.1))
            .help("transpose one side with `.t()`, or name other axes with `dot_general`")
    }

    /// An equation of `einsum` that does not fit its arrays.
    pub(crate) fn einsum(equation: &str, fault: &str, arrays: &[String]) -> Error {
        Error::new(ErrorKind::Shape, format!("`einsum` of \"{equation}\": {fault}"))
            .detail(format!("the arrays are {}", arrays.join(", ")))
            .help("write a letter for each axis, as in \"bi,ij->bj\"")
    }

    /// A condition that is not a truth value.
    pub(crate) fn condition(op: &str, got: &str) -> Error {
        Error::new(ErrorKind::DType, format!("the condition of `{op}` must be bool"))
            .detail(format!("got {got}"))
            .help("compare first, for example with `.gt(0.0)`")
    }

    /// An index that is no integer.
    pub(crate) fn index_dtype(got: &str) -> Error {
        Error::new(ErrorKind::DType, "an array is indexed by integers")
            .detail(format!("got {got}"))
            .help("convert with `.to(DType::I32)`; use `where_` to choose by truth values")
    }

    /// More indices than axes.
    pub(crate) fn too_many_indices(given: usize, array: &str) -> Error {
        Error::new(ErrorKind::Range, format!("{given} indices are more than the array has axes"))
            .detail(format!("the array is {array}"))
            .help("give one for each axis at most; `NewAxis` makes another axis")
    }

    /// Two index arrays, of which the pairing is not told.
    pub(crate) fn two_index_arrays() -> Error {
        Error::new(ErrorKind::Shape, "an index has at most one array of several places")
            .help("index one axis after the other, or use `take_along_axis`")
    }

    /// A range that ends before it starts.
    pub(crate) fn range(range: &str, axis: usize, array: &str) -> Error {
        Error::new(
            ErrorKind::Range,
            format!("the range {range} of axis {axis} ends before it starts"),
        )
        .detail(format!("the array is {array}"))
        .help("use `Step(range, -1)` to go backwards")
    }

    /// A range whose places do not move.
    pub(crate) fn step(axis: usize, array: &str) -> Error {
        Error::new(ErrorKind::Range, format!("the step along axis {axis} is 0"))
            .detail(format!("the array is {array}"))
            .help("give a positive step, or a negative one to go backwards")
    }

    /// A new axis in an index that is written to.
    pub(crate) fn new_axis_write(op: &str, array: &str) -> Error {
        Error::new(
            ErrorKind::Shape,
            format!("`{op}` writes to existing axes, and `NewAxis` is none"),
        )
        .detail(format!("the array is {array}"))
        .help("leave it out; the value broadcasts to the part that is written")
    }

    /// A value that does not repeat to the part that it is written to.
    pub(crate) fn update(op: &str, part: &str, value: &str) -> Error {
        Error::new(ErrorKind::Shape, format!("`{op}`: the value does not broadcast to the part"))
            .detail(format!("the part has the shape {part}"))
            .detail(format!("the value is {value}"))
            .help("axes are matched from the last; two sizes fit if they are equal or one is 1")
    }

    /// An array that would be larger than the library handles.
    pub(crate) fn too_large(shape: &str) -> Error {
        Error::new(ErrorKind::Range, format!("an array of shape {shape} is too large"))
            .help("arrays hold at most 2^34 bytes")
    }

    /// An element type that an operation does not take.
    pub(crate) fn dtype(op: &str, needs: &str, got: &str) -> Error {
        Error::new(ErrorKind::DType, format!("`{op}` needs {needs}")).detail(format!("got {got}"))
    }

    /// A value is asked of a variable of a program that is being traced.
    pub(crate) fn traced(what: &str, aval: &str) -> Error {
        Error::new(
            ErrorKind::Traced,
            format!("`{what}` needs a value, and this array has none yet"),
        )
        .detail(format!("it is a variable of type {aval} of the program being traced"))
        .help("use `where_` or `cond` to choose by data, or read values outside the function")
    }

    /// A traced variable is used after its trace has ended.
    pub(crate) fn leaked(aval: &str) -> Error {
        Error::new(
            ErrorKind::Traced,
            "a traced variable is used outside the function it belongs to",
        )
        .detail(format!("it is a variable of type {aval}"))
        .help("return the value from the function instead of storing it elsewhere")
    }

    /// Values are read as another element type than they have.
    pub(crate) fn read_as(asked: &str, array: &str) -> Error {
        Error::new(ErrorKind::DType, format!("values are read as {asked}"))
            .detail(format!("the array is {array}"))
            .help("read them as the array's element type, or convert it with `.to(..)`")
    }

    /// One value is asked of an array that holds another number of them.
    pub(crate) fn not_one(array: &str) -> Error {
        Error::new(ErrorKind::Shape, "`item` reads the one value of an array")
            .detail(format!("the array is {array}"))
            .help("index it first, or use `to_vec`")
    }

    /// The carry of a loop changes its type from one step to the next.
    pub(crate) fn carry_changed(op: &str, changes: &[(String, String, String)]) -> Error {
        let headline = format!("the carry of `{op}` must keep its type from step to step");
        let mut error = Error::new(ErrorKind::Shape, headline);
        for (path, entered, left) in changes {
            error = error
                .detail(format!("{path} enters the step as {entered}"))
                .detail(format!("{path} leaves the step as {left}"));
        }
        let (path, entered, left) = &changes[0];
        error.help(format!("return {path} as {entered}, or start the {op} from {left}"))
    }

    /// The carry of a loop changes its tree structure.
    pub(crate) fn carry_tree(op: &str, entered: &str, left: &str) -> Error {
        let headline = format!("the carry of `{op}` must keep its structure from step to step");
        Error::new(ErrorKind::Tree, headline)
            .detail(format!("it enters the step as {entered}"))
            .detail(format!("it leaves the step as {left}"))
            .help("return the carry with the fields, lengths and options that it had")
    }

    /// An operator of an associative scan that changes the type of what it combines.
    pub(crate) fn combined(path: &str, elements: &str, result: &str) -> Error {
        let headline = "`associative_scan` needs an operator that keeps the type of its arguments";
        Error::new(ErrorKind::Shape, headline)
            .detail(format!("{path} is {elements}"))
            .detail(format!("combined it is {result}"))
            .help("combine element by element: the operator sees many elements along the axis")
    }

    /// Leaves of `xs` differ in their leading axis.
    pub(crate) fn lengths(op: &str, leaves: &[(String, String)]) -> Error {
        let headline = format!("`{op}` needs all leaves of xs to have one length in axis 0");
        let error = Error::new(ErrorKind::Shape, headline);
        leaves
            .iter()
            .fold(error, |error, (path, aval)| error.detail(format!("{path} is {aval}")))
            .help("cut or pad them to one length")
    }

    /// `length` disagrees with xs.
    pub(crate) fn length(op: &str, length: usize, xs: usize) -> Error {
        Error::new(ErrorKind::Shape, format!("`{op}`: the given length is not that of xs"))
            .detail(format!("the length is given as {length}"))
            .detail(format!("xs have {xs} steps"))
            .help("leave the length out, or make it that of xs")
    }

    /// Branches of a conditional return different trees or types.
    pub(crate) fn branches(op: &str, path: &str, [first, other]: &[(String, String); 2]) -> Error {
        let headline = format!("all branches of `{op}` must return one type");
        Error::new(ErrorKind::Shape, headline)
            .detail(format!("{path} of {} is {}", first.0, first.1))
            .detail(format!("{path} of {} is {}", other.0, other.1))
            .help("convert or broadcast the results to one type")
    }

    /// A predicate or index that is not a scalar of the right element type.
    pub(crate) fn predicate(op: &str, got: &str) -> Error {
        Error::new(ErrorKind::Shape, format!("`{op}` needs one truth value to decide by"))
            .detail(format!("got {got}"))
            .help(
                "compare numbers, for example with `.gt(0.0)`; reduce many values with `.all()` or \
                 `.any()`, or choose per element with `where_`",
            )
    }

    /// A branch number or bound that is not one i32.
    pub(crate) fn one_integer(op: &str, needs: &str, got: &str) -> Error {
        Error::new(ErrorKind::Shape, format!("`{op}` needs {needs} of type i32[]"))
            .detail(format!("got {got}"))
            .help("convert it with `.to(DType::I32)`, or take one element with `at`")
    }

    /// The gradient of something that is not one number.
    pub(crate) fn gradient_of(got: &str) -> Error {
        Error::new(ErrorKind::Derivative, "`grad` needs a function that returns one float number")
            .detail(format!("it returns {got}"))
            .help("reduce it with `.sum()` or `.mean()`, or use `vjp` or `jacrev`")
    }

    /// The derivative of something that has none.
    pub(crate) fn derivative_of(op: &str, got: &str) -> Error {
        Error::new(ErrorKind::Derivative, format!("`{op}` needs a function that returns floats"))
            .detail(format!("it returns {got}"))
            .help("return a float, or differentiate another function")
    }

    /// The derivative with respect to something that has none.
    pub(crate) fn gradient_by(op: &str, path: &str, got: &str) -> Error {
        let headline = format!("`{op}` differentiates with respect to floats only");
        Error::new(ErrorKind::Derivative, headline)
            .detail(format!("{path} is {got}"))
            .help("differentiate with respect to another argument, or convert it to a float")
    }

    /// An argument is selected more than once.
    pub(crate) fn selected_twice(op: &str, position: usize) -> Error {
        let headline = format!("`{op}` is asked for argument {position} more than once");
        Error::new(ErrorKind::Derivative, headline).help("name each argument once")
    }

    /// A tangent or cotangent that does not fit its value.
    pub(crate) fn derivative_type(
        op: &str,
        what: &str,
        path: &str,
        need: &str,
        got: &str,
    ) -> Error {
        Error::new(ErrorKind::Derivative, format!("`{op}`: the {what} must have its value's type"))
            .detail(format!("{path} is {need}"))
            .detail(format!("its {what} is {got}"))
            .help(format!("make the {what} of zeros with `zeros_like`, or convert it"))
    }

    /// Two trees that must have one structure.
    pub(crate) fn trees_differ(op: &str, what: &str, [one, other]: &[(&str, String); 2]) -> Error {
        Error::new(ErrorKind::Tree, format!("`{op}`: {what} must have one structure"))
            .detail(format!("{} {}", one.0, one.1))
            .detail(format!("{} {}", other.0, other.1))
            .help("give both the same fields, lengths and options")
    }

    /// Reverse mode through a loop whose number of steps is known only when it runs.
    pub(crate) fn while_reverse() -> Error {
        let headline = "reverse-mode differentiation does not work through `while_loop`";
        Error::new(ErrorKind::Derivative, headline)
            .detail("its number of steps is not known before it runs, so its values cannot be kept")
            .help(
                "use `scan`, or `fori_loop` with bounds that are Rust integers, or forward mode \
                 (`jvp`, `jacfwd`)",
            )
    }

    /// Forward mode through a function with a reverse rule only.
    pub(crate) fn forward_through_custom_vjp() -> Error {
        let headline = "forward-mode differentiation does not work through `custom_vjp`";
        Error::new(ErrorKind::Derivative, headline)
            .detail("only a rule for the reverse direction was given")
            .help("give the rule with `custom_jvp`, or use `grad`, `vjp` or `jacrev`")
    }

    /// A user's own derivative rule returns the wrong tree or types.
    pub(crate) fn custom_rule(rule: &str, path: &str, need: &str, got: &str) -> Error {
        Error::new(
            ErrorKind::Derivative,
            format!("the {rule} rule returns another type than it must"),
        )
        .detail(format!("{path} must be {need}"))
        .detail(format!("{path} is {got}"))
        .help("return the type of the value itself, with its fields and options")
    }

    /// Mapped axes differ in size.
    pub(crate) fn vmap_sizes(given: Option<usize>, leaves: &[(String, String, usize)]) -> Error {
        let headline = "`vmap` needs all mapped axes to have one size";
        let error = Error::new(ErrorKind::Shape, headline)
            .help("give `None` for arguments that all examples share");
        let error = match given {
            Some(size) => error.detail(format!("`axis_size` is given as {size}")),
            None => error,
        };
        leaves.iter().fold(error, |error, (path, aval, axis)| {
            error.detail(format!("{path} is {aval}, mapped over axis {axis}"))
        })
    }

    /// A mapped axis that its argument does not have.
    pub(crate) fn vmap_axis(path: &str, axis: isize, aval: &str) -> Error {
        Error::new(ErrorKind::Range, format!("`vmap`: {path} has no axis {axis} to map over"))
            .detail(format!("{path} is {aval}"))
            .help("give `None` for arguments that all examples share")
    }

    /// An axis for the examples that a result does not have.
    pub(crate) fn vmap_out_axis(path: &str, axis: isize, aval: &str) -> Error {
        Error::new(ErrorKind::Range, format!("`vmap`: {path} has no axis {axis} for the examples"))
            .detail(format!("of all examples it is {aval}"))
            .help("axes count from 0; negative ones from the end")
    }

    /// Nothing is mapped and no size is given.
    pub(crate) fn vmap_nothing() -> Error {
        Error::new(ErrorKind::Range, "`vmap` needs at least one mapped argument, or an axis size")
            .help("give an axis for one argument, or `.axis_size(n)`")
    }

    /// Axes that do not have the structure of what they describe.
    pub(crate) fn vmap_axes(what: &str, axes: &str, tree: &str) -> Error {
        Error::new(
            ErrorKind::Tree,
            format!("`vmap`: the {what} do not fit the structure they describe"),
        )
        .detail(format!("the axes are {axes}"))
        .detail(format!("the structure is {tree}"))
        .help("give one axis for all, or one for each argument, item and named field")
    }

    /// An output is declared shared by all examples, but differs between them.
    pub(crate) fn vmap_out_shared(path: &str) -> Error {
        let headline =
            format!("`vmap`: {path} differs between examples, so it needs an output axis");
        Error::new(ErrorKind::Shape, headline).help("give it an axis in `.out_axes(..)`")
    }

    /// A number of threads that is none.
    pub(crate) fn threads(text: &str) -> Error {
        Error::new(ErrorKind::Parse, format!("`RONDEAU_THREADS` is `{text}`"))
            .help("say a number of threads, such as 1 or 4, or leave the variable out")
    }

    /// A name that is no engine's.
    pub(crate) fn engine(name: &str) -> Error {
        Error::new(ErrorKind::Parse, format!("there is no engine `{name}`"))
            .help("RONDEAU_EXECUTOR is `interpreter`, `vm` or `native`")
    }

    /// A key that is no key.
    pub(crate) fn key(got: &str) -> Error {
        Error::new(ErrorKind::DType, "a random key is a u32[2] array")
            .detail(format!("got {got}"))
            .help("make one with `random::key(seed)`, and more with `random::split`")
    }

    /// A carry of another type than the cell has.
    pub(crate) fn cell_carry(path: &str, own: &str, given: &str) -> Error {
        let leaf = if path.is_empty() { "the carry".to_owned() } else { format!("carry.{path}") };
        Error::new(ErrorKind::Shape, "the carry does not fit the cell")
            .detail(format!("{leaf} is {given}"))
            .detail(format!("the cell's own is {own}"))
            .help("start from `cell.initial_carry()`; for a batch, use `nn::run_batch`")
    }

    /// Inputs of another length than a cell takes.
    pub(crate) fn cell_input(size: usize, xs: &str) -> Error {
        Error::new(ErrorKind::Shape, format!("the cell takes sequences of shape [time, {size}]"))
            .detail(format!("xs is {xs}"))
            .help("a batch [batch, time, input] is for `nn::run_batch`")
    }

    /// Weights that are not those of a layer: each line is one name and what is wrong with it.
    pub(crate) fn weights(what: &str, faults: &[String]) -> Error {
        let error = Error::new(ErrorKind::Tree, format!("the weights are not those of {what}"));
        faults
            .iter()
            .fold(error, |error, fault| error.detail(fault.as_str()))
            .help("check the sizes, the prefix, and whether the file is of this layer")
    }

    /// Text that does not read as a program.
    pub(crate) fn parse(line: usize, column: usize, source: &str, expected: &str) -> Error {
        let gutter = format!("{line}");
        let space = " ".repeat(gutter.len());
        let caret = " ".repeat(column.saturating_sub(1));
        Error::new(ErrorKind::Parse, format!("expected {expected}"))
            .detail(format!("{gutter} | {source}"))
            .detail(format!("{space} | {caret}^"))
    }

    /// A mistake in a text, with the lines that show where it is.
    pub(crate) fn in_text(
        headline: impl Into<String>,
        lines: Vec<String>,
        help: Option<String>,
    ) -> Error {
        let error = Error::new(ErrorKind::Parse, headline);
        error.edit(|inner| (inner.details, inner.help) = (lines, help))
    }

    /// Sizes that are not those that a cell has.
    pub(crate) fn cell_sizes(fault: impl Into<String>, sizes: &[String]) -> Error {
        let help = match sizes {
            [] => "the cell has no sizes".to_owned(),
            sizes => format!("the sizes of the cell are {}", sizes.join(", ")),
        };
        Error::new(ErrorKind::Range, fault).help(help)
    }

    /// A parameter or a carry that a cell has and is not given.
    pub(crate) fn cell_lacks(what: &str, name: &str) -> Error {
        Error::new(ErrorKind::Tree, format!("the {what} `{name}` of the cell is missing"))
            .help("begin with those that the cell makes, and change single ones")
    }

    /// A program that breaks a rule of the language.
    pub(crate) fn ill_formed(fault: impl Into<String>, around: &str) -> Error {
        around.lines().fold(Error::new(ErrorKind::Parse, fault), |error, line| error.detail(line))
    }
}

/// Mistakes around files.
impl Error {
    /// The system refuses something with a file.
    pub(crate) fn file(what: &str, path: &dyn fmt::Display, cause: &dyn fmt::Display) -> Error {
        Error::new(ErrorKind::Io, format!("cannot {what} {path}")).detail(cause.to_string())
    }

    /// The bytes of a file break a rule of its format.
    pub(crate) fn format(format: &str, fault: &str, help: &str) -> Error {
        Error::new(ErrorKind::Parse, format!("this is no {format} that can be used: {fault}"))
            .help(help)
    }

    /// The file that a mistake is in.
    pub(crate) fn of_file(self, path: &dyn fmt::Display) -> Error {
        self.detail(format!("in {path}"))
    }

    /// Two leaves with one name in a file.
    pub(crate) fn same_name(name: &str) -> Error {
        Error::new(ErrorKind::Tree, format!("two arrays are called `{name}`"))
            .help("arrays are stored under their paths; keys of maps with dots can clash with them")
    }

    /// Stored arrays that do not fit the tree they are for; each mistake is a line.
    pub(crate) fn arrays_differ(wrong: &[String], n_fitting: usize) -> Error {
        const MOST_SHOWN: usize = 50;
        let count = match wrong.len() {
            1 => "1 is wrong".to_owned(),
            n => format!("{n} are wrong"),
        };
        let headline =
            format!("the stored arrays do not fit the tree: {n_fitting} fit, and {count}");
        let error = Error::new(ErrorKind::Tree, headline);
        let error = wrong.iter().take(MOST_SHOWN).fold(error, |error, line| error.detail(line));
        let error = match wrong.len().saturating_sub(MOST_SHOWN) {
            0 => error,
            more => error.detail(format!("and {more} more")),
        };
        error.help("build the tree as it was when it was stored, or rename what is stored")
    }

    /// Somebody else uses a directory of checkpoints.
    pub(crate) fn in_use(path: &dyn fmt::Display) -> Error {
        Error::new(ErrorKind::Io, format!("another run keeps its checkpoints in {path}"))
            .help("wait for it to end, or take another directory")
    }

    /// No checkpoint can be read; each with why.
    pub(crate) fn all_damaged(path: &dyn fmt::Display, each: &[String]) -> Error {
        let headline = format!("there are checkpoints in {path}, and none can be read");
        let error = Error::new(ErrorKind::Io, headline);
        each.iter()
            .fold(error, |error, line| error.detail(line))
            .help("move them away to start afresh, or bring back a copy")
    }
}

/// Mistakes around training.
impl Error {
    /// Fewer examples than a batch takes.
    pub(crate) fn few_examples(n: usize, batch_size: usize) -> Error {
        let headline = format!("there are {n} examples, and a batch takes {batch_size}");
        Error::new(ErrorKind::Shape, headline)
            .help("take a smaller `batch_size`, at least 1, or more examples")
    }

    /// Arrays of examples that do not have one example each.
    pub(crate) fn rows_differ(each: &[String]) -> Error {
        let headline = "the arrays of a data set need one first axis, that of the examples";
        let error = Error::new(ErrorKind::Shape, headline);
        each.iter()
            .fold(error, |error, line| error.detail(line))
            .help("give each array a row for each example; what they share belongs to the step")
    }

    /// Metrics that are not numbers.
    pub(crate) fn metric(name: &str, got: &str) -> Error {
        Error::new(ErrorKind::Shape, format!("the metric `{name}` is no single number"))
            .detail(format!("got {got}"))
            .help("return means over the batch, with the loss first")
    }

    /// An update that returns no metrics.
    pub(crate) fn no_metrics() -> Error {
        Error::new(ErrorKind::Tree, "the update returns no metrics")
            .help("return the loss at least, which is what training is judged by")
    }

    /// An update whose results do not have the types of its arguments.
    pub(crate) fn update_changes(what: &str, before: &str, after: &str) -> Error {
        Error::new(ErrorKind::Tree, format!("the update must keep the types of the {what}"))
            .detail(format!("it takes  {before}"))
            .detail(format!("it returns {after}"))
            .help("return them as they came in, for example with `.to(dtype)`")
    }

    /// A checkpoint of a run that was set up otherwise; each difference is a line.
    pub(crate) fn other_run(each: &[String]) -> Error {
        let error =
            Error::new(ErrorKind::Io, "the checkpoint is of a run that was set up otherwise");
        each.iter()
            .fold(error, |error, line| error.detail(line))
            .help("set the run up as it was, or start afresh in another directory")
    }

    /// A loss, gradient or parameter that is not finite.
    pub(crate) fn not_finite(what: &str, place: &str, origin: Option<&str>) -> Error {
        let error = Error::new(ErrorKind::Range, format!("{what} after {place}"));
        match origin {
            None => error.help(
                "take smaller steps or clip the gradient; to see where it begins, set \
                 `debug_nonfinite` and go on from the last checkpoint",
            ),
            Some(origin) => origin.lines().fold(error, |error, line| error.detail(line)),
        }
    }
}

/// Mistakes around export.
impl Error {
    /// A primitive that a target cannot express.
    pub(crate) fn not_exported(target: &str, primitive: &str) -> Error {
        Error::new(ErrorKind::Range, format!("`{primitive}` has no form in {target}"))
            .help("write the step without it, or export to another target")
    }

    /// Layers that do not follow each other.
    pub(crate) fn layer_sizes(i: usize, given: usize, takes: usize) -> Error {
        let headline = format!("layer {i} takes {takes} numbers, and the one before gives {given}");
        Error::new(ErrorKind::Shape, headline).help("give the layers in the order of their use")
    }
}
