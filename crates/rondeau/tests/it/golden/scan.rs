//! What `scan` means: each function as JAX has it, in f64.

use std::collections::BTreeMap;
use std::f64::consts::PI;

use rondeau::{
    Arg, Array, DType, NewAxis, Tree, checkpoint, concatenate, cond, custom_jvp, custom_vjp,
    einsum, fori_loop, grad, jvp, map, random, scan, scan_n, scan_reverse, stack, switch,
    value_and_grad, vmap, where_, while_loop,
};

use super::function::{Given, below, check, run_groups};
use super::{Case, Exclusions, run_section};

const EXCLUSIONS: Exclusions = &[];

#[test]
fn scans() {
    let groups = [
        carries,
        trees,
        nested,
        indices,
        conditions,
        transformed,
        batched,
        rules,
        models,
        decoders,
    ];
    run_section("scan", EXCLUSIONS, |case| run_groups(case, &groups));
}

/// Scalars and arrays as carries, xs and ys.
fn carries(case: &Case<'_>) -> bool {
    match case.id {
        "cumsum" | "cumsum_zero_len" | "cumsum_len1" => {
            check(case, ["c0", "xs"], |c0: &Array, xs: &Array| scan(|c, x| (c + x, c + x), c0, xs));
        }
        "y_is_old_carry" => check(case, ["c0", "xs"], |c0: &Array, xs: &Array| {
            scan(|c, x| (c * x, c.clone()), c0, xs)
        }),
        "reverse" => check(case, ["c0", "xs"], |c0: &Array, xs: &Array| {
            scan_reverse(|c, x| (0.9 * c + x, (c.clone(), x.clone())), c0, xs)
        }),
        "length_only" => {
            check(case, ["c0"], |c0: &Array| scan_n(|c| (c.sin() + 0.1, c.clone()), c0, 5))
        }
        "length_only_zero" => {
            check(case, ["c0"], |c0: &Array| scan_n(|c| (c.sin(), c.clone()), c0, 0))
        }
        "ys_none" => check(case, ["c0", "xs"], |c0: &Array, xs: &Array| {
            scan(|c, x| (c + x.cos(), ()), c0, xs)
        }),
        "x_unused" => check(case, ["c0", "xs"], |c0: &Array, xs: &Array| {
            scan(|c, _| (c * 1.1, c.clone()), c0, xs)
        }),
        "y_from_x_only" => check(case, ["c0", "xs"], |c0: &Array, xs: &Array| {
            scan(|c, x| (c.clone(), x.exp()), c0, xs)
        }),
        "closure" => {
            check(case, ["w", "b", "c0", "xs"], |w: &Array, b: &Array, c0: &Array, xs: &Array| {
                scan(|c, x| ((w.dot(c) + b * x).tanh(), c.sum()), c0, xs)
            })
        }
        "closure_stop_gradient" => {
            check(case, ["w", "c0", "xs"], |w: &Array, c0: &Array, xs: &Array| {
                let k = w.stop_gradient();
                scan(|c, x| ((&k * c + x).tanh(), c.clone()), c0, xs)
            })
        }
        "fibonacci_i32" => check(case, ["n0", "n1"], |n0: &Array, n1: &Array| {
            scan_n(|(a, b)| ((b.clone(), a + b), a.clone()), &(n0.clone(), n1.clone()), 20)
        }),
        "lcg_wrap_i32" => check(case, ["n0"], |n0: &Array| {
            scan_n(|c| (c * 1664525 + 1013904223, c.clone()), n0, 10)
        }),
        "hash_u32" => check(case, ["n0"], |n0: &Array| {
            scan_n(|c| ((c ^ (c << 13)) * Array::from(2654435761_u32), c >> 3), n0, 10)
        }),
        "weak_int_init" => {
            check(case, ["xs"], |xs: &Array| scan(|c, x| (c + x, c.clone()), &Array::from(0), xs))
        }
        "bool_carry" => check(case, ["c0", "xs"], |c0: &Array, xs: &Array| {
            scan(|c, x| (c | x.gt(0.9), where_(c, 0.0, x)), c0, xs)
        }),
        "lax_map" => check(case, ["xs"], |xs: &Array| map(|x| x.sin().sum() * x, xs)),
        _ => return false,
    }
    true
}

#[derive(Clone, Tree)]
struct Counted {
    y: Array,
    n: Array,
}

