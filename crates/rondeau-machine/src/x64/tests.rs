//! Machine code against the twin, on random kernels.

use crate::Executor;
use crate::code::*;
use crate::cpu::Level;
use crate::twin::{Rng, Sketch, random_dag};

const NATIVE: [Executor; 2] = [Executor::NativeAt(Level::Avx512), Executor::NativeAt(Level::Avx2)];

/// Runs `make` on many seeds, inside of no, one and two loops, and compares; returns how many kernels were emitted.
fn cases(n: u64, make: impl Fn(&mut Rng, &mut Sketch, &[usize]) -> Stmt) {
    let mut n_emitted = 0;
    for seed in 1..=n {
        let mut rng = Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut sketch = Sketch::default();
        let levels = rng.levels();
        let stmt = make(&mut rng, &mut sketch, &levels);
        sketch.code.body.push(stmt.in_loops(&levels));
        sketch.compare(&NATIVE);
        let exe = crate::Executable::new(&sketch.code, Executor::Best).unwrap();
        n_emitted += exe.explain().starts_with("machine code") as u64;
    }
    if crate::cpu::level() == Level::Avx512 {
        assert!(n_emitted > n / 3, "only {n_emitted} of {n} were machine code");
    }
}

fn dims(rng: &mut Rng, max_points: usize) -> Vec<usize> {
    loop {
        let dims: Vec<_> = (0..rng.below(4)).map(|_| rng.size()).collect();
        if dims.iter().product::<usize>() <= max_points {
            return dims;
        }
    }
}

/// Operations that are emitted; the others would send most random kernels to the tile machine.
fn emitted(node: &Node, dtype: DType) -> bool {
    match node {
        Node::Iota { .. } | Node::Step { .. } | Node::Threefry { .. } => false,
        Node::Unary(op, _) => !matches!(
            op,
            Unary::Sin
                | Unary::Cos
                | Unary::Tan
                | Unary::ErfInv
                | Unary::Asin
                | Unary::Acos
                | Unary::Atan
                | Unary::Sinh
                | Unary::Cosh
        ),
        Node::Binary(op, ..) => {
            let hard = matches!(op, Binary::Rem | Binary::Pow | Binary::Atan2);
            !(hard || *op == Binary::Div && dtype.is_int())
        }
        Node::Convert(_, to) => to.size() != 8,
        _ => true,
    }
}

/// A kernel whose types all have this size, or are `Bool`.
fn map_of(
    rng: &mut Rng,
    s: &mut Sketch,
    levels: &[usize],
    types: &[DType],
    dims: Vec<usize>,
) -> Map {
    let n = rng.below(20);
    map_of_nodes(rng, s, levels, types, dims, n)
}

/// Gives the loads views that are emitted.
fn without_gaps(rng: &mut Rng, s: &mut Sketch, map: &mut Map) {
    for view in &mut map.loads {
        let mut strides = vec![1i64];
        for &n in map.dims[1..].iter().rev() {
            strides.insert(0, strides[0] * n as i64);
        }
        let n = map.dims.iter().product::<usize>().max(1);
        let data = rng.data(view.dtype, n);
        *view = View::new(s.input(data), view.dtype).strides(strides);
    }
}

/// As [`map_of`], with this number of operations.
fn map_of_nodes(
    rng: &mut Rng,
    s: &mut Sketch,
    levels: &[usize],
    types: &[DType],
    dims: Vec<usize>,
    n: usize,
) -> Map {
    let n_loads = 1 + rng.below(3);
    let dtypes: Vec<_> = (0..n_loads).map(|_| rng.pick(types)).collect();
    let loads: Vec<_> = dtypes.iter().map(|&d| s.load(rng, d, &dims, levels)).collect();
    let size = types[0].size();
    let allow = |node: &Node, d: DType, made: DType| {
        let fits = |d: DType| d == DType::Bool || d.size() == size;
        let target = match node {
            Node::Convert(_, to) | Node::Bitcast(_, to) => fits(*to),
            _ => true,
        };
        emitted(node, d) && fits(d) && fits(made) && target
    };
    let (dag, types) = random_dag(rng, &dtypes, &[], dims.len(), levels.len(), n, &allow);
    let stores = (0..1 + rng.below(3))
        .map(|_| {
            let value = loop {
                let value = dag.len() - 1 - rng.below(dag.len().min(6));
                if types[value].size() == size || types[value] == DType::Bool {
                    break value;
                }
            };
            let to = s.store(rng, types[value], &dims, levels);
            Store { value: Val(value as u32), to }
        })
        .collect();
    Map { dims, loads, dag, stores }
}

