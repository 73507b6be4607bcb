//! The gated recurrent unit of JAX's tutorial under every transformation, step by step and
//! compiled: with the tutorial's small weights (`seed_*`) and with weights of ordinary size
//! (`scaled_*`), in f32 and f64.

use rondeau::buffer::DType;
use rondeau::{
    Arg, Arguments, Array, Axes, Function, Tree, grad, hessian, hvp, jacfwd, jacrev, jit, jvp,
    random, scan, scan_reverse, sigmoid, tanh, tree, value_and_grad, vjp, vmap,
};

use super::{Case, run_section};

#[test]
fn seed_f32() {
    run_section("seed_f32", &[], run);
}

#[test]
fn seed_f64() {
    run_section("seed_f64", &[], run);
}

#[derive(Clone, Tree)]
struct Gru {
    wz: Array,
    uz: Array,
    bz: Array,
    wr: Array,
    ur: Array,
    br: Array,
    wh: Array,
    uh: Array,
    bh: Array,
}

/// Parameters, first state and inputs.
type Args = (Gru, Array, Array);

fn step(p: &Gru, h: &Array, x: &Array) -> (Array, Array) {
    let z = sigmoid(p.wz.dot(x) + p.uz.dot(h) + &p.bz);
    let r = sigmoid(p.wr.dot(x) + p.ur.dot(h) + &p.br);
    let candidate = tanh(p.wh.dot(x) + p.uh.dot(r * h) + &p.bh);
    let h = (1.0 - &z) * h + z * candidate;
    (h.clone(), h)
}

fn sequence(p: &Gru, h0: &Array, xs: &Array) -> (Array, Array) {
    scan(|h, x| step(p, h, x), h0, xs)
}

fn reversed(p: &Gru, h0: &Array, xs: &Array) -> (Array, Array) {
    scan_reverse(|h, x| step(p, h, x), h0, xs)
}

fn last(p: &Gru, h0: &Array, xs: &Array) -> Array {
    sequence(p, h0, xs).0
}

/// The sum of squares of all states.
fn loss_seq(p: &Gru, h0: &Array, xs: &Array) -> Array {
    sequence(p, h0, xs).1.square().sum()
}

/// The sum of squares of the last state.
fn loss_final(p: &Gru, h0: &Array, xs: &Array) -> Array {
    last(p, h0, xs).square().sum()
}

/// The mean of `loss_seq` over a batch.
fn loss_batch(p: &Gru, h0s: &Array, xss: &Array) -> Array {
    vmap(loss_seq, (None, 0, 0)).apply(p, h0s, xss).mean()
}

/// The gradient of `loss_seq` by all arguments.
fn gradient(p: &Gru, h0: &Array, xs: &Array) -> Args {
    grad(loss_seq).wrt(ALL).apply(p, h0, xs)
}

const ALL: (Arg<0>, Arg<1>, Arg<2>) = (Arg, Arg, Arg);

/// The sum of the products of corresponding leaves.
fn inner<T: Tree>(a: &T, b: &T) -> Array {
    let pairs = tree::leaves(a).into_iter().zip(tree::leaves(b));
    let products = pairs.map(|(a, b)| (a * b).sum());
    products.reduce(|sum, product| sum + product).expect("there are leaves")
}

/// Checks what a function returns step by step, and compiled.
fn both<A, F>(args: &A, f: F, check: impl Fn(&F::Output))
where
    A: Arguments,
    F: Function<A>,
{
    check(&f.invoke(args.refs()));
    check(&jit::<F, A>(f).invoke(args.refs()));
}

/// Parameters of no particular shape, whose structure counts.
fn like() -> Gru {
    let leaf = || Array::zeros([]);
    Gru {
        wz: leaf(),
        uz: leaf(),
        bz: leaf(),
        wr: leaf(),
        ur: leaf(),
        br: leaf(),
        wh: leaf(),
        uh: leaf(),
        bh: leaf(),
    }
}

fn run(case: &Case<'_>) {
    match case.id.split_once('_') {
        Some((tag @ ("seed" | "scaled"), name)) => Setting::new(case, tag).run(name),
        _ => run_example(case),
    }
}

/// A case with the arguments that all cases of its tag share.
struct Setting<'a> {
    case: &'a Case<'a>,
    args: Args,
    tangents: Args,
    batch: Args,
}

