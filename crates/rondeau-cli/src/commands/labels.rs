//! `rondeau train labels`: a classifier of sequences.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use anyhow::{Result, ensure};
use rondeau::io::{Record, atomic};
use rondeau::nn::{self, loss};
use rondeau::optim::schedule::cosine;
use rondeau::optim::{self, Ema, EmaState, Optimizer as _};
use rondeau::train::{Rows, Trainer};
use rondeau::{Array, Tree, jit, random, value_and_grad_aux, where_};
use serde::Serialize;
use serde_json::json;

use crate::args::{Labels, Predict};
use crate::cells::Cells;
use crate::commands::{elsewhere, equip, explained, text};
use crate::data::sequences::{Sequence, Sequences};
use crate::data::{DataError, Scale};
use crate::interrupt;
use crate::model::{Inputs, Model, Optimizer, OptimizerState, Weights, key_of, optimizer};
use crate::progress::{Plan, Progress};
use crate::report::{Stopped, network_name};
use crate::weights::{Card, Pooling, Task, WEIGHTS, encode};

/// The files of a run, but for the logs.
const FILES: [&str; 2] = ["loss.svg", WEIGHTS];
/// The most numbers of all sequences when they are filled up to the longest.
const MOST_NUMBERS: usize = 1 << 28;
/// The most sequences that are judged at once.
const MOST_JUDGED: usize = 256;
/// Normalised inputs stay within this many deviations.
const FARTHEST: f64 = 1e6;
/// What the decay of the matrices takes of them, as a part of the learning rate.
const DECAY: f64 = 0.01;
/// How much of itself the mean of the weights keeps at each step.
const KEPT: f64 = 0.99;
/// The parts of the random key of a run that are for other things than weights.
const HOLD_OUT: u32 = 2;

/// Sequences filled up to one length: `xs: [n, time, channels]`, `lengths: i32[n]`, and the number of
/// each label, `i32[n]`.
type Batch = (Array, Array, Array);

/// Logits `[n, classes]` of sequences.
fn logits(model: &Model, xs: &Array, lengths: &Array, pooling: Pooling) -> Array {
    let carries = nn::initial_carries(&model.layers, xs.len());
    let (_, outputs) = nn::run_lengths(&model.layers, &carries, xs, lengths);
    let n_steps = xs.shape().get(1).copied().unwrap_or(0);
    let (t, lengths) = (Array::arange(n_steps), lengths.expand_dims(1));
    let pooled = match pooling {
        // Outputs beyond a length are zero.
        Pooling::Mean => outputs.sum_axis(1) / lengths.to(rondeau::DType::F32),
        Pooling::Last => {
            let is_last = t.eq(lengths - 1).expand_dims(2);
            where_(is_last, &outputs, 0.0).sum_axis(1)
        }
    };
    model.readout.of(&pooled)
}

/// What is logged of a batch.
#[derive(Clone, Tree)]
struct Metrics {
    /// The mean cross entropy, in nats.
    loss: Array,
    /// The part that is named rightly.
    accuracy: Array,
}

type State = (OptimizerState, EmaState<Model>);

fn update(
    optimizer: &Optimizer,
    pooling: Pooling,
    weights: &Weights,
    (state, mean): &State,
    (xs, lengths, labels): &Batch,
) -> (Weights, State, Metrics) {
    let of = |model: &Model, xs: &Array, lengths: &Array, labels: &Array| {
        let logits = logits(model, xs, lengths, pooling);
        let right = logits.argmax(-1).eq(labels).to(rondeau::DType::F32);
        (loss::cross_entropy(&logits, labels).mean(), right.mean())
    };
    let ((loss, accuracy), gradient) =
        value_and_grad_aux(of).apply(&weights.model, xs, lengths, labels);
    let (updates, state) = optimizer.update(&gradient, state, &weights.model);
    let model = optim::apply(&weights.model, &updates);
    let ema = Ema::new(KEPT);
    let mean = ema.update(mean, &model);
    (Weights { model, mean: ema.params(&mean) }, (state, mean), Metrics { loss, accuracy })
}

