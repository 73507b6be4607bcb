//! `explain`: what becomes of a function, from its program to the kernels that run.

use std::fmt;
use std::marker::PhantomData;

use super::{Arguments, Function, program};
use crate::error::Result;
use crate::ir::Program;
use crate::optimize::{Census, Cost, Rates, cost, floor_ns, optimize_with};
use crate::run::{Engine, Executable, threads};
use crate::trace::check_sizes;

/// A function that is to be explained; see [`explain`].
#[derive(Clone, Copy, Debug)]
pub struct ExplainOf<F, Args> {
    f: F,
    args: PhantomData<fn(Args)>,
}

/// What became of a function for arguments of some types.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The program after optimization.
    pub program: Program,
    /// The number of equations after each pass, inner programs included.
    pub passes: Vec<(&'static str, usize)>,
    /// What each pass that changed them did to loops, products, and what is kept between loops.
    pub moves: Vec<(&'static str, String)>,
    /// The estimated cost of the program as it was traced.
    pub traced: Cost,
    /// The estimated cost after optimization.
    pub optimized: Cost,
    /// What there is in the optimized program: what is kept between loops above all.
    pub census: Census,
    /// Who runs it.
    pub engine: Engine,
    /// What was made of the program, one line for each kernel, loops indented.
    pub kernels: Vec<String>,
    /// What runs as machine code, and what does not and why.
    pub machine: String,
    /// Bytes of working memory of a call.
    pub arena_bytes: usize,
}

/// Shows what becomes of a function: `explain(f).call(&x)` traces, optimizes and compiles it for
/// the arguments' types. Costs are estimates of the optimizer, not measurements.
///
/// # Examples
/// ```
/// use rondeau::{Array, explain, scan};
///
/// // The product with `w` leaves the loop, and runs for all steps at once.
/// let f = |w: &Array, xs: &Array| {
///     scan(|h, x| ((h + w.dot(x)).tanh(), ()), &Array::zeros([4]), xs).0
/// };
/// let told = explain(f).call(&Array::zeros([4, 3]), &Array::zeros([10, 3]))?;
/// assert!(told.optimized.total() <= told.traced.total());
/// assert!(told.to_string().contains("mat [10, 4]"));
/// # Ok::<(), rondeau::Error>(())
/// ```
pub fn explain<F, Args>(f: F) -> ExplainOf<F, Args>
where
    F: Function<Args>,
    Args: Arguments,
{
    ExplainOf { f, args: PhantomData }
}

impl<F: Function<Args>, Args: Arguments> ExplainOf<F, Args> {
    pub(super) fn tell(&self, args: Args::Refs<'_>) -> Result<Explanation> {
        let traced = program(super::linear::ByRef(&self.f)).trace(args)?;
        check_sizes(&traced)?;
        let mut passes = Vec::new();
        let mut moves = Vec::new();
        let mut census = Census::of(&traced);
        let optimized = optimize_with(&traced, &mut |name, program| {
            passes.push((name, program.n_eqns()));
            let after = Census::of(program);
            moves.extend(census.changes(&after).map(|change| (name, change)));
            census = after;
        });
        let engine = Engine::requested()?;
        let executable = Executable::with_threads(&optimized, engine, threads()?);
        Ok(Explanation {
            passes,
            moves,
            census,
            traced: cost(&traced),
            optimized: cost(&optimized),
            engine,
            kernels: executable.notes().to_vec(),
            machine: executable.explain(),
            arena_bytes: executable.arena_bytes(),
            program: optimized,
        })
    }
}

impl Explanation {
    /// The least time of a call in nanoseconds on a processor of these rates: what the arithmetic,
    /// the reading of weights and the chain from step to step take; see [`floor_ns`].
    pub fn floor_ns(&self, rates: &Rates) -> f64 {
        floor_ns(&self.program, rates)
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let passes = self.passes.iter().map(|(name, n)| format!("{name} {n}"));
        writeln!(f, "equations after each pass: {}", passes.collect::<Vec<_>>().join(", "))?;
        let line = |cost: &Cost| format!("{:.0} operations, {:.0} bytes", cost.flops, cost.bytes);
        writeln!(f, "estimated cost as traced:  {}", line(&self.traced))?;
        writeln!(f, "after optimization:        {}", line(&self.optimized))?;
        for (name, change) in &self.moves {
            writeln!(f, "{:27}{change}", format!("what `{name}` did:"))?;
        }
        let kept = self.census.residual_bytes;
        writeln!(f, "kept between loops:        {kept} bytes")?;
        writeln!(f, "working memory:            {} bytes", self.arena_bytes)?;
        writeln!(f, "engine:                    {}", self.engine.name())?;
        let (n, kernels) = (self.census.elementwise, self.kernels.len());
        writeln!(
            f,
            "made of:                   {n} elementwise equations, {kernels} kernels and loops"
        )?;
        writeln!(f, "kernels:")?;
        for kernel in &self.kernels {
            writeln!(f, "  {kernel}")?;
        }
        writeln!(f, "{}", self.machine.trim_end())
    }
}