impl<'a> Setting<'a> {
    fn new(case: &'a Case<'a>, tag: &str) -> Setting<'a> {
        let args = |name: &str, role: &str| {
            let id = format!("{tag}_{name}");
            let params = case.tree(&id, &format!("{role}/params"), &like());
            let [h0, xs] = ["h0", "xs"].map(|arg| case.of(&id, &format!("{role}/{arg}")));
            (params, h0, xs)
        };
        Setting {
            case,
            args: args("forward", "in"),
            tangents: args("jvp", "tan"),
            batch: args("batch_inputs", "in"),
        }
    }

    /// Compares the last state and all states.
    fn states(&self, (last, states): &(Array, Array)) {
        self.case.check("out/final", last);
        self.case.check("out/hs", states);
    }

    /// Compares derivatives by all arguments.
    fn by_all(&self, place: &str, (params, h0, xs): &Args) {
        self.case.check_tree(&format!("{place}.params"), params);
        self.case.check(&format!("{place}.h0"), h0);
        self.case.check(&format!("{place}.xs"), xs);
    }

    fn value_and_gradient(&self, (value, gradient): &(Array, Args)) {
        self.case.check("out/value", value);
        self.by_all("out/g", gradient);
    }

    fn run(&self, name: &str) {
        let args = &self.args;
        match name {
            "forward" => both(args, sequence, |out| self.states(out)),
            "reverse" => both(args, reversed, |out| self.states(out)),
            "grad_loss_seq" => {
                both(args, value_and_grad(loss_seq).wrt(ALL), |out| self.value_and_gradient(out));
            }
            "grad_loss_final" => {
                both(args, value_and_grad(loss_final).wrt(ALL), |out| self.value_and_gradient(out));
            }
            "vjp" => self.vjp(),
            "jvp" => {
                let (p, h0, xs) = args;
                let push = |p: &Gru, h0: &Array, xs: &Array, tangents: &Args| {
                    jvp(sequence, (p, h0, xs), tangents.refs()).1
                };
                let all = (p.clone(), h0.clone(), xs.clone(), self.tangents.clone());
                both(&all, push, |out| self.states(out));
            }
            "hvp" => self.hessian_vector(),
            "jac_final_h0" => {
                both(args, jacrev(last).wrt(Arg::<1>), |out| self.case.check("out", out));
                both(args, jacfwd(last).wrt(Arg::<1>), |out| self.case.check("out", out));
            }
            "jac_final_xs" => {
                both(args, jacrev(last).wrt(Arg::<2>), |out| self.case.check("out", out));
                both(args, jacfwd(last).wrt(Arg::<2>), |out| self.case.check("out", out));
            }
            "hess_h0" => {
                both(args, hessian(loss_seq).wrt(Arg::<1>), |out| self.case.check("out", &out[0]));
            }
            "hess_bz_bh" => self.hessian_of_biases(),
            "third_dir" => self.third_derivative(),
            "batch_inputs" => {
                let n = self.batch.1.len();
                let scales = (0..n).map(|i| 1.0 + 0.25 * i as f32).collect::<Vec<f32>>();
                let scales = Array::from(scales).to(args.1.dtype());
                let scaled = |w: &Array| tree::map(&args.0, |leaf| leaf * w);
                both(&(scales,), vmap(scaled, 0), |out| self.case.check_tree("in/params", out));
            }
            _ => self.run_batched(name),
        }
    }

    fn vjp(&self) {
        let (p, h0, xs) = self.args.clone();
        let ct = (self.case.array("ct/final"), self.case.array("ct/hs"));
        let pull = |p: &Gru, h0: &Array, xs: &Array, ct: &(Array, Array)| {
            vjp(sequence, (p, h0, xs)).1.apply(ct)
        };
        both(&(p, h0, xs, ct), pull, |out| self.by_all("out/g", out));
    }

    /// The Hessian times a vector: forward over reverse, reverse over reverse, reverse over
    /// forward.
    fn hessian_vector(&self) {
        let tangents = &self.tangents;
        let forward_reverse =
            |p: &Gru, h0: &Array, xs: &Array| hvp(loss_seq, (p, h0, xs), tangents.refs());
        let by_hand =
            |p: &Gru, h0: &Array, xs: &Array| jvp(gradient, (p, h0, xs), tangents.refs()).1;
        let slope = |p: &Gru, h0: &Array, xs: &Array| inner(&gradient(p, h0, xs), tangents);
        let directional =
            |p: &Gru, h0: &Array, xs: &Array| jvp(loss_seq, (p, h0, xs), tangents.refs()).1;
        let check = |out: &Args| self.by_all("out/hv", out);
        both(&self.args, forward_reverse, check);
        both(&self.args, by_hand, check);
        both(&self.args, grad(slope).wrt(ALL), check);
        both(&self.args, grad(directional).wrt(ALL), check);
    }

    fn hessian_of_biases(&self) {
        let (p, h0, xs) = &self.args;
        let loss = |bz: &Array, bh: &Array| {
            loss_seq(&Gru { bz: bz.clone(), bh: bh.clone(), ..p.clone() }, h0, xs)
        };
        let by_both = hessian(loss).wrt((Arg::<0>, Arg::<1>));
        both(&(p.bz.clone(), p.bh.clone()), by_both, |blocks| {
            for (row, block) in ["bz", "bh"].iter().zip(blocks) {
                self.case.check(&format!("out/{row}.bz"), &block.0);
                self.case.check(&format!("out/{row}.bh"), &block.1);
            }
        });
    }

    fn third_derivative(&self) {
        let ((p, h0, xs), v) = (&self.args, &self.tangents.1);
        let first = |h: &Array| jvp(|h: &Array| loss_seq(p, h, xs), (h,), (v,)).1;
        let second = |h: &Array| jvp(first, (h,), (v,)).1;
        let third = |h: &Array| jvp(second, (h,), (v,)).1;
        both(&(h0.clone(),), third, |out| self.case.check("out", out));
    }

    fn run_batched(&self, name: &str) {
        let (p, h0, xs) = self.args.clone();
        let (ps, h0s, xss) = self.batch.clone();
        let states = |out: &(Array, Array)| self.states(out);
        match name {
            "vmap_dict_axes" => {
                let mixed = Gru { wz: ps.wz, bh: ps.bh, ..p };
                let axes = (Axes::fields([("wz", 0), ("bh", 0)]), None, 0);
                both(&(mixed, h0, xss), vmap(sequence, axes), states);
            }
            "vmap_axes_12" => {
                let args = (p, h0s.t(), xss.move_axis(0, 2));
                both(&args, vmap(sequence, (None, 1, 2)).out_axes((1, 2)), states);
            }
            "vmap_time_major" => {
                let args = (p, h0s, xss.move_axis(0, 1));
                both(&args, vmap(sequence, (None, 0, 1)).out_axes((0, 1)), states);
            }
            "vmap_vmap" => {
                let inside = vmap(sequence, (None, 0, 0));
                both(&(ps, h0s, xss), vmap(inside, (0, None, None)), states);
            }
            "grad_of_vmap" => {
                let by_all = value_and_grad(loss_batch).wrt(ALL);
                both(&(p, h0s, xss), by_all, |out| self.value_and_gradient(out));
            }
            "vmap_of_grad" => {
                let per_example = vmap(gradient, (None, 0, 0));
                both(&(p, h0s, xss), per_example, |out| self.by_all("out/g", out));
            }
            "vmap_params_vag" => {
                let each = vmap(value_and_grad(loss_final), (0, None, None));
                both(&(ps, h0, xs), each, |(value, gradient)| {
                    self.case.check("out/value", value);
                    self.case.check_tree("out/g.params", gradient);
                });
            }
            "vmap_of_hvp_h0" => {
                let v = &self.tangents.1;
                let along = |h: &Array, x: &Array| {
                    let by_h = |h: &Array| grad(loss_seq).wrt(Arg::<1>).apply(&p, h, x);
                    jvp(by_h, (h,), (v,)).1
                };
                both(&(h0s, xss), vmap(along, (0, 0)), |out| self.case.check("out", out));
            }
            "grad_of_gradnorm" => {
                let norm = |p: &Gru| {
                    let gradient = grad(loss_seq).apply(p, &h0, &xs);
                    inner(&gradient, &gradient)
                };
                both(&(p,), grad(norm), |out| self.case.check_tree("out/g", out));
            }
            _ => self.run_axes(name),
        }
    }

    /// `vmap_N00` and the like: which of the three arguments are mapped.
    fn run_axes(&self, name: &str) {
        let Some(Ok(mapped)) =
            name.strip_prefix("vmap_").map(|name| <[u8; 3]>::try_from(name.as_bytes()))
        else {
            return self.case.fail("no test knows this case".to_owned());
        };
        let [a, b, c] = mapped.map(|letter| (letter == b'0').then_some(0));
        let ((p, h0, xs), (ps, h0s, xss)) = (self.args.clone(), self.batch.clone());
        let args = (
            if a.is_some() { ps } else { p },
            if b.is_some() { h0s } else { h0 },
            if c.is_some() { xss } else { xs },
        );
        both(&args, vmap(sequence, (a, b, c)), |out| self.states(out));
    }
}

