//! `rondeau train text`: a model of the characters of a text; and `rondeau generate`, which writes.

use std::f64::consts::LN_2;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use rondeau::io::{Record, atomic};
use rondeau::nn::{self, Cell, loss};
use rondeau::optim::schedule::warmup_cosine;
use rondeau::optim::{self, Optimizer as _};
use rondeau::train::{Data, Epoch, Trainer};
use rondeau::{Array, jit, random, tree, value_and_grad_aux, where_};
use serde::Serialize;

use crate::args::{Generate, Text};
use crate::cells::Cells;
use crate::chart::axis::Kind;
use crate::chart::{Axis, LineChart, Mark, Series, Stroke};
use crate::commands::{elsewhere, equip, explained};
use crate::interrupt;
use crate::model::{Carry, Inputs, Model, Optimizer, OptimizerState, key_of, optimizer};
use crate::progress::{Plan, Progress};
use crate::report::{Stopped, network_name};
use crate::weights::{Card, Task, WEIGHTS, encode, load};

/// The files of a run, but for the log.
const FILES: [&str; 2] = ["loss.svg", WEIGHTS];
/// The longest text.
const MOST_BYTES: u64 = 1 << 30;
/// The most kinds of characters.
const MOST_SYMBOLS: usize = 20_000;
/// The most streams that are judged at once.
const MOST_JUDGED: usize = 32;
/// One part of so many of a text says which epoch is kept, and one part of so many is judged at the
/// end.
const VALIDATION_PART: usize = 20;
const TEST_PART: usize = 10;
/// What the decay of the matrices takes of them, as a part of the learning rate.
const DECAY: f64 = 0.01;

/// The characters that a model knows, in order.
#[derive(Clone, Debug)]
pub struct Symbols(Vec<char>);

impl Symbols {
    /// The characters of a text.
    ///
    /// # Errors
    /// If there are too many kinds of them.
    pub fn of(text: &str) -> Result<Symbols> {
        let mut symbols: Vec<char> = text.chars().collect();
        symbols.sort_unstable();
        symbols.dedup();
        let n = symbols.len();
        ensure!(n <= MOST_SYMBOLS, "{n} kinds of characters are more than {MOST_SYMBOLS}");
        Ok(Symbols(symbols))
    }

    /// The characters of a card, which are in order.
    pub fn stored(text: &str) -> Result<Symbols> {
        let symbols = Symbols(text.chars().collect());
        ensure!(symbols.0.is_sorted(), "its card has characters that are not in order");
        Ok(symbols)
    }

    /// The numbers of characters.
    ///
    /// # Errors
    /// If one is not known.
    pub fn numbers(&self, text: &str) -> Result<Vec<i32>> {
        let number = |c: char| {
            let found = self.0.binary_search(&c).map(|i| i as i32);
            found.ok().with_context(|| {
                format!("the model does not know {c:?}: it was not in the text it was trained on")
            })
        };
        text.chars().map(number).collect()
    }

    /// The character of a number.
    pub fn char(&self, i: usize) -> char {
        self.0.get(i).copied().unwrap_or(char::REPLACEMENT_CHARACTER)
    }
}

/// A text cut into streams, of which each batch has the next characters. Example `i` is of the
/// stream `i mod streams`.
struct Streams {
    symbols: Vec<i32>,
    n_streams: usize,
    length: usize,
    n_chunks: usize,
}

/// Characters `i32[streams, length + 1]`, the last of which are only to be said, and whether the
/// streams begin, `bool[]`.
type Batch = (Array, Array);

impl Streams {
    /// As many streams as there can be, with at least one chunk each.
    fn of(symbols: &[i32], most_streams: usize, length: usize) -> Result<Streams> {
        let n = symbols.len();
        ensure!(
            n > length,
            "{n} characters are too few to train on: gradients go back {length}\n\
             help: take a longer text or a smaller --length"
        );
        let n_streams = most_streams.min((n - 1) / length).max(1);
        let n_chunks = (n - 1) / n_streams / length;
        Ok(Streams { symbols: symbols.to_vec(), n_streams, length, n_chunks })
    }
}

impl Data for Streams {
    type Batch = Batch;

    fn len(&self) -> usize {
        self.n_chunks * self.n_streams
    }

    fn batch(&self, rows: &[usize]) -> rondeau::Result<Batch> {
        let stream_length = self.n_chunks * self.length;
        let mut symbols = Vec::with_capacity(rows.len() * (self.length + 1));
        for row in rows {
            let start = row % self.n_streams * stream_length + row / self.n_streams * self.length;
            symbols.extend_from_slice(&self.symbols[start..=start + self.length]);
        }
        let begins = rows.first().is_some_and(|&row| row < self.n_streams);
        Ok((Array::new([rows.len(), self.length + 1], symbols), Array::from(begins)))
    }
}