#[derive(Clone, Tree)]
struct Carry {
    a: Array,
    bn: (Array, Option<Array>),
}

impl Given for Carry {
    fn given(get: &dyn Fn(&str) -> Array, path: &str) -> Carry {
        Carry { a: get(&below(path, "a")), bn: (get(&below(path, "bn.0")), None) }
    }
}

#[derive(Clone, Tree)]
struct Change {
    s: Array,
    d: (Array, Option<Array>),
}

type Xs = BTreeMap<String, Array>;

impl Given for Xs {
    fn given(get: &dyn Fn(&str) -> Array, path: &str) -> Xs {
        ["m", "v"].map(|key| (key.to_owned(), get(&below(path, key)))).into()
    }
}

/// Several arrays, and none.
fn trees(case: &Case<'_>) -> bool {
    match case.id {
        "zero_len_matrix" => check(case, ["c0", "xs"], |c0: &Array, xs: &Array| {
            scan(|c, x| ((c + x).tanh(), Counted { y: c * 2, n: x.sum() }), c0, xs)
        }),
        "carry_none" => check(case, ["xs"], |xs: &Array| {
            scan(|none: &Option<Array>, x| (none.clone(), x.square()), &None, xs)
        }),
        "carry_pytree" => check(case, ["init", "xs"], |init: &Carry, xs: &Xs| {
            let step = |c: &Carry, x: &Xs| {
                let (b, _) = &c.bn;
                let a = (c.a.dot(&x["m"]) + b).tanh();
                let y = Change { s: a.sum(), d: (&a - &c.a, None) };
                (Carry { a, bn: (b * 0.9 + &x["v"], None) }, y)
            };
            scan(step, init, xs)
        }),
        "carry_swap" => check(case, ["c0", "xs"], |c0: &(Array, Array), xs: &Array| {
            scan(|(a, b), x| ((b.clone(), a + x), (a.clone(), b.clone())), c0, xs)
        }),
        "carry_forwarded" => check(case, ["c0", "xs"], |c0: &(Array, Array), xs: &Array| {
            scan(|(a, b), x| ((a.clone(), b + a * x), a.clone()), c0, xs)
        }),
        "const_ys" => check(case, ["c0", "xs"], |c0: &Array, xs: &Array| {
            scan(|c, x| (c + x, (Array::from(1.0), Array::arange(3), x.gt(0.0))), c0, xs)
        }),
        "int_carry" => check(case, ["c0", "xs"], |c0: &Array, xs: &Array| {
            let step = |(i, a): &(Array, Array), x: &Array| {
                ((i + 1, a + x * i.to(x.dtype())), (i.clone(), a.clone()))
            };
            scan(step, &(Array::from(0), c0.clone()), xs)
        }),
        "f32_and_f64_carries" => check(case, ["c0", "xs"], |c0: &Array, xs: &Array| {
            let step = |(a, b): &(Array, Array), x: &Array| {
                ((a + x.to(DType::F32), b + x), a.to(DType::F64) * b)
            };
            scan(step, &(c0.to(DType::F32), c0.clone()), xs)
        }),
        _ => return false,
    }
    true
}

/// Scans in scans.
fn nested(case: &Case<'_>) -> bool {
    match case.id {
        "nested" => check(case, ["c0", "xss"], |c0: &Array, xss: &Array| {
            let outer = |c: &Array, xs: &Array| {
                let (c, ys) = scan(|a, x| (a.sin() + x, a * x), c, xs);
                (c.clone(), (ys, c))
            };
            scan(outer, c0, xss)
        }),
        "nested_inner_reverse" => check(case, ["c0", "xss"], |c0: &Array, xss: &Array| {
            let outer = |c: &Array, xs: &Array| {
                let (c, ys) = scan_reverse(|a, x| (0.8 * a + x.square(), a.clone()), c, xs);
                (0.5 * c, ys)
            };
            scan(outer, c0, xss)
        }),
        "nested_closure" => {
            check(case, ["w", "c0", "xss"], |w: &Array, c0: &Array, xss: &Array| {
                let outer = |c: &Array, xs: &Array| {
                    let g = c.tanh();
                    let (a, ()) = scan(|a, x| (a + &g * w * x, ()), &Array::from(0.0), xs);
                    (c + &a, a)
                };
                scan(outer, c0, xss)
            })
        }
        "nested_three" => check(case, ["c0", "xs"], |c0: &Array, xs: &Array| {
            let inner = |c: &Array, x: &Array| (c.sin() * x + 0.1, c.clone());
            let middle = |c: &Array, x: &Array| {
                let (c, ys) = scan(inner, c, &stack(&[x.clone(), x + 1.0], 0));
                (c, ys.sum())
            };
            scan(|c, xs| scan(middle, c, xs), c0, xs)
        }),
        _ => return false,
    }
    true
}

