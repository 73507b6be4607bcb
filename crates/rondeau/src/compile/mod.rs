//! Program to code: what is to run, in which order, and how long each value lives.

use std::sync::Arc;

use crate::ir::{Plan, Program};

/// A program that is ready to run.
#[derive(Debug)]
pub struct Code {
    plan: Plan,
}

impl Code {
    /// The schedule.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

/// Schedules an optimized program.
pub fn compile(program: Arc<Program>) -> Code {
    Code { plan: Plan::new(program) }
}