/// The losses of each character in nats, `[streams, length]`, and the carries behind them.
fn losses(model: &Model, carries: &Carry, symbols: &Array) -> (Array, Carry) {
    let length = symbols.shape().get(1).map_or(0, |n| n.saturating_sub(1));
    let (carries, outputs) = model.outputs(carries, &symbols.at((.., ..length)));
    let logits = model.readout.of(&outputs);
    (loss::cross_entropy(&logits, &symbols.at((.., 1..))), carries)
}

/// The mean loss in bits a character, and the carries behind the characters.
fn bits(model: &Model, carries: &Carry, (symbols, begins): &Batch) -> (Array, Carry) {
    let first = nn::initial_carries(model, symbols.len());
    let carries = tree::map2(&first, carries, |first, carry| where_(begins, first, carry));
    let carries = carries.unwrap_or(first);
    let (losses, carries) = losses(model, &carries, symbols);
    (losses.mean() / LN_2, carries)
}

/// The optimizer's state, and the carries that the next batch begins with.
type State = (OptimizerState, Carry);

fn update(
    optimizer: &Optimizer,
    model: &Model,
    (state, carries): &State,
    batch: &Batch,
) -> (Model, State, Array) {
    let ((loss, carries), gradient) = value_and_grad_aux(bits).apply(model, carries, batch);
    let (updates, state) = optimizer.update(&gradient, state, model);
    (optim::apply(model, &updates), (state, carries), loss)
}

/// Judges models by a text: the bits that a character takes on average.
pub struct Judge {
    /// Portions of `i32[streams, length + 1]` symbols, and which of them are there, `f32[streams,
    /// length]`.
    portions: Vec<(Array, Array)>,
    n_streams: usize,
    n_said: usize,
    #[expect(clippy::type_complexity, reason = "a function's type is its arguments")]
    portion: Box<dyn Fn(&Model, &Carry, &Array, &Array) -> rondeau::Result<(Array, Carry)>>,
}

impl Judge {
    /// A judge by symbols, all of which but the first are to be said.
    pub fn of(symbols: &[i32], length: usize) -> Judge {
        let n_said = symbols.len().saturating_sub(1);
        let n_streams = (n_said / (4 * length)).clamp(1, MOST_JUDGED);
        let stream_length = n_said.div_ceil(n_streams);
        let at = |i: usize| symbols.get(i).copied().unwrap_or(0);
        let portion = |chunk: usize| {
            let (mut shown, mut there) = (Vec::new(), Vec::new());
            for stream in 0..n_streams {
                let end = ((stream + 1) * stream_length).min(n_said);
                let start = stream * stream_length + chunk * length;
                shown.extend((start..=start + length).map(|i| if i <= end { at(i) } else { 0 }));
                there.extend((start..start + length).map(|i| if i < end { 1.0_f32 } else { 0.0 }));
            }
            let shown = Array::new([n_streams, length + 1], shown);
            (shown, Array::new([n_streams, length], there))
        };
        let portions = (0..stream_length.div_ceil(length)).map(portion).collect();
        let compiled = jit(|model: &Model, carries: &Carry, shown: &Array, there: &Array| {
            let (losses, carries) = losses(model, carries, shown);
            ((losses * there).sum() / LN_2, carries)
        });
        let portion =
            Box::new(move |model: &Model, carries: &Carry, shown: &Array, there: &Array| {
                compiled.call(model, carries, shown, there)
            });
        Judge { portions, n_streams, n_said, portion }
    }

    /// Bits a character.
    ///
    /// # Errors
    /// If the computation fails.
    pub fn bits(&self, model: &Model) -> rondeau::Result<f64> {
        let mut carries = nn::initial_carries(model, self.n_streams);
        let mut sum = 0.0;
        for (shown, there) in &self.portions {
            let (bits, next) = (self.portion)(model, &carries, shown, there)?;
            sum += f64::from(bits.item::<f32>()?);
            carries = next;
        }
        Ok(sum / self.n_said as f64)
    }
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Judge by {} characters", self.n_said)
    }
}

/// The result of a run, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Outcome {
    cell: String,
    hidden: usize,
    layers: usize,
    seed: u64,
    n_weights: usize,
    characters: Sizes,
    epochs: usize,
    best_epoch: u64,
    stopped: Stopped,
    seconds: f64,
    /// Of the last part of the text, with the weights that are kept.
    bits_per_character: f64,
    /// What the frequencies of the characters alone give.
    bits_by_frequency: f64,
    out: String,
}

