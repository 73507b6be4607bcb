//! Derivatives where a function has a corner, or is computed by one formula on each side.

use rondeau::run::Engine;
use rondeau::{Arg, Array, Result, grad, jit};

/// The function's first and second derivative at a point.
fn derivatives(f: impl Fn(&Array) -> Array + Copy, x: f64) -> Result<[f64; 2]> {
    let x = Array::from(x);
    Ok([grad(f).call(&x)?.item()?, grad(grad(f)).call(&x)?.item()?])
}

#[test]
fn the_slope_of_abs_at_zero_is_one_as_in_jax() -> Result<()> {
    let abs = |x: &Array| x.abs();
    assert_eq!(derivatives(abs, 0.0)?, [1.0, 0.0]);
    assert_eq!(derivatives(abs, -0.0)?, [1.0, 0.0]);
    assert_eq!(derivatives(abs, -2.0)?, [-1.0, 0.0]);
    Ok(())
}

#[test]
fn softplus_is_smooth_at_zero() -> Result<()> {
    let softplus = |x: &Array| x.softplus();
    assert_eq!(derivatives(softplus, 0.0)?, [0.5, 0.25]);
    assert_eq!(derivatives(softplus, f64::INFINITY)?[0], 1.0);
    assert_eq!(derivatives(softplus, f64::NEG_INFINITY)?[0], 0.0);
    assert_eq!(derivatives(|x: &Array| x.log_sigmoid(), 0.0)?, [0.5, -0.25]);
    Ok(())
}

#[test]
fn logaddexp_is_smooth_where_both_are_equal() -> Result<()> {
    let (x, y) = (Array::from(1.5), Array::from(1.5));
    let f = |x: &Array, y: &Array| x.logaddexp(y);
    let (dx, dy) = grad(f).wrt((Arg::<0>, Arg::<1>)).call(&x, &y)?;
    assert_eq!([dx.item::<f64>()?, dy.item()?], [0.5, 0.5]);
    let second = |x: &Array, y: &Array| grad(f).apply(x, y);
    let (dxx, dxy) = grad(second).wrt((Arg::<0>, Arg::<1>)).call(&x, &y)?;
    assert_eq!([dxx.item::<f64>()?, dxy.item()?], [0.25, -0.25]);
    Ok(())
}

#[test]
fn logaddexp_of_infinities() -> Result<()> {
    let inf = f64::INFINITY;
    let all = [[inf, inf], [-inf, -inf], [inf, -inf], [-inf, 2.0], [2.0, -inf], [f64::NAN, 1.0]];
    let (x, y) = (Array::from(all.map(|pair| pair[0])), Array::from(all.map(|pair| pair[1])));
    let sums: Vec<f64> = x.logaddexp(&y).to_vec()?;
    assert_eq!(sums[..5], [inf, -inf, inf, 2.0, 2.0]);
    assert!(sums[5].is_nan());
    let slope = grad(|x: &Array, y: &Array| x.logaddexp(y).at(..5).sum()).call(&x, &y)?;
    assert_eq!(slope.to_vec::<f64>()?, [0.5, 0.5, 1.0, 0.0, 1.0, 0.0]);
    Ok(())
}

#[test]
fn trunc_keeps_the_sign_of_zero_and_nan_on_every_engine() -> Result<()> {
    let x = [-0.5, -0.0, 0.0, 0.5, -1.5, f64::NEG_INFINITY, f64::INFINITY];
    let need = [-0.0, -0.0, 0.0, 0.0, -1.0, f64::NEG_INFINITY, f64::INFINITY].map(f64::to_bits);
    for engine in [Engine::Interpreter, Engine::Vm, Engine::Native] {
        let trunc = jit(|x: &Array| x.trunc()).engine(engine);
        let y = trunc.call(&Array::from(x))?.to_vec::<f64>()?;
        assert_eq!(y.into_iter().map(f64::to_bits).collect::<Vec<_>>(), need, "{engine:?}");
        assert!(trunc.call(&Array::from(f64::NAN))?.item::<f64>()?.is_nan(), "{engine:?}");
    }
    Ok(())
}