/// Indices that are data.
fn indices(case: &Case<'_>) -> bool {
    match case.id {
        "dynamic_slice" => {
            check(case, ["c0", "xs", "table"], |c0: &Array, xs: &Array, table: &Array| {
                let step = |i: &Array, x: &Array| {
                    let v = table.dynamic_slice(&[i, &Array::from(0)], &[2, 3]);
                    ((i + 2) % 5, (v * x).sum())
                };
                scan(step, c0, xs)
            })
        }
        "dynamic_index" => {
            check(case, ["c0", "idx", "table"], |c0: &Array, idx: &Array, table: &Array| {
                scan(|c, i| ((c + table.at(i)).tanh(), c.at(0)), c0, idx)
            })
        }
        "gather_oob_neg" => {
            check(case, ["c0", "idx", "table"], |c0: &Array, idx: &Array, table: &Array| {
                scan(|c, i| (c + table.at(i), table.at(i) * c), c0, idx)
            })
        }
        "dynamic_update_slice" => check(case, ["buf", "xs"], |buffer: &Array, xs: &Array| {
            let step = |(b, i): &(Array, Array), x: &Array| {
                let b = b.dynamic_update((x * b.at(0) + 1.0).at(NewAxis), &[i]);
                let y = b.sum();
                ((b, i + 1), y)
            };
            scan(step, &(buffer.clone(), Array::from(0)), xs)
        }),
        "at_set_add" => {
            check(case, ["buf", "idx", "xs"], |buffer: &Array, idx: &Array, xs: &Array| {
                let step =
                    |b: &Array, (i, x): &(Array, Array)| (b.set(i, x * 2).add_at(0, x), b.at(i));
                scan(step, buffer, &(idx.clone(), xs.clone()))
            })
        }
        "scatter_hist" => check(case, ["w", "idx"], |w: &Array, idx: &Array| {
            let step = |h: &Array, (i, w): &(Array, Array)| (h.add_at(i, w), ());
            scan(step, &Array::full([4], 0.0), &(idx.clone(), w.clone()))
        }),
        _ => return false,
    }
    true
}

/// Conditions and loops in steps.
fn conditions(case: &Case<'_>) -> bool {
    match case.id {
        "cond_in_scan" => check(case, ["c0", "xs"], |c0: &Array, xs: &Array| {
            scan(|c, x| (cond(x.gt(0.0), |a| a.sin() + x, |a| a * 0.5, c), c.clone()), c0, xs)
        }),
        "switch_in_scan" => {
            check(case, ["c0", "idx", "w"], |c0: &Array, idx: &Array, w: &Array| {
                let branches: [&dyn Fn(&Array) -> Array; 3] =
                    [&|a| a + w.at(0), &|a| a * w.at(1), &|a| (-a * w.at(2)).exp()];
                scan(|c, i| (switch(i, &branches, c), c.clone()), c0, idx)
            })
        }
        "where_safe_sqrt" => check(case, ["c0", "xs"], |c0: &Array, xs: &Array| {
            let step = |c: &Array, x: &Array| {
                let ok = x.gt(0.0);
                let root = where_(&ok, x, 1.0).sqrt();
                (c + where_(&ok, root, 0.0), c.clone())
            };
            scan(step, c0, xs)
        }),
        "masked_lengths" => {
            check(case, ["h0", "xs", "mask"], |h0: &Array, xs: &Array, mask: &Array| {
                let step = |h: &Array, (x, m): &(Array, Array)| {
                    let next = (0.7 * h + x).tanh();
                    (where_(m, &next, h), where_(m, &next, 0.0))
                };
                scan(step, h0, &(xs.clone(), mask.clone()))
            })
        }
        "done_reset" => {
            check(case, ["h0", "xs", "done"], |h0: &Array, xs: &Array, done: &Array| {
                let step = |h: &Array, (x, done): &(Array, Array)| {
                    let h = (where_(done, 0.0, h) + x).tanh();
                    (h.clone(), h)
                };
                scan(step, h0, &(xs.clone(), done.clone()))
            })
        }
        "while_in_scan" => check(case, ["c0", "xs"], |c0: &Array, xs: &Array| {
            let step = |c: &Array, x: &Array| {
                let start = (c.clone(), Array::from(1.0));
                let (_, n) = while_loop(|(s, _)| s.lt(x), |(s, n)| (s + 1.0, n * 1.1), &start);
                (c + 0.5, n)
            };
            scan(step, c0, xs)
        }),
        "fori_in_scan" => check(case, ["c0", "xs"], |c0: &Array, xs: &Array| {
            let step = |c: &Array, x: &Array| {
                (fori_loop(0, 3, |i, a| a.sin() + i.to(DType::F64) * x, c), c.clone())
            };
            scan(step, c0, xs)
        }),
        _ => return false,
    }
    true
}

