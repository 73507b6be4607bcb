//! Values by hand or from JAX 0.4.30 in f64.

use std::f64::consts::LN_2;

use super::*;
use crate::buffer::Element;
use crate::grad;

fn values<T: Element>(x: &Array) -> Vec<T> {
    x.to_vec().unwrap()
}

/// The texts of mistakes without their source lines, which must be in the calling file.
#[track_caller]
pub(in crate::trace) fn texts_of(mistakes: impl IntoIterator<Item = Array>) -> String {
    let mut texts = Vec::new();
    for mistake in mistakes {
        let error = mistake.ok().expect_err("a mistake");
        let at = error.location().expect("a source line");
        assert_eq!(at.file(), Location::caller().file(), "{error}");
        let text = error.to_string();
        texts.push(text.rsplit_once("\n  at ").expect("a source line").0.to_owned());
    }
    texts.join("\n\n")
}

#[track_caller]
pub(in crate::trace) fn assert_near(x: &Array, expected: &[f64]) {
    let got = values::<f64>(&x.to(DType::F64));
    assert_eq!(got.len(), expected.len(), "{got:?}");
    let scale = if x.dtype() == DType::F64 { 1e-14 } else { 1e-6 };
    for (&got_one, &expected_one) in got.iter().zip(expected) {
        let near = (got_one - expected_one).abs() <= scale * expected_one.abs().max(1.0);
        let same = got_one == expected_one || (got_one.is_nan() && expected_one.is_nan());
        assert!(near || same, "{got:?} is not {expected:?}");
    }
}

/// The gradient of the sum of `f`.
#[track_caller]
pub(in crate::trace) fn gradient(f: impl Fn(&Array) -> Array, x: &Array) -> Array {
    grad(|x: &Array| f(x).sum()).call(x).unwrap()
}

#[test]
fn unary_functions() {
    let x = Array::from([0.25_f64, 0.5]);
    for (y, f) in [
        (x.sqrt(), f64::sqrt as fn(f64) -> f64),
        (x.rsqrt(), |x| 1.0 / x.sqrt()),
        (x.exp(), f64::exp),
        (x.expm1(), f64::exp_m1),
        (x.log(), f64::ln),
        (x.log1p(), f64::ln_1p),
        (x.sin(), f64::sin),
        (x.cos(), f64::cos),
        (x.tan(), f64::tan),
        (x.asin(), f64::asin),
        (x.acos(), f64::acos),
        (x.atan(), f64::atan),
        (x.sinh(), f64::sinh),
        (x.cosh(), f64::cosh),
        (x.tanh(), f64::tanh),
        (x.sigmoid(), |x| 1.0 / (1.0 + (-x).exp())),
        (x.erf_inv().erf(), |x| x),
        (x.square(), |x| x * x),
        (x.reciprocal(), |x| 1.0 / x),
        (x.powi(-2), |x| 1.0 / (x * x)),
        (x.pow(3), |x| x * x * x),
        (x.pow(0.5), f64::sqrt),
        (x.stop_gradient(), |x| x),
    ] {
        assert_near(&y, &[f(0.25), f(0.5)]);
    }
    let x = Array::from([-1.5_f32, 0.5, 2.5]);
    assert_eq!(values::<f32>(&x.abs()), [1.5, 0.5, 2.5]);
    assert_eq!(values::<f32>(&x.sign()), [-1.0, 1.0, 1.0]);
    assert_eq!(values::<f32>(&x.floor()), [-2.0, 0.0, 2.0]);
    assert_eq!(values::<f32>(&x.ceil()), [-1.0, 1.0, 3.0]);
    assert_eq!(values::<f32>(&x.trunc()), [-1.0, 0.0, 2.0]);
    assert_eq!(values::<f32>(&x.round()), [-2.0, 0.0, 2.0]);
    let odd = Array::from([f32::NAN, f32::INFINITY, 0.0]);
    assert_eq!(values::<bool>(&odd.is_nan()), [true, false, false]);
    assert_eq!(values::<bool>(&odd.is_finite()), [false, false, true]);
}

