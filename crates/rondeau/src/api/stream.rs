//! `Stream`: a step that runs by itself, one input at a time.

use super::Function;
use super::function::{avals, trace_function};
use crate::buffer::Buffer;
use crate::error::{Error, Result};
use crate::ir::Aval;
use crate::run::{Engine, Executable, Session};
use crate::trace::{Array, check_sizes, scan};
use crate::tree::{self, Tree};

/// A recurrent model that is fed as its inputs come: parameters and carry stay inside, compiled
/// and packed once.
///
/// The outputs are those of a compiled [`scan()`] over the same inputs, bit for bit. A
/// [`step`](Stream::step) allocates nothing, as long as nobody holds on to copies of the outputs
/// or of the carry. For many streams at once give `vmap(step, (None, 0, 0))`, and carry and input
/// with an axis of streams.
///
/// # Examples
/// ```
/// use rondeau::{Array, Stream};
///
/// // x, the average so far -> the new one, twice.
/// fn step(rate: &Array, average: &Array, x: &Array) -> (Array, Array) {
///     let average = average + rate * (x - average);
///     (average.clone(), average)
/// }
///
/// let (rate, start) = (Array::from(0.5_f32), Array::from(0.0_f32));
/// let mut stream = Stream::new(step, &rate, &start, &start)?;
/// assert_eq!(stream.next(&Array::from(4.0_f32))?.item::<f32>()?, 2.0);
/// let saved = stream.carry();
/// assert_eq!(stream.next(&Array::from(4.0_f32))?.item::<f32>()?, 3.0);
/// stream.set_carry(&saved)?;
/// assert_eq!(stream.next(&Array::from(4.0_f32))?.item::<f32>()?, 3.0);
/// # Ok::<(), rondeau::Error>(())
/// ```
pub struct Stream<C, X, Y> {
    session: Session,
    /// Trees of the right structure; their values do not matter.
    carry: C,
    x: X,
    y: Y,
    carry_avals: Vec<Aval>,
    x_avals: Vec<Aval>,
    n_outputs: usize,
}

impl<C: Tree, X: Tree, Y: Tree> Stream<C, X, Y> {
    /// Compiles a step `(parameters, carry, x) -> (carry, y)` for inputs of the type of `x`; the
    /// stream starts with this carry.
    ///
    /// # Errors
    /// The first mistake that the step makes, and what [`scan()`] refuses: a carry that leaves with
    /// another type than it has entered.
    pub fn new<P, F>(step: F, params: &P, carry: &C, x: &X) -> Result<Stream<C, X, Y>>
    where
        P: Tree,
        F: Function<(P, C, X), Output = (C, Y)>,
    {
        Stream::with_engine(Engine::requested()?, step, params, carry, x)
    }

    /// As [`Stream::new`], on an engine of choice: for tests and for debugging.
    ///
    /// # Errors
    /// As [`Stream::new`].
    pub fn with_engine<P, F>(
        engine: Engine,
        step: F,
        params: &P,
        carry: &C,
        x: &X,
    ) -> Result<Stream<C, X, Y>>
    where
        P: Tree,
        F: Function<(P, C, X), Output = (C, Y)>,
    {
        // A loop of one step, so that all is computed as in a longer one.
        let once = |p: &P, c: &C, x: &X| {
            let xs = tree::map(x, |leaf| leaf.expand_dims(0));
            let (c, ys) = scan(|c, x| step.invoke((p, c, x)), c, &xs);
            (c, tree::map(&ys, |y| y.at(0)))
        };
        let args = (params.clone(), carry.clone(), x.clone());
        let traced = trace_function(&once, &args, &avals(&args)?)?;
        let (_, y) = traced.output;
        check_sizes(&traced.closed.program)?;
        // A step is too short for several threads.
        let executable = Executable::compile(&traced.closed.program, engine, 1);
        let mut fixed = buffers(traced.closed.captured.iter())?;
        fixed.extend(buffers(tree::leaves(params))?);
        let session = Session::new(executable, fixed, buffers(tree::leaves(carry))?);
        let zeros = |aval: &Aval| Array::full(aval.shape.clone(), 0.0_f32).to(aval.dtype);
        let y = tree::rebuild(&y, session.output_avals().iter().map(zeros));
        let (carry_avals, x_avals, n_outputs) = (avals(carry)?, avals(x)?, tree::count(&y));
        let (carry, x) = (carry.clone(), x.clone());
        Ok(Stream { session, carry, x, y, carry_avals, x_avals, n_outputs })
    }