/// Small random weights and no biases, as the tutorial draws them.
fn init(key: &Array, draw: impl Fn(&Array, &[usize]) -> Array) -> Gru {
    let keys = random::split(key, 6);
    let weight = |i: usize, shape: [usize; 2]| draw(&keys.at(i), &shape) * 0.01;
    let bias = || draw(key, &[8]).zeros_like();
    let [wz, wr, wh] = [0, 2, 4].map(|i| weight(i, [8, 5]));
    let [uz, ur, uh] = [1, 3, 5].map(|i| weight(i, [8, 8]));
    Gru { wz, uz, bz: bias(), wr, ur, br: bias(), wh, uh, bh: bias() }
}

/// The arrays of the tutorial's example.
struct Example {
    params: Gru,
    h0: Array,
    xs: Array,
    more_xs: Array,
    many_xs: Array,
    many_h0: Array,
    key: Array,
}

impl Example {
    fn new(draw: impl Fn(&Array, &[usize]) -> Array) -> Example {
        let key = random::key(0);
        let params = init(&key, &draw);
        let [key, sub] = random::split2(&key);
        let xs = draw(&sub, &[10, 5]);
        let [key, sub] = random::split2(&key);
        let more_xs = draw(&sub, &[10, 5]);
        let many_xs = draw(&key, &[32, 10, 5]);
        let h0 = params.bz.zeros_like();
        let many_h0 = h0.broadcast_to([32, 8]);
        Example { params, h0, xs, more_xs, many_xs, many_h0, key }
    }
}

