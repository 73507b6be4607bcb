//! Loops, conditionals, associative scans and what stands around them: each function as JAX has it,
//! in f64.

use rondeau::{
    Array, AssociativeOptions, DType, NewAxis, Step, associative_scan, associative_scan_with,
    concatenate, cond, fori_loop, grad, hessian, jvp, linear_transpose, linearize, pow, scan,
    switch, vjp, vmap, where_, while_loop,
};

use super::function::{check, run_groups};
use super::{Case, Exclusions, run_section};

const EXCLUSIONS: Exclusions = &[
    ("tri_solve_chol", "there are no decompositions and solvers"),
    (
        "take_modes/grad",
        "JAX's vjp of a read out of range drops the cotangent, and its jvp does not; here both \
         read the nearest element",
    ),
];

#[test]
fn control() {
    let groups = [loops, conditionals, associative, cumulative, movement, losses, edges, composed];
    run_section("control", EXCLUSIONS, |case| run_groups(case, &groups));
}

/// Where the sequence reaches 1, and after how many steps.
fn collatz(n: &Array) -> (Array, Array) {
    let go = |(s, _): &(Array, Array)| s.ne(1);
    let step = |(s, n): &(Array, Array)| (where_((s % 2).eq(0), s.div_floor(2), 3 * s + 1), n + 1);
    while_loop(go, step, &(n.clone(), Array::from(0)))
}

/// Loops whose number of steps is data, or known.
fn loops(case: &Case<'_>) -> bool {
    match case.id {
        "while_newton_sqrt" => check(case, ["a"], |a: &Array| {
            let go = |(x, _): &(Array, Array)| (x.square() - a).abs().gt(1e-12);
            let step = |(x, n): &(Array, Array)| (0.5 * (x + a / x), n + 1);
            while_loop(go, step, &(a.clone(), Array::from(0)))
        }),
        "while_zero_trips" => check(case, ["a"], |a: &Array| while_loop(|s| s.lt(0), |s| s + 1, a)),
        "while_collatz" => check(case, ["n"], collatz),
        "while_vmap" => check(case, ["n"], vmap(collatz, 0)),
        "while_vmap_body_only" => {
            let one = |x: &Array| {
                let step = |(i, p): &(Array, Array)| (i + 1, p * x);
                while_loop(|(i, _)| i.lt(4), step, &(Array::from(0), Array::from(1.0))).1
            };
            check(case, ["x"], vmap(one, 0));
        }
        "fori_static" => check(case, ["x"], |x: &Array| {
            fori_loop(0, 5, |i, a| a.sin() + i.to(DType::F64) * 0.1 * x, x)
        }),
        "fori_neg_start" => {
            check(case, ["x"], |x: &Array| fori_loop(-2, 3, |i, a| a * 0.5 + i.to(DType::F64), x))
        }
        "fori_empty" => check(case, ["x"], |x: &Array| {
            let twice = |_: &Array, a: &Array| a * 2;
            (fori_loop(3, 3, twice, x), fori_loop(5, 2, twice, x))
        }),
        "fori_dynamic" => {
            check(case, ["n", "x"], |n: &Array, x: &Array| fori_loop(0, n, |_, a| a.sin() + 0.1, x))
        }
        "fori_buffer" => check(case, ["x"], |x: &Array| {
            let init = Array::full([6], 0.0).set(0, x.at(0));
            fori_loop(1, 6, |i, b| b.set(i, b.at(i - 1) * 1.1 + x.at(i)), &init)
        }),
        _ => return false,
    }
    true
}

fn either(p: &Array, x: &Array, y: &Array) -> (Array, Array) {
    cond(p, |(x, y)| (x.sin() * y, x.clone()), |(x, y)| (x + 2.0, y * y), &(x.clone(), y.clone()))
}

