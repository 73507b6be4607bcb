//! `jit`: compiled once for each signature of the arguments; and `program`, which shows what is
//! compiled.

use std::fmt::Write;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use super::function::{avals, owned, paths_of, settle, trace_function};
use super::{Arguments, Function, Transformed};
use crate::buffer::{Buffer, Scalar};
use crate::error::Result;
use crate::ir::{Aval, Program};
use crate::run::{Engine, Executable, MAX_THREADS, threads};
use crate::trace::{Array, apply, check_sizes, is_traced};
use crate::tree::{self, Tree};

/// A compiled function; see [`jit`].
pub struct Jit<F, R> {
    f: F,
    engine: Option<Engine>,
    n_threads: Option<usize>,
    cache: Mutex<Cache<R>>,
}

/// What has been compiled, in order. Signatures are few, so that looking for one is quick.
struct Cache<R> {
    compiled: Vec<(Signature, Arc<Compiled<R>>)>,
}

/// What a compilation is for: structure, and type of each leaf.
#[derive(Clone)]
struct Signature {
    structure: String,
    /// What a call compares of the structure.
    variant: String,
    avals: Vec<Aval>,
    paths: Vec<String>,
}

/// Compares text with what is written, piece by piece.
struct Same<'a> {
    rest: &'a str,
}

impl Write for Same<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.rest = self.rest.strip_prefix(text).ok_or(std::fmt::Error)?;
        Ok(())
    }
}

struct Compiled<R> {
    executable: Executable,
    captured: Vec<Buffer>,
    output: R,
}

/// The function, traced, optimized and compiled at the first call for each signature (structure,
/// element types and shapes of the arguments) and reused from then on.
///
/// What the function captures is part of the compiled program, so it is read once. Calls inside
/// other transformations become part of their program.
///
/// # Errors
/// `call` returns the first mistake that the function makes.
/// # Source
/// `jax.jit`.
/// # Examples
/// ```
/// use rondeau::{Array, jit};
///
/// let norm = jit(|x: &Array| x.square().sum().sqrt());
/// assert_eq!(norm.call(&Array::from([3.0_f32, 4.0]))?.item::<f32>()?, 5.0);
/// assert_eq!(norm.call(&Array::from([6.0_f32, 8.0]))?.item::<f32>()?, 10.0);
/// assert_eq!(norm.n_compilations(), 1);
/// # Ok::<(), rondeau::Error>(())
/// ```
pub fn jit<F, Args>(f: F) -> Transformed<Jit<F, F::Output>, Args>
where
    F: Function<Args>,
    Args: Arguments,
{
    let cache = Cache { compiled: vec![] };
    Transformed::new(Jit { f, engine: None, n_threads: None, cache: Mutex::new(cache) })
}

impl<F, R, Args> Transformed<Jit<F, R>, Args> {
    /// The function on another engine than the default: for tests and for debugging.
    pub fn engine(self, engine: Engine) -> Self {
        self.map(|kind| Jit { engine: Some(engine), ..kind })
    }

    /// The function on up to `n` threads instead of [`run::threads`](crate::run::threads), the
    /// calling one among them; at least 1, at most [`MAX_THREADS`](crate::run::MAX_THREADS).
    /// Calls divide batches and large products between them; results have the same bits for
    /// any number.
    ///
    /// # Examples
    /// ```
    /// use rondeau::{Array, jit};
    ///
    /// let f = |x: &Array| x.dot(x).tanh();
    /// let x = Array::ones([200, 200]) * 0.01;
    /// let [one, three] = [1, 3].map(|n| jit(f).threads(n).call(&x));
    /// assert_eq!(one?.to_vec::<f32>()?, three?.to_vec::<f32>()?);
    /// # Ok::<(), rondeau::Error>(())
    /// ```
    pub fn threads(self, n: usize) -> Self {
        self.map(|kind| Jit { n_threads: Some(n.clamp(1, MAX_THREADS)), ..kind })
    }

