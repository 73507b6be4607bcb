//! Machine code against the twin, on random kernels.

use crate::Executor;
use crate::code::*;
use crate::cpu::Level;
use crate::twin::{Rng, Sketch, random_dag};

const NATIVE: [Executor; 2] = [
    Executor::NativeAt(Level::Avx512),
    Executor::NativeAt(Level::Avx2),
];

/// Runs `make` on many seeds, inside of no, one and two loops, and compares; returns how many kernels were emitted.
fn cases(n: u64, make: impl Fn(&mut Rng, &mut Sketch, &[usize]) -> Stmt) {
    let mut n_emitted = 0;
    for seed in 1..=n {
        let mut rng = Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut sketch = Sketch::default();
        let levels: Vec<usize> = (0..rng.below(3)).map(|_| rng.pick(&[1, 2, 3, 5])).collect();
        let mut stmt = make(&mut rng, &mut sketch, &levels);
        for &n_steps in levels.iter().rev() {
            stmt = Stmt::Loop(Loop {
                n_steps,
                body: vec![stmt],
            });
        }
        sketch.code.body.push(stmt);
        sketch.compare(&NATIVE);
        let exe = crate::Executable::new(&sketch.code, Executor::Best).unwrap();
        n_emitted += exe.explain().starts_with("machine code") as u64;
    }
    if crate::cpu::level() == Level::Avx512 {
        assert!(
            n_emitted > n / 3,
            "only {n_emitted} of {n} were machine code"
        );
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
    let n_loads = 1 + rng.below(3);
    let dtypes: Vec<_> = (0..n_loads).map(|_| rng.pick(types)).collect();
    let loads: Vec<_> = dtypes
        .iter()
        .map(|&d| s.load(rng, d, &dims, levels))
        .collect();
    let n = rng.below(20);
    let size = types[0].size();
    let allow = |node: &Node, d: DType| {
        let fits = |d: DType| d == DType::Bool || d.size() == size;
        let target = match node {
            Node::Convert(_, to) | Node::Bitcast(_, to) => fits(*to),
            _ => true,
        };
        emitted(node, d) && fits(d) && target
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
            Store {
                value: Val(value as u32),
                to,
            }
        })
        .collect();
    Map {
        dims,
        loads,
        dag,
        stores,
    }
}

#[test]
fn maps_agree_with_the_twin() {
    cases(600, |rng, s, levels| {
        let dims = dims(rng, 1500);
        let narrow = [
            DType::F32,
            DType::F32,
            DType::F32,
            DType::I32,
            DType::U32,
            DType::Bool,
        ];
        Stmt::Map(map_of(rng, s, levels, &narrow, dims))
    });
}

#[test]
fn wide_maps_agree_with_the_twin() {
    cases(300, |rng, s, levels| {
        let dims = dims(rng, 1500);
        Stmt::Map(map_of(rng, s, levels, &[DType::F64], dims))
    });
}
