//! Code and buffers to buffers.

use std::sync::Arc;

use crate::buffer::Buffer;
use crate::compile::{Code, compile};
use crate::ir::Program;
use crate::optimize::optimize;

/// A compiled program: call it as often as you like, from as many threads as you like.
#[derive(Debug)]
pub struct Executable {
    code: Code,
}

impl Executable {
    /// Optimizes and compiles a program.
    pub fn compile(program: &Program) -> Executable {
        Executable { code: compile(Arc::new(optimize(program))) }
    }

    /// The program after optimization.
    pub fn program(&self) -> &Program {
        self.code.plan().program()
    }

    /// The outputs for inputs of the program's types.
    pub fn call(&self, inputs: &[Buffer]) -> Vec<Buffer> {
        self.code.plan().run(inputs)
    }
}
