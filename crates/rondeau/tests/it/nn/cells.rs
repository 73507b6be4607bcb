//! What holds for every cell: its types, one way to run it against another, and its gradients
//! against differences. [`all`] is the list; a file of the library's that is not in it fails.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rondeau::nn::{self, Activation, Cell, Parallel};
use rondeau::{Array, DType, grad, jit, random, stack, tree};

const INPUT: usize = 3;
const HIDDEN: usize = 4;
const STEPS: usize = 5;

/// A way of running a cell over a sequence.
type Run<C> = fn(&C, &<C as Cell>::Carry, &Array) -> (<C as Cell>::Carry, Array);

/// A function of leaves, so that there is one type of them.
type Flat = Box<dyn Fn(&Vec<Array>) -> Vec<Array>>;

/// A cell without its type, in f64. The functions take the leaves of the cell, of a carry, and xs,
/// and return the leaves of the last carry, and ys.
struct Subject {
    /// The file of the library that it is from, and what tells it from others of that file.
    name: &'static str,
    leaves: Vec<Array>,
    paths: Vec<String>,
    /// How many of the leaves are the cell's and the carry's.
    n_cell: usize,
    n_carry: usize,
    input_size: Option<usize>,
    run: Flat,
    step_by_step: Flat,
    batch: Flat,
    parallel: Option<Flat>,
}

fn flat<C: Cell>((carry, ys): (C::Carry, Array)) -> Vec<Array> {
    tree::leaves(&carry).into_iter().cloned().chain([ys]).collect()
}

fn subject<C: Cell + 'static>(name: &'static str, cell: C) -> Subject
where
    C::Carry: 'static,
{
    let cell = nn::cast(&cell, DType::F64);
    let wave = |n: usize, width: usize| {
        let numbers = (0..n * width).map(|i| (1.7 * i as f64 + 0.3).sin());
        Array::new([n, width], numbers.collect())
    };
    // A carry as it is after some steps, since that before them is special in some cells.
    let (carry, _) = nn::run(&cell, &cell.initial_carry(), &wave(2, INPUT));
    let xs = wave(STEPS, INPUT).sin();
    let (n_cell, n_carry) = (tree::count(&cell), tree::count(&carry));
    let paths = |root: &str, all: Vec<(String, &Array)>| -> Vec<String> {
        all.into_iter().map(|(path, _)| format!("{root}.{path}")).collect()
    };
    let mut names = paths("cell", tree::leaves_with_paths(&cell));
    names.extend(paths("carry", tree::leaves_with_paths(&carry)));
    names.push("xs".to_owned());
    let leaves = tree::leaves(&cell).into_iter().chain(tree::leaves(&carry)).chain([&xs]);
    let leaves = leaves.cloned().collect();
    let input_size = cell.input_size();

    let parts = move |leaves: &Vec<Array>| {
        let mut leaves = leaves.clone();
        let xs = leaves.pop().expect("xs is the last leaf");
        let carry = tree::rebuild(&carry, leaves.split_off(n_cell));
        (tree::rebuild(&cell, leaves), carry, xs)
    };
    let with = |run: Run<C>| -> Flat {
        let parts = parts.clone();
        Box::new(move |leaves| {
            let (cell, carry, xs) = parts(leaves);
            flat::<C>(run(&cell, &carry, &xs))
        })
    };
    Subject {
        name,
        leaves,
        paths: names,
        n_cell,
        n_carry,
        input_size,
        run: with(nn::run),
        step_by_step: with(|cell, carry, xs| {
            let mut carry = carry.clone();
            let mut ys = vec![];
            for t in 0..xs.len() {
                let (next, y) = cell.step(&carry, &xs.at(t));
                carry = next;
                ys.push(y);
            }
            (carry, stack(&ys, 0))
        }),
        batch: with(|cell, carry, xs| {
            let twice = |x: &Array| stack(&[&x.zeros_like(), x], 0);
            let (carry, ys) = nn::run_batch(cell, &tree::map(carry, twice), &twice(xs));
            (tree::map(&carry, |leaf| leaf.at(1)), ys.at(1))
        }),
        parallel: None,
    }
}

