//! Numbers that are not finite, and whether the place where they begin is found.

use rondeau::train::{Rows, Trainer};
use rondeau::value_and_grad;
use rondeau::{Array, DType, Origin, Tree, find_nonfinite, random, scan, tanh, tree};

use crate::cells::{self, Subject, Visit};
use crate::harness::{Rng, Tally, count};

/// A function that is not finite outside of its domain, with the name of its primitive, and a number
/// that is outside.
type Case = (&'static str, fn(&Array) -> Array, f32);

const PRIMITIVES: [Case; 5] = [
    ("log", |x| x.log(), -1.0),
    ("sqrt", |x| x.sqrt(), -2.0),
    ("div", |x| (x - 3.0) / (3.0 - x), 3.0),
    ("exp", |x| x.exp(), 1000.0),
    ("log1p", |x| x.log1p(), -5.0),
];

#[test]
fn the_primitive_and_the_row_are_named() {
    let mut rng = Rng::new("the_primitive_and_the_row_are_named");
    let n = count(1000, 50);
    let mut tally = Tally::new("NaN or infinity from a random primitive, located", n);
    for case in 0..n {
        let (name, function, outside) = PRIMITIVES[rng.below(PRIMITIVES.len())];
        let (length, width) = (1 + rng.below(30), 1 + rng.below(5));
        let (row, column) = (rng.below(length), rng.below(width));
        let is_reverse = rng.below(2) == 1;
        let mut xs = vec![0.5_f32; length * width];
        xs[row * width + column] = outside;
        let step = move |h: &Array, x: &Array| {
            let h = tanh(h * 0.5 + function(x));
            (h.clone(), h * 2.0)
        };
        let f = move |xs: &Array| {
            let start = xs.at(0).zeros_like();
            match is_reverse {
                true => rondeau::scan_reverse(step, &start, xs),
                false => scan(step, &start, xs),
            }
        };
        let xs = Array::new([length, width], xs);
        // What overflows to infinity is hidden by tanh: then there is nothing to find.
        let found = find_nonfinite(f, (&xs,)).unwrap();
        if name == "exp" {
            assert!(found.is_none());
            let g =
                move |xs: &Array| scan(|h, x| (h + function(x), ()), &xs.at(0).zeros_like(), xs).0;
            let found = find_nonfinite(g, (&xs,)).unwrap().unwrap();
            check(case, &found.origin, name, &format!("row {row} of {length} of scan"), column);
            tally.pass();
            continue;
        }
        let place = format!("row {row} of {length} of scan");
        check(case, &found.unwrap().origin, name, &place, column);
        tally.pass();
    }
    tally.done("primitive, row and column named");
}

fn check(case: u64, origin: &Origin, name: &str, place: &str, column: usize) {
    let Origin::Equation { primitive, within, index, .. } = origin else {
        panic!("case {case}: {origin}")
    };
    assert_eq!((*primitive, within.as_slice()), (name, &[place.to_owned()][..]), "case {case}");
    assert_eq!(index, &[column], "case {case}");
}

/// What adds 0 where `trap` is 1 and NaN where it is the number.
const TRAPS: [Case; 4] = [
    ("log", |trap| trap.log(), -1.0),
    ("sqrt", |trap| trap.sqrt() - 1.0, -2.0),
    ("div", |trap| (trap - 3.0) / (3.0 - trap) + 1.0, 3.0),
    ("log1p", |trap| (trap - 1.0).log1p(), -5.0),
];

/// Where in a step NaN comes in.
#[derive(Clone, Copy, Debug)]
enum Place {
    Parameter(usize),
    CarryBefore(usize),
    Input,
    CarryAfter(usize),
    Output,
}

/// The tree with one of its leaves, by number, changed; and that leaf.
fn change<T: Tree>(tree: &T, at: usize, trap: &Array) -> (T, Array) {
    let mut leaves: Vec<Array> = tree::leaves(tree).into_iter().cloned().collect();
    leaves[at] = &leaves[at] + trap;
    let changed = leaves[at].clone();
    (tree::rebuild(tree, leaves), changed)
}

/// Puts NaN into cells of any kind, `n` times.
struct Injections<'a> {
    rng: &'a mut Rng,
    tally: &'a mut Tally,
    n: u64,
}

