//! What `check` refuses, and what it does not.

use crate::code::*;
use crate::twin::{Rng, points};
use std::collections::HashSet;

/// Buffers 0 to 3: an input and an output of 10 floats, and two arena ranges of 10 that overlap by 5.
fn code(body: Vec<Stmt>) -> Code {
    let buffer = |place| Buffer { bytes: 40, place };
    let buffers = vec![
        buffer(Place::Input(0)),
        buffer(Place::Output(0)),
        buffer(Place::Arena(0)),
        buffer(Place::Arena(20)),
    ];
    Code { buffers, setup: vec![], body }
}

fn view(buffer: u32, stride: i64) -> View {
    View::new(BufferId(buffer), DType::F32).strides([stride])
}

fn copy(n: usize, from: View, to: View) -> Stmt {
    let stores = vec![Store { value: Val(0), to }];
    Stmt::Map(Map { dims: vec![n], loads: vec![from], dag: vec![Node::Load(0)], stores })
}

fn steps(n_steps: usize, body: Vec<Stmt>) -> Stmt {
    Stmt::Loop(Loop { n_steps, body })
}

fn refused(body: Vec<Stmt>) -> String {
    code(body).check().expect_err("this code is wrong").to_string()
}

fn accepted(body: Vec<Stmt>) {
    code(body).check().expect("this code is right");
}

#[test]
fn accesses_stay_in_their_buffers() {
    accepted(vec![copy(10, view(0, 1), view(1, 1))]);
    accepted(vec![copy(10, view(0, -1).offset(9), view(1, 1))]);
    accepted(vec![copy(4, view(0, 3), view(1, 1))]);
    assert_eq!(
        refused(vec![copy(11, view(0, 1), view(1, 1))]),
        "body[0]: load 0 reaches elements 0..=10 of a buffer of 40 bytes, 10 elements"
    );
    refused(vec![copy(10, view(0, -1).offset(8), view(1, 1))]);
    refused(vec![copy(10, view(0, 0), view(1, 1).offset(1))]);
    refused(vec![copy(1, view(0, 0).offset(i64::MAX), view(1, 1))]);
    refused(vec![copy(3, view(0, i64::MAX), view(1, 1))]);
    refused(vec![copy(1, view(9, 0), view(1, 1))]);
    // Nothing is touched where there are no points.
    accepted(vec![copy(0, view(0, 1).offset(99), view(1, 1))]);
    accepted(vec![steps(0, vec![copy(5, view(0, 100), view(1, 1))])]);
}

#[test]
fn loops_move_within_the_buffers() {
    let row = |stride: i64, offset| {
        vec![copy(2, view(0, 1).advance(0, stride).offset(offset), view(1, 1))]
    };
    accepted(vec![steps(5, row(2, 0))]);
    accepted(vec![steps(5, row(-2, 8))]);
    refused(vec![steps(6, row(2, 0))]);
    refused(vec![steps(5, row(-2, 7))]);
    accepted(vec![steps(1, row(1000, 0))]);
    let alternate = |n, p| vec![steps(n, vec![copy(2, view(0, 1).alternate(0, p), view(1, 1))])];
    accepted(alternate(1000, 8));
    refused(alternate(2, 9));
    accepted(alternate(1, 9));
    // Only enclosing loops move a view.
    refused(vec![copy(2, view(0, 1).advance(0, 1), view(1, 1))]);
}

