//! `rondeau predict`: what a trained model says of a file.

use anyhow::Result;
use serde_json::json;

use crate::args::Predict;
use crate::cells::Cells;
use crate::commands::{labels, text};
use crate::data::calendar::Step;
use crate::data::{DataError, Scaler, Table, Wanted};
use crate::fit::forecast_rows;
use crate::forecaster::Forecaster;
use crate::model::Model;
use crate::weights::{Task, load};

/// Prints what the model says.
///
/// # Errors
/// If the weights or the file cannot be used.
pub fn run(cells: &Cells, args: &Predict) -> Result<()> {
    let (card, model) = load(cells, &args.dir)?;
    match &card.task {
        Task::Series { window, scaler } => series(args, model, *window, scaler),
        Task::Text { symbols } => {
            let bits = text::judged(&model, &text::Symbols::stored(symbols)?, &args.file)?;
            match args.json {
                true => crate::print(format!("{}\n", json!(bits)).as_bytes()),
                false => crate::print(
                    format!(
                        "characters,bits_per_character\n{},{}\n",
                        bits.characters, bits.bits_per_character
                    )
                    .as_bytes(),
                ),
            }
        }
        Task::Labels { classes, channels, pooling } => {
            labels::predict(args, &model, classes, channels, *pooling)
        }
    }
}

/// A forecast for every row that has enough rows before it, and for the next one.
fn series(args: &Predict, model: Model, window: usize, scaler: &Scaler) -> Result<()> {
    let network = Forecaster::of(model, scaler.n_inputs());
    let named = scaler.columns.iter().map(|scale| scale.name.clone()).collect();
    let table = crate::read_table(&args.file, &Wanted { named, others: false })?;
    if table.n_rows < window {
        let headline =
            format!("{} rows are too few: a forecast looks back on {window}", table.n_rows);
        return Err(DataError::whole(&table.source, headline, "add the rows before them").into());
    }
    crate::tell(args.quiet, &table.notes);

    let inputs = scaler.inputs(&table)?;
    let rows = window..table.n_rows + 1;
    let said = forecast_rows(&network, &inputs, scaler.n_inputs(), window, rows.clone())?;
    let target = &table.columns[scaler.target].values;
    let label = table.dates.as_ref().map_or("row", |dates| &dates.name);
    let forecasts = rows.zip(said.changes).map(|(row, change)| {
        let forecast = target[row - 1] + f64::from(change) * scaler.target().deviation;
        (row_label(&table, row), forecast as f32)
    });
    if args.json {
        let line = |(row, forecast): (String, f32)| {
            format!("{}\n", json!({ label: row, "forecast": forecast }))
        };
        return crate::print(forecasts.map(line).collect::<String>().as_bytes());
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record([label, "forecast"])?;
    for (row, forecast) in forecasts {
        writer.write_record([row, forecast.to_string()])?;
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