/// Sequences filled up with zeros, normalised, in memory that is bounded.
fn filled(
    source: &str,
    sequences: &[&Sequence],
    channels: &[Scale],
    n_steps: usize,
) -> Result<(Vec<f32>, Vec<i32>)> {
    let (n, n_channels) = (sequences.len(), channels.len());
    let n_numbers = n.checked_mul(n_steps).and_then(|n| n.checked_mul(n_channels));
    ensure!(
        n_numbers.is_some_and(|n| n <= MOST_NUMBERS),
        "{source}: {n} sequences of {n_channels} numbers, filled up to {n_steps} steps, are more \
         than {MOST_NUMBERS} numbers\nhelp: cut the longest ones"
    );
    let mut xs = vec![0.0; n * n_steps * n_channels];
    let mut lengths = Vec::with_capacity(n);
    for (sequence, xs) in sequences.iter().zip(xs.chunks_mut(n_steps * n_channels)) {
        normalise(&sequence.values, channels, xs);
        lengths.push((sequence.values.len() / n_channels) as i32);
    }
    Ok((xs, lengths))
}

/// The numbers of steps in deviations from the mean.
pub fn normalise(values: &[f64], channels: &[Scale], xs: &mut [f32]) {
    for ((x, value), scale) in xs.iter_mut().zip(values).zip(channels.iter().cycle()) {
        let normal = (value - scale.mean) / scale.deviation;
        *x = normal.clamp(-FARTHEST, FARTHEST) as f32;
    }
}

/// The normalisation by some sequences.
fn scales(names: &[String], sequences: &[&Sequence]) -> Vec<Scale> {
    let scale = |(i, name): (usize, &String)| {
        let values = || {
            let all = sequences.iter().flat_map(|sequence| &sequence.values);
            all.skip(i).step_by(names.len())
        };
        let n = values().count() as f64;
        let mean = values().sum::<f64>() / n;
        let deviation = (values().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
        let is_constant = deviation <= 1e-12 * mean.abs();
        let deviation = if is_constant || deviation == 0.0 { 1.0 } else { deviation };
        Scale { name: name.clone(), mean, deviation }
    };
    names.iter().enumerate().map(scale).collect()
}

/// The numbers of labels.
fn numbers(source: &str, sequences: &[&Sequence], classes: &[String]) -> Result<Vec<i32>> {
    let number = |sequence: &&Sequence| -> Result<i32> {
        let label = sequence.label.as_deref().unwrap_or_default();
        let found = classes.iter().position(|class| class == label);
        let Some(i) = found else {
            let headline = format!(
                "the label of sequence {} is `{label}`, which is none of those trained on",
                sequence.name
            );
            let help = format!("the classes are {}", classes.join(", "));
            return Err(DataError::whole(source, headline, help).into());
        };
        Ok(i as i32)
    };
    sequences.iter().map(number).collect()
}

/// A classifier, compiled.
struct Classifier {
    #[expect(clippy::type_complexity, reason = "a function's type is its arguments")]
    probabilities: Box<dyn Fn(&Model, &Array, &Array) -> rondeau::Result<Array>>,
}

impl Classifier {
    fn new(pooling: Pooling) -> Classifier {
        let compiled = jit(move |model: &Model, xs: &Array, lengths: &Array| {
            logits(model, xs, lengths, pooling).softmax(-1)
        });
        let probabilities = Box::new(move |model: &Model, xs: &Array, lengths: &Array| {
            compiled.call(model, xs, lengths)
        });
        Classifier { probabilities }
    }

    /// The likeliest class of each sequence, and its probability.
    fn name(
        &self,
        model: &Model,
        source: &str,
        sequences: &[&Sequence],
        channels: &[Scale],
    ) -> Result<Vec<(usize, f32)>> {
        let n_channels = channels.len().max(1);
        let longest = sequences.iter().map(|s| s.values.len() / n_channels).max().unwrap_or(1);
        let portion = (MOST_NUMBERS / (longest * n_channels).max(1)).clamp(1, MOST_JUDGED);
        let mut named = Vec::with_capacity(sequences.len());
        for part in sequences.chunks(portion) {
            let (xs, lengths) = filled(source, part, channels, longest)?;
            let xs = Array::new([part.len(), longest, n_channels], xs);
            let all = (self.probabilities)(model, &xs, &Array::new([part.len()], lengths))?;
            let n_classes = all.shape().last().copied().unwrap_or(1);
            for row in all.to_vec::<f32>()?.chunks(n_classes) {
                named.push(likeliest(row));
            }
        }
        Ok(named)
    }
}

/// The largest number, and where it is.
pub fn likeliest(row: &[f32]) -> (usize, f32) {
    let best = row.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
    best.unwrap_or((0, f32::NAN))
}

/// The result of a run, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Outcome {
    cell: String,
    hidden: usize,
    layers: usize,
    seed: u64,
    n_weights: usize,
    classes: usize,
    sequences: Sizes,
    epochs: usize,
    stopped: Stopped,
    seconds: f64,
    /// Of the training sequences.
    train_accuracy: f64,
    /// Of the sequences that training never saw.
    test_accuracy: Option<f64>,
    /// What the commonest class of the training sequences alone gives.
    commonest_class: Option<f64>,
    out: String,
}

