//! Streams on random schedules: steps, carries that are saved and brought back in any order, states
//! that go through files or change places, inputs that do not fit. Each output must have the bits of
//! the scan over the same inputs, on every engine.

use rondeau::io::{Record, safetensors};
use rondeau::run::Engine;
use rondeau::{Array, DType, Stream, Tree, jit, scan, tree, vmap};

use crate::cells::{self, Subject, Visit, numbers};
use crate::harness::{Rng, Tally, count};

/// The bits of all leaves.
fn bits<T: Tree>(tree: &T) -> Vec<u32> {
    let of = |leaf: &Array| match leaf.dtype() {
        DType::I32 => leaf.to_vec::<i32>().unwrap().into_iter().map(|x| x as u32).collect(),
        _ => leaf.to_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect::<Vec<u32>>(),
    };
    tree::leaves(tree).into_iter().flat_map(of).collect()
}

/// A sequence of inputs, and what the scan makes of it.
struct Sequence<K> {
    xs: Vec<Array>,
    /// The bits of the outputs.
    ys: Vec<Vec<u32>>,
    last: Vec<u32>,
    /// The step that comes next.
    t: usize,
    saved: Vec<(usize, K)>,
}

/// Follows a number of schedules with one cell, on one engine, alone or as a batch.
struct Schedules<'a> {
    rng: &'a mut Rng,
    tally: &'a mut Tally,
    n: u64,
    engine: Engine,
    n_streams: Option<usize>,
}

impl Visit for Schedules<'_> {
    fn visit<P: Tree, K: Tree>(&mut self, subject: &Subject<P, K>) {
        let Subject { params, start, step, input, .. } = subject;
        match self.n_streams {
            None => {
                let step = |p: &P, c: &K, x: &Array| step(p, c, x);
                self.follow(&subject.name, step, params, start, &[*input]);
            }
            Some(n) => {
                let batch = vmap(*step, (None, 0, 0));
                // The streams of a batch start in different states.
                let rows = Array::arange(n).to(DType::F32);
                let start = tree::map(start, |leaf| {
                    let shape = [&[n], leaf.shape()].concat();
                    let column = [vec![n], vec![1; leaf.rank()]].concat();
                    match leaf.dtype() {
                        DType::F32 => leaf * (1.0 / (1.0 + rows.reshape(column))),
                        _ => leaf.broadcast_to(shape),
                    }
                });
                let step = |p: &P, c: &K, x: &Array| batch.apply(p, c, x);
                self.follow(&subject.name, step, params, &start, &[n, *input]);
            }
        }
    }
}