/// Cases that draw their own arguments.
fn run_example(case: &Case<'_>) {
    let normal = |key: &Array, shape: &[usize]| random::normal(key, shape);
    let example = match (case.id, case.is_x64()) {
        ("x64_draws", _) => Example::new(|key, shape| random::normal_f64(key, shape)),
        ("verbatim" | "stdout", false) => Example::new(normal),
        ("verbatim", true) => {
            let narrow = Example::new(normal);
            let wide = |array: &Array| array.to(DType::F64);
            Example {
                params: tree::map(&narrow.params, wide),
                h0: wide(&narrow.h0),
                xs: wide(&narrow.xs),
                more_xs: wide(&narrow.more_xs),
                many_xs: wide(&narrow.many_xs),
                many_h0: wide(&narrow.many_h0),
                key: narrow.key,
            }
        }
        _ => return case.fail("no test knows this case".to_owned()),
    };
    if case.id == "stdout" {
        return check_printed(case, &example);
    }
    // The f64 cases leave out some of the arrays.
    let place = |name: &str| Some(format!("out/{name}")).filter(|place| case.has(place));
    // Draws in f32 are JAX's to the bit.
    let drawn = |name: &str, array: &Array| match (place(name), case.id) {
        (Some(place), "verbatim") => case.check_bits(&place, array),
        (Some(place), _) => case.check(&place, array),
        (None, _) => {}
    };
    for (path, leaf) in tree::leaves_with_paths(&example.params) {
        drawn(&format!("gru_params.{path}"), leaf);
    }
    drawn("input_sequence", &example.xs);
    drawn("input_sequence_2", &example.more_xs);
    drawn("initial_hidden_state", &example.h0);
    drawn("batched_inputs", &example.many_xs);
    drawn("batched_initial_h", &example.many_h0);
    drawn("key", &example.key);
    let check = |name: &str, array: &Array| {
        if let Some(place) = place(name) {
            case.check(&place, array);
        }
    };
    let Example { params, h0, xs, more_xs, many_xs, many_h0, .. } = example;
    both(&(params.clone(), h0.clone(), xs), sequence, |(last, states)| {
        check("final_state", last);
        check("hidden_states_sequence", states);
    });
    both(&(params.clone(), h0, more_xs), sequence, |(last, states)| {
        check("final_state_jit", last);
        check("hidden_states_sequence_jit", states);
    });
    both(&(params, many_h0, many_xs), vmap(sequence, (None, 0, 0)), |(last, states)| {
        check("final_states_batch", last);
        check("hidden_sequences_batch", states);
    });
}

/// Compares the shapes that the example prints.
fn check_printed(case: &Case<'_>, example: &Example) {
    let tuple = |array: &Array| match array.shape() {
        [n] => format!("({n},)"),
        shape => format!("({})", shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    };
    let Example { params, h0, xs, more_xs, many_xs, many_h0, .. } = example;
    let (last, states) = sequence(params, h0, xs);
    let (fast_last, fast_states) = jit(sequence).apply(params, h0, more_xs);
    let (lasts, all_states) = vmap(sequence, (None, 0, 0)).apply(params, many_h0, many_xs);
    let printed = [
        format!("Input sequence shape: {}", tuple(xs)),
        format!("Initial hidden state shape: {}", tuple(h0)),
        format!("Final hidden state shape: {}", tuple(&last)),
        format!("Output sequence of hidden states shape: {}", tuple(&states)),
        "\nRunning JIT-compiled version:".to_owned(),
        format!("Final hidden state shape (JIT): {}", tuple(&fast_last)),
        format!("Output sequence shape (JIT): {}", tuple(&fast_states)),
        format!("Batched final state shape: {}", tuple(&lasts)),
        format!("Batched output sequences shape: {}\n", tuple(&all_states)),
    ];
    case.check_text("stdout", &printed.join("\n"));
}