#[test]
fn maps_agree_with_the_twin() {
    cases(600, |rng, s, levels| {
        let dims = dims(rng, 1500);
        let narrow = [DType::F32, DType::F32, DType::F32, DType::I32, DType::U32, DType::Bool];
        Stmt::Map(map_of(rng, s, levels, &narrow, dims))
    });
}

#[test]
fn more_values_than_registers_agree_with_the_twin() {
    // Operands come from anywhere in the DAG, so that many values wait for long.
    cases(60, |rng, s, levels| {
        let narrow = [DType::F32, DType::F32, DType::F32, DType::I32, DType::U32, DType::Bool];
        let types = if rng.below(3) == 0 { &[DType::F64][..] } else { &narrow };
        let cols = rng.pick(&[1, 7, 16, 40, 200]);
        let mut map = map_of_nodes(rng, s, levels, types, vec![2, cols], 150);
        without_gaps(rng, s, &mut map);
        for store in &mut map.stores {
            let to = View::new(s.output(store.to.dtype, 2 * cols), store.to.dtype);
            store.to = to.strides([cols as i64, 1]);
        }
        Stmt::Map(map)
    });
}

#[test]
fn wide_maps_agree_with_the_twin() {
    cases(300, |rng, s, levels| {
        let dims = dims(rng, 1500);
        Stmt::Map(map_of(rng, s, levels, &[DType::F64], dims))
    });
}

fn mat(rng: &mut Rng, s: &mut Sketch, levels: &[usize], packs: &mut Vec<Stmt>) -> Mat {
    let dtype = rng.pick(&[DType::F32, DType::F32, DType::F64]);
    let rows = rng.pick(&[0, 1, 1, 1, 2, 4, 5, 8, 9, 17, 32]);
    let cols = rng.pick(&[0, 1, 3, 8, 8, 16, 16, 17, 31, 32, 33, 64, 64, 97, 128, 150]);
    let n_products = 1 + rng.below(4);
    let panel =
        Packed::panel_for(dtype, rows, cols, 1 + rng.below(n_products), rng.pick(&[1, 600]));
    let chains = rng.pick(&[1, 1, 2, 4, 8, Mat::chains_for(rows, cols, n_products)]);
    let n_loads = 1 + rng.below(2);
    let row_view = |s: &mut Sketch, rng: &mut Rng, dims: &[usize; 2], store: bool| {
        // Columns without gaps, so that the kernel is emitted, but for some.
        if rng.below(8) == 0 {
            return if store {
                s.store(rng, dtype, dims, levels)
            } else {
                s.load(rng, dtype, dims, levels)
            };
        }
        let gap = rng.below(3) as i64;
        let pitch = dims[1] as i64 + gap;
        let n = (dims[0] as i64 * pitch).max(1) as usize;
        let buffer = if store {
            s.output(dtype, n)
        } else {
            let data = rng.data(dtype, n);
            s.input(data)
        };
        let by_col = if !store && rng.below(6) == 0 { 0 } else { 1 };
        View::new(buffer, dtype).strides([pitch, by_col])
    };
    let loads: Vec<_> = (0..n_loads).map(|_| row_view(s, rng, &[rows, cols], false)).collect();
    let shared = rng.pick(&[1, 3, 8, 16, 19, 33, 70]);
    let source = row_view(s, rng, &[rows, shared], false);
    let products: Vec<_> = (0..n_products)
        .map(|_| {
            let init = (rng.below(2) == 0).then(|| rng.below(n_loads) as u32);
            let n_terms = rng.pick(&[1, 1, 2, 3]);
            let terms = (0..n_terms).map(|_| {
                let (depth, source) = if rng.below(3) > 0 {
                    (shared, source.clone())
                } else {
                    let depth = rng.pick(&[0, 1, 2, 7, 16, 33]);
                    (depth, s.load(rng, dtype, &[rows, depth], levels))
                };
                let weights = if rng.below(4) == 0 {
                    Weights::Strided(row_view(s, rng, &[depth, cols], false))
                } else {
                    let from = s.load(rng, dtype, &[depth, cols], &[]);
                    s.packed(from, Packed { dtype, depth, cols, panel }, packs)
                };
                Terms { depth, source, weights }
            });
            Product { terms: terms.collect(), init }
        })
        .collect();
    let dtypes = vec![dtype; n_loads];
    let size = dtype.size();
    let allow = |node: &Node, d: DType, made: DType| {
        let fits = |d: DType| d == DType::Bool || d.size() == size;
        let target = match node {
            Node::Convert(_, to) | Node::Bitcast(_, to) => fits(*to),
            _ => true,
        };
        emitted(node, d) && fits(d) && fits(made) && target
    };
    let n = rng.below(12);
    let products_of = vec![dtype; n_products];
    let (dag, types) = random_dag(rng, &dtypes, &products_of, 2, levels.len(), n, &allow);
    let first = n_loads as u32;
    let mut values: Vec<u32> = (first..first + n_products as u32).collect();
    let last = (0..dag.len()).rev().find(|&i| types[i] == dtype).unwrap();
    values.push(last as u32);
    let stores = values
        .into_iter()
        .map(|v| Store { value: Val(v), to: row_view(s, rng, &[rows, cols], true) })
        .collect();
    Mat { rows, cols, chains, products, loads, dag, stores }
}