fn parallel<C: Parallel + 'static>(name: &'static str, cell: C) -> Subject
where
    C::Carry: 'static,
{
    let like = nn::cast(&cell, DType::F64);
    let whole = subject(name, cell);
    let n_cell = whole.n_cell;
    let at_once: Flat = Box::new(move |leaves| {
        let mut leaves = leaves.clone();
        let xs = leaves.pop().expect("xs is the last leaf");
        let carry = tree::rebuild(&like.initial_carry(), leaves.split_off(n_cell));
        flat::<C>(tree::rebuild(&like, leaves).run_parallel(&carry, &xs))
    });
    Subject { parallel: Some(at_once), ..whole }
}

fn all() -> Vec<Subject> {
    let keys = random::split(&random::key(5), 64);
    let mut i = 0;
    let mut key = || {
        i += 1;
        keys.at(i)
    };
    let (input, hidden) = (INPUT, HIDDEN);
    vec![
        subject("gru", nn::Gru::init(&key(), input, hidden)),
        subject("gru_reset_after", nn::GruResetAfter::init(&key(), input, hidden)),
        subject("indrnn", nn::IndRnn::init(&key(), input, hidden)),
        subject("layer_norm_gru", nn::LayerNormGru::init(&key(), input, hidden)),
        subject("layer_norm_lstm", nn::LayerNormLstm::init(&key(), input, hidden)),
        parallel("lru", nn::Lru::init(&key(), input, hidden)),
        subject("lstm", nn::Lstm::init(&key(), input, hidden)),
        subject("mgu", nn::Mgu::init(&key(), input, hidden)),
        subject("mgu_reset_after", nn::MguResetAfter::init(&key(), input, hidden)),
        parallel("min_gru", nn::MinGru::init(&key(), input, hidden)),
        parallel("min_lstm", nn::MinLstm::init(&key(), input, hidden)),
        subject("peephole_lstm", nn::PeepholeLstm::init(&key(), input, hidden)),
        subject("projected_lstm", nn::ProjectedLstm::init(&key(), input, hidden, 2)),
        subject("rnn", nn::Rnn::init(&key(), input, hidden, Activation::Tanh)),
        subject("rnn of relu", nn::Rnn::init(&key(), input, hidden, Activation::Relu)),
        parallel("s5", nn::S5::init(&key(), input, hidden)),
        parallel("selective_ssm", nn::SelectiveSsm::init(&key(), input, hidden, 2)),
        subject("slstm", nn::SLstm::init(&key(), input, hidden)),
        // Cells of cells, and layers as cells.
        subject("stack", {
            let below = nn::Gru::init(&key(), input, hidden);
            let between = vec![nn::Gru::init(&key(), hidden, hidden); 2];
            (below, Activation::Gelu, between, nn::Linear::init(&key(), hidden, 2))
        }),
        subject("residual", nn::Residual { cell: nn::Gru::init(&key(), input, input) }),
        subject("zoneout", nn::Zoneout { cell: nn::Lstm::init(&key(), input, hidden), rate: 0.3 }),
        subject("dropout", nn::Dropout { cell: nn::Gru::init(&key(), input, hidden), rate: 0.3 }),
        subject("variational dropout", {
            nn::VariationalDropout { cell: nn::Gru::init(&key(), input, hidden), rate: 0.3 }
        }),
        subject("norms", {
            let projection = nn::Linear::init(&key(), hidden, 2);
            let cell = (
                nn::LayerNorm::init(input),
                nn::Gru::init(&key(), input, hidden),
                nn::RmsNorm::init(hidden),
            );
            nn::Projection { cell, projection }
        }),
    ]
}

/// The largest difference of two lists of arrays.
fn distance(a: &[Array], b: &[Array]) -> f64 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| {
        assert_eq!(a.shape(), b.shape());
        let difference = if a.size() == 0 { Array::from(0.0_f64) } else { (a - b).abs().max() };
        difference.item::<f64>().unwrap_or_else(|error| panic!("{error}"))
    });
    // NaN is as far as it gets.
    differences.fold(0.0, |most, d| if d <= most { most } else { d })
}