#[test]
fn stores_disturb_nobody() {
    refused(vec![copy(10, view(0, 1), view(0, 1))]);
    // In place, shifted, reversed, and several points on one element.
    accepted(vec![copy(10, view(1, 1), view(1, 1))]);
    refused(vec![copy(9, view(1, 1), view(1, 1).offset(1))]);
    refused(vec![copy(10, view(1, -1).offset(9), view(1, 1))]);
    refused(vec![copy(10, view(0, 1), view(1, 0))]);
    // The odd elements from the even ones.
    accepted(vec![copy(5, view(1, 2), view(1, 2).offset(1))]);
    refused(vec![copy(3, view(1, 2), view(1, 3))]);
    // Ranges of the arena that overlap.
    accepted(vec![copy(5, view(2, 1), view(3, 1))]);
    refused(vec![copy(6, view(2, 1), view(3, 1))]);
    // A double buffer: the step's read and write are apart, in every step.
    let read = view(1, 1).alternate(0, 5);
    let write = view(1, 1).offset(5).alternate(0, -5);
    accepted(vec![steps(9, vec![copy(5, read.clone(), write.clone())])]);
    refused(vec![steps(9, vec![copy(5, read, write.alternate(0, 0))])]);
    // The last row and the one before it.
    let row = |offset| view(1, 1).advance(0, 2).offset(offset);
    accepted(vec![steps(4, vec![copy(2, row(0), row(2))])]);
}

#[test]
fn types_and_places_fit() {
    let f64s = View::new(BufferId(1), DType::F64).strides([1]);
    assert_eq!(refused(vec![copy(2, view(0, 1), f64s)]), "body[0]: store 0 puts F32 into F64");
    let odd = View::new(BufferId(3), DType::F64).strides([1]);
    assert_eq!(
        refused(vec![copy(2, odd.clone(), odd)]),
        "body[0]: load 0: byte 20 of the arena is not aligned"
    );
    let dag = vec![Node::Load(0), Node::Binary(Binary::And, Val(0), Val(0))];
    let stores = vec![];
    let map = Map { dims: vec![1], loads: vec![view(0, 1)], dag, stores };
    assert_eq!(
        refused(vec![Stmt::Map(map)]),
        "body[0]: node 1, Binary(And, Val(0), Val(0)): is not defined on F32"
    );
}

#[test]
fn sources_and_weights_of_a_mat_are_left_alone() {
    let mat = |source: u32, to: u32, depth: usize| {
        let terms = Terms {
            depth,
            source: View::new(BufferId(source), DType::F32).strides([0, 1]),
            weights: Weights::Strided(View::new(BufferId(0), DType::F32).strides([1, 1])),
        };
        let product = Product { terms: vec![terms], init: None };
        let to = View::new(BufferId(to), DType::F32).strides([0, 1]);
        Stmt::Mat(Mat {
            rows: 1,
            cols: 5,
            chains: 1,
            products: vec![product],
            loads: vec![],
            dag: vec![Node::Product(0)],
            stores: vec![Store { value: Val(0), to }],
        })
    };
    accepted(vec![mat(0, 1, 5)]);
    refused(vec![mat(0, 1, 7)]);
    refused(vec![mat(1, 1, 5)]);
    accepted(vec![mat(2, 3, 5)]);
    refused(vec![mat(2, 3, 6)]);
}

#[test]
fn indices_reach_what_they_may() {
    let gather = |len, stride, n: usize| {
        let index = Index { view: View::new(BufferId(0), DType::I32).strides([1]), len, stride };
        Stmt::Gather(Gather {
            dims: vec![n],
            indices: vec![index],
            out_of_bounds: OutOfBounds::Clip,
            from: view(0, 0),
            to: view(1, 1),
        })
    };
    accepted(vec![gather(10, 1, 3)]);
    refused(vec![gather(11, 1, 3)]);
    refused(vec![gather(3, 5, 3)]);
    refused(vec![gather(0, 1, 3)]);
    accepted(vec![gather(0, 1, 0)]);
}

fn parallel(parts: Vec<Stmt>) -> Vec<Stmt> {
    vec![Stmt::Parallel(parts.into_iter().map(|part| vec![part]).collect())]
}