    /// Takes the next input and overwrites `y` with the output. An [`output`](Stream::output) is
    /// what `y` can start as.
    ///
    /// # Errors
    /// If `x` carries a mistake or is of another type than the stream was made for, or `y` is of
    /// another structure than the outputs. The stream is where it was then.
    pub fn step(&mut self, x: &X, y: &mut Y) -> Result<()> {
        if tree::count(y) != self.n_outputs {
            let (need, given) = (tree::structure_of(&self.y), tree::structure_of(y));
            let what = "the output and the place for it";
            let both = [("the output is", need), ("the place is", given)];
            return Err(Error::trees_differ("step", what, &both));
        }
        let mut few = [None; FEW];
        let mut many = vec![];
        let inputs = match self.x_avals.len() {
            n if n <= FEW => &mut few[..n],
            n => {
                many.resize(n, None);
                &mut many[..]
            }
        };
        let (mut n, mut fits) = (0, true);
        x.each(&mut |leaf| {
            let slot = inputs.get_mut(n).zip(self.x_avals.get(n)).zip(leaf.value());
            fits &= slot.is_some_and(|((slot, aval), buffer)| {
                *slot = Some(buffer);
                buffer.dtype() == aval.dtype && *buffer.shape() == aval.shape
            });
            n += 1;
        });
        if !fits || n != inputs.len() {
            same_type("x", &self.x, &self.x_avals, x)?;
        }
        let mut outputs = self.session.step(inputs).iter_mut();
        y.each_mut(&mut |leaf| {
            let output = outputs.next().expect("internal: there are as many");
            match leaf.value_mut() {
                Some(buffer) => std::mem::swap(buffer, output),
                None => *leaf = Array::from_buffer(output.clone()),
            }
        });
        Ok(())
    }

    /// Takes the next input; the output, in memory of its own.
    ///
    /// # Errors
    /// As [`Stream::step`].
    pub fn next(&mut self, x: &X) -> Result<Y> {
        let mut y = self.output();
        self.step(x, &mut y)?;
        Ok(y)
    }

    /// Zeros of the type of an output, in memory of their own.
    pub fn output(&self) -> Y {
        tree::map(&self.y, Array::zeros_like)
    }

    /// What the stream has seen so far: to be saved, or given to another stream of the step.
    pub fn carry(&self) -> C {
        tree::rebuild(&self.carry, self.session.carry().iter().cloned().map(Array::from_buffer))
    }

    /// Goes on from a carry.
    ///
    /// # Errors
    /// If it carries a mistake, or is of another type than the stream was made for. The stream is
    /// where it was then.
    pub fn set_carry(&mut self, carry: &C) -> Result<()> {
        same_type("carry", &self.carry, &self.carry_avals, carry)?;
        self.session.set_carry(buffers(tree::leaves(carry))?);
        Ok(())
    }
}

/// How many leaves of an input find place on the stack.
const FEW: usize = 16;

fn buffers<'a>(arrays: impl IntoIterator<Item = &'a Array>) -> Result<Vec<Buffer>> {
    arrays.into_iter().map(|array| array.buffer().cloned()).collect()
}

/// A tree must be of the type that a stream was made for.
fn same_type<T: Tree>(what: &str, like: &T, need: &[Aval], given: &T) -> Result<()> {
    let structures = (tree::structure_of(like), tree::structure_of(given));
    if structures.0 != structures.1 {
        let both = [("it was made for", structures.0), ("it was given", structures.1)];
        return Err(Error::trees_differ("step", &format!("each {what} of a stream"), &both));
    }
    for ((path, leaf), need) in tree::leaves_with_paths(given).into_iter().zip(need) {
        leaf.buffer()?;
        let aval = leaf.aval()?;
        if aval != *need {
            let (need, given) = (need.to_string(), aval.to_string());
            return Err(Error::stream_type(what, &path, &need, &given));
        }
    }
    Ok(())
}

impl<C, X, Y> std::fmt::Debug for Stream<C, X, Y> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::any::type_name::<Self>())
    }
}