#[test]
fn mats_agree_with_the_twin() {
    cases(500, |rng, s, levels| {
        let mut packs = vec![];
        let k = mat(rng, s, levels, &mut packs);
        s.code.body.extend(packs);
        Stmt::Mat(k)
    });
}

/// Together the weights are of a size that is fetched ahead, to their end and beyond.
#[test]
fn big_weights_agree_with_the_twin() {
    for (seed, rows, chains) in [(1, 1, 1), (2, 1, 4), (3, 3, 1)] {
        let mut rng = Rng(seed);
        let mut s = Sketch::default();
        let (depth, cols, dtype) = (700, 405, DType::F32);
        let data = rng.data(dtype, rows * depth);
        let source = View::new(s.input(data), dtype).strides([depth as i64, 1]);
        let panel = Packed::panel_for(dtype, rows, cols, 2, depth);
        let layout = Packed { dtype, depth, cols, panel };
        let mut packs = vec![];
        let products: Vec<_> = (0..2)
            .map(|_| {
                let data = rng.data(dtype, depth * cols);
                let from = View::new(s.input(data), dtype).strides([cols as i64, 1]);
                let weights = s.packed(from, layout, &mut packs);
                let terms = vec![Terms { depth, source: source.clone(), weights }];
                Product { terms, init: None }
            })
            .collect();
        let dag = vec![Node::Product(0), Node::Product(1)];
        let mut store = |value: u32| {
            let to = View::new(s.output(dtype, rows * cols), dtype).strides([cols as i64, 1]);
            Store { value: Val(value), to }
        };
        let stores = vec![store(0), store(1)];
        let k = Mat { rows, cols, chains, products, loads: vec![], dag, stores };
        assert!(k.weights_bytes() > 2 << 20);
        s.code.body.extend(packs);
        s.code.body.push(Stmt::Mat(k));
        s.compare(&NATIVE);
    }
}

#[test]
fn reductions_agree_with_the_twin() {
    cases(500, |rng, s, levels| {
        let mut dims = dims(rng, 300);
        if rng.below(4) == 0 {
            dims.clear();
        }
        let n = rng.pick(&[1, 2, 7, 8, 15, 16, 17, 32, 40, 64, 100, 130, 257, 300, 512]);
        let n_reduced = 1 + rng.below(2);
        let reduced = if n_reduced == 1 { vec![n] } else { vec![1 + n / 8, 8] };
        let all = [&dims[..], &reduced[..]].concat();
        let types = if rng.below(3) == 0 {
            vec![DType::F64]
        } else {
            vec![DType::F32, DType::F32, DType::F32, DType::I32, DType::U32]
        };
        let mut map = map_of(rng, s, levels, &types, all);
        if rng.below(4) > 0 {
            without_gaps(rng, s, &mut map);
        }
        let outputs = map
            .stores
            .iter()
            .filter(|store| store.to.dtype != DType::Bool)
            .map(|store| {
                let dtype = store.to.dtype;
                let combine = loop {
                    let combine = rng.pick(&[
                        Combine::Sum,
                        Combine::Sum,
                        Combine::Prod,
                        Combine::Max,
                        Combine::Min,
                        Combine::Xor,
                    ]);
                    if combine != Combine::Xor || dtype.is_int() {
                        break combine;
                    }
                };
                Reduction { combine, value: store.value, to: s.store(rng, dtype, &dims, levels) }
            })
            .collect();
        Stmt::Reduce(Reduce { dims, reduced, loads: map.loads, dag: map.dag, outputs })
    });
}

