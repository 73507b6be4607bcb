//! The project's own tasks. `cargo run -p xtask -- --help` lists them.

mod bench;
mod ci;
mod reliability;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A task: how it is called, and what it does with the arguments after its name.
struct Task {
    name: &'static str,
    summary: &'static str,
    help: &'static str,
    run: Run,
}

/// How a task runs, from the root of the workspace.
enum Run {
    Plain(fn(&Path) -> Result<(), String>),
    WithOptions(fn(&Path, &[&str]) -> Result<(), String>),
}

/// Every task, in the order of the help.
const TASKS: &[Task] = &[
    Task {
        name: "ci",
        summary: "everything that must pass before a change is merged (run this first)",
        help: ci::HELP,
        run: Run::Plain(ci::run),
    },
    Task {
        name: "tidy",
        summary: "the rules of the source that the compiler does not know",
        help: tidy::HELP,
        run: Run::Plain(tidy::run),
    },
    Task {
        name: "bench",
        summary: "the table of speed in README.md, measured",
        help: bench::HELP,
        run: Run::Plain(bench::run),
    },
    Task {
        name: "reliability",
        summary: "kills, failing disks and hostile files, as often as before a release",
        help: reliability::HELP,
        run: Run::WithOptions(reliability::run),
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[&str]) -> Result<(), String> {
    let task = |name: &str| TASKS.iter().find(|task| task.name == name);
    match *arguments {
        [] | ["--help" | "-h" | "help"] => {
            print!("{}", overview());
            Ok(())
        }
        [name, "--help" | "-h"] | ["help", name] if task(name).is_some() => {
            print!("{}", task(name).map_or("", |task| task.help));
            Ok(())
        }
        [name, ref options @ ..] => {
            if let Some(task) = task(name) {
                return match (&task.run, options) {
                    (Run::WithOptions(run), options) => run(&root(), options),
                    (Run::Plain(run), []) => run(&root()),
                    (Run::Plain(_), [extra, ..]) => Err(format!(
                        "error: `{name}` takes no argument `{extra}`\nhelp: see `{name} --help`"
                    )),
                };
            }
            let names: Vec<&str> = TASKS.iter().map(|task| task.name).collect();
            let names = names.join(", ");
            Err(format!("error: there is no task `{name}`\nhelp: the tasks are {names}"))
        }
    }
}

fn overview() -> String {
    let mut text = String::from(
        "The project's own tasks.\n\nUsage: cargo run -p xtask -- <task>\n       \
         cargo run -p xtask -- <task> --help\n\nTasks:\n",
    );
    for task in TASKS {
        text.push_str(&format!("  {:13}{}\n", task.name, task.summary));
    }
    text.push_str("\nA task prints what is wrong, where, and what to do, and exits with 1.\n");
    text
}

/// The root of the workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_name_the_way_out() {
        let error = dispatch(&["tidey"]).expect_err("there is no such task");
        assert_eq!(
            error,
            "error: there is no task `tidey`\nhelp: the tasks are ci, tidy, bench, reliability"
        );
        let error = dispatch(&["tidy", "--fast"]).expect_err("there is no such option");
        assert_eq!(error, "error: `tidy` takes no argument `--fast`\nhelp: see `tidy --help`");
    }

    #[test]
    fn every_task_explains_itself() {
        for task in TASKS {
            assert!(overview().contains(task.summary));
            assert!(task.help.contains("Usage: cargo run -p xtask --"), "{}", task.name);
        }
    }
}
