//! The `rondeau` command, as a library of its parts.
pub mod args;
pub mod baseline;
pub mod chart;
pub mod data;
pub mod files;
pub mod fit;
pub mod interrupt;
pub mod progress;
pub mod report;
pub mod weights;

/// Runs the command.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
