//! Who runs a program.

use std::str::FromStr;
use std::sync::OnceLock;

use crate::error::{Error, Result};

/// Who runs a program. All give the same results to rounding; the compiled ones the same bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Engine {
    /// The primitives' own definitions, one after another: slow, and the meaning of a program.
    Interpreter,
    /// Compiled code on the portable tile machine.
    Vm,
    /// Compiled code as machine code where the processor and the system have it, else on the tile
    /// machine.
    #[default]
    Native,
}

impl Engine {
    /// The engine that the environment variable `RONDEAU_EXECUTOR` names (`interpreter`, `vm`,
    /// `native`), or the default. It is read once.
    ///
    /// # Errors
    /// [`Error`] if the variable names no engine.
    pub fn requested() -> Result<Engine> {
        static REQUESTED: OnceLock<Result<Engine>> = OnceLock::new();
        let read = || match rondeau_machine::requested_executor() {
            None => Ok(Engine::default()),
            Some(name) => name.parse(),
        };
        REQUESTED.get_or_init(read).clone()
    }

    /// The name that [`Engine::from_str`] reads.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Interpreter => "interpreter",
            Engine::Vm => "vm",
            Engine::Native => "native",
        }
    }
}

impl FromStr for Engine {
    type Err = Error;
    fn from_str(name: &str) -> Result<Engine> {
        let all = [Engine::Interpreter, Engine::Vm, Engine::Native];
        all.into_iter().find(|engine| engine.name() == name).ok_or_else(|| Error::engine(name))
    }
}