#[derive(Debug, Serialize)]
struct Sizes {
    train: usize,
    test: usize,
}

/// Which sequences train, and which test.
fn split<'a>(
    args: &Labels,
    all: &'a Sequences,
    test: Option<&'a Sequences>,
) -> Result<(Vec<&'a Sequence>, Vec<&'a Sequence>)> {
    let train: Vec<&Sequence> = all.sequences.iter().collect();
    let Some(percent) = args.hold_out else {
        return Ok((train, test.iter().flat_map(|test| &test.sequences).collect()));
    };
    // Of each class the same part, in a random order.
    let key = random::fold_in(&key_of(args.common.seed), HOLD_OUT);
    let order = random::permutation(&key, train.len()).to_vec::<i32>()?;
    let mut by_class: BTreeMap<&Option<String>, Vec<&Sequence>> = BTreeMap::new();
    for i in order {
        let sequence = train[i as usize];
        by_class.entry(&sequence.label).or_default().push(sequence);
    }
    let (mut kept, mut held) = (Vec::new(), Vec::new());
    for (_, sequences) in by_class {
        let n = (sequences.len() * percent).div_ceil(100).min(sequences.len() - 1);
        held.extend(&sequences[..n]);
        kept.extend(&sequences[n..]);
    }
    Ok((kept, held))
}