/// Branches, and choices per element.
fn conditionals(case: &Case<'_>) -> bool {
    match case.id {
        "cond_true" | "cond_false" => check(case, ["p", "x", "y"], either),
        "cond_vmap" => check(case, ["p", "x", "y"], vmap(either, (0, None, 0))),
        "cond_closure" => check(case, ["p", "x", "w"], |p: &Array, x: &Array, w: &Array| {
            cond(p, |()| (x * w).sum(), |()| x.sum() + w.at(0), &())
        }),
        "switch_m1" | "switch_0" | "switch_1" | "switch_2" | "switch_9" => {
            check(case, ["i", "x"], |i: &Array, x: &Array| {
                switch(i, &[&|a: &Array| a + 1.0, &|a| a * 3.0, &|a| a.exp()], x)
            });
        }
        "select_n" => check(case, ["c", "x", "y"], |c: &Array, x: &Array, y: &Array| {
            where_(c.at((.., NewAxis)), x, y)
        }),
        _ => return false,
    }
    true
}

/// `h = a·h + b`
fn linear_recurrence(options: AssociativeOptions, a: &Array, b: &Array) -> Array {
    let combine = |(a, b): &(Array, Array), (c, d): &(Array, Array)| (a * c, c * b + d);
    associative_scan_with(options, combine, &(a.clone(), b.clone())).1
}
/// Associative scans.
fn associative(case: &Case<'_>) -> bool {
    let forward = |a: &Array, b: &Array| linear_recurrence(AssociativeOptions::default(), a, b);
    match case.id {
        "assoc_add_0" | "assoc_add_1" | "assoc_add_2" | "assoc_add_3" | "assoc_add_5"
        | "assoc_add_8" | "assoc_add_13" => {
            check(case, ["x"], |x: &Array| associative_scan(|a, b| a + b, x));
        }
        "assoc_mul_rev" => check(case, ["x"], |x: &Array| {
            associative_scan_with(AssociativeOptions::default().reverse(), |a, b| a * b, x)
        }),
        "assoc_axis1" => check(case, ["x"], |x: &Array| {
            let options = AssociativeOptions::default().axis(1);
            associative_scan_with(options, |a: &Array, b| a.maximum(b), x)
        }),
        "assoc_matmul" => {
            check(case, ["x"], |x: &Array| associative_scan(|a: &Array, b| a.matmul(b), x))
        }
        "assoc_linrec" => check(case, ["a", "b"], forward),
        "assoc_linrec_rev" => check(case, ["a", "b"], |a: &Array, b: &Array| {
            linear_recurrence(AssociativeOptions::default().reverse(), a, b)
        }),
        "assoc_vmap" => check(case, ["a", "b"], vmap(forward, 0)),
        "assoc_pytree_noncomm" => check(case, ["a"], |a: &Array| {
            type Three = (Array, Array, Array);
            let combine = |l: &Three, r: &Three| (l.0.clone(), r.1.clone(), &l.2 * 31 + &r.2);
            associative_scan(combine, &(a.clone(), a.clone(), a.clone()))
        }),
        _ => return false,
    }
    true
}

/// Running folds.
fn cumulative(case: &Case<'_>) -> bool {
    match case.id {
        "cumsum" => check(case, ["x"], |x: &Array| x.cumsum(0)),
        "cumsum_rev" => check(case, ["x"], |x: &Array| x.cumsum_reverse(0)),
        "cumprod" => check(case, ["x"], |x: &Array| x.cumprod(0)),
        "cumprod_rev" => check(case, ["x"], |x: &Array| x.cumprod_reverse(0)),
        "cummax" => check(case, ["x"], |x: &Array| x.cummax(0)),
        "cummax_rev" => check(case, ["x"], |x: &Array| x.cummax_reverse(0)),
        "cummin" => check(case, ["x"], |x: &Array| x.cummin(0)),
        "cummin_rev" => check(case, ["x"], |x: &Array| x.cummin_reverse(0)),
        "cumlogsumexp" => check(case, ["x"], |x: &Array| x.cumlogsumexp(0)),
        "cumlogsumexp_rev" => check(case, ["x"], |x: &Array| x.cumlogsumexp_reverse(0)),
        _ => return false,
    }
    true
}

