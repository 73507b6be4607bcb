//! Mistakes that the laws found, as small programs.

use super::*;
use crate::generate::{inputs, values};

/// Asks a program's adjoint, and that of a batch, by these inputs.
fn asked(text: &str, by: &[bool]) {
    let program: Program = text.parse().unwrap_or_else(|error| panic!("{error}"));
    let mut rng = Rng::new(0);
    let found = adjoint(&program, &inputs(&program, 1), by, &mut rng);
    assert_eq!(found, Ok(Found::Agreement));
    let all = vec![true; by.len()];
    let none = vec![false; program.outputs().len()];
    let batched = transform::vmap(&program, 2, &all, &none).program;
    let points: Vec<Buffer> = batched.input_avals().iter().map(|a| values(a, &mut rng)).collect();
    assert_eq!(adjoint(&batched, &points, by, &mut rng), Ok(Found::Agreement));
}

/// A rule for cotangents has no part in a derivative by what its function captured.
#[test]
fn a_rule_for_cotangents_whose_arguments_do_not_change() {
    asked(
        "{ lambda a:f64[3] b:f64[3] .
           let c:f64[3] = custom_vjp[
                 n_consts=1
                 body={ lambda a:f64[3] b:f64[3] . let c:f64[3] = mul a b in (c,) }
                 forward={ lambda a:f64[3] b:f64[3] . let c:f64[3] = mul a b in (c, a) }
                 backward={ lambda a:f64[3] b:f64[3] . let c:f64[3] = mul a b in (c,) }
               ] a b
           in (c,) }",
        &[true, false],
    );
}

/// Nor if their tangents are zeros that are written out, as by a rule for tangents.
#[test]
fn a_rule_for_cotangents_whose_arguments_have_known_tangents() {
    asked(
        "{ lambda a:f64[] b:f64[] .
           let c:f64[] d:f64[] = custom_jvp[
                 n_consts=0
                 body={ lambda a:f64[] b:f64[] . let c:f64[] = neg a d:f64[] = neg b in (c, d) }
                 rule={ lambda a:f64[] b:f64[] c:f64[] d:f64[] .
                   let e:f64[] = neg a
                       f:f64[] = neg b
                       g:f64[] = neg c
                       h:f64[] = neg d
                   in (e, f, g, h) }
               ] a b
               e:f64[] = custom_vjp[
                 n_consts=0
                 body={ lambda a:f64[] . let b:f64[] = sin a in (b,) }
                 forward={ lambda a:f64[] . let b:f64[] = sin a c:f64[] = cos a in (b, c) }
                 backward={ lambda a:f64[] b:f64[] . let c:f64[] = mul a b in (c,) }
               ] d
               f:f64[] = mul c e
           in (f,) }",
        &[true, false],
    );
}
