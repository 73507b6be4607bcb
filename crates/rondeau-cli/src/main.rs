//! The `rondeau` command.
use std::process::ExitCode;

fn main() -> ExitCode {
    rondeau_cli::main()
}
