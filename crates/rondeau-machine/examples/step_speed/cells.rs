//! Codes of recurrent loops, written by hand as a lowering would make them.

use rondeau_machine::code::*;

/// A code under construction.
#[derive(Default)]
pub(crate) struct Sketch {
    pub(crate) code: Code,
    n_inputs: usize,
    n_outputs: usize,
    arena: usize,
}

impl Sketch {
    fn buffer(&mut self, bytes: usize, place: Place) -> BufferId {
        self.code.buffers.push(Buffer { bytes, place });
        BufferId(self.code.buffers.len() as u32 - 1)
    }

    pub(crate) fn input(&mut self, bytes: usize) -> BufferId {
        self.n_inputs += 1;
        self.buffer(bytes, Place::Input(self.n_inputs - 1))
    }

    pub(crate) fn output(&mut self, bytes: usize) -> BufferId {
        self.n_outputs += 1;
        self.buffer(bytes, Place::Output(self.n_outputs - 1))
    }

    pub(crate) fn arena(&mut self, bytes: usize) -> BufferId {
        let at = self.arena;
        self.arena += bytes.next_multiple_of(BLOCK_BYTES);
        self.buffer(bytes, Place::Arena(at))
    }
}

fn binary(op: Binary, a: u32, b: u32) -> Node {
    Node::Binary(op, Val(a), Val(b))
}

fn copy(dims: Vec<usize>, from: View, to: View) -> Stmt {
    let stores = vec![Store { value: Val(0), to }];
    Stmt::Map(Map { dims, loads: vec![from], dag: vec![Node::Load(0)], stores })
}

/// The recurrent part of the gated recurrent unit that resets before the product.
///
/// `z = σ(xz + Uz·h)`, `r = σ(xr + Ur·h)`, `c = tanh(xc + Uc·(r∘h))`, `h' = (1-z)∘h + z∘c`. Inputs: the weights
/// `[3·hidden, hidden]` in the order z, r, c, the hoisted `W·x + b` `[time, batch, 3·hidden]`, `h0`
/// `[batch, hidden]`. Output: all states `[time, batch, hidden]`.
pub(crate) fn gru(dtype: DType, hidden: usize, batch: usize, time: usize) -> Code {
    let (h, b) = (hidden as i64, batch as i64);
    let size = dtype.size();
    let mut s = Sketch::default();
    let u = s.input(3 * hidden * hidden * size);
    let xw = s.input(time * batch * 3 * hidden * size);
    let h0 = s.input(batch * hidden * size);
    let hs = s.output(time * batch * hidden * size);
    let [state, z, rh] = [(); 3].map(|()| s.arena(batch * hidden * size));
    let rows = |buffer| View::new(buffer, dtype).strides([h, 1]);
    let gate =
        |g: i64| View::new(xw, dtype).strides([3 * h, 1]).offset(g * h).advance(0, 3 * h * b);
    let products = [2, 2, 1].map(|n| {
        let panel = Packed::panel_for(dtype, batch, hidden, n, hidden);
        Packed { dtype, depth: hidden, cols: hidden, panel }
    });
    let packed: Vec<_> = products.iter().map(|l| s.arena(l.len() * size)).collect();
    s.code.body.push(copy(vec![batch, hidden], rows(h0), rows(state)));
    for (g, &layout) in products.iter().enumerate() {
        let from = View::new(u, dtype).strides([1, h]).offset(g as i64 * h * h);
        let to = View::new(packed[g], dtype);
        s.code.body.push(Stmt::Pack(Pack { layout, from, to }));
    }
    let product = |g: usize, source: BufferId, init: u32| Product {
        terms: vec![Terms {
            depth: hidden,
            source: rows(source),
            weights: Weights::Packed(View::new(packed[g], dtype), products[g]),
        }],
        init: Some(init),
    };
    let one = if dtype == DType::F64 { Node::f64(1.0) } else { Node::f32(1.0) };
    let gates = Mat {
        rows: batch,
        cols: hidden,
        chains: Mat::chains_for(batch, hidden, 2),
        products: vec![product(0, state, 0), product(1, state, 1)],
        loads: vec![gate(0), gate(1), rows(state)],
        dag: vec![
            Node::Product(0),
            Node::Product(1),
            Node::Load(2),
            Node::Unary(Unary::Sigmoid, Val(0)),
            Node::Unary(Unary::Sigmoid, Val(1)),
            binary(Binary::Mul, 4, 2),
        ],
        stores: vec![Store { value: Val(5), to: rows(rh) }, Store { value: Val(3), to: rows(z) }],
    };
    let candidate = Mat {
        rows: batch,
        cols: hidden,
        chains: Mat::chains_for(batch, hidden, 1),
        products: vec![product(2, rh, 0)],
        loads: vec![gate(2), rows(z), rows(state)],
        dag: vec![
            Node::Product(0),
            Node::Load(1),
            Node::Load(2),
            Node::Unary(Unary::Tanh, Val(0)),
            one,
            binary(Binary::Sub, 4, 1),
            binary(Binary::Mul, 5, 2),
            binary(Binary::Mul, 1, 3),
            binary(Binary::Add, 6, 7),
        ],
        stores: vec![
            Store { value: Val(8), to: rows(state) },
            Store { value: Val(8), to: rows(hs).advance(0, h * b) },
        ],
    };
    let body = vec![Stmt::Mat(gates), Stmt::Mat(candidate)];
    s.code.body.push(Stmt::Loop(Loop { n_steps: time, body }));
    s.code
}

