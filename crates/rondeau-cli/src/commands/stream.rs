//! `rondeau stream`: an answer for each line, as it comes.

use std::collections::VecDeque;
use std::f64::consts::LN_2;
use std::io::{self, BufRead, Read, StdinLock, Write};

use anyhow::{Context, Result, bail, ensure};
use rondeau::nn::Cell;
use rondeau::{Array, Stream};
use serde_json::{Value, json};

use crate::args;
use crate::cells::Cells;
use crate::commands::labels::{likeliest, normalise};
use crate::commands::text::Symbols;
use crate::data::{Limits, Scale, Scaler, Source, Table, Wanted};
use crate::model::{Carry, Model};
use crate::weights::{Pooling, Task, load};

/// The longest line.
const MOST_BYTES: u64 = 1 << 20;

/// Answers lines until there are no more.
///
/// # Errors
/// If the weights cannot be used, or a line not be understood; the lines before are answered.
pub fn run(cells: &Cells, args: &args::Stream) -> Result<()> {
    let (card, model) = load(cells, &args.dir)?;
    let mut lines = Lines { stdin: io::stdin().lock(), n: 0 };
    let mut answers = Answers { is_json: args.json, n: 0 };
    match &card.task {
        Task::Series { window, scaler } => {
            series(&model, *window, scaler, &mut lines, &mut answers)
        }
        Task::Text { symbols } => {
            text(&model, &Symbols::stored(symbols)?, &mut lines, &mut answers)
        }
        Task::Labels { classes, channels, pooling } => {
            labels(&model, classes, channels, *pooling, &mut lines, &mut answers)
        }
    }
}

/// Lines of standard input, none of which is longer than memory allows.
struct Lines {
    stdin: StdinLock<'static>,
    n: u64,
}

impl Lines {
    /// The next line without its end.
    fn next(&mut self) -> Result<Option<String>> {
        self.n += 1;
        let mut line = Vec::new();
        (&mut self.stdin).take(MOST_BYTES + 1).read_until(b'\n', &mut line)?;
        ensure!(
            line.len() as u64 <= MOST_BYTES,
            "line {} has more than {MOST_BYTES} bytes",
            self.n
        );
        if line.is_empty() {
            return Ok(None);
        }
        let text = String::from_utf8(line);
        let text = text.ok().with_context(|| format!("line {} is not UTF-8", self.n))?;
        Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()))
    }
}

/// Answers on standard output, each flushed.
struct Answers {
    is_json: bool,
    n: u64,
}

impl Answers {
    /// Writes an answer: an object as JSON, or its values as CSV below their names.
    fn give(&mut self, fields: &[(&str, Value)]) -> Result<()> {
        let text = if self.is_json {
            let object = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
            Value::Object(object.collect()).to_string() + "\n"
        } else {
            let mut writer = csv::Writer::from_writer(Vec::new());
            if self.n == 0 {
                writer.write_record(fields.iter().map(|(name, _)| *name))?;
            }
            writer.write_record(fields.iter().map(|(_, value)| match value {
                Value::String(text) => text.clone(),
                Value::Null => String::new(),
                other => other.to_string(),
            }))?;
            String::from_utf8(writer.into_inner().map_err(|error| error.into_error())?)?
        };
        self.n += 1;
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        Ok(stdout.flush()?)
    }
}

/// Forecasts of the next rows: the same numbers as `rondeau predict` has, since a forecast looks
/// back on `window` rows and no further.
fn series(
    model: &Model,
    window: usize,
    scaler: &Scaler,
    lines: &mut Lines,
    answers: &mut Answers,
) -> Result<()> {
    let Some(header) = lines.next()? else { return Ok(()) };
    let step = |model: &Model, carry: &Carry, x: &Array| model.step(carry, x);
    let (first, n_inputs) = (model.initial_carry(), scaler.n_inputs());
    let mut stream = Stream::new(step, model, &first, &Array::zeros([n_inputs]))?;
    let mut change = stream.output();
    let named: Vec<String> = scaler.columns.iter().map(|scale| scale.name.clone()).collect();
    let mut past: VecDeque<Array> = VecDeque::with_capacity(window + 1);
    let mut n_rows = 0_u64;
    while let Some(line) = lines.next()? {
        let name = format!("line {} of standard input", lines.n);
        let row = format!("{header}\n{line}\n");
        let wanted = Wanted { named: named.clone(), others: false };
        let table = Table::read(Source { name, text: row.as_bytes() }, &wanted, Limits::default())?;
        if table.n_rows == 0 {
            continue;
        }
        n_rows += 1;
        past.push_back(Array::new([n_inputs], scaler.inputs(&table)?));
        if past.len() > window {
            past.pop_front();
        }
        let last = table.columns[scaler.target].values[0];
        let forecast = if past.len() < window {
            Value::Null
        } else {
            stream.set_carry(&first)?;
            for x in &past {
                stream.step(x, &mut change)?;
            }
            let change: Vec<f32> = change.to_vec()?;
            json!((last + f64::from(change[0]) * scaler.target().deviation) as f32)
        };
        let row = match &table.dates {
            Some(_) => json!(table.row_label(0)),
            None => json!(n_rows),
        };
        answers.give(&[("after", row), ("forecast", forecast)])?;
    }
    Ok(())
}