/// Trains, tests, and writes the files.
///
/// # Errors
/// If a file cannot be used, the directory not be written, or the training fails.
pub fn run(cells: &Cells, args: &Labels) -> Result<()> {
    let common = &args.common;
    let all = Sequences::open(&args.file)?;
    let test_file = args.test.as_deref().map(Sequences::open).transpose()?;
    if let Some(test) = test_file.as_ref().filter(|test| test.n_channels() != all.n_channels()) {
        let (has, needs) = (test.n_channels(), all.n_channels());
        let headline = format!("its steps have {has} numbers, and those of training {needs}");
        return Err(DataError::whole(&test.source, headline, "test on the same channels").into());
    }
    let (train, test) = split(args, &all, test_file.as_ref())?;
    let mut classes: Vec<String> = train.iter().filter_map(|s| s.label.clone()).collect();
    classes.sort_unstable_by(by_number);
    classes.dedup();
    if classes.len() < 2 || train.iter().any(|sequence| sequence.label.is_none()) {
        let headline = format!("it has {} classes", classes.len());
        let help = "a label for each sequence, and two classes at least, are needed";
        return Err(DataError::whole(&all.source, headline, help).into());
    }
    let channels = scales(&all.channels, &train);
    let labels = numbers(&all.source, &train, &classes)?;
    let test_source = test_file.as_ref().map_or(all.source.as_str(), |test| &test.source);
    let test_labels = numbers(test_source, &test, &classes)?;
    let n_steps = all.longest();
    let (xs, lengths) = filled(&all.source, &train, &channels, n_steps)?;
    let n = train.len();
    let xs = Array::new([n, n_steps, channels.len()], xs);
    let data = Rows::of((xs, Array::new([n], lengths), Array::new([n], labels.clone())))?;
    let spec = common.spec(Inputs::Numbers(channels.len()), classes.len())?;
    let model = Model::init(cells, &spec)?;
    let n_weights = model.n_weights();
    let files = [&FILES[..], &["log.csv", "test.csv"]].concat();
    atomic::prepare(&common.out, &files).map_err(elsewhere)?;

    let started = Instant::now();
    let batch = common.batch.min(n);
    let n_batches = n / batch;
    let rate = cosine(common.learning_rate, n_batches * common.epochs, 0.0);
    let optimizer = optimizer(rate, DECAY);
    let start = (optimizer.init(&model), Ema::new(KEPT).init(&model));
    let weights = Weights { mean: model.clone(), model };
    let update = |weights: &Weights, state: &State, batch: &Batch, key: &Array| {
        let (xs, lengths, labels) = batch;
        let noise = random::normal(key, xs.shape()) * args.noise;
        let batch = (xs + noise, lengths.clone(), labels.clone());
        update(&optimizer, args.pooling, weights, state, &batch)
    };
    let plan = Plan { n_epochs: common.epochs, n_batches, batch };
    let mut progress = Progress::start(common.quiet, plan);
    let trainer = equip(Trainer::new(update), common, n_batches)?
        .epochs(common.epochs as u64)
        .batch_size(batch)
        .key(key_of(common.seed))
        .csv(common.out.join("log.csv"))
        .observer(&mut progress)
        .stop(interrupt::install("step")?);
    let trained = trainer.run(weights, start, &data).map_err(explained)?;
    let seconds = started.elapsed().as_secs_f64();
    let stopped = Stopped::from(trained.ended);
    progress.finish(&stopped.to_string());

    let kept = &trained.params.mean;
    let classifier = Classifier::new(args.pooling);
    let accuracy = |named: &[(usize, f32)], labels: &[i32]| {
        let right = named.iter().zip(labels).filter(|((i, _), label)| *i as i32 == **label).count();
        right as f64 / labels.len() as f64
    };
    let train_named = classifier.name(kept, &all.source, &train, &channels)?;
    let test_named = classifier.name(kept, test_source, &test, &channels)?;
    let commonest = commonest(&labels, classes.len());
    let title = cells.get(&spec.cell)?.title;
    let outcome = Outcome {
        cell: spec.cell.clone(),
        hidden: spec.hidden,
        layers: spec.layers,
        seed: spec.seed,
        n_weights,
        classes: classes.len(),
        sequences: Sizes { train: n, test: test.len() },
        epochs: trained.epochs.len(),
        stopped,
        seconds,
        train_accuracy: accuracy(&train_named, &labels),
        test_accuracy: (!test.is_empty()).then(|| accuracy(&test_named, &test_labels)),
        commonest_class: (!test.is_empty()).then(|| {
            test_labels.iter().filter(|&&label| label == commonest).count() as f64
                / test_labels.len() as f64
        }),
        out: common.out.display().to_string(),
    };
    let svg =
        text::loss_svg(&trained.epochs, 0, &network_name(&title, &spec), "cross entropy in nats");
    let said = table(&test, &test_named, &classes)?;
    let task = Task::Labels { classes, channels, pooling: args.pooling };
    let card = Card::new(spec, trained.epochs.len(), task);
    let weights = encode(&card, Record::of(kept)?)?;
    let mut contents = vec![("loss.svg", svg.as_bytes())];
    if !test.is_empty() {
        contents.push(("test.csv", &said));
    }
    contents.push((WEIGHTS, &weights));
    atomic::write_all(&common.out, &contents).map_err(elsewhere)?;
    if common.json {
        return crate::print(format!("{}\n", serde_json::to_string_pretty(&outcome)?).as_bytes());
    }
    let names: Vec<&str> = contents.iter().map(|(name, _)| *name).collect();
    crate::print(
        format!("{}\n{}: log.csv, {}\n", outcome.text(&title), outcome.out, names.join(", "))
            .as_bytes(),
    )
}

