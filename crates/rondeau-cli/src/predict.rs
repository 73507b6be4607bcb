//! `rondeau predict`: forecasts from trained weights.

use anyhow::{Context, Result};

use crate::args::Predict;
use crate::data::calendar::Step;
use crate::data::{DataError, Table, Wanted};
use crate::fit::forecast_rows;
use crate::model::{Forecaster, Plan};
use crate::train::WEIGHTS;
use crate::weights;

/// Prints a forecast for every row that has enough rows before it, and for the next one.
///
/// # Errors
/// If the weights or the file cannot be used.
pub fn run(args: &Predict) -> Result<()> {
    let (card, stored) = weights::read(&args.dir.join(WEIGHTS))?;
    let scaler = &card.scaler;
    let plan =
        Plan { cell: card.cell, n_inputs: scaler.n_inputs(), hidden: card.hidden, seed: card.seed };
    let network = Forecaster::load(&plan, &stored)
        .with_context(|| format!("cannot use the weights {}", args.dir.join(WEIGHTS).display()))?;
    let named = scaler.columns.iter().map(|scale| scale.name.clone()).collect();
    let table = crate::read_table(&args.file, &Wanted { named, others: false })?;
    if table.n_rows < card.window {
        let headline =
            format!("{} rows are too few: a forecast looks back on {}", table.n_rows, card.window);
        return Err(DataError::whole(&table.source, headline, "add the rows before them").into());
    }
    crate::tell(args.quiet, &table.notes);

    let inputs = scaler.inputs(&table)?;
    let rows = card.window..table.n_rows + 1;
    let said = forecast_rows(&network, &inputs, scaler.n_inputs(), card.window, rows.clone())?;
    let target = &table.columns[scaler.target].values;
    let mut writer = csv::Writer::from_writer(Vec::new());
    let label = table.dates.as_ref().map_or("row", |dates| &dates.name);
    writer.write_record([label, "forecast"])?;
    for (row, change) in rows.zip(said.changes) {
        let forecast = target[row - 1] + f64::from(change) * scaler.target().deviation;
        writer.write_record([row_label(&table, row), (forecast as f32).to_string()])?;
    }
    crate::print(&writer.into_inner().map_err(|error| error.into_error())?)
}

/// What a row is called; the row behind the last by the step that the dates take.
fn row_label(table: &Table, row: usize) -> String {
    match &table.dates {
        Some(dates) if row == table.n_rows => {
            let next = Step::of(&dates.moments).map(|step| step.after(dates.moments[row - 1]));
            next.map_or_else(|| "next".to_owned(), |moment| moment.to_string())
        }
        _ if row == table.n_rows => (row + 1).to_string(),
        _ => table.row_label(row),
    }
}