    /// How many signatures have been compiled.
    pub fn n_compilations(&self) -> usize {
        self.kind.lock().compiled.len()
    }

    /// One line for each compilation: the first one's signature, then what was new in each.
    pub fn explain_compilations(&self) -> Vec<String> {
        let cache = self.kind.lock();
        let mut lines = Vec::new();
        for (i, (signature, _)) in cache.compiled.iter().enumerate() {
            let earlier = cache.compiled[..i].iter().map(|(signature, _)| signature);
            lines.push(match i {
                0 => format!("compiled for {}", signature.describe()),
                _ => format!("compiled again: {}", signature.news(earlier)),
            });
        }
        lines
    }
}

impl Signature {
    /// Whether it is that of these arguments.
    fn fits<Args: Arguments>(&self, args: Args::Refs<'_>, leaves: &[&Buffer]) -> bool {
        let mut same = Same { rest: &self.variant };
        let fits = |(aval, leaf): (&Aval, &&Buffer)| {
            aval.dtype == leaf.dtype() && aval.shape == *leaf.shape()
        };
        leaves.len() == self.avals.len()
            && self.avals.iter().zip(leaves).all(fits)
            && Args::variant_of_refs(args, &mut same).is_ok()
            && same.rest.is_empty()
    }

    fn describe(&self) -> String {
        let leaf = |(path, aval): (&String, &Aval)| format!("{path}: {aval}");
        self.paths.iter().zip(&self.avals).map(leaf).collect::<Vec<_>>().join(", ")
    }

    /// What tells it from the nearest of the earlier ones.
    fn news<'a>(&self, earlier: impl Iterator<Item = &'a Signature>) -> String {
        let same = |other: &&Signature| other.structure == self.structure;
        let changes = |other: &Signature| -> Vec<String> {
            let leaves = self.paths.iter().zip(&self.avals).zip(&other.avals);
            let changed = leaves.filter(|((_, aval), old)| aval != old);
            changed.map(|((path, aval), old)| format!("{path} is {aval}, was {old}")).collect()
        };
        match earlier.filter(same).map(changes).min_by_key(Vec::len) {
            Some(changes) => changes.join(", "),
            None => format!("the arguments have another structure, {}", self.structure),
        }
    }
}