/// The Lorenz system by the classical method of Runge and Kutta, `lanes` trajectories at once.
///
/// Input: the start `[3, lanes]`. Output: the end `[3, lanes]`.
pub(crate) fn lorenz(dtype: DType, lanes: usize, time: usize) -> Code {
    let n = lanes as i64;
    let bytes = 3 * lanes * dtype.size();
    let mut s = Sketch::default();
    let (start, end, state) = (s.input(bytes), s.output(bytes), s.arena(bytes));
    let whole = |buffer| View::new(buffer, dtype).strides([1]);
    let number = |x: f64| match dtype {
        DType::F64 => Node::f64(x),
        _ => Node::f32(x as f32),
    };
    let mut dag: Vec<Node> = (0..3).map(Node::Load).collect();
    fn add(dag: &mut Vec<Node>, node: Node) -> u32 {
        dag.push(node);
        dag.len() as u32 - 1
    }
    let [sigma, rho, beta, half, step, sixth] =
        [10.0, 28.0, 8.0 / 3.0, 0.005, 0.01, 0.01 / 6.0].map(|x| add(&mut dag, number(x)));
    let slope = |dag: &mut Vec<Node>, [x, y, z]: [u32; 3]| {
        let d = add(dag, binary(Binary::Sub, y, x));
        let dx = add(dag, binary(Binary::Mul, sigma, d));
        let d = add(dag, binary(Binary::Sub, rho, z));
        let d = add(dag, binary(Binary::Mul, x, d));
        let dy = add(dag, binary(Binary::Sub, d, y));
        let (a, b) = (add(dag, binary(Binary::Mul, x, y)), add(dag, binary(Binary::Mul, beta, z)));
        [dx, dy, add(dag, binary(Binary::Sub, a, b))]
    };
    let along = |dag: &mut Vec<Node>, at: [u32; 3], k: [u32; 3], by: u32| {
        [0, 1, 2].map(|i| add(dag, Node::Fma(Val(k[i]), Val(by), Val(at[i]))))
    };
    let at = [0, 1, 2];
    let k1 = slope(&mut dag, at);
    let p = along(&mut dag, at, k1, half);
    let k2 = slope(&mut dag, p);
    let p = along(&mut dag, at, k2, half);
    let k3 = slope(&mut dag, p);
    let p = along(&mut dag, at, k3, step);
    let k4 = slope(&mut dag, p);
    let two = add(&mut dag, number(2.0));
    let next = [0, 1, 2].map(|i| {
        let middle = add(&mut dag, binary(Binary::Add, k2[i], k3[i]));
        let outer = add(&mut dag, binary(Binary::Add, k1[i], k4[i]));
        let sum = add(&mut dag, Node::Fma(Val(two), Val(middle), Val(outer)));
        add(&mut dag, Node::Fma(Val(sum), Val(sixth), Val(at[i])))
    });
    let part = |i: i64| whole(state).offset(i * n);
    let map = Map {
        dims: vec![lanes],
        loads: (0..3).map(part).collect(),
        dag,
        stores: (0..3).map(|i| Store { value: Val(next[i as usize]), to: part(i) }).collect(),
    };
    s.code.body.push(copy(vec![3 * lanes], whole(start), whole(state)));
    s.code.body.push(Stmt::Loop(Loop { n_steps: time, body: vec![Stmt::Map(map)] }));
    s.code.body.push(copy(vec![3 * lanes], whole(state), whole(end)));
    s.code
}