/// Transformations in steps.
fn transformed(case: &Case<'_>) -> bool {
    match case.id {
        "grad_inside_scan" => {
            check(case, ["p0", "xs", "ys"], |p0: &Array, xs: &Array, ys: &Array| {
                let loss = |p: &Array, x: &Array, y: &Array| (p.dot(x).tanh() - y).square();
                let step = |p: &Array, (x, y): &(Array, Array)| {
                    let (l, g) = value_and_grad(loss).apply(p, x, y);
                    (p - 0.1 * g, l)
                };
                scan(step, p0, &(xs.clone(), ys.clone()))
            })
        }
        "grad_of_scan_of_grad_of_scan" => {
            check(case, ["lr", "p0", "xs"], |lr: &Array, p0: &Array, xs: &Array| {
                let inner = |p: &Array| {
                    scan(|c, x| ((c * x + 0.1).tanh(), c.clone()), p, xs).1.square().sum()
                };
                scan_n(|p| (p - lr * grad(inner).apply(p), inner(p)), p0, 4)
            });
        }
        "grad_and_jvp_in_body" => check(case, ["c0", "xs"], |c0: &Array, xs: &Array| {
            let f = |c: &Array, x: &Array| (c * x).sin().sum();
            let step = |c: &Array, x: &Array| {
                (c + 0.1 * grad(f).wrt(Arg::<1>).apply(c, x), jvp(f, (c, x), (x, c)).1)
            };
            scan(step, c0, xs)
        }),
        "vmap_in_body" => check(case, ["c0", "xs", "w"], |c0: &Array, xs: &Array, w: &Array| {
            let step = |c: &Array, x: &Array| {
                let one = vmap(|c: &Array, w: &Array| (c + w.dot(x)).tanh(), (0, 0));
                (one.apply(c, w), c.sum_axis(0))
            };
            scan(step, c0, xs)
        }),
        _ => return false,
    }
    true
}