#[test]
fn parts_that_run_at_the_same_time_stay_apart() {
    // Halves, by ranges.
    let half = |offset, n| copy(n, view(0, 1).offset(offset), view(1, 1).offset(offset));
    accepted(parallel(vec![half(0, 5), half(5, 5)]));
    assert_eq!(
        refused(parallel(vec![half(0, 6), half(5, 5)])),
        "body[0]: parts 0 and 1 may meet where one of them writes"
    );
    // What all only read, all may read.
    accepted(parallel(vec![
        copy(5, view(0, 1), view(1, 1)),
        copy(5, view(0, 1), view(1, 1).offset(5)),
    ]));
    // One reads what the other writes, before or after it in time.
    refused(parallel(vec![copy(5, view(0, 1), view(2, 1)), copy(5, view(2, 1), view(1, 1))]));
    refused(parallel(vec![copy(5, view(2, 1), view(1, 1)), copy(5, view(0, 1), view(2, 1))]));
    // Ranges of the arena that overlap, under two names.
    accepted(parallel(vec![copy(5, view(0, 1), view(2, 1)), copy(5, view(0, 1), view(3, 1))]));
    refused(parallel(vec![copy(6, view(0, 1), view(2, 1)), copy(5, view(0, 1), view(3, 1))]));
    // Rows that interleave over time: two steps of five, two and three of each.
    let rows = |first: i64, n, by: i64| {
        let step = |buffer| view(buffer, 1).offset(first).advance(0, by);
        steps(2, vec![copy(n, step(0), step(1))])
    };
    accepted(parallel(vec![rows(0, 2, 5), rows(2, 3, 5)]));
    accepted(parallel(vec![rows(0, 2, 5), rows(7, 3, -5)]));
    refused(parallel(vec![rows(0, 3, 5), rows(2, 3, 5)]));
    refused(parallel(vec![rows(0, 2, 5), rows(2, 3, 4)]));
    // A double buffer of five, of which each part has its rows.
    let carry = |first: i64, n| {
        let read = view(1, 1).offset(first).alternate(0, 5);
        steps(9, vec![copy(n, read, view(1, 1).offset(first + 5).alternate(0, -5))])
    };
    accepted(parallel(vec![carry(0, 2), carry(2, 3)]));
    refused(parallel(vec![carry(0, 3), carry(2, 3)]));
    // In one step the parts are apart, in different steps they are not.
    let moving = |first: i64| {
        let step = |buffer| view(buffer, 1).offset(first).advance(0, 1);
        steps(4, vec![copy(2, step(0), step(1))])
    };
    refused(parallel(vec![moving(0), moving(2)]));
    accepted(parallel(vec![moving(0), moving(5)]));
}

#[test]
fn parts_are_some_and_at_the_top_or_in_loops_and_show_nothing() {
    let part = |i: i64| copy(1, view(0, 0), view(1, 0).offset(i));
    accepted(parallel(vec![part(0)]));
    assert_eq!(refused(parallel(vec![])), "body[0]: 0 parts, not 1 to 16");
    refused(parallel((0..17).map(|_| steps(0, vec![])).collect()));
    let inner = parallel(vec![part(0), part(1)]);
    accepted(vec![steps(3, vec![steps(2, inner.clone())])]);
    let said = "parts that run at the same time stand at the top of a code or in loops there";
    let index = View::new(BufferId(2), DType::I32);
    let branches = vec![inner.clone()];
    let branch = Stmt::Switch(Switch { index, branches });
    assert_eq!(refused(vec![branch]), format!("body[0].branches[0][0]: {said}"));
    let flag = View::new(BufferId(2), DType::Bool);
    let cond = Stmt::While(While { cond: vec![], flag, body: inner.clone() });
    assert_eq!(refused(vec![steps(2, vec![cond])]), format!("body[0].body[0].body[0]: {said}"));
    let setup = Code { setup: inner.clone(), ..code(vec![]) };
    assert_eq!(
        setup.check().expect_err("a setup in parts").to_string(),
        format!("setup[0]: {said}")
    );
    assert_eq!(refused(vec![Stmt::Parallel(vec![inner])]), format!("body[0].parts[0][0]: {said}"));
    let tap = Stmt::Tap(Tap { id: 0, dims: vec![], view: View::new(BufferId(0), DType::F32) });
    accepted(vec![tap.clone()]);
    assert_eq!(
        refused(parallel(vec![part(0), tap])),
        "body[0].parts[1][0]: a part of several shows nothing"
    );
}

