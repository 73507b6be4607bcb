//! What `check` refuses, and what it does not.

use crate::code::*;

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
        let product = Product {
            depth,
            source: View::new(BufferId(source), DType::F32).strides([0, 1]),
            weights: Weights::Strided(View::new(BufferId(0), DType::F32).strides([1, 1])),
            init: None,
        };
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