/// Transformations of scans.
fn batched(case: &Case<'_>) -> bool {
    let one = |c: &Array, xs: &Array| scan(|c, x| ((0.8 * c + x).tanh(), c * x), c, xs);
    match case.id {
        "vmap_xs_only" => check(case, ["c0", "xs"], vmap(one, (None, 0))),
        "vmap_init_only" => check(case, ["c0", "xs"], vmap(one, (0, None))),
        "vmap_both" => check(case, ["c0", "xs"], vmap(one, (0, 0))),
        "vmap_xs_axis1" => check(case, ["c0", "xs"], vmap(one, (None, 1))),
        "vmap_consts_only" => {
            check(case, ["w", "c0", "xs"], |w: &Array, c0: &Array, xs: &Array| {
                let one = |w: &Array| scan(|c, x| ((w.dot(c) + x).tanh(), c.clone()), c0, xs);
                vmap(one, 0).apply(w)
            })
        }
        // Of the two carries only b is mapped.
        "vmap_partial_carry" => {
            check(case, ["a0", "b0", "xs"], |a0: &Array, b0: &Array, xs: &Array| {
                let one = |b: &Array| {
                    scan(
                        |(a, b), x| ((a * 0.9 + x, b + a), a.clone()),
                        &(a0.clone(), b.clone()),
                        xs,
                    )
                };
                vmap(one, 0).out_axes(((None, 0), None)).apply(b0)
            })
        }
        // The carry a is shared at first, and fed by b, which is mapped.
        "vmap_carry_fixpoint" => {
            check(case, ["a0", "b0", "xs"], |a0: &Array, b0: &Array, xs: &Array| {
                let one = |b: &Array| {
                    scan(|(a, b), x| ((b * x, b + 0.1), a.clone()), &(a0.clone(), b.clone()), xs)
                };
                vmap(one, 0).apply(b0)
            })
        }
        "vmap_carry_fixpoint_chain" => check(case, ["a0", "xs"], |a0: &Array, xs: &Array| {
            let one = |a: &Array| {
                let init = (Array::from(1.0), Array::from(2.0), a.clone());
                scan(|(a, b, c), x| ((b.clone(), c.clone(), a * x), a.clone()), &init, xs)
            };
            vmap(one, 0).apply(a0)
        }),
        "vmap_batched_cond" => {
            check(case, ["p", "c0", "xs"], |p: &Array, c0: &Array, xs: &Array| {
                let one = |p: &Array| {
                    let step = |c: &Array, x: &Array| {
                        (cond(p.gt(0.0), |a| a + x, |a| a * x, c), c.clone())
                    };
                    scan(step, c0, xs)
                };
                vmap(one, 0).apply(p)
            })
        }
        "vmap_grad_scan" => {
            let loss = |w: &Array, x: &Array, y: &Array| {
                let step = |c: &Array, a: &Array| ((w.at(0) * c + w.at(1) * a).tanh(), ());
                (scan(step, &Array::from(0.0), x).0 - y).square()
            };
            check(case, ["w", "xs", "ys"], vmap(grad(loss), (None, 0, 0)));
        }
        _ => return false,
    }
    true
}

/// What changes memory or derivatives alone.
fn rules(case: &Case<'_>) -> bool {
    match case.id {
        // JAX's `unroll=` changes no number.
        "unroll" => check(case, ["c0", "xs"], |c0: &Array, xs: &Array| {
            scan(|c, x| (c.sin() + x, c * x), c0, xs)
        }),
        "checkpoint_body" => check(case, ["w", "c0", "xs"], |w: &Array, c0: &Array, xs: &Array| {
            let step = checkpoint(|c: &Array, x: &Array| ((w.dot(c) + x).tanh(), c.sin()));
            scan(|c, x| step.apply(c, x), c0, xs)
        }),
        "sqrt_checkpoint" => check(case, ["w", "c0", "xs"], |w: &Array, c0: &Array, xs: &Array| {
            let segment = checkpoint(|c: &Array, xs: &Array| {
                scan(|c, x| ((w * c + x).tanh(), c.clone()), c, xs)
            });
            let (c, ys) = scan(|c, xs| segment.apply(c, xs), c0, &xs.reshape([4, 3]));
            (c, ys.reshape([12]))
        }),
        "custom_vjp_clip" => check(case, ["c0", "xs"], |c0: &Array, xs: &Array| {
            let clip = custom_vjp(
                |x: &Array| x.clone(),
                |(x,): &(Array,)| (x.clone(), ()),
                |(): &(), ct: &Array| (ct.clip(-0.1, 0.1),),
            );
            scan(|c, x| (clip.apply(&(1.5 * c)) + x, c.clone()), c0, xs)
        }),
        "custom_jvp_ste" => check(case, ["c0", "xs"], |c0: &Array, xs: &Array| {
            let round = custom_jvp(|x: &Array| x.round(), |(x,), (dx,)| (x.round(), dx.clone()));
            scan(|c, x| (0.5 * c + round.apply(&(2.0 * x)), round.apply(c)), c0, xs)
        }),
        "truncated_bptt" => check(case, ["w", "c0", "xs"], |w: &Array, c0: &Array, xs: &Array| {
            let step = |c: &Array, (i, x): &(Array, Array)| {
                let c = where_((i % 3).eq(0), c.stop_gradient(), c);
                let c = (w * c + x).tanh();
                (c.clone(), c)
            };
            scan(step, c0, &(Array::arange(xs.len()), xs.clone()))
        }),
        _ => return false,
    }
    true
}