#[test]
fn free_functions_take_arrays_and_numbers() {
    let x = Array::from([0.5_f32]);
    let pairs = [
        (abs(&x), x.abs()),
        (sign(&x), x.sign()),
        (floor(&x), x.floor()),
        (ceil(&x), x.ceil()),
        (trunc(&x), x.trunc()),
        (round(&x), x.round()),
        (sqrt(&x), x.sqrt()),
        (rsqrt(&x), x.rsqrt()),
        (exp(&x), x.exp()),
        (expm1(&x), x.expm1()),
        (log(&x), x.log()),
        (log1p(&x), x.log1p()),
        (sin(&x), x.sin()),
        (cos(&x), x.cos()),
        (tan(&x), x.tan()),
        (asin(&x), x.asin()),
        (acos(&x), x.acos()),
        (atan(&x), x.atan()),
        (sinh(&x), x.sinh()),
        (cosh(&x), x.cosh()),
        (tanh(&x), x.tanh()),
        (sigmoid(&x), x.sigmoid()),
        (erf(&x), x.erf()),
        (erf_inv(&x), x.erf_inv()),
        (stop_gradient(&x), x.clone()),
        (square(&x), x.square()),
        (reciprocal(&x), x.reciprocal()),
        (relu(&x), x.relu()),
        (softplus(&x), x.softplus()),
        (silu(&x), x.silu()),
        (gelu(&x), x.gelu()),
        (elu(&x), x.elu()),
        (leaky_relu(&x, 0.1), x.leaky_relu(0.1)),
        (hard_sigmoid(&x), x.hard_sigmoid()),
        (hard_tanh(&x), x.hard_tanh()),
        (log_sigmoid(&x), x.log_sigmoid()),
        (maximum(&x, 1.0), x.maximum(1.0)),
        (minimum(1.0, &x), x.minimum(1.0)),
        (atan2(&x, 1.0), x.atan2(1.0)),
        (pow(2.0, &x), Array::from([2.0_f32]).pow(&x)),
        (logaddexp(0.0, &x), x.softplus()),
    ];
    for (i, (free, method)) in pairs.into_iter().enumerate() {
        assert_eq!(values::<f32>(&free), values::<f32>(&method), "pair {i}");
    }
    assert_eq!(values::<bool>(&is_nan(&x)), [false]);
    assert_eq!(values::<bool>(&is_finite(&x)), [true]);
    assert_eq!(tanh(0.0).item::<f32>().unwrap(), 0.0);
    assert_eq!(maximum(2, 3).item::<i32>().unwrap(), 3);
    assert_eq!(pow(2.0, 3.0).item::<f32>().unwrap(), 8.0);
}

#[test]
fn binary_functions() {
    let (x, y) = (Array::from([1, 2, 3]), Array::from([3, 2, 1]));
    assert_eq!(values::<i32>(&x.maximum(&y)), [3, 2, 3]);
    assert_eq!(values::<i32>(&x.minimum(&y)), [1, 2, 1]);
    assert_eq!(values::<i32>(&x.clip(2, 2)), [2, 2, 2]);
    assert_eq!(values::<bool>(&x.eq(&y)), [false, true, false]);
    assert_eq!(values::<bool>(&x.ne(&y)), [true, false, true]);
    assert_eq!(values::<bool>(&x.lt(&y)), [true, false, false]);
    assert_eq!(values::<bool>(&x.le(&y)), [true, true, false]);
    assert_eq!(values::<bool>(&x.gt(2)), [false, false, true]);
    assert_eq!(values::<bool>(&x.ge(2)), [false, true, true]);
    assert_eq!(values::<i32>(&Array::from([-1]).shift_right_logical(28)), [15]);
    assert_near(&Array::from([1.0_f64]).atan2(-1.0), &[0.75 * std::f64::consts::PI]);
}

#[test]
fn floored_division() {
    let x = Array::from([7, -7, 7, -7, 5, 0]);
    let y = Array::from([2, 2, -2, -2, 0, 0]);
    assert_eq!(values::<i32>(&x.div_floor(&y)), [3, -4, -4, 3, -2, -1]);
    assert_eq!(values::<i32>(&x.rem_floor(&y)), [1, 1, -1, -1, 0, 0]);
    let x = Array::from([7.0_f64, -7.0, 7.0, -7.0, 6.5]);
    let y = Array::from([2.0_f64, 2.0, -2.0, -2.0, 0.5]);
    assert_eq!(values::<f64>(&x.div_floor(&y)), [3.0, -4.0, -4.0, 3.0, 13.0]);
    assert_eq!(values::<f64>(&x.rem_floor(&y)), [1.0, 1.0, -1.0, -1.0, 0.0]);
    let unsigned = Array::from([7_u32]);
    assert_eq!(values::<u32>(&unsigned.div_floor(2)), [3]);
    assert_eq!(values::<u32>(&unsigned.rem_floor(2)), [1]);
}