/// Steps of one row: a product, a map or a second product of what it stored, and the state for the next step.
/// What is stored goes on in a register where it can, and from memory where it cannot.
#[test]
fn steps_hand_over_what_they_store() {
    let kernel = |rng: &mut Rng, s: &mut Sketch, source: View, [depth, cols]: [usize; 2]| {
        let data = rng.data(source.dtype, depth * cols);
        let weights = View::new(s.input(data), source.dtype).strides([cols as i64, 1]);
        let terms = vec![Terms { depth, source, weights: Weights::Strided(weights) }];
        let products = vec![Product { terms, init: None }];
        let dag = vec![Node::Product(0), Node::Unary(Unary::Tanh, Val(0))];
        let chains = rng.pick(&[1, Mat::chains_for(1, cols, 1)]);
        Mat { rows: 1, cols, chains, products, loads: vec![], dag, stores: vec![] }
    };
    let mut rng = Rng(0x9E37_79B9_7F4A_7C15);
    for hidden in [0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 20] {
        for case in 0..60 {
            let mut s = Sketch::default();
            let dtype = if case % 10 == 9 { DType::F64 } else { DType::F32 };
            let n_steps = rng.pick(&[1, 2, 3, 8]);
            // The state is what the last kernel stores first; it may be longer than what is read of it.
            let width = if case % 5 == 4 { hidden + 3 } else { hidden };
            let (h, w) = (hidden as i64, width as i64);
            // All states in rows, from the end in a loop that goes backward; or the last two.
            let (read, written) = match case % 4 {
                0 | 1 => {
                    let states = View::new(s.output(dtype, width * (n_steps + 1)), dtype);
                    let read = states.clone().strides([w, 1]).advance(0, w);
                    (read.clone(), read.offset(w))
                }
                2 => {
                    let states = View::new(s.output(dtype, width * (n_steps + 1)), dtype);
                    let first = w * n_steps as i64;
                    let read = states.clone().strides([w, 1]).offset(first).advance(0, -w);
                    (read.clone(), read.offset(first - w))
                }
                _ => {
                    let states = View::new(s.output(dtype, 2 * width), dtype);
                    let read = states.clone().strides([w, 1]).alternate(0, w);
                    (read, states.strides([w, 1]).offset(w).alternate(0, -w))
                }
            };
            let data = rng.data(dtype, width);
            let start = Map {
                dims: vec![width],
                loads: vec![View::new(s.input(data), dtype).strides([1])],
                dag: vec![Node::Load(0)],
                stores: vec![Store {
                    value: Val(0),
                    to: View { strides: vec![1], advance: vec![], ..read.clone() },
                }],
            };
            let middle = View::new(s.arena(dtype, hidden), dtype).strides([h, 1]);
            let mut first = kernel(&mut rng, &mut s, read.clone(), [hidden, hidden]);
            first.stores.push(Store { value: Val(1), to: middle.clone() });
            let mut last = kernel(&mut rng, &mut s, middle.clone(), [hidden, width]);
            last.stores.push(Store { value: Val(1), to: written.clone() });
            let body = match case % 3 {
                0 => vec![Stmt::Mat(first), Stmt::Mat(last)],
                1 => {
                    let twice = View::new(s.arena(dtype, hidden), dtype);
                    last.products[0].terms[0].source = twice.clone().strides([h, 1]);
                    let map = Map {
                        dims: vec![hidden],
                        loads: vec![View { strides: vec![1], ..middle }],
                        dag: vec![Node::Load(0), Node::Binary(Binary::Add, Val(0), Val(0))],
                        stores: vec![Store { value: Val(1), to: twice.strides([1]) }],
                    };
                    vec![Stmt::Mat(first), Stmt::Map(map), Stmt::Mat(last)]
                }
                _ => {
                    last.products[0].terms[0].source = read;
                    vec![Stmt::Mat(last)]
                }
            };
            s.code.body.push(Stmt::Map(start));
            s.code.body.push(Stmt::Loop(Loop { n_steps, body }));
            s.compare(&NATIVE);
        }
    }
}