/// The log-likelihood and the forward messages of a hidden Markov model.
fn hmm(log_pi: &Array, log_a: &Array, log_b: &Array) -> (Array, Array) {
    let step = |a: &Array, b: &Array| {
        let a = (a.at((.., NewAxis)) + log_a).logsumexp_axis(0) + b;
        (a.clone(), a)
    };
    let (a, all) = scan(step, &(log_pi + log_b.at(0)), &log_b.at(1..));
    (a.logsumexp(), all)
}

/// Models of time series.
fn models(case: &Case<'_>) -> bool {
    let hidden_markov = ["log_pi", "log_A", "log_B"];
    match case.id {
        "hmm_forward" => check(case, hidden_markov, hmm),
        "hmm_posterior" => {
            let likelihood = |pi: &Array, a: &Array, b: &Array| hmm(pi, a, b).0;
            check(case, hidden_markov, grad(likelihood).wrt(Arg::<2>));
        }
        "viterbi" => check(case, hidden_markov, |log_pi: &Array, log_a: &Array, log_b: &Array| {
            let step = |a: &Array, b: &Array| {
                let s = a.at((.., NewAxis)) + log_a;
                (s.max_axis(0) + b, s.argmax(0))
            };
            let (a, back) = scan(step, &(log_pi + log_b.at(0)), &log_b.at(1..));
            let last = a.argmax(0);
            let (_, path) = scan_reverse(|i, p| (p.at(i), p.at(i)), &last, &back);
            (a.max(), concatenate(&[path, last.at(NewAxis)], 0))
        }),
        "kalman_1d" => check(case, ["q", "r", "ys"], |q: &Array, r: &Array, ys: &Array| {
            let step = |(m, p): &(Array, Array), y: &Array| {
                let p = p + q;
                let k = &p / (&p + r);
                let e = y - m;
                let l = -0.5 * ((2.0 * PI * (&p + r)).log() + &e * &e / (&p + r));
                ((m + &k * e, (1 - k) * p), l)
            };
            let (state, l) = scan(step, &(Array::from(0.0), Array::from(1.0)), ys);
            (l.sum(), state)
        }),
        "soft_dtw" => check(case, ["D", "g"], |d: &Array, g: &Array| {
            let far = Array::from(1e6);
            let row = |previous: &Array, d: &Array| {
                let cell = |left: &Array, (up, diagonal, d): &(Array, Array, Array)| {
                    let ways = stack(&[-left / g, -up / g, -diagonal / g], 0);
                    let v = d - g * ways.logsumexp();
                    (v.clone(), v)
                };
                let xs = (previous.at(1..), previous.at(..-1), d.clone());
                let (_, current) = scan(cell, &far, &xs);
                (concatenate(&[far.at(NewAxis), current], 0), ())
            };
            let first = concatenate(&[Array::from([0.0]), Array::full([d.shape()[1]], 1e6)], 0);
            scan(row, &first, d).0.at(-1)
        }),
        "rk4_pendulum" => check(case, ["th", "y0"], |th: &Array, y0: &Array| {
            let f = |y: &Array| {
                let (angle, speed) = (y.at(0), y.at(1));
                stack(&[speed.clone(), -th.at(0) * angle.sin() - th.at(1) * speed], 0)
            };
            let h = 0.1;
            let step = |y: &Array| {
                let k1 = f(y);
                let k2 = f(&(y + h / 2.0 * &k1));
                let k3 = f(&(y + h / 2.0 * &k2));
                let k4 = f(&(y + h * &k3));
                let y = y + h / 6.0 * (k1 + 2 * k2 + 2 * k3 + k4);
                (y.clone(), y)
            };
            scan_n(step, y0, 25)
        }),
        "power_iteration" => check(case, ["A", "v"], |a: &Array, v: &Array| {
            let step = |v: &Array| {
                let w = a.dot(v);
                (&w / w.norm(), v.dot(&w))
            };
            scan_n(step, v, 15)
        }),
        "linear_recurrence" => check(case, ["a", "b", "h0"], |a: &Array, b: &Array, h0: &Array| {
            let step = |h: &Array, (a, b): &(Array, Array)| (a * h + b, a * h + b);
            scan(step, h0, &(a.clone(), b.clone()))
        }),
        "ema_long" => check(case, ["alpha", "xs"], |alpha: &Array, xs: &Array| {
            let step = |m: &Array, x: &Array| {
                let m = m + alpha * (x - m);
                (m.clone(), m)
            };
            scan(step, &Array::from(0.0), xs)
        }),
        "holt_damped" => check(case, ["p", "y"], |p: &Array, y: &Array| {
            let [a, b, phi] = [0, 1, 2].map(|i| p.sigmoid().at(i));
            let step = |(l, t): &(Array, Array), x: &Array| {
                let forecast = l + &phi * t;
                let level = &a * x + (1 - &a) * &forecast;
                let trend = &b * (&level - l) + (1 - &b) * &phi * t;
                ((level, trend), (x - forecast).square())
            };
            scan(step, &(y.at(0), y.at(1) - y.at(0)), &y.at(1..))
        }),
        _ => return false,
    }
    true
}