impl Outcome {
    fn text(&self, title: &str) -> String {
        let percent = |part: f64| format!("{:>8.1} %", 100.0 * part);
        let train = format!("{:28}{}", "trained on", percent(self.train_accuracy));
        let (Some(test), Some(simple)) = (self.test_accuracy, self.commonest_class) else {
            return format!("{title}: sequences that are named rightly\n\n{train}\n");
        };
        format!(
            "{title}: sequences that are named rightly, of {} that training never saw\n\n\
             {:28}{}\n{:28}{}\n{train}\n",
            self.sequences.test,
            "test",
            percent(test),
            "the commonest class",
            percent(simple),
        )
    }
}

/// Numbers in their order, other labels by their letters.
fn by_number(a: &String, b: &String) -> std::cmp::Ordering {
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(x), Ok(y)) => x.total_cmp(&y).then_with(|| a.cmp(b)),
        _ => a.cmp(b),
    }
}

fn commonest(labels: &[i32], n_classes: usize) -> i32 {
    let mut counts = vec![0; n_classes];
    labels.iter().for_each(|&label| counts[label as usize] += 1);
    let best = counts.iter().enumerate().max_by_key(|(i, n)| (**n, usize::MAX - i));
    best.map_or(0, |(i, _)| i as i32)
}

/// A CSV of what is said of each sequence, and of its label where it has one.
fn table(sequences: &[&Sequence], named: &[(usize, f32)], classes: &[String]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let is_labelled = sequences.iter().all(|sequence| sequence.label.is_some());
    let header = ["sequence", "class", "probability", "label"];
    writer.write_record(&header[..if is_labelled { 4 } else { 3 }])?;
    for (sequence, (i, probability)) in sequences.iter().zip(named) {
        let probability = probability.to_string();
        let said = [sequence.name.as_str(), &classes[*i], &probability].into_iter();
        let label = sequence.label.as_deref().filter(|_| is_labelled);
        writer.write_record(said.chain(label))?;
    }
    Ok(writer.into_inner().map_err(|error| error.into_error())?)
}

/// Prints the class of each sequence of a file.
///
/// # Errors
/// If the file cannot be used.
pub fn predict(
    args: &Predict,
    model: &Model,
    classes: &[String],
    channels: &[Scale],
    pooling: Pooling,
) -> Result<()> {
    let all = Sequences::open(&args.file)?;
    let (has, needs) = (all.n_channels(), channels.len());
    if has != needs {
        let headline = format!("its steps have {has} numbers, and the model takes {needs}");
        let help = "give the channels that it was trained with";
        return Err(DataError::whole(&all.source, headline, help).into());
    }
    let sequences: Vec<&Sequence> = all.sequences.iter().collect();
    let named = Classifier::new(pooling).name(model, &all.source, &sequences, channels)?;
    if !args.json {
        return crate::print(&table(&sequences, &named, classes)?);
    }
    let line = |(sequence, (i, probability)): (&&Sequence, &(usize, f32))| {
        let (name, class) = (&sequence.name, &classes[*i]);
        let said = json!({ "sequence": name, "class": class, "probability": probability });
        format!("{said}\n")
    };
    crate::print(sequences.iter().zip(&named).map(line).collect::<String>().as_bytes())
}

impl fmt::Debug for Classifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Classifier")
    }
}
