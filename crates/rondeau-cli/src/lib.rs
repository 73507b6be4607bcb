//! The `rondeau` command, as a library of its parts.
pub mod baseline;
pub mod chart;
pub mod data;

/// Runs the command.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