/// Decoders, dropout and attention; kinks.
fn decoders(case: &Case<'_>) -> bool {
    match case.id {
        "greedy_decode" => {
            let f = |e: &Array, wh: &Array, wo: &Array, h0: &Array| {
                let step = |(h, token): &(Array, Array)| {
                    let h = (wh.dot(h) + e.at(token)).tanh();
                    let logits = wo.dot(&h);
                    let token = logits.argmax(0);
                    ((h, token.clone()), (token, logits))
                };
                scan_n(step, &(h0.clone(), Array::from(0)), 8)
            };
            check(case, ["E", "Wh", "Wo", "h0"], f);
        }
        "sampled_decode" => {
            let f = |key: &Array, e: &Array, wh: &Array, wo: &Array, h0: &Array| {
                let step = |(h, token): &(Array, Array), key: &Array| {
                    let h = (wh.dot(h) + e.at(token)).tanh();
                    let token = random::categorical(key, &wo.dot(&h).to(DType::F32));
                    ((h, token.clone()), token)
                };
                scan(step, &(h0.clone(), Array::from(0)), &random::split(key, 16))
            };
            check(case, ["key", "E", "Wh", "Wo", "h0"], f);
        }
        "dropout_key_in_carry" => {
            let f = |key: &Array, w: &Array, c0: &Array, xs: &Array| {
                let step = |(key, c): &(Array, Array), x: &Array| {
                    let [key, now] = random::split2(key);
                    let keep = random::bernoulli(&now, 0.7, c.shape());
                    let c = (w.dot(where_(keep, c / 0.7, 0.0)) + x).tanh();
                    ((key, c.clone()), c)
                };
                let ((_, c), ys) = scan(step, &(key.clone(), c0.clone()), xs);
                (c, ys)
            };
            check(case, ["key", "w", "c0", "xs"], f);
        }
        "matrix_carry" => check(case, ["A", "xs"], |a: &Array, xs: &Array| {
            let eye = Array::eye(2).to(DType::F64);
            let step = |m: &Array, x: &Array| {
                let m = m.dot(&eye + 0.1 * x);
                (m.clone(), m.trace())
            };
            scan(step, a, xs)
        }),
        "einsum_body" => check(case, ["c0", "xs", "w"], |c0: &Array, xs: &Array, w: &Array| {
            let step = |c: &Array, x: &Array| {
                ((einsum("bi,ij->bj", &[c, w]) + x).tanh(), einsum("bi,bj->ij", &[c, x]))
            };
            scan(step, c0, xs)
        }),
        // Attention, one key and value after another.
        "online_softmax" => {
            check(case, ["q0", "ks", "vs"], |q0: &Array, ks: &Array, vs: &Array| {
                let step = |(m, z, o): &(Array, Array, Array), (k, v): &(Array, Array)| {
                    let a = q0.dot(k);
                    let greatest = m.maximum(&a);
                    let (old, new) = ((m - &greatest).exp(), (a - &greatest).exp());
                    ((greatest, z * &old + &new, o * old + new * v), ())
                };
                let zeros = Array::full([vs.shape()[1]], 0.0);
                let init = (Array::from(f64::NEG_INFINITY), Array::from(0.0), zeros);
                let ((_, z, o), ()) = scan(step, &init, &(ks.clone(), vs.clone()));
                o / z
            })
        }
        "running_max_ties" => check(case, ["c0", "xs"], |c0: &Array, xs: &Array| {
            scan(|c, x| (c.maximum(x), c.maximum(x)), c0, xs)
        }),
        "kinks" => check(case, ["c0", "xs"], |c0: &Array, xs: &Array| {
            scan(|c, x| ((c + x).relu() + x.abs(), x.sign() * c), c0, xs)
        }),
        _ => return false,
    }
    true
}