/// How well each line is said, with the end of line, and what is likeliest behind it.
fn text(model: &Model, symbols: &Symbols, lines: &mut Lines, answers: &mut Answers) -> Result<()> {
    let step = |model: &Model, carry: &Carry, x: &Array| {
        let (carry, logits) = model.step(carry, x);
        (carry, logits.log_softmax(-1))
    };
    let first = Array::from(0_i32);
    let mut stream = Stream::new(step, model, &model.initial_carry(), &first)?;
    let mut scores = stream.output();
    let mut said: Option<Vec<f32>> = None;
    while let Some(line) = lines.next()? {
        let line = line + "\n";
        let numbers = symbols.numbers(&line).with_context(|| format!("line {}", lines.n))?;
        let (mut nats, mut n) = (0.0, 0_u32);
        for &symbol in &numbers {
            if let Some(said) = &said {
                nats -= f64::from(said[symbol as usize]);
                n += 1;
            }
            stream.step(&Array::from(symbol), &mut scores)?;
            said = Some(scores.to_vec()?);
        }
        let (next, score) = likeliest(said.as_deref().unwrap_or_default());
        let bits = if n == 0 { Value::Null } else { json!(nats / LN_2 / f64::from(n)) };
        answers.give(&[
            ("line", json!(lines.n)),
            ("characters", json!(numbers.len())),
            ("bits_per_character", bits),
            ("next", json!(symbols.char(next).to_string())),
            ("probability", json!(score.exp())),
        ])?;
    }
    Ok(())
}

/// The class of each sequence so far.
fn labels(
    model: &Model,
    classes: &[String],
    channels: &[Scale],
    pooling: Pooling,
    lines: &mut Lines,
    answers: &mut Answers,
) -> Result<()> {
    /// The carry of the layers, and the sum of their outputs and how many there were.
    type Pooled = (Carry, Array, Array);
    let step = move |model: &Model, (carry, sum, n): &Pooled, x: &Array| {
        let (carry, output) = model.output(carry, x);
        let (sum, n) = (sum + &output, n + 1.0);
        let pooled = match pooling {
            Pooling::Mean => &sum / &n,
            Pooling::Last => output,
        };
        let probabilities = model.readout.of(&pooled).softmax(-1);
        ((carry, sum, n), probabilities)
    };
    let sum = Array::zeros([model.readout.input_size()]);
    let first: Pooled = (model.initial_carry(), sum, Array::from(0.0_f32));
    let mut stream = Stream::new(step, model, &first, &Array::zeros([channels.len()]))?;
    let mut probabilities = stream.output();
    let (mut sequence, mut n_steps) = (1_u64, 0_u64);
    while let Some(line) = lines.next()? {
        if line.trim().is_empty() {
            if n_steps > 0 {
                (sequence, n_steps) = (sequence + 1, 0);
                stream.set_carry(&first)?;
            }
            continue;
        }
        let number = |field: &str| match field.trim().parse::<f64>() {
            Ok(x) if x.is_finite() => Ok(x),
            _ => bail!("line {}: `{}` is no number", lines.n, field.trim()),
        };
        let values = line.split(',').map(number).collect::<Result<Vec<f64>>>()?;
        ensure!(
            values.len() == channels.len(),
            "line {} has {} numbers, and the model takes {}",
            lines.n,
            values.len(),
            channels.len()
        );
        let mut x = vec![0.0; values.len()];
        normalise(&values, channels, &mut x);
        stream.step(&Array::new([x.len()], x), &mut probabilities)?;
        n_steps += 1;
        let (i, probability) = likeliest(&probabilities.to_vec::<f32>()?);
        answers.give(&[
            ("sequence", json!(sequence)),
            ("step", json!(n_steps)),
            ("class", json!(classes[i])),
            ("probability", json!(probability)),
        ])?;
    }
    Ok(())
}