/// Slices and shapes.
fn movement(case: &Case<'_>) -> bool {
    match case.id {
        "dynamic_slice_clamp" => check(case, ["x", "i", "j"], |x: &Array, i: &Array, j: &Array| {
            x.dynamic_slice(&[i, j], &[2, 2])
        }),
        "dynamic_slice_negative" => {
            check(case, ["x", "i"], |x: &Array, i: &Array| x.dynamic_slice(&[i], &[2]))
        }
        "dynamic_update_clamp" => {
            check(case, ["x", "u", "i"], |x: &Array, u: &Array, i: &Array| {
                x.dynamic_update(u, &[i])
            })
        }
        "take_modes" => check(case, ["x", "u", "i"], |x: &Array, u: &Array, i: &Array| {
            (x.at(i), x.add_at(i, u))
        }),
        "scatter_dup_add" => {
            check(case, ["x", "u", "i"], |x: &Array, u: &Array, i: &Array| x.add_at(i, u))
        }
        "flip_concat" => check(case, ["x"], |x: &Array| {
            let turned = x.t().reshape(x.shape());
            concatenate(&[x.at(Step(.., -1)), turned], 1).pad(&[(1, 0), (0, 2)], 0.5)
        }),
        "strided" => check(case, ["x"], |x: &Array| {
            let inner = x.at(1..).at(..-1);
            (x.at(Step(.., 2)), inner.at(Step(.., -1)), inner)
        }),
        "lax_pad_neg" => check(case, ["x"], |x: &Array| x.pad_interior(&[(1, -1, 1)], 0.5)),
        _ => return false,
    }
    true
}

/// What losses are made of.
fn losses(case: &Case<'_>) -> bool {
    match case.id {
        "softmax_xent" => check(case, ["logits", "y"], |logits: &Array, y: &Array| {
            -logits.log_softmax(-1).take_along_axis(y.at((.., NewAxis)), 1).mean()
        }),
        "logsumexp_inf" => check(case, ["x"], |x: &Array| {
            concatenate(&[x.clone(), Array::from([f64::NEG_INFINITY])], 0).logsumexp()
        }),
        "max_ties" => check(case, ["x"], |x: &Array| (x.max(), x.min())),
        "argmax_first" => {
            check(case, ["x"], |x: &Array| (x.argmax(0), x.argmin(0), x.reshape([2, 3]).argmax(1)))
        }
        "sort_grad" => check(case, ["x"], |x: &Array| (x.sort(0), x.argsort(0))),
        _ => return false,
    }
    true
}

/// Edges of domains, and products of every rank.
fn edges(case: &Case<'_>) -> bool {
    match case.id {
        "norm_zero" => check(case, ["x"], grad(|x: &Array| x.norm())),
        "power_rules" => check(case, ["x"], |x: &Array| {
            (x.powi(2), x.abs().pow(2.5), (x + 3).powi(-1), pow(2.0, x))
        }),
        "int_div_mod" => check(case, ["a", "b"], |a: &Array, b: &Array| {
            (a.div_floor(b), a.rem_floor(b), a / b, a % b)
        }),
        "round_half_even" => check(case, ["x"], |x: &Array| x.round()),
        "clip_grad" => check(case, ["x"], |x: &Array| x.clip(-1.0, 1.0)),
        "dot_shapes" => check(case, ["v", "M", "T"], |v: &Array, m: &Array, t: &Array| {
            (v.dot(v), m.dot(v), v.dot(m.t()), m.dot(m.t()), t.dot(m.t()))
        }),
        "dot_zero_dim" => check(case, ["a", "b"], |a: &Array, b: &Array| a.matmul(b)),
        _ => return false,
    }
    true
}

/// Transformations of transformations.
fn composed(case: &Case<'_>) -> bool {
    match case.id {
        "hessian_small" => check(case, ["x"], |x: &Array| {
            let f = |x: &Array| (x.tanh() * x.cumsum(0)).sum();
            hessian(f).apply(x).swap_remove(0)
        }),
        "jvp_of_vjp" => check(case, ["x", "t"], |x: &Array, t: &Array| {
            jvp(|x: &Array| vjp(|x: &Array| x.tanh(), (x,)).1.apply(x).0, (x,), (t,))
        }),
        "linear_transpose" => check(case, ["y"], |y: &Array| {
            let f = |x: &Array| scan(|c, a| (0.5 * c + a, c.clone()), &Array::from(0.0), x).1;
            linear_transpose(f, (y,)).apply(y).0
        }),
        "linearize" => check(case, ["x", "t"], |x: &Array, t: &Array| {
            let (y, linear) = linearize(|x: &Array| x.sin(), (x,));
            (y, linear.apply((t,)), linear.apply((&(2 * t),)))
        }),
        _ => return false,
    }
    true
}