impl Visit for Injections<'_> {
    fn visit<P: Tree, K: Tree>(&mut self, case: &Subject<P, K>) {
        let Subject { name, params, start, step, input, .. } = case;
        let (after, y) = step(params, start, &Array::zeros([*input]));
        let shape = |array: &Array| array.shape().to_vec();
        let floats = |array: &&Array| array.dtype() == DType::F32;
        let mut places = vec![(Place::Input, vec![*input]), (Place::Output, shape(&y))];
        for (i, leaf) in tree::leaves(params).into_iter().enumerate().filter(|(_, a)| floats(a)) {
            places.push((Place::Parameter(i), shape(leaf)));
        }
        for (i, leaf) in tree::leaves(&after).into_iter().enumerate().filter(|(_, a)| floats(a)) {
            places.push((Place::CarryBefore(i), shape(leaf)));
            places.push((Place::CarryAfter(i), shape(leaf)));
        }
        for _ in 0..self.n {
            let rng = &mut *self.rng;
            let (place, shape) = places[rng.below(places.len())].clone();
            let (primitive, trap, outside) = TRAPS[rng.below(TRAPS.len())];
            let length = 1 + rng.below(12);
            let row = rng.below(length);
            let index: Vec<usize> = shape.iter().map(|&size| rng.below(size)).collect();
            let flat = shape.iter().zip(&index).fold(row, |at, (size, i)| at * size + i);
            let mut traps = vec![1.0_f32; length * shape.iter().product::<usize>()];
            traps[flat] = outside;
            let traps = Array::new([&[length], &shape[..]].concat(), traps);
            let xs = random::normal(&random::key(rng.next() as i64), [length, *input]);
            // What is changed is an output too, so that nothing hides it.
            let trapped = |p: &P, c: &K, (x, t): &(Array, Array)| {
                let t = trap(t);
                match place {
                    Place::Parameter(at) => {
                        let (p, seen) = change(p, at, &t);
                        let (c, y) = step(&p, c, x);
                        (c, (y, seen))
                    }
                    Place::CarryBefore(at) => {
                        let (c, seen) = change(c, at, &t);
                        let (c, y) = step(p, &c, x);
                        (c, (y, seen))
                    }
                    Place::Input => {
                        let x = x + t;
                        let (c, y) = step(p, c, &x);
                        (c, (y, x))
                    }
                    Place::CarryAfter(at) => {
                        let (c, y) = step(p, c, x);
                        let (c, seen) = change(&c, at, &t);
                        (c, (y, seen))
                    }
                    Place::Output => {
                        let (c, y) = step(p, c, x);
                        let y = y + t;
                        (c, (y.clone(), y))
                    }
                }
            };
            let is_reverse = rng.below(2) == 1;
            let whole = |p: &P, c: &K, xs: &(Array, Array)| {
                let step = |c: &K, x: &(Array, Array)| trapped(p, c, x);
                match is_reverse {
                    true => rondeau::scan_reverse(step, c, xs),
                    false => scan(step, c, xs),
                }
            };
            let data = (xs, traps);
            let what =
                format!("{name}, {place:?}, row {row} of {length}, {primitive} at {index:?}");
            let found = find_nonfinite(whole, (params, start, &data)).unwrap();
            let Some(found) = found else { panic!("{what}: nothing found") };
            let Origin::Equation { primitive: told, within, index: at, .. } = &found.origin else {
                panic!("{what}: {found}")
            };
            let row = format!("row {row} of {length} of scan");
            assert_eq!((*told, within.as_slice(), at), (primitive, &[row][..], &index), "{what}");
            self.tally.pass();
        }
    }
}

#[test]
fn nan_in_any_place_of_any_cell_is_located() {
    let what = "NaN in a random place of a random cell, located";
    let mut rng = Rng::new(what);
    let n = count(1000, 60);
    let mut tally = Tally::new(what, n);
    const EACH: u64 = 10;
    for _ in 0..n.div_ceil(EACH) {
        let kind = rng.below(cells::N_KINDS);
        let sizes = (1 + rng.below(6), 1 + rng.below(6));
        let key = rng.next();
        let mut injections = Injections { rng: &mut rng, tally: &mut tally, n: EACH };
        cells::visit(kind, sizes, key, &mut injections);
    }
    tally.done("primitive, row and index named");
}