impl Schedules<'_> {
    fn follow<P: Tree, K: Tree>(
        &mut self,
        name: &str,
        step: impl Fn(&P, &K, &Array) -> (K, Array),
        params: &P,
        start: &K,
        shape: &[usize],
    ) {
        let what = format!("{name}, {:?}, inputs {shape:?}", self.engine);
        let whole = jit(|p: &P, c: &K, xs: &Array| scan(|c, x| step(p, c, x), c, xs));
        let whole = whole.engine(self.engine);
        let lengths = [4, 20, 40].map(|most| 1 + self.rng.below(most));
        let x = Array::zeros(shape);
        let stream = || Stream::with_engine(self.engine, &step, params, start, &x).unwrap();
        let mut streams = [stream(), stream()];
        for _ in 0..self.n {
            let seed = self.rng.0;
            let mut sequences = [(); 2].map(|()| {
                let length = lengths[self.rng.below(lengths.len())];
                let n: usize = shape.iter().product();
                let values = numbers(self.rng, length * n);
                let xs: Vec<Array> =
                    values.chunks(n).map(|x| Array::new(shape.to_vec(), x.to_vec())).collect();
                let all = Array::new([&[length], shape].concat(), values);
                let (last, ys) = whole.call(params, start, &all).unwrap();
                let row = |t: usize| bits(&ys.at(t));
                let ys = (0..length).map(row).collect();
                Sequence { xs, ys, last: bits(&last), t: 0, saved: vec![(0, start.clone())] }
            });
            for stream in &mut streams {
                stream.set_carry(start).unwrap();
            }
            let what = format!("{what}, state {seed:#x}");
            self.one(&what, &mut streams, &mut sequences);
            self.tally.pass();
        }
    }

    /// One schedule of two streams: until both are at their ends.
    fn one<K: Tree>(
        &mut self,
        what: &str,
        streams: &mut [Stream<K, Array, Array>; 2],
        sequences: &mut [Sequence<K>; 2],
    ) {
        let rng = &mut *self.rng;
        // Which sequence each stream is at.
        let mut at = [0, 1];
        let mut y = streams[0].output();
        let mut kept: Option<(Array, Vec<u32>)> = None;
        // After so many detours, there are only steps.
        let mut detours = 3 * (sequences[0].xs.len() + sequences[1].xs.len());
        loop {
            let i = rng.below(2);
            let (stream, sequence) = (&mut streams[i], &mut sequences[at[i]]);
            detours = detours.saturating_sub(1);
            match rng.below(14) {
                0 if detours > 0 => sequence.saved.push((sequence.t, stream.carry())),
                1 if detours > 0 => {
                    let (t, carry) = &sequence.saved[rng.below(sequence.saved.len())];
                    stream.set_carry(carry).unwrap();
                    sequence.t = *t;
                }
                2 if detours > 0 => {
                    let carry = stream.carry();
                    let file = safetensors::encode(&Record::of(&carry).unwrap()).unwrap();
                    let read = safetensors::decode(&file).unwrap().fill(&carry).unwrap();
                    stream.set_carry(&read).unwrap();
                }
                3 if detours > 0 => {
                    let [one, other] = &mut *streams;
                    let carry = one.carry();
                    one.set_carry(&other.carry()).unwrap();
                    other.set_carry(&carry).unwrap();
                    at.swap(0, 1);
                }
                4 if detours > 0 => {
                    let wrong = Array::zeros([sequence.xs[0].shape(), &[2]].concat());
                    assert!(stream.next(&wrong).is_err(), "{what}");
                    let carry = tree::map(&stream.carry(), |leaf| leaf.expand_dims(0));
                    assert!(stream.set_carry(&carry).is_err(), "{what}");
                }
                _ => {
                    let t = sequence.t;
                    let Some(x) = sequence.xs.get(t) else {
                        assert!(bits(&stream.carry()) == sequence.last, "{what}: the last carry");
                        if sequences.iter().all(|sequence| sequence.t == sequence.xs.len()) {
                            break;
                        }
                        continue;
                    };
                    if rng.below(3) == 0 {
                        let y = stream.next(x).unwrap();
                        assert!(bits(&y) == sequence.ys[t], "{what}: step {t}\n{y}");
                        kept = Some((y, sequence.ys[t].clone()));
                    } else {
                        stream.step(x, &mut y).unwrap();
                        assert!(bits(&y) == sequence.ys[t], "{what}: step {t}\n{y}");
                    }
                    sequence.t += 1;
                }
            }
        }
        // What was handed out keeps its values.
        if let Some((y, before)) = kept {
            assert!(bits(&y) == before, "{what}: an output has changed");
        }
        for (stream, &at) in streams.iter().zip(&at) {
            assert!(bits(&stream.carry()) == sequences[at].last, "{what}: the last carry");
        }
    }
}

#[test]
fn streams_on_any_schedule_are_a_scan() {
    let what = "stream schedules equal to scan";
    let mut rng = Rng::new(what);
    let n = count(100_000, 600);
    let each = count(250, 10);
    let mut tally = Tally::new(what, n);
    for case in 0..n.div_ceil(each) {
        let kind = case as usize % cells::N_KINDS;
        let sizes = (1 + rng.below(17), 1 + rng.below(20));
        let engine = match rng.below(8) {
            0 => Engine::Interpreter,
            1..4 => Engine::Vm,
            _ => Engine::Native,
        };
        let n_streams = (rng.below(3) == 0).then(|| 1 + rng.below(9));
        let key = rng.next();
        let mut schedules =
            Schedules { rng: &mut rng, tally: &mut tally, n: each, engine, n_streams };
        cells::visit(kind, sizes, key, &mut schedules);
    }
    tally.done("all outputs and last carries bit-equal");
}
