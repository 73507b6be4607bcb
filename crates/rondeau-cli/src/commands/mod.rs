//! The commands, one in each file; and what those that train share.

pub mod check;
pub mod doctor;
pub mod inspect;
pub mod labels;
pub mod plot;
pub mod predict;
pub mod series;
pub mod shell;
pub mod stream;
pub mod text;

use std::fs;

use anyhow::{Context, Result, anyhow};
use rondeau::Tree;
use rondeau::error::ErrorKind;
use rondeau::io::Checkpoints;
use rondeau::train::Trainer;

use crate::args::Common;
use crate::cells::stored;
use crate::model::{Inputs, Spec};

impl Common {
    /// The model that is asked for.
    ///
    /// # Errors
    /// If the cell is a file that cannot be used.
    pub fn spec(&self, inputs: Inputs, outputs: usize) -> Result<Spec> {
        let Common { hidden, layers, seed, .. } = *self;
        Ok(Spec { cell: stored(&self.cell)?, hidden, layers, inputs, outputs, seed })
    }
}

/// A trainer with the checkpoints and logs that were asked for. Without `--resume`, checkpoints of
/// an earlier run are removed, so that nobody goes on with them by mistake.
///
/// # Errors
/// If the directory cannot be written to, or another run uses it.
pub fn equip<'a, P: Tree + 'a, S: Tree + 'a, B: Tree + 'a, M: Tree + 'a>(
    mut trainer: Trainer<'a, P, S, B, M>,
    common: &Common,
    n_batches: usize,
) -> Result<Trainer<'a, P, S, B, M>> {
    let checkpoints = Checkpoints::in_dir(common.out.join("checkpoints"), 2).map_err(elsewhere)?;
    if common.resume {
        trainer = trainer.resume();
    } else {
        for step in checkpoints.steps()? {
            let path = checkpoints.path(step);
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    let twentieth = n_batches.saturating_mul(common.epochs.div_ceil(20));
    let every = common.checkpoint_every.unwrap_or(twentieth);
    if common.tensorboard {
        trainer = trainer.tensorboard(common.out.join("events"));
    }
    Ok(trainer.checkpoints(checkpoints, every as u64))
}

/// A directory that cannot be written to, or that another run uses.
pub fn elsewhere(error: rondeau::Error) -> anyhow::Error {
    let text = error.to_string();
    match text.contains("\nhelp: ") {
        true => anyhow!(text),
        false => anyhow!("{text}\nhelp: make room there, or write elsewhere (--out)"),
    }
}

/// What goes wrong in training, with the way out on the command line: of a loss that is not finite,
/// and of a checkpoint of another model.
pub fn explained(error: rondeau::Error) -> anyhow::Error {
    const MOST_SHOWN: usize = 4;
    let text = error.to_string();
    let mut lines = text.lines();
    let headline = lines.next().unwrap_or_default();
    match error.kind() {
        // No step was taken before the first loss.
        ErrorKind::Range if headline.contains(" after step 1, ") => anyhow!(
            "{headline}\nhelp: the first weights give it: look in the cell for numbers that grow from \
             step to step, and for logarithms, roots and quotients of what can be zero"
        ),
        ErrorKind::Range => anyhow!("{headline}\nhelp: take smaller steps (--learning-rate)"),
        ErrorKind::Tree if headline.starts_with("the stored arrays do not fit") => {
            let wrong: Vec<&str> = lines.take_while(|line| line.starts_with("  ")).collect();
            let told = wrong.iter().take(MOST_SHOWN).map(|line| format!("{line}\n"));
            let told = told.collect::<String>();
            let more = match wrong.len().saturating_sub(MOST_SHOWN) {
                0 => String::new(),
                n => format!("  and {n} more\n"),
            };
            anyhow!(
                "the checkpoint to go on from is of another model\n{told}{more}\
                 help: --resume needs the options that the run began with; without it, or in another \
                 directory (--out), a new run begins"
            )
        }
        _ => error.into(),
    }
}