/// Every element that a loop around one copy reads and writes.
fn touched(stmt: &Stmt) -> [HashSet<i64>; 2] {
    let Stmt::Loop(outer) = stmt else { panic!("a loop") };
    let Stmt::Map(map) = &outer.body[0] else { panic!("a map") };
    let all = |view: &View| -> HashSet<i64> {
        let mut all = HashSet::new();
        for t in 0..outer.n_steps as i64 {
            for point in points(&map.dims) {
                let inner = view.strides.iter().zip(&point).map(|(s, &i)| s * i as i64);
                let moved = view.advance.iter().map(|a| a.stride * t + a.parity * (t % 2));
                all.insert(view.offset + inner.sum::<i64>() + moved.sum::<i64>());
            }
        }
        all
    };
    [all(&map.loads[0]), all(&map.stores[0].to)]
}

/// A part that copies rows of a matrix to rows, step by step; nearly right or nearly wrong.
fn random_part(rng: &mut Rng, row: i64, first: i64, n_rows: usize, batch: i64) -> Stmt {
    let n_steps = 1 + rng.below(4);
    let mut nudge = |from: &[i64]| if rng.below(5) == 0 { rng.pick(from) } else { 0 };
    let mut side = |base: i64| {
        let step = batch * row + nudge(&[1, -1, row, -row]);
        let backwards = nudge(&[0, 1]) == 1;
        let last = step * (n_steps as i64 - 1);
        let (offset, stride) = if backwards { (last, -step) } else { (0, step) };
        let alternate = nudge(&[batch * row, row, 1]);
        View::new(BufferId(1), DType::F32)
            .strides([row, 1 + nudge(&[1, 2])])
            .offset(base + offset + first * row + nudge(&[1, row, -1]))
            .advance(0, stride)
            .alternate(0, alternate)
    };
    let (from, to) = (side(0), side(4 * batch * row + row));
    let (n_rows, cols) = (n_rows as i64 + nudge(&[1, -1]), row + nudge(&[1, -1]));
    let map = Map {
        dims: vec![n_rows as usize, cols as usize],
        loads: vec![from],
        dag: vec![Node::Load(0)],
        stores: vec![Store { value: Val(0), to }],
    };
    steps(n_steps, vec![Stmt::Map(map)])
}

#[test]
fn no_parts_are_accepted_that_meet() {
    let (mut n_accepted, mut n_met) = (0, 0);
    for seed in 1..=30_000u64 {
        let mut rng = Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let (row, rows) = (2 + rng.below(4) as i64, [1 + rng.below(3), 1 + rng.below(3)]);
        let batch = (rows[0] + rows[1]) as i64;
        let parts = [
            random_part(&mut rng, row, 0, rows[0], batch),
            random_part(&mut rng, row, rows[0] as i64, rows[1], batch),
        ];
        let mut code = code(parallel(parts.to_vec()));
        code.buffers[1].bytes = 4 * 400;
        let alone = |part: &Stmt| Code { body: vec![part.clone()], ..code.clone() };
        if parts.iter().any(|part| alone(part).check().is_err()) {
            continue;
        }
        let [[reads_a, writes_a], [reads_b, writes_b]] = [touched(&parts[0]), touched(&parts[1])];
        let meet = !writes_a.is_disjoint(&writes_b)
            || !writes_a.is_disjoint(&reads_b)
            || !reads_a.is_disjoint(&writes_b);
        let is_accepted = code.check().is_ok();
        assert!(!(meet && is_accepted), "seed {seed}: {parts:?}");
        n_accepted += usize::from(is_accepted);
        n_met += usize::from(meet);
    }
    assert!(n_accepted > 1_000 && n_met > 1_000, "{n_accepted} accepted, {n_met} met");
}