#[test]
fn training_names_where_a_gradient_breaks() {
    // √x has no slope at 0: the loss is finite, and its gradient is not.
    let loss =
        |w: &Array, xs: &Array| scan(|h, x| (h + (w * x).sqrt(), ()), &Array::from(0.0_f32), xs).0;
    let update = move |w: &Array, (): &(), xs: &Array, _: &Array| {
        let (loss, gradient) = value_and_grad(loss).apply(w, &xs.at(0));
        (w - gradient * 0.1, (), loss)
    };
    let rows = [[1.0_f32, 2.0, 3.0], [1.0, 0.0, 3.0]];
    let data = Rows::of(Array::from(rows)).unwrap();
    let run = |trainer: Trainer<'_, Array, (), Array, Array>| {
        trainer.batch_size(1).in_order().run(Array::from(1.0_f32), (), &data)
    };
    // Without the mode, the loss after the step tells that something is wrong, but not what.
    let plain = run(Trainer::new(update).epochs(2)).unwrap_err();
    insta::assert_snapshot!(plain, @"
    `loss` is NaN after step 3, in epoch 2
    help: take smaller steps or clip the gradient; to see where it begins, set `debug_nonfinite` and go on from the last checkpoint
    ");
    let error = run(Trainer::new(update).debug_nonfinite()).unwrap_err();
    insta::assert_snapshot!(error, @"
    the parameter is not finite after step 2, in epoch 1
      output 0 is NaN at []
      `mul` makes NaN at [], in row 1 of 3 of scan
      it reads f32[]: inf; f32[]: 0.0
              | lambda a:f32[] b:f32[] c:f32[] d:f32[] .
            0 | e:f32[] = mul a d
        --> 1 | f:f32[] = mul e c
            2 | g:f32[] = add b f
              | in (a, g)
      before that, `div` makes inf at [], in row 1 of 3 of scan
      it reads f32[]: 0.5; f32[]: 0.0
            0 | d:f32[] = mul a c
            1 | e:f32[] = sqrt d
        --> 2 | f:f32[] = div 0.5:f32 e
            3 | g:f32[] = add b e
              | in (g, f)
    ");
}

#[test]
fn an_infinity_that_becomes_nan_is_told_too() {
    // h·x overflows at row 1, and at row 2 the infinity is taken from itself.
    let f = |xs: &Array| scan(|h, x| (h * x - h, ()), &Array::from(1.0_f32), xs).0;
    let found = find_nonfinite(f, (&Array::from([1e30_f32, 1e30, 2.0, 1.0]),)).unwrap().unwrap();
    insta::assert_snapshot!(found, @"
    the output is NaN at []
    `sub` makes NaN at [], in row 2 of 4 of scan
    it reads f32[]: inf; f32[]: inf
            | lambda a:f32[] b:f32[] .
          0 | c:f32[] = mul a b
      --> 1 | d:f32[] = sub c a
            | in (d,)
    before that, `mul` makes inf at [], in row 1 of 4 of scan
    it reads f32[]: 1e30; f32[]: 1e30
            | lambda a:f32[] b:f32[] .
      --> 0 | c:f32[] = mul a b
          1 | d:f32[] = sub c a
            | in (d,)
    ");
    let given = find_nonfinite(|x: &Array| x * 2.0, (&Array::from([1.0_f32, f32::NAN]),));
    insta::assert_snapshot!(given.unwrap().unwrap(), @"
    the output is NaN at [1]
    the input 0 is not finite already
    ");
    // Masks of -inf are no mistake.
    let masked = |x: &Array| {
        let mask = Array::from([true, false, true]);
        rondeau::where_(&mask, x, f64::NEG_INFINITY).exp().sum()
    };
    assert!(find_nonfinite(masked, (&Array::from([1.0_f32, 2.0, 3.0]),)).unwrap().is_none());
}