#[derive(Debug, Serialize)]
struct Sizes {
    kinds: usize,
    train: usize,
    validation: usize,
    test: usize,
}

/// The parts of a text, which follow each other: what says which epoch is kept, what weights are
/// fitted to, and what is judged once, at the end. A text goes on as it was: what is judged follows
/// what the weights are fitted to.
#[derive(Debug, PartialEq)]
struct Parts<'a> {
    validation: &'a [i32],
    train: &'a [i32],
    test: &'a [i32],
}

impl Parts<'_> {
    fn of(symbols: &[i32]) -> Result<Parts<'_>> {
        let n = symbols.len();
        let n_validation = n / VALIDATION_PART;
        ensure!(
            n_validation >= 2,
            "{n} characters are too few: a twentieth and a tenth are held out\n\
             help: take a text of at least {} characters",
            2 * VALIDATION_PART
        );
        let (known, test) = symbols.split_at(n - n / TEST_PART);
        let (validation, train) = known.split_at(n_validation);
        Ok(Parts { validation, train, test })
    }
}

/// Trains, judges, and writes the files.
///
/// # Errors
/// If the text cannot be used, the directory not be written, or the training fails.
pub fn run(cells: &Cells, args: &Text) -> Result<()> {
    let common = &args.common;
    let text = read(&args.file)?;
    let symbols = Symbols::of(&text)?;
    let numbers = symbols.numbers(&text)?;
    let parts = Parts::of(&numbers)?;
    let streams = Streams::of(parts.train, common.batch, args.length)?;
    let n = symbols.0.len();
    let n_logits = streams.n_streams.saturating_mul(args.length).saturating_mul(n);
    ensure!(
        n_logits <= 1 << 28,
        "a batch needs {n_logits} numbers at its end\nhelp: take a smaller --batch or --length"
    );
    let spec = common.spec(Inputs::Symbols(n), n)?;
    let model = Model::init(cells, &spec)?;
    let n_weights = model.n_weights();
    atomic::prepare(&common.out, &[&FILES[..], &["log.csv"]].concat()).map_err(elsewhere)?;

    let started = Instant::now();
    let judge = Judge::of(parts.validation, args.length);
    let n_steps = streams.n_chunks * common.epochs;
    let rate = warmup_cosine(0.0, common.learning_rate, (n_steps / 100).max(1), n_steps, 0.0);
    let optimizer = optimizer(rate, DECAY);
    let start = (optimizer.init(&model), nn::initial_carries(&model, streams.n_streams));
    let update = |model: &Model, state: &State, batch: &Batch, _: &Array| {
        update(&optimizer, model, state, batch)
    };
    let plan =
        Plan { n_epochs: common.epochs, n_batches: streams.n_chunks, batch: streams.n_streams };
    let mut progress = Progress::start(common.quiet, plan);
    let trainer = equip(Trainer::new(update), common, streams.n_chunks)?
        .epochs(common.epochs as u64)
        .batch_size(streams.n_streams)
        .key(key_of(common.seed))
        .in_order()
        .validate(|model| judge.bits(model))
        .csv(common.out.join("log.csv"))
        .observer(&mut progress)
        .stop(interrupt::install("step")?);
    let trained = trainer.run(model, start, &streams).map_err(explained)?;
    let seconds = started.elapsed().as_secs_f64();
    let stopped = Stopped::from(trained.ended);
    progress.finish(&match trained.best_epoch {
        0 => stopped.to_string(),
        epoch => format!("{stopped}; the weights are those of epoch {epoch}"),
    });

    // A run that is stopped before its first epoch ends has no best one.
    let kept = if trained.best_epoch == 0 { &trained.params } else { &trained.best };
    let title = cells.get(&spec.cell)?.title;
    let bits_per_character = Judge::of(parts.test, args.length).bits(kept)?;
    let bits_by_frequency = frequency_bits(parts.train, parts.test, n);
    let task = Task::Text { symbols: symbols.0.iter().collect() };
    let card = Card::new(spec.clone(), trained.best_epoch as usize, task);
    let svg = loss_svg(
        &trained.epochs,
        trained.best_epoch,
        &network_name(&title, &spec),
        "bits a character",
    );
    let contents = [svg.into_bytes(), encode(&card, Record::of(kept)?)?];
    let files = FILES.into_iter().zip(contents.iter().map(Vec::as_slice));
    atomic::write_all(&common.out, &files.collect::<Vec<_>>()).map_err(elsewhere)?;
    let outcome = Outcome {
        cell: spec.cell,
        hidden: spec.hidden,
        layers: spec.layers,
        seed: spec.seed,
        n_weights,
        characters: Sizes {
            kinds: n,
            train: parts.train.len(),
            validation: parts.validation.len(),
            test: parts.test.len(),
        },
        epochs: trained.epochs.len(),
        best_epoch: trained.best_epoch,
        stopped,
        seconds,
        bits_per_character,
        bits_by_frequency,
        out: common.out.display().to_string(),
    };
    if common.json {
        return crate::print(format!("{}\n", serde_json::to_string_pretty(&outcome)?).as_bytes());
    }
    crate::print(
        format!(
            "The last {} characters, which training and choosing never saw, take\n\n\
             {:28}{bits_per_character:>8.3} bits a character\n\
             {:28}{bits_by_frequency:>8.3}\n\n\
             {}: log.csv, {}\n",
            parts.test.len(),
            title,
            "their frequencies",
            outcome.out,
            FILES.join(", ")
        )
        .as_bytes(),
    )
}

