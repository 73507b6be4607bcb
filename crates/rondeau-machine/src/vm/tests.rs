//! The tile machine against the twin, on random kernels.

use crate::Executor;
use crate::code::*;
use crate::cpu::Level;
use crate::twin::{Rng, Sketch, random_dag};

const EVERYWHERE: [Executor; 4] = [
    Executor::VmAt(Level::Portable),
    Executor::VmAt(Level::Avx2),
    Executor::VmAt(Level::Avx512),
    Executor::Best,
];

/// Runs `make` on many seeds, inside of no, one and two loops, and compares.
fn cases(n: u64, make: impl Fn(&mut Rng, &mut Sketch, &[usize]) -> Stmt) {
    for seed in 1..=n {
        let mut rng = Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut sketch = Sketch::default();
        let levels = rng.levels();
        let stmt = make(&mut rng, &mut sketch, &levels);
        sketch.code.body.push(stmt.in_loops(&levels));
        sketch.compare(&EVERYWHERE);
    }
}

fn dims(rng: &mut Rng, max_points: usize) -> Vec<usize> {
    loop {
        let dims: Vec<_> = (0..rng.below(5)).map(|_| rng.size()).collect();
        if dims.iter().product::<usize>() <= max_points {
            return dims;
        }
    }
}

#[test]
fn maps_agree_with_the_twin() {
    cases(400, |rng, s, levels| {
        let dims = dims(rng, 1500);
        let dtypes: Vec<_> = (0..1 + rng.below(3)).map(|_| rng.pick(&DType::ALL)).collect();
        let loads: Vec<_> = dtypes.iter().map(|&d| s.load(rng, d, &dims, levels)).collect();
        let n = rng.below(14);
        let (dag, types) =
            random_dag(rng, &dtypes, &[], dims.len(), levels.len(), n, &|_, _, _| true);
        let stores = (0..1 + rng.below(3))
            .map(|_| {
                let value = dag.len() - 1 - rng.below(dag.len().min(6));
                let to = s.store(rng, types[value], &dims, levels);
                Store { value: Val(value as u32), to }
            })
            .collect();
        Stmt::Map(Map { dims, loads, dag, stores })
    });
}

#[test]
fn maps_in_place_agree_with_the_twin() {
    cases(60, |rng, s, levels| {
        let dims = dims(rng, 1500);
        let to = s.store(rng, DType::F32, &dims, levels);
        let other = s.load(rng, DType::F32, &dims, levels);
        let old = s.store(rng, DType::F32, &dims, levels);
        let dag = vec![Node::Load(0), Node::Load(1), Node::Binary(Binary::Add, Val(0), Val(1))];
        let stores =
            vec![Store { value: Val(2), to: to.clone() }, Store { value: Val(0), to: old }];
        Stmt::Map(Map { dims, loads: vec![to, other], dag, stores })
    });
}