#[test]
fn conversions() {
    let x = Array::from([1.0_f32, -2.5]);
    assert_eq!(values::<u32>(&x.bitcast(DType::U32)), [0x3f80_0000, 0xc020_0000]);
    assert_eq!(values::<i32>(&x.to(DType::I32)), [1, -2]);
    assert_eq!(values::<bool>(&x.to(DType::Bool)), [true, true]);
    assert_eq!(values::<f32>(&x.to(DType::F32)), [1.0, -2.5]);
}

#[test]
fn activations_and_their_gradients() {
    let x = Array::from([-3.5_f64, -1.0, -0.5, 0.0, 0.5, 1.0, 4.0]);
    type Case = (fn(&Array) -> Array, [f64; 7], [f64; 7]);
    let cases: [Case; 9] = [
        (Array::relu, [0.0, 0.0, 0.0, 0.0, 0.5, 1.0, 4.0], [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]),
        (
            Array::softplus,
            [
                0.029750418272620566,
                0.31326168751822286,
                0.4740769841801067,
                LN_2,
                0.9740769841801067,
                1.3132616875182228,
                4.0181499279178094,
            ],
            [
                0.029312230751356323,
                0.2689414213699951,
                0.3775406687981454,
                0.5,
                0.6224593312018546,
                0.7310585786300049,
                0.9820137900379087,
            ],
        ),
        (
            Array::silu,
            [
                -0.10259280762974712,
                -0.2689414213699951,
                -0.1887703343990727,
                0.0,
                0.3112296656009273,
                0.7310585786300049,
                3.928055160151634,
            ],
            [
                -0.07027335282771814,
                0.07232948812851325,
                0.2600388126973482,
                0.5,
                0.7399611873026518,
                0.9276705118714867,
                1.0526646148910728,
            ],
        ),
        (
            Array::gelu,
            [
                -0.0006161976553737403,
                -0.15880800939172324,
                -0.15428599017485606,
                0.0,
                0.34571400982514394,
                0.8411919906082768,
                3.9999297540518075,
            ],
            [
                -0.002422643760116734,
                -0.08296408384578255,
                0.13263009646535764,
                0.5,
                0.8673699035346424,
                1.0829640838457824,
                1.0003351231971223,
            ],
        ),
        (
            Array::elu,
            [-0.9698026165776815, -0.6321205588285577, -0.3934693402873666, 0.0, 0.5, 1.0, 4.0],
            [0.03019738342231848, 0.36787944117144233, 0.6065306597126334, 1.0, 1.0, 1.0, 1.0],
        ),
        (
            Array::hard_sigmoid,
            [0.0, 2.0 / 6.0, 2.5 / 6.0, 0.5, 3.5 / 6.0, 4.0 / 6.0, 1.0],
            [0.0, 1.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0, 0.0],
        ),
        (
            Array::hard_tanh,
            [-1.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.0],
            [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
        ),
        (
            Array::log_sigmoid,
            [
                -3.5297504182726205,
                -1.3132616875182228,
                -0.9740769841801067,
                -LN_2,
                -0.4740769841801067,
                -0.31326168751822286,
                -0.018149927917809738,
            ],
            [
                0.9706877692486438,
                0.7310585786300049,
                0.6224593312018546,
                0.5,
                0.3775406687981454,
                0.2689414213699951,
                0.017986209962091562,
            ],
        ),
        (
            |x| x.leaky_relu(0.1),
            [-0.35, -0.1, -0.05, 0.0, 0.5, 1.0, 4.0],
            [0.1, 0.1, 0.1, 1.0, 1.0, 1.0, 1.0],
        ),
    ];
    for (f, expected, slopes) in cases {
        assert_near(&f(&x), &expected);
        assert_near(&gradient(f, &x), &slopes);
        assert_near(&f(&Array::from(f64::NAN)), &[f64::NAN]);
    }
    let far = Array::from([-2000.0_f64, 2000.0]);
    assert_near(&far.softplus(), &[0.0, 2000.0]);
    assert_near(&far.log_sigmoid(), &[-2000.0, 0.0]);
    assert_near(&gradient(Array::elu, &far), &[0.0, 1.0]);
}

#[test]
fn softmax_and_logsumexp() {
    let x = Array::from([[0.5_f64, -1.0, 2.0], [f64::NEG_INFINITY, 1.0, 0.0]]);
    let p = [
        0.1752903921400367,
        0.039112573270687456,
        0.7855970345892759,
        0.0,
        0.7310585786300049,
        0.2689414213699951,
    ];
    assert_near(&x.softmax(-1), &p);
    assert_near(
        &x.log_softmax(1),
        &[
            -1.7413112966571571,
            -3.241311296657157,
            -0.24131129665715703,
            f64::NEG_INFINITY,
            -0.31326168751822286,
            -1.3132616875182228,
        ],
    );
    assert_near(&x.logsumexp_axis(1), &[2.241311296657157, 1.3132616875182228]);
    assert_near(&gradient(|x| x.logsumexp_axis(1), &x), &p);
    let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
    assert_near(&Array::from([low, low]).logsumexp(), &[low]);
    assert_near(&Array::from([low, high]).logsumexp(), &[high]);
    assert_near(&Array::from([1000.0, 1000.0]).logsumexp(), &[1000.0 + 2.0_f64.ln()]);
    assert_near(&Array::from(3.0_f64).logsumexp(), &[3.0]);

    let x = Array::from([[0.5_f64, -1.0, 2.0], [0.1, 1.0, 0.0]]);
    let w = Array::from([[1.0_f64, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    let of_softmax = gradient(|x| x.softmax(0) * &w, &x);
    let half = [0.7207822372245875, 0.3149807562105197, 0.3149807562105195];
    let expected: Vec<f64> = half.iter().map(|x| -x).chain(half).collect();
    assert_near(&of_softmax, &expected);
    let of_log = gradient(|x| x.log_softmax(0) * &w, &x);
    let half = [1.9934383005622598, -1.1655795458451772, 4.927173701800941];
    let expected: Vec<f64> = half.iter().map(|x| -x).chain(half).collect();
    assert_near(&of_log, &expected);
}

#[test]
fn logaddexp_at_infinity() {
    let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
    let x = Array::from([1.0, low, high, low, 0.3, f64::NAN]);
    let y = Array::from([2.0, low, high, 3.0, 0.3, 1.0]);
    let expected = [2.313261687518223, low, high, 3.0, 0.9931471805599452, f64::NAN];
    assert_near(&x.logaddexp(&y), &expected);
    // Equal values share the gradient, infinite ones too.
    let x = Array::from([1.0, low, low, 0.3]);
    let y = Array::from([2.0, low, 3.0, 0.3]);
    let slopes = gradient(|x| x.logaddexp(&y), &x);
    assert_near(&slopes, &[0.26894142136999505, 0.5, 0.0, 0.5]);
}

#[test]
fn folds() {
    let x = Array::from([[1.0_f64, 2.0, 4.0], [3.0, 5.0, 6.0]]);
    assert_near(&x.sum(), &[21.0]);
    assert_near(&x.sum_axis(0), &[4.0, 7.0, 10.0]);
    assert_near(&x.sum_axes(&[0, -1]), &[21.0]);
    assert_near(&x.sum_axes(&[]), &[1.0, 2.0, 4.0, 3.0, 5.0, 6.0]);
    assert_near(&x.prod(), &[720.0]);
    assert_near(&x.prod_axis(-1), &[8.0, 90.0]);
    assert_near(&x.max(), &[6.0]);
    assert_near(&x.max_axis(0), &[3.0, 5.0, 6.0]);
    assert_near(&x.min(), &[1.0]);
    assert_near(&x.min_axis(1), &[1.0, 3.0]);
    assert_near(&x.mean(), &[3.5]);
    assert_near(&x.mean_axis(0), &[2.0, 3.5, 5.0]);
    assert_near(&x.at(0).var(), &[14.0 / 9.0]);
    assert_near(&x.at(0).std(), &[1.247219128924647]);
    assert_near(&x.var_axis(0), &[1.0, 2.25, 1.0]);
    assert_near(&x.std_axis(0), &[1.0, 1.5, 1.0]);
    assert_near(&Array::from([3.0_f64, 4.0]).norm(), &[5.0]);
    assert_near(&Array::from([[3.0_f64, 4.0]]).norm_axis(0), &[3.0, 4.0]);
    assert_near(&Array::zeros([0]).mean(), &[f64::NAN]);
    let slopes = gradient(|x| x.var_axis(1), &x);
    assert_near(&slopes, &[-8.0 / 9.0, -2.0 / 9.0, 10.0 / 9.0, -10.0 / 9.0, 2.0 / 9.0, 8.0 / 9.0]);

    let truths = Array::from([[true, false], [true, true]]);
    assert_eq!(values::<i32>(&truths.sum_axis(0)), [2, 1]);
    assert_eq!(values::<bool>(&truths.all_axis(1)), [false, true]);
    assert_eq!(values::<bool>(&truths.any_axis(0)), [true, true]);
    assert!(Array::from([0.0_f32, f32::NAN]).any().item::<bool>().unwrap());
    assert!(!Array::from([0, 1]).all().item::<bool>().unwrap());
    // A value without axes is its own fold.
    assert_eq!(Array::from(3).sum().item::<i32>().unwrap(), 3);
}

#[test]
fn running_folds_and_order() {
    let x = Array::from([[2, 1], [1, 3], [3, 2]]);
    assert_eq!(values::<i32>(&x.cumsum(0)), [2, 1, 3, 4, 6, 6]);
    assert_eq!(values::<i32>(&x.cumsum_reverse(0)), [6, 6, 4, 5, 3, 2]);
    assert_eq!(values::<i32>(&x.cumprod(1)), [2, 2, 1, 3, 3, 6]);
    assert_eq!(values::<i32>(&x.cumprod_reverse(-1)), [2, 1, 3, 3, 6, 2]);
    assert_eq!(values::<i32>(&x.cummax(0)), [2, 1, 2, 3, 3, 3]);
    assert_eq!(values::<i32>(&x.cummax_reverse(0)), [3, 3, 3, 3, 3, 2]);
    assert_eq!(values::<i32>(&x.cummin(0)), [2, 1, 1, 1, 1, 1]);
    assert_eq!(values::<i32>(&x.cummin_reverse(0)), [1, 1, 1, 2, 3, 2]);
    assert_eq!(values::<i32>(&x.argmax(0)), [2, 1]);
    assert_eq!(values::<i32>(&x.argmin(1)), [1, 0, 1]);
    assert_eq!(values::<i32>(&x.sort(0)), [1, 1, 2, 2, 3, 3]);
    assert_eq!(values::<i32>(&x.argsort(0)), [1, 0, 0, 2, 2, 1]);

    let x = Array::from([1.0, f64::NEG_INFINITY, 3.0, -1000.0, 2.0]);
    let sums = [1.0, 1.0, 3.1269280110429727, 3.1269280110429727, 3.4076059644443806];
    assert_near(&x.cumlogsumexp(0), &sums);
    let sums = [3.4076059644443806, 3.313261687518223, 3.313261687518223, 2.0, 2.0];
    assert_near(&x.cumlogsumexp_reverse(0), &sums);
    let total = gradient(|x| x.cumlogsumexp(0).at(-1), &x);
    assert_near(&total, &values::<f64>(&x.softmax(0)));
}

#[test]
fn mistakes_name_the_rule_and_the_way_out() {
    let (x, n) = (Array::zeros([2, 3]), Array::from([1, 2]));
    let mistakes = [
        x.sum_axis(2),
        x.softmax(-3),
        n.mean(),
        n.exp(),
        n.gelu(),
        n.maximum(0.5),
        x.maximum(Array::zeros([2])),
        x.eq(&n),
        maximum(0.5, &n),
        x.sort(5),
        x.cumlogsumexp(7),
        x.to(DType::F64).bitcast(DType::I32),
        x.to(DType::Bool).max(),
    ];
    insta::assert_snapshot!(texts_of(mistakes), @r#"
        `sum_axis`: there is no axis 2
          the array is f32[2,3]
        help: axes count from 0; negative ones from the end

        `softmax`: there is no axis -3
          the array is f32[2,3]
        help: axes count from 0; negative ones from the end

        `mean` needs floats
          got i32[2]

        `exp`: takes floats, not i32
          its inputs are i32[2]
        help: convert the array with `.to(..)`

        `gelu` needs floats
          got i32[2]

        `maximum`: the number 0.5 does not fit the array's element type
          the array is i32[2]
        help: convert the array first, for example with `.to(DType::F32)`

        `maximum` needs two shapes that broadcast together
          the left side is f32[2,3]
          the right side is f32[2]
        help: axes are matched from the last; two sizes fit if they are equal or one is 1

        `eq` needs both sides of one element type
          the left side is f32[2,3]
          the right side is i32[2]
        help: convert one side, for example with `.to(DType::F32)`

        `maximum`: the number 0.5 does not fit the array's element type
          the array is i32[2]
        help: convert the array first, for example with `.to(DType::F32)`

        `sort`: there is no axis 5
          the array is f32[2,3]
        help: axes count from 0; negative ones from the end

        `cumlogsumexp`: there is no axis 7
          the array is f32[2,3]
        help: axes count from 0; negative ones from the end

        `bitcast`: reads 32-bit elements as 32-bit elements, not f64 as i32
          its inputs are f64[2,3]

        `reduce_max`: takes numbers, not bool
          its inputs are bool[2,3]
        help: convert the array with `.to(..)`
        "#);
}