/// Reads a whole text.
///
/// # Errors
/// If it cannot be read, is too long, or is not UTF-8.
pub fn read(path: &Path) -> Result<String> {
    let text = |mut from: &mut dyn Read| -> Result<String> {
        let mut bytes = Vec::new();
        io::copy(&mut (&mut from).take(MOST_BYTES + 1), &mut bytes)?;
        ensure!(bytes.len() as u64 <= MOST_BYTES, "it has more than {MOST_BYTES} bytes");
        String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            anyhow::anyhow!("it is not UTF-8 from byte {at} on")
        })
    };
    if path.as_os_str() == "-" {
        return text(&mut io::stdin().lock()).context("cannot use standard input");
    }
    let read = || text(&mut File::open(path)?);
    read().with_context(|| format!("cannot use {}", path.display()))
}

/// How well a text is said.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Judged {
    /// Its characters.
    pub characters: usize,
    /// The bits that one takes on average, the first not counted.
    pub bits_per_character: f64,
}

/// Judges a model by a file.
///
/// # Errors
/// If the file cannot be read, or has characters that the model does not know.
pub fn judged(model: &Model, symbols: &Symbols, path: &Path) -> Result<Judged> {
    let text = read(path)?;
    let numbers = symbols.numbers(&text)?;
    ensure!(
        numbers.len() >= 2,
        "{}: {} characters are too few\nhelp: take a text of at least 2",
        path.display(),
        numbers.len()
    );
    let bits_per_character = Judge::of(&numbers, 64.min(numbers.len())).bits(model)?;
    Ok(Judged { characters: numbers.len(), bits_per_character })
}

/// What the frequencies of the training characters, each counted once more, give of others.
fn frequency_bits(known: &[i32], others: &[i32], n: usize) -> f64 {
    let mut counts = vec![1.0_f64; n];
    known.iter().for_each(|&i| counts[i as usize] += 1.0);
    let all: f64 = counts.iter().sum();
    let bits = others.iter().map(|&i| -(counts[i as usize] / all).log2());
    bits.sum::<f64>() / others.len() as f64
}

/// `loss.svg` of the epochs of a trainer.
pub fn loss_svg(epochs: &[Epoch], best_epoch: u64, network: &str, unit: &str) -> String {
    let line = |name: &str, loss: &dyn Fn(&Epoch) -> f64| Series {
        name: name.to_owned(),
        points: epochs.iter().map(|epoch| (epoch.epoch as f64, loss(epoch))).collect(),
        stroke: Stroke::Strong,
    };
    let train = line("train", &|epoch| epoch.metrics.first().map_or(f64::NAN, |(_, loss)| *loss));
    let validation = line("validation", &|epoch| epoch.validation.unwrap_or(f64::NAN));
    let is_validated = epochs.iter().any(|epoch| epoch.validation.is_some());
    LineChart {
        title: "Loss".to_owned(),
        subtitle: format!("{network} · {unit}"),
        x: Axis { label: "epoch".to_owned(), kind: Kind::Counts },
        y_label: unit.to_owned(),
        series: if is_validated { vec![train, validation] } else { vec![train] },
        mark: (best_epoch > 0)
            .then(|| Mark { x: best_epoch as f64, label: format!("kept: epoch {best_epoch}") }),
    }
    .svg()
}