fn mat(rng: &mut Rng, s: &mut Sketch, levels: &[usize], packs: &mut Vec<Stmt>) -> Mat {
    let dtype = rng.pick(&[DType::F32, DType::F32, DType::F64]);
    let (rows, cols) = (rng.pick(&[0, 1, 1, 2, 4, 5, 8, 9, 17]), rng.size());
    let n_products = 1 + rng.below(3);
    let panel =
        Packed::panel_for(dtype, rows, cols, 1 + rng.below(n_products), rng.pick(&[1, 600]));
    let chains = rng.pick(&[1, 2, 4, 8]);
    let n_loads = 1 + rng.below(2);
    let loads: Vec<_> = (0..n_loads).map(|_| s.load(rng, dtype, &[rows, cols], levels)).collect();
    let products: Vec<_> = (0..n_products)
        .map(|_| {
            let init = (rng.below(2) == 0).then(|| rng.below(n_loads) as u32);
            let n_terms = rng.pick(&[1, 1, 2, 4]);
            let terms = (0..n_terms).map(|_| {
                let depth = rng.pick(&[0, 1, 2, 3, 7, 8, 16, 19, 33]);
                let source = s.load(rng, dtype, &[rows, depth], levels);
                let weights = if rng.below(3) == 0 {
                    Weights::Strided(s.load(rng, dtype, &[depth, cols], levels))
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
    let (dag, types) =
        random_dag(rng, &dtypes, &vec![dtype; n_products], 2, levels.len(), 6, &|_, _, _| true);
    let first = n_loads as u32;
    let mut values: Vec<u32> = (first..first + n_products as u32).collect();
    values.push(dag.len() as u32 - 1);
    let stores = values
        .into_iter()
        .map(|v| {
            let to = s.store(rng, types[v as usize], &[rows, cols], levels);
            Store { value: Val(v), to }
        })
        .collect();
    Mat { rows, cols, chains, products, loads, dag, stores }
}

#[test]
fn mats_agree_with_the_twin() {
    cases(200, |rng, s, levels| {
        let mut packs = vec![];
        let k = mat(rng, s, levels, &mut packs);
        s.code.body.extend(packs);
        Stmt::Mat(k)
    });
}

#[test]
fn gemms_agree_with_the_twin() {
    cases(150, |rng, s, levels| {
        let dtype = rng.pick(&[DType::F32, DType::F64, DType::I32, DType::U32]);
        let [m, n, k] = [rng.size(), rng.size(), rng.size()].map(|x| x.min(33));
        let side = |s: &mut Sketch, rng: &mut Rng, dims: &[usize]| {
            s.view(rng, dtype, dims, levels, true, |s, rng, n| {
                let data = rng.whole(dtype, n);
                s.input(data)
            })
        };
        let (a, b) = (side(s, rng, &[m, k]), side(s, rng, &[k, n]));
        let to = s.store(rng, dtype, &[m, n], levels);
        let init = match rng.below(3) {
            0 => None,
            1 => Some(to.clone()),
            _ => Some(side(s, rng, &[m, n])),
        };
        let order = rng.pick(&[Order::Chain, Order::Lanes]);
        Stmt::Gemm(Gemm { m, n, k, a, b, init, to, order })
    });
}

#[test]
fn reductions_agree_with_the_twin() {
    cases(300, |rng, s, levels| {
        let all = dims(rng, 2000);
        let n_kept = rng.below(all.len() + 1);
        let (kept, reduced) = (all[..n_kept].to_vec(), all[n_kept..].to_vec());
        let dtypes = [rng.pick(&DType::ALL), rng.pick(&DType::ALL)];
        let loads: Vec<_> = dtypes.iter().map(|&d| s.load(rng, d, &all, levels)).collect();
        let n = rng.below(4);
        let (dag, types) =
            random_dag(rng, &dtypes, &[], all.len(), levels.len(), n, &|_, _, _| true);
        let outputs = (0..1 + rng.below(2))
            .map(|_| {
                let value = rng.below(dag.len());
                let (combine, made) = loop {
                    let combine = rng.pick(&[
                        Combine::Sum,
                        Combine::Prod,
                        Combine::Max,
                        Combine::Min,
                        Combine::And,
                        Combine::Or,
                        Combine::Xor,
                        Combine::ArgMax,
                        Combine::ArgMin,
                    ]);
                    match combine {
                        Combine::ArgMax | Combine::ArgMin if types[value] != DType::Bool => {
                            break (combine, DType::I32);
                        }
                        Combine::Sum | Combine::Prod if types[value] != DType::Bool => {
                            break (combine, types[value]);
                        }
                        Combine::Max | Combine::Min => break (combine, types[value]),
                        Combine::And | Combine::Or | Combine::Xor if !types[value].is_float() => {
                            break (combine, types[value]);
                        }
                        _ => {}
                    }
                };
                let to = s.store(rng, made, &kept, levels);
                Reduction { combine, value: Val(value as u32), to }
            })
            .collect();
        Stmt::Reduce(Reduce { dims: kept, reduced, loads, dag, outputs })
    });
}

#[test]
fn running_combinations_agree_with_the_twin() {
    cases(100, |rng, s, levels| {
        let mut dims = dims(rng, 500);
        dims.push(rng.pick(&[0, 1, 2, 5]));
        let dtype = rng.pick(&DType::ALL);
        let combine = match dtype {
            DType::Bool => rng.pick(&[Combine::Max, Combine::Min, Combine::Or, Combine::Xor]),
            _ => rng.pick(&[Combine::Sum, Combine::Prod, Combine::Max, Combine::Min]),
        };
        dims.truncate(MAX_DIMS);
        let from = s.load(rng, dtype, &dims, levels);
        let to = s.store(rng, dtype, &dims, levels);
        Stmt::Cumulative(Cumulative { combine, dims, from, to })
    });
}

#[test]
fn sorts_agree_with_the_twin() {
    cases(100, |rng, s, levels| {
        let mut dims = dims(rng, 300);
        dims.push(rng.size());
        dims.truncate(MAX_DIMS);
        let dtype = rng.pick(&DType::ALL);
        let from = s.load(rng, dtype, &dims, levels);
        let to = (rng.below(3) > 0).then(|| s.store(rng, dtype, &dims, levels));
        let to_indices = (rng.below(3) > 0).then(|| s.store(rng, DType::I32, &dims, levels));
        Stmt::Sort(Sort { dims, from, to, to_indices, descending: rng.below(2) == 0 })
    });
}

fn indices(rng: &mut Rng, s: &mut Sketch, dims: &[usize], levels: &[usize]) -> Vec<Index> {
    let n = rng.below(3);
    let mut stride = 50;
    (0..n)
        .map(|_| {
            let (len, dtype) = (1 + rng.below(12), rng.pick(&[DType::I32, DType::U32]));
            let view = s.load(rng, dtype, dims, levels);
            stride *= 7;
            Index { view, len, stride }
        })
        .collect()
}

/// A view that indices move through.
fn indexed(
    rng: &mut Rng,
    s: &mut Sketch,
    dtype: DType,
    dims: &[usize],
    indices: &[Index],
    make: impl FnOnce(&mut Sketch, &mut Rng, usize) -> BufferId,
) -> View {
    let reach: usize = indices.iter().map(|i| (i.len - 1) * i.stride as usize).sum();
    s.view(rng, dtype, dims, &[], false, |s, rng, n| make(s, rng, n + reach))
}

#[test]
fn gathers_and_scatters_agree_with_the_twin() {
    cases(200, |rng, s, levels| {
        let dims = dims(rng, 600);
        let dtype = rng.pick(&DType::ALL);
        let indices = indices(rng, s, &dims, levels);
        let out_of_bounds = rng.pick(&[OutOfBounds::Clip, OutOfBounds::Drop(1)]);
        if rng.below(2) == 0 {
            let from = indexed(rng, s, dtype, &dims, &indices, |s, rng, n| {
                let data = rng.data(dtype, n);
                s.input(data)
            });
            let to = s.store(rng, dtype, &dims, levels);
            Stmt::Gather(Gather { dims, indices, out_of_bounds, from, to })
        } else {
            let from = s.load(rng, dtype, &dims, levels);
            let to = indexed(rng, s, dtype, &dims, &indices, |s, _, n| s.output(dtype, n));
            let combine = match (rng.below(2), dtype) {
                (0, _) => None,
                (_, DType::Bool) => Some(Combine::Or),
                _ => Some(rng.pick(&[Combine::Sum, Combine::Prod, Combine::Max, Combine::Min])),
            };
            Stmt::Scatter(Scatter { dims, indices, out_of_bounds, combine, from, to })
        }
    });
}

#[test]
fn control_flow_agrees_with_the_twin() {
    // A while that doubles x until it is above 100, and a switch on the loop's step.
    for limit in [-1.0, 1.0, 100.0] {
        let mut s = Sketch::default();
        let x = s.arena(DType::F32, 1);
        let flag = s.arena(DType::Bool, 1);
        let index = s.arena(DType::I32, 1);
        let start = s.input(1.5f32.to_le_bytes().to_vec());
        let ys = s.output(DType::F32, 5);
        let scalar = |b, d| View::new(b, d);
        let map = |loads: Vec<View>, dag: Vec<Node>, to: View| {
            let stores = vec![Store { value: Val(dag.len() as u32 - 1), to }];
            Stmt::Map(Map { dims: vec![], loads, dag, stores })
        };
        let xv = scalar(x, DType::F32);
        s.code.body.push(map(vec![scalar(start, DType::F32)], vec![Node::Load(0)], xv.clone()));
        s.code.body.push(Stmt::While(While {
            cond: vec![map(
                vec![xv.clone()],
                vec![Node::Load(0), Node::f32(limit), Node::Binary(Binary::Lt, Val(0), Val(1))],
                scalar(flag, DType::Bool),
            )],
            flag: scalar(flag, DType::Bool),
            body: vec![map(
                vec![xv.clone()],
                vec![Node::Load(0), Node::Binary(Binary::Add, Val(0), Val(0))],
                xv.clone(),
            )],
        }));
        let step = vec![
            Node::Step { level: 0, dtype: DType::I32 },
            Node::i32(1),
            Node::Binary(Binary::Sub, Val(0), Val(1)),
        ];
        let branch = |c: f32| {
            let to = View::new(ys, DType::F32).advance(0, 1);
            let dag = vec![Node::Load(0), Node::f32(c), Node::Binary(Binary::Mul, Val(0), Val(1))];
            vec![map(vec![xv.clone()], dag, to)]
        };
        s.code.body.push(Stmt::Loop(Loop {
            n_steps: 5,
            body: vec![
                map(vec![], step, scalar(index, DType::I32)),
                Stmt::Switch(Switch {
                    index: scalar(index, DType::I32),
                    branches: vec![branch(1.0), branch(10.0), branch(100.0)],
                }),
            ],
        }));
        s.compare(&EVERYWHERE);
    }
}

/// Runs what `cases` runs beside some more of its kind, at the top or in each step of loops, on all threads there
/// are.
fn beside(n: u64, make: impl Fn(&mut Rng, &mut Sketch, &[usize]) -> Stmt) {
    for seed in 1..=n {
        let mut rng = Rng(seed.wrapping_mul(0xD134_2543_DE82_EF95));
        let mut sketch = Sketch::default();
        let mut parts = vec![];
        let around = if seed % 2 == 0 { vec![] } else { rng.levels() };
        for _ in 0..1 + rng.below(5) {
            let own = rng.levels();
            let stmt = make(&mut rng, &mut sketch, &[&around[..], &own].concat());
            parts.push(vec![stmt.in_loops(&own)]);
        }
        sketch.code.body.push(Stmt::Parallel(parts).in_loops(&around));
        sketch.compare(&EVERYWHERE);
    }
}

#[test]
fn parts_agree_with_the_twin() {
    beside(60, |rng, s, levels| {
        let mut packs = vec![];
        let mat = Stmt::Mat(mat(rng, s, levels, &mut packs));
        // The packing has its own statement, before the parts.
        s.code.body.extend(packs);
        mat
    });
    beside(60, |rng, s, levels| {
        let dims = dims(rng, 1500);
        let from = s.load(rng, DType::F32, &dims, levels);
        let to = s.store(rng, DType::F32, &dims, levels);
        let dag = vec![Node::Load(0), Node::Unary(Unary::Tanh, Val(0))];
        Stmt::Map(Map { dims, loads: vec![from], dag, stores: vec![Store { value: Val(1), to }] })
    });
    beside(60, |rng, s, levels| {
        let dims = vec![rng.size().min(33), rng.size()];
        let from = s.load(rng, DType::F64, &dims, levels);
        let to = s.store(rng, DType::F64, &dims[..1], levels);
        let outputs = vec![Reduction { combine: Combine::Sum, value: Val(0), to }];
        let (dims, reduced) = (vec![dims[0]], vec![dims[1]]);
        Stmt::Reduce(Reduce { dims, reduced, loads: vec![from], dag: vec![Node::Load(0)], outputs })
    });
    beside(30, |rng, s, levels| {
        let [m, n, k] = [rng.size(), rng.size(), rng.size()].map(|x| x.min(33));
        let side = |s: &mut Sketch, rng: &mut Rng, dims: &[usize]| {
            s.view(rng, DType::F32, dims, levels, true, |s, rng, n| {
                let data = rng.whole(DType::F32, n);
                s.input(data)
            })
        };
        let (a, b) = (side(s, rng, &[m, k]), side(s, rng, &[k, n]));
        let to = s.store(rng, DType::F32, &[m, n], levels);
        Stmt::Gemm(Gemm { m, n, k, a, b, init: None, to, order: Order::Chain })
    });
}

/// A recurrence over a batch in a layout [time, batch, hidden], its rows in `n_parts`: the carry in a double
/// buffer, and a temporary that each part reads as a whole row.
fn recurrence(n_parts: usize, rows: usize, hidden: usize, n_steps: usize) -> Sketch {
    let mut rng = Rng(77);
    let mut s = Sketch::default();
    let data = |rng: &mut Rng, s: &mut Sketch, n| {
        let bytes = rng.whole(DType::F32, n);
        s.input(bytes)
    };
    let weights = data(&mut rng, &mut s, hidden * hidden);
    let xs = data(&mut rng, &mut s, n_steps * rows * hidden);
    let carry = s.arena(DType::F32, 2 * rows * hidden);
    let middle = s.arena(DType::F32, rows * hidden);
    let ys = s.output(DType::F32, n_steps * rows * hidden);
    let (h, size) = (hidden as i64, (rows * hidden) as i64);
    let zeros = Store { value: Val(0), to: View::new(carry, DType::F32).strides([1]) };
    s.code.body.push(Stmt::Map(Map {
        dims: vec![2 * rows * hidden],
        loads: vec![],
        dag: vec![Node::f32(0.0)],
        stores: vec![zeros],
    }));
    let part = |p: usize| {
        let (first, end) = (rows * p / n_parts, rows * (p + 1) / n_parts);
        let at = |buffer| View::new(buffer, DType::F32).strides([h, 1]).offset(first as i64 * h);
        let write = at(carry).offset(size + first as i64 * h).alternate(0, -size);
        let mat = Mat {
            rows: end - first,
            cols: hidden,
            chains: 1,
            products: vec![Product {
                terms: vec![Terms {
                    depth: hidden,
                    source: at(carry).alternate(0, size),
                    weights: Weights::Strided(View::new(weights, DType::F32).strides([h, 1])),
                }],
                init: None,
            }],
            loads: vec![],
            dag: vec![Node::Product(0)],
            stores: vec![Store { value: Val(0), to: at(middle) }],
        };
        let map = Map {
            dims: vec![end - first, hidden],
            loads: vec![at(middle), at(xs).advance(0, size)],
            dag: vec![
                Node::Load(0),
                Node::Load(1),
                Node::Binary(Binary::Add, Val(0), Val(1)),
                Node::Unary(Unary::Tanh, Val(2)),
            ],
            stores: vec![
                Store { value: Val(3), to: write },
                Store { value: Val(3), to: at(ys).advance(0, size) },
            ],
        };
        vec![Stmt::Loop(Loop { n_steps, body: vec![Stmt::Mat(mat), Stmt::Map(map)] })]
    };
    s.code.body.push(Stmt::Parallel((0..n_parts).map(part).collect()));
    s
}

#[test]
fn rows_of_a_recurrence_run_side_by_side() {
    for (n_parts, rows, hidden) in [(1, 3, 5), (2, 3, 5), (3, 7, 16), (5, 5, 8), (16, 33, 9)] {
        recurrence(n_parts, rows, hidden, 7).compare(&EVERYWHERE);
    }
}

#[test]
fn calls_from_many_threads_share_the_pool() {
    let s = recurrence(4, 9, 16, 20);
    std::thread::scope(|scope| {
        let call = || (0..20).for_each(|_| s.compare(&EVERYWHERE[2..]));
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(call)).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}