impl<F, R> Jit<F, R> {
    fn lock(&self) -> std::sync::MutexGuard<'_, Cache<R>> {
        // A panic while the lock was held leaves a cache without the entry it was for.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The result; it takes over the memory of `used` where nobody else sees that.
    pub(super) fn run<Args>(&self, args: Args::Refs<'_>, used: Option<&mut R>) -> Result<R>
    where
        F: Function<Args, Output = R>,
        Args: Arguments,
        R: Tree,
    {
        let mut inputs: Vec<&Buffer> = Vec::with_capacity(16);
        let mut other = None;
        Args::visit_refs(args, &mut |leaf| match leaf.value() {
            Some(buffer) => inputs.push(buffer),
            None => other = other.or(Some(leaf)),
        });
        if other.is_some() {
            let mut mistake = None;
            Args::visit_refs(args, &mut |leaf| mistake = mistake.or(leaf.error()));
            return mistake.map_or_else(|| Ok(self.f.invoke(args)), |error| Err(error.clone()));
        }
        let known = {
            let cache = self.lock();
            let entry = cache.compiled.iter().find(|(known, _)| known.fits::<Args>(args, &inputs));
            entry.map(|(_, compiled)| compiled.clone())
        };
        let compiled = match known {
            Some(compiled) => compiled,
            None => match self.compile::<Args>(args)? {
                Made::Compiled(compiled) => compiled,
                Made::Inlined(result) => return Ok(result),
            },
        };
        if !compiled.captured.is_empty() {
            // What was captured comes first.
            inputs.splice(0..0, &compiled.captured);
        }
        let outputs = match used {
            Some(used) => compiled.executable.call_into(&inputs, taken(used)),
            None => compiled.executable.call(&inputs),
        };
        Ok(tree::rebuild(&compiled.output, outputs.into_iter().map(Array::from_buffer)))
    }

    /// Traces and compiles the function for the types of these arguments.
    fn compile<Args>(&self, args: Args::Refs<'_>) -> Result<Made<R>>
    where
        F: Function<Args, Output = R>,
        Args: Arguments,
        R: Tree,
    {
        let (mut structure, mut variant) = (String::new(), String::new());
        Args::structure_of_refs(args, &mut structure).expect("internal: strings take all");
        Args::variant_of_refs(args, &mut variant).expect("internal: strings take all");
        let args = Args::own(args);
        let (avals, paths) = (avals(&args)?, paths_of(&args));
        let signature = Signature { structure, variant, avals, paths };
        let engine = self.engine.map_or_else(Engine::requested, Ok)?;
        let n_threads = self.n_threads.map_or_else(threads, Ok)?;
        let traced = trace_function(&self.f, &args, &signature.avals)?;
        let captured = traced.closed.captured;
        if is_traced(&captured) {
            // It reads variables of a program around it, and becomes part of that.
            let inputs = [captured, owned(&args)].concat();
            let outputs = apply(&traced.closed.program, &inputs)?;
            return Ok(Made::Inlined(tree::rebuild(&traced.output, outputs)));
        }
        check_sizes(&traced.closed.program)?;
        let captured: Result<Vec<Buffer>> =
            captured.iter().map(|array| array.buffer().cloned()).collect();
        let compiled = Arc::new(Compiled {
            executable: Executable::compile(&traced.closed.program, engine, n_threads),
            captured: captured?,
            output: traced.output,
        });
        self.lock().compiled.push((signature, compiled.clone()));
        Ok(Made::Compiled(compiled))
    }
}

/// The buffers of a tree, which holds nothing of use from now on.
fn taken<T: Tree>(tree: &mut T) -> Vec<Buffer> {
    let mut buffers = Vec::new();
    let nothing = Buffer::scalar(Scalar::Bool(false));
    tree.each_mut(&mut |leaf| {
        let buffer = leaf.value_mut().map(|buffer| std::mem::replace(buffer, nothing.clone()));
        buffers.push(buffer.unwrap_or_else(|| nothing.clone()));
    });
    buffers
}

/// What a call that was not compiled yet comes to.
enum Made<R> {
    Compiled(Arc<Compiled<R>>),
    Inlined(R),
}

impl<F, R, Args> Function<Args> for Jit<F, R>
where
    F: Function<Args, Output = R>,
    Args: Arguments,
    R: Tree,
{
    type Output = R;
    fn invoke(&self, args: Args::Refs<'_>) -> R {
        settle(&self.f, args, self.run(args, None))
    }
}

/// A function whose program is asked for; see [`program`].
#[derive(Clone, Copy, Debug)]
pub struct ProgramOf<F, Args> {
    f: F,
    args: PhantomData<fn(Args)>,
}

/// Shows the program of a function: `program(f).call(&x)` traces it for the arguments' types.
/// What it captured comes first among the inputs.
///
/// # Source
/// `jax.make_jaxpr`.
/// # Examples
/// ```
/// use rondeau::{Array, program};
///
/// let shown = program(|x: &Array| x.sin() * 2.0).call(&Array::zeros([3]))?;
/// assert!(shown.to_string().contains("sin a"));
/// # Ok::<(), rondeau::Error>(())
/// ```
pub fn program<F, Args>(f: F) -> ProgramOf<F, Args>
where
    F: Function<Args>,
    Args: Arguments,
{
    ProgramOf { f, args: PhantomData }
}

impl<F: Function<Args>, Args: Arguments> ProgramOf<F, Args> {
    pub(super) fn trace(&self, args: Args::Refs<'_>) -> Result<Program> {
        let args = Args::own(args);
        let traced = trace_function(&self.f, &args, &avals(&args)?)?;
        Ok((*traced.closed.program).clone())
    }
}

opaque_debug!(Jit<F, R>);
