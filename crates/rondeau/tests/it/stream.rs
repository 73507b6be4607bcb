//! Streams: step by step, what a compiled scan computes at once.

use rondeau::run::Engine;
use rondeau::{Array, Stream, Tree, jit, random, scan, sigmoid, tanh, vmap};

/// Parameters by position; cells take what they need.
type Params = Vec<Array>;
/// The state of any cell here.
type Carry = Vec<Array>;
/// A step of any cell here: parameters, carry, x -> the new carry and the output.
type Step = fn(&Params, &Carry, &Array) -> (Carry, Array);

/// The gated recurrent unit that resets before the product.
fn gru(p: &Params, carry: &Carry, x: &Array) -> (Vec<Array>, Array) {
    let h = &carry[0];
    let z = sigmoid(p[0].dot(x) + p[3].dot(h) + &p[6]);
    let r = sigmoid(p[1].dot(x) + p[4].dot(h) + &p[7]);
    let candidate = tanh(p[2].dot(x) + p[5].dot(r * h) + &p[8]);
    let h = (1.0 - &z) * h + z * candidate;
    (vec![h.clone()], h)
}

/// Two biases on each gate, and the reset after the product.
fn gru_after(p: &Params, carry: &Carry, x: &Array) -> (Vec<Array>, Array) {
    let h = &carry[0];
    let z = sigmoid(p[0].dot(x) + &p[6] + (p[3].dot(h) + &p[7]));
    let r = sigmoid((p[1].dot(x) + &p[7]) + (p[4].dot(h) + &p[8]));
    let candidate = tanh(p[2].dot(x) + &p[8] + r * (p[5].dot(h) + &p[6]));
    let h = &z * h + (1.0 - &z) * candidate;
    (vec![h.clone()], h)
}

/// Long short-term memory with a layer norm on the cell, and a read-out.
fn lstm(p: &Params, carry: &Carry, x: &Array) -> (Vec<Array>, Array) {
    let (h, c) = (&carry[0], &carry[1]);
    let gate = |i: usize| p[i].dot(x) + p[i + 3].dot(h) + &p[6 + i];
    let (i, f, g) = (sigmoid(gate(0)), sigmoid(gate(1)), tanh(gate(2)));
    let c = f * c + i * g;
    let centered = &c - c.mean();
    let scale = (centered.square().mean() + 1e-5).rsqrt();
    let h = tanh(centered * scale) * sigmoid(p[3].dot(h));
    let y = p[4].dot(&h).softmax(-1);
    (vec![h, c], y)
}

/// A diagonal state that the input selects how fast to forget.
fn selective(p: &Params, carry: &Carry, x: &Array) -> (Vec<Array>, Array) {
    let rate = (p[0].dot(x) + &p[6]).exp().log1p();
    let state = &carry[0] * (-&rate).exp() + rate * p[1].dot(x);
    let y = &state * p[2].dot(x) + (x * x).sum();
    (vec![state], y)
}

/// Counts besides, in another element type, and looks at the last two inputs.
fn counting(p: &Params, carry: &Carry, x: &Array) -> (Vec<Array>, Array) {
    let h = tanh(p[3].dot(&carry[0]) + p[0].dot(x) + p[1].dot(&carry[2]));
    let count = &carry[1] + 1;
    let y = &h * count.to(rondeau::DType::F32);
    (vec![h, count, x.clone()], y)
}

const CELLS: [(&str, Step); 5] = [
    ("gru", gru),
    ("gru_after", gru_after),
    ("lstm", lstm),
    ("selective", selective),
    ("counting", counting),
];

fn params(inputs: usize, hidden: usize) -> Params {
    let keys = random::split(&random::key(7), 9);
    let weight = |i: usize| {
        let columns = if i < 3 { inputs } else { hidden };
        random::normal(&keys.at(i), [hidden, columns]) * (1.0 / (columns as f64).sqrt())
    };
    let bias = |i: usize| random::normal(&keys.at(i), [hidden]);
    (0..6).map(weight).chain((6..9).map(bias)).collect()
}

fn start(name: &str, leading: &[usize], inputs: usize, hidden: usize) -> Vec<Array> {
    let shape = |n: usize| [leading, &[n]].concat();
    let h = random::normal(&random::key(3), shape(hidden)) * 0.5;
    match name {
        "lstm" => vec![h, random::normal(&random::key(4), shape(hidden))],
        "counting" => {
            let counts = Array::zeros(leading).to(rondeau::DType::I32);
            vec![h, counts, Array::zeros(shape(inputs))]
        }
        _ => vec![h],
    }
}