#[test]
fn the_list_has_every_cell() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/nn/cells");
    let files: BTreeSet<String> = fs::read_dir(&dir)
        .expect("the library has a directory of cells")
        .map(|entry| entry.expect("it can be read").path())
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .filter(|name| name != "mod")
        .collect();
    let listed: BTreeSet<String> = all().iter().map(|subject| subject.name.to_owned()).collect();
    let missing: Vec<_> = files.difference(&listed).collect();
    assert!(missing.is_empty(), "`all` has no cell of {missing:?}");
}

#[test]
fn types_stay_from_step_to_step() {
    for subject in all() {
        let Subject { name, leaves, n_cell, n_carry, .. } = &subject;
        let out = (subject.run)(leaves);
        let carry = &leaves[*n_cell..n_cell + n_carry];
        for (before, after) in carry.iter().zip(&out) {
            let (before, after) = (before.aval().unwrap(), after.aval().unwrap());
            assert_eq!(before, after, "{name}");
        }
        let ys = out[*n_carry].aval().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((ys.rank(), ys.shape[0]), (2, STEPS), "{name}");
        assert_eq!(subject.input_size, Some(INPUT), "{name}");
    }
}

#[test]
fn all_ways_to_run_agree() {
    for subject in all() {
        let name = subject.name;
        let want = (subject.step_by_step)(&subject.leaves);
        let same = |way: &str, got: Vec<Array>| {
            let distance = distance(&want, &got);
            assert!(distance <= 1e-12, "{name}, {way}: {distance:e} from its steps");
        };
        same("run", (subject.run)(&subject.leaves));
        same("compiled", jit(&subject.run).apply(&subject.leaves));
        same("a batch", (subject.batch)(&subject.leaves));
        same("a compiled batch", jit(&subject.batch).apply(&subject.leaves));
        if let Some(parallel) = &subject.parallel {
            same("at once", parallel(&subject.leaves));
            same("compiled at once", jit(parallel).apply(&subject.leaves));
        }
    }
}

/// A number of all results, in which no two have one weight.
fn loss(results: Vec<Array>) -> Array {
    let weighted = results.into_iter().enumerate().map(|(i, x)| {
        let n = x.size();
        let weights = (0..n).map(|j| (0.9 * j as f64 + i as f64 + 0.4).cos()).collect();
        (Array::new(x.shape(), weights) * x).sum()
    });
    weighted.reduce(|a, b| a + b).expect("there are results")
}

#[test]
fn gradients_are_differences() {
    for subject in all() {
        let name = subject.name;
        let value = jit(|leaves: &Vec<Array>| loss((subject.run)(leaves)));
        let gradient = jit(grad(|leaves: &Vec<Array>| loss((subject.run)(leaves))));
        let gradient = gradient.call(&subject.leaves).unwrap_or_else(|error| panic!("{error}"));
        if let Some(parallel) = &subject.parallel {
            let at_once = grad(|leaves: &Vec<Array>| loss(parallel(leaves)));
            let distance = distance(&gradient, &jit(at_once).apply(&subject.leaves));
            assert!(distance < 1e-11, "{name}, at once: {distance:e}");
        }
        for (k, path) in subject.paths.iter().enumerate() {
            let leaf = &subject.leaves[k];
            // Along one direction for each leaf, in which no two numbers have one part.
            let numbers = (0..leaf.size()).map(|j| (2.3 * j as f64 + 1.1).sin()).collect();
            let direction = Array::new(leaf.shape(), numbers);
            let step = 1e-5;
            let beside = |sign: f64| {
                let mut leaves = subject.leaves.clone();
                leaves[k] = leaf + &direction * (sign * step);
                value.apply(&leaves).item::<f64>().unwrap_or_else(|error| panic!("{error}"))
            };
            let difference = (beside(1.0) - beside(-1.0)) / (2.0 * step);
            let slope = (&gradient[k] * direction).sum().item::<f64>().unwrap();
            let error = (slope - difference).abs() / (1.0 + slope.abs());
            assert!(error < 1e-8, "{name}, {path}: {slope} and not {difference}");
        }
    }
}