/// Writes text.
///
/// # Errors
/// If the model is not one of text, or does not know a character of the prompt.
pub fn generate(cells: &Cells, args: &Generate) -> Result<()> {
    let (card, model) = load(cells, &args.dir)?;
    let Task::Text { symbols } = &card.task else {
        bail!("{} has a model of {}, not of text", args.dir.display(), card.task.name());
    };
    let symbols = Symbols::stored(symbols)?;
    let prompt = symbols.numbers(&args.prompt)?;
    ensure!(
        !prompt.is_empty(),
        "the prompt is empty\nhelp: a text begins with a character at least"
    );
    let step = |model: &Model, carry: &Carry, x: &Array| model.step(carry, x);
    let (carry, first) = (model.initial_carry(), Array::from(0_i32));
    let mut stream = rondeau::Stream::new(step, &model, &carry, &first)?;
    let mut logits = stream.output();
    let mut stdout = io::stdout().lock();
    stdout.write_all(args.prompt.as_bytes())?;
    for symbol in prompt {
        stream.step(&Array::from(symbol), &mut logits)?;
    }
    let key = key_of(args.seed);
    for i in 0..args.length {
        let next = chosen(&logits, args.temperature, &random::fold_in(&key, i as u32))?;
        write!(stdout, "{}", symbols.char(next))?;
        if i % 64 == 63 {
            stdout.flush()?;
        }
        stream.step(&Array::from(next as i32), &mut logits)?;
    }
    writeln!(stdout)?;
    Ok(stdout.flush()?)
}

/// A symbol by its logit, or the likeliest if the temperature is 0.
fn chosen(logits: &Array, temperature: f64, key: &Array) -> Result<usize> {
    let logits: Vec<f32> = logits.to_vec()?;
    let most = |scores: &mut dyn Iterator<Item = f64>| {
        scores.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(i, _)| i)
    };
    if temperature == 0.0 {
        return Ok(most(&mut logits.iter().map(|&x| f64::from(x))));
    }
    // The largest of the logits with Gumbel's noise is a draw from their softmax.
    let noise: Vec<f32> = random::gumbel(key, [logits.len()]).to_vec()?;
    let noisy = logits.iter().zip(noise).map(|(&x, g)| f64::from(x) / temperature + f64::from(g));
    Ok(most(&mut { noisy }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols(n: usize) -> Vec<i32> {
        (0..n as i32).collect()
    }

    #[test]
    fn streams_follow_each_other_without_a_gap() {
        let streams = Streams::of(&symbols(103), 4, 5).unwrap();
        assert_eq!((streams.n_streams, streams.n_chunks, streams.len()), (4, 5, 20));
        let rows = |chunk: usize| (4 * chunk..4 * chunk + 4).collect::<Vec<_>>();
        let (first, begins) = streams.batch(&rows(0)).unwrap();
        assert!(begins.item::<bool>().unwrap());
        assert_eq!(first.at(1).to_vec::<i32>().unwrap(), [25, 26, 27, 28, 29, 30]);
        let (second, begins) = streams.batch(&rows(1)).unwrap();
        assert!(!begins.item::<bool>().unwrap());
        assert_eq!(second.at(1).to_vec::<i32>().unwrap(), [30, 31, 32, 33, 34, 35]);
    }

    #[test]
    fn parts_follow_each_other_and_cover_the_text() {
        for n in [40, 41, 99, 1000, 1009] {
            let symbols = symbols(n);
            let parts = Parts::of(&symbols).unwrap();
            assert_eq!((parts.validation.len(), parts.test.len()), (n / 20, n / 10));
            assert_eq!([parts.validation, parts.train, parts.test].concat(), symbols);
        }
        assert!(Parts::of(&symbols(39)).is_err());
    }

    #[test]
    fn every_character_is_judged_once() {
        for n in [2, 3, 17, 100, 1001] {
            let judge = Judge::of(&symbols(n), 7);
            let mut said = Vec::new();
            for (shown, there) in &judge.portions {
                let shown: Vec<i32> = shown.at((.., 1..)).to_vec().unwrap();
                let there: Vec<f32> = there.to_vec().unwrap();
                said.extend(shown.iter().zip(there).filter(|(_, t)| *t > 0.0).map(|(&s, _)| s));
            }
            said.sort_unstable();
            assert_eq!(said, symbols(n)[1..], "{n}");
        }
    }

    #[test]
    fn choices() {
        let logits = Array::from([0.0_f32, 3.0, 1.0]);
        assert_eq!(chosen(&logits, 0.0, &random::key(0)).unwrap(), 1);
        let draws = (0..200).map(|i| chosen(&logits, 1.0, &random::key(i)).unwrap());
        let n = draws.filter(|&i| i == 1).count();
        // Its probability is 0.84.
        assert!((150..190).contains(&n), "{n}");
    }
}