fn bits(array: &Array) -> Vec<u32> {
    array.to_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

fn same_bits<T: Tree>(got: &T, need: &T, what: &str) {
    for (got, need) in rondeau::tree::leaves(got).into_iter().zip(rondeau::tree::leaves(need)) {
        let equal = match got.dtype() {
            rondeau::DType::F32 => bits(got) == bits(need),
            _ => got.to_vec::<i32>().unwrap() == need.to_vec::<i32>().unwrap(),
        };
        assert!(equal, "{what}:\n{got}\n{need}");
    }
}

#[test]
fn a_stream_is_a_compiled_scan_bit_for_bit() {
    let sizes = [(1, 1), (3, 1), (5, 8), (2, 13), (17, 16), (64, 31), (33, 70)];
    for engine in [Engine::Native, Engine::Vm, Engine::Interpreter] {
        for (name, cell) in CELLS {
            for (inputs, hidden) in sizes {
                for steps in [1, 2, 9, 80] {
                    let params = params(inputs, hidden);
                    let xs = random::normal(&random::key(5), [steps, inputs]);
                    let carry = start(name, &[], inputs, hidden);
                    let whole =
                        |p: &Params, c: &Carry, xs: &Array| scan(|c, x| cell(p, c, x), c, xs);
                    let (last, ys) = jit(whole).engine(engine).call(&params, &carry, &xs).unwrap();
                    let x = xs.at(0);
                    let mut stream =
                        Stream::with_engine(engine, cell, &params, &carry, &x).unwrap();
                    let mut y = stream.output();
                    for t in 0..steps {
                        let what = format!("{name} {engine:?} {inputs} {hidden}, {t} of {steps}");
                        stream.step(&xs.at(t), &mut y).unwrap();
                        same_bits(&y, &ys.at(t), &what);
                    }
                    same_bits(&stream.carry(), &last, name);
                }
            }
        }
    }
}

#[test]
fn many_streams_at_once_are_a_batched_scan() {
    for (name, cell) in CELLS {
        for (n, inputs, hidden) in [(1, 5, 8), (3, 5, 8), (32, 7, 19)] {
            let params = params(inputs, hidden);
            let steps = 6;
            let xs = random::normal(&random::key(5), [steps, n, inputs]);
            let carry = start(name, &[n], inputs, hidden);
            let batch = vmap(cell, (None, 0, 0));
            let whole =
                |p: &Params, c: &Carry, xs: &Array| scan(|c, x| batch.apply(p, c, x), c, xs);
            let (last, ys) = jit(whole).call(&params, &carry, &xs).unwrap();
            let mut stream = Stream::new(&batch, &params, &carry, &xs.at(0)).unwrap();
            for t in 0..steps {
                let y = stream.next(&xs.at(t)).unwrap();
                same_bits(&y, &ys.at(t), &format!("{name} {n} {inputs} {hidden} {t}"));
            }
            same_bits(&stream.carry(), &last, name);
        }
    }
}

/// Of a step whose products cost about as much in the loop as before it, loops of every length must
/// keep them on the same side.
#[test]
fn a_loop_is_changed_alike_at_every_length() {
    use rondeau::nn::{self, Cell};

    type Layers = (nn::Gru, nn::Lstm);
    type Carry = <Layers as Cell>::Carry;
    for (n, inputs, hidden) in [(6, 3, 4), (6, 8, 8), (2, 3, 5), (9, 1, 2)] {
        let key = random::key(5);
        let lstm = nn::Lstm::init(&key, hidden, 1 + hidden / 2);
        let layers = (nn::Gru::init(&key, inputs, hidden), lstm);
        let carry = rondeau::tree::map(&layers.initial_carry(), |leaf| {
            random::normal(&key, [&[n], leaf.shape()].concat())
        });
        let batch = vmap(Layers::step, (None, 0, 0));
        let xs = random::normal(&key, [40, n, inputs]);
        let whole = |p: &Layers, c: &Carry, xs: &Array| scan(|c, x| batch.apply(p, c, x), c, xs);
        let whole = jit(whole);
        let mut stream = Stream::new(&batch, &layers, &carry, &xs.at(0)).unwrap();
        let ys: Vec<Array> = (0..40).map(|t| stream.next(&xs.at(t)).unwrap()).collect();
        for length in [1, 2, 7, 8, 12, 15, 16, 17, 24, 40] {
            let (_, all) = whole.call(&layers, &carry, &xs.at(0..length)).unwrap();
            for (t, y) in ys[..length].iter().enumerate() {
                same_bits(y, &all.at(t), &format!("{n} {inputs} {hidden}, {t} of {length}"));
            }
        }
    }
}

#[test]
fn a_saved_carry_goes_on_where_it_was() {
    let (params, carry) = (params(4, 6), start("gru", &[], 4, 6));
    let xs = random::normal(&random::key(1), [10, 4]);
    let mut stream = Stream::new(gru, &params, &carry, &xs.at(0)).unwrap();
    let mut kept = vec![];
    let mut outputs = vec![];
    for t in 0..10 {
        kept.push(stream.carry());
        outputs.push(stream.next(&xs.at(t)).unwrap());
    }
    for t in [7, 0, 3] {
        stream.set_carry(&kept[t]).unwrap();
        for (t, output) in outputs.iter().enumerate().skip(t) {
            let y = stream.next(&xs.at(t)).unwrap();
            same_bits(&y, output, "after going back");
        }
    }
    // What was handed out keeps its values.
    same_bits(&kept[0], &carry, "the first carry");
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let (params, carry) = (params(4, 6), start("gru", &[], 4, 6));
    let x = Array::ones([4]);
    let mut stream = Stream::new(gru, &params, &carry, &x).unwrap();
    stream.next(&x).unwrap();
    let before = stream.carry();
    let message = |error: rondeau::Error| error.to_string();
    let wrong = message(stream.next(&Array::ones([5])).unwrap_err());
    assert!(wrong.contains("f32[4]") && wrong.contains("f32[5]"), "{wrong}");
    let wrong = message(stream.next(&x.to(rondeau::DType::F64)).unwrap_err());
    assert!(wrong.contains("f64[4]"), "{wrong}");
    let mistake = &x + Array::ones([3]);
    assert!(message(stream.next(&mistake).unwrap_err()).contains("broadcast"));
    let wrong = message(stream.set_carry(&vec![]).unwrap_err());
    assert!(wrong.contains("structure"), "{wrong}");
    let wrong = message(stream.set_carry(&vec![Array::zeros([7])]).unwrap_err());
    assert!(wrong.contains("carry.0") && wrong.contains("f32[7]"), "{wrong}");
    same_bits(&stream.carry(), &before, "after mistakes");
    let wider = |p: &Params, c: &Carry, x: &Array| {
        let (c, y) = gru(p, c, x);
        (vec![c[0].tile(&[2])], y)
    };
    assert!(Stream::new(wider, &params, &carry, &x).is_err());
}

#[test]
fn outputs_go_where_the_caller_says() {
    let (params, carry) = (params(4, 6), start("gru", &[], 4, 6));
    let f = jit(gru);
    let x = random::normal(&random::key(1), [4]);
    let need = f.call(&params, &carry, &x).unwrap();
    let mut out = (vec![Array::zeros([6])], Array::zeros([6]).to(rondeau::DType::F64));
    let shared = out.0[0].clone();
    for _ in 0..3 {
        f.call_into(&params, &carry, &x, &mut out).unwrap();
        same_bits(&out, &need, "into");
    }
    assert_eq!(shared.to_vec::<f32>().unwrap(), [0.0; 6]);
    let place = out.1.as_slice::<f32>().unwrap().as_ptr();
    f.call_into(&params, &carry, &x, &mut out).unwrap();
    assert_eq!(out.1.as_slice::<f32>().unwrap().as_ptr(), place);
    assert!(f.call_into(&params, &carry, &Array::ones([5]), &mut out).is_err());
    same_bits(&out, &need, "after a mistake");
}

#[test]
fn new_parameters_are_packed_anew() {
    let (inputs, hidden) = (5, 8);
    let xs = random::normal(&random::key(5), [10, inputs]);
    let carry = start("gru", &[], inputs, hidden);
    let whole = |p: &Params, c: &Carry, xs: &Array| scan(|c, x| gru(p, c, x), c, xs);
    let f = jit(whole);
    let one = params(inputs, hidden);
    let other: Params = one.iter().map(|p| p * 0.5).collect();
    let turned: Params =
        one.iter().map(|p| if p.rank() == 2 { p.t().t() } else { p.clone() }).collect();
    let need = [&one, &other].map(|p| jit(whole).call(p, &carry, &xs).unwrap());
    for _ in 0..3 {
        same_bits(&f.call(&one, &carry, &xs).unwrap(), &need[0], "one");
        same_bits(&f.call(&turned, &carry, &xs).unwrap(), &need[0], "turned twice");
        same_bits(&f.call(&other, &carry, &xs).unwrap(), &need[1], "other");
    }
    // The same memory seen in another order is something else.
    let square = params(8, 8);
    let flipped: Params =
        square.iter().map(|p| if p.rank() == 2 { p.t() } else { p.clone() }).collect();
    let copied: Params = flipped.iter().map(|p| p + 0.0).collect();
    let xs = random::normal(&random::key(5), [10, 8]);
    let need = jit(whole).call(&copied, &carry, &xs).unwrap();
    f.call(&square, &carry, &xs).unwrap();
    same_bits(&f.call(&flipped, &carry, &xs).unwrap(), &need, "flipped");
}
