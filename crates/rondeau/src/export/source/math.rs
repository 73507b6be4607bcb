//! The functions that generated code calls, written out in its language. A file gets those that it
//! names and those that these name.
//!
//! Rust without `std` has no functions of floats, so they are written by the definitions of the
//! machine room and with its polynomials, but without fused operations, which few small processors
//! have: results differ by a few units in the last place. C has its library of mathematics.

use rondeau_machine::math::poly::{DOUBLE, SINGLE, Table};

use super::Lang;

/// The functions of which `text` speaks, with all that they need, in the order of their names.
pub(super) fn helpers(lang: Lang, text: &str) -> String {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut texts = vec![text.to_owned()];
    while let Some(text) = texts.pop() {
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        for word in words {
            if found.iter().any(|(name, _)| name == word) {
                continue;
            }
            if let Some(body) = helper(lang, word) {
                found.push((word.to_owned(), body.clone()));
                texts.push(body);
            }
        }
    }
    found.sort();
    let declared = |(_, body): &(String, String)| {
        let head = body.lines().find(|line| line.starts_with("static")).expect("it has a head");
        format!("{};\n", head.trim_end_matches(" {"))
    };
    let mut all = String::new();
    if lang == Lang::C && !found.is_empty() {
        all.extend(found.iter().map(declared));
        all.push('\n');
    }
    // Guards, so that a file of C can have several models.
    let guarded = |(name, body): &(String, String)| match lang {
        Lang::Rust => format!("{}\n", body.trim_start()),
        Lang::C => {
            let guard = format!("RONDEAU_{}", name.to_uppercase());
            format!("#ifndef {guard}\n#define {guard}\n{}#endif\n\n", body.trim_start())
        }
    };
    all.extend(found.iter().map(guarded));
    all
}

fn helper(lang: Lang, name: &str) -> Option<String> {
    let (function, kind) = name.rsplit_once('_')?;
    let list = match lang {
        Lang::Rust => RUST,
        Lang::C => C,
    };
    if !matches!(kind, "f32" | "f64" | "i32" | "u32") {
        return None;
    }
    let fits = |of: &str| of.split(' ').any(|of| of == kind);
    let (_, _, body) = list.iter().find(|(name, of, _)| *name == function && fits(of))?;
    Some(fill(lang, body, kind))
}

/// The template for one type: `$F` is the type, `$B` and `$I` the integers of its size, `$s` the
/// suffix of C, and names in capitals behind a `$` its constants.
fn fill(lang: Lang, body: &str, kind: &str) -> String {
    let single = kind == "f32";
    let table: &Table = if single { &SINGLE } else { &DOUBLE };
    let literal = |x: f64| number(lang, x, single);
    let polynomial = |coefficients: &[f64], x: &str| {
        let (first, rest) = coefficients.split_at(1);
        rest.iter().fold(literal(first[0]), |sum, &c| format!("({sum}) * {x} + {}", literal(c)))
    };
    // Halves of ln 2 and π/2 whose products with the numbers that occur are exact.
    let ln2 = table.ln2[0] + table.ln2[1];
    let ln2_high = cut(ln2, if single { 41 } else { 21 });
    let quarter = DOUBLE.half_pi;
    let quarter_0 = cut(quarter[0], 21);
    let quarter_1 = cut((quarter[0] - quarter_0) + quarter[1], 21);
    let quarter_2 = ((quarter[0] - quarter_0) - quarter_1) + quarter[1] + quarter[2];
    let (mantissa, bias) = if single { (23, 127) } else { (52, 1023) };
    let names = [
        ("$EXP", polynomial(table.exp, "r")),
        ("$LOG2_E", literal(table.log2_e)),
        ("$LN2_HIGH", literal(ln2_high)),
        (
            "$LN2_LOW",
            literal((std::f64::consts::LN_2 - ln2_high) + if single { 0.0 } else { table.ln2[1] }),
        ),
        ("$INF_FROM", literal(table.exp_inf)),
        ("$ZERO_FROM", literal(table.exp_zero)),
        ("$FLAT_FROM", literal(table.expm1_flat)),
        ("$TINY", literal(table.expm1_tiny)),
        ("$TANH_ONE", literal(table.tanh_one)),
        ("$LIFT_BY", literal(table.log2_lift)),
        ("$LIFT", literal(table.lift)),
        ("$NORMAL", literal(table.min_normal)),
        ("$LOGARITHM", polynomial(table.log, "z")),
        ("$ERFC", polynomial(table.erfc, "b")),
        ("$ERF_ONE", literal(table.erf_one)),
        ("$ERF", polynomial(table.erf, "z")),
        ("$TWO_OVER_PI", literal(DOUBLE.two_over_pi)),
        ("$QUARTER_0", literal(quarter_0)),
        ("$QUARTER_1", literal(quarter_1)),
        ("$QUARTER_2", literal(quarter_2)),
        ("$SIN_TINY", literal(DOUBLE.sin_tiny)),
        ("$SIN", polynomial(DOUBLE.sin, "z")),
        ("$COS", polynomial(DOUBLE.cos, "z")),
        ("$ROOT_2", literal(std::f64::consts::SQRT_2)),
        ("$WHOLE", literal(if single { 8_388_608.0 } else { 4_503_599_627_370_496.0 })),
        ("$MANTISSA", mantissa.to_string()),
        ("$BIAS", bias.to_string()),
        ("$B", if single { "u32" } else { "u64" }.to_owned()),
        (
            "$F",
            match lang {
                Lang::Rust => kind.to_owned(),
                Lang::C => match kind {
                    "f32" => "float",
                    "f64" => "double",
                    "i32" => "int32_t",
                    _ => "uint32_t",
                }
                .to_owned(),
            },
        ),
        ("$K", kind.to_owned()),
        ("$s", if single { "f" } else { "" }.to_owned()),
    ];
    names.iter().fold(body.to_owned(), |body, (name, text)| body.replace(name, text))
}

/// The number with its last bits zero.
fn cut(x: f64, bits: u32) -> f64 {
    f64::from_bits(x.to_bits() >> bits << bits)
}

/// A float as a literal that reads back as the same bits.
pub(super) fn number(lang: Lang, x: f64, single: bool) -> String {
    let digits = if single { format!("{:?}", x as f32) } else { format!("{x:?}") };
    let name = if single { "f32" } else { "f64" };
    match lang {
        Lang::Rust if x.is_nan() => format!("{name}::NAN"),
        Lang::Rust if x.is_infinite() && x > 0.0 => format!("{name}::INFINITY"),
        Lang::Rust if x.is_infinite() => format!("{name}::NEG_INFINITY"),
        Lang::Rust => digits,
        Lang::C if x.is_nan() => "NAN".to_owned(),
        Lang::C if x.is_infinite() && x > 0.0 => "INFINITY".to_owned(),
        Lang::C if x.is_infinite() => "(-INFINITY)".to_owned(),
        Lang::C => digits + if single { "f" } else { "" },
    }
}

/// Name, types, text.
type Helper = (&'static str, &'static str, &'static str);

const FLOATS: &str = "f32 f64";
const INTEGERS: &str = "i32 u32";

const RUST: &[Helper] = &[
    ("abs", FLOATS, "
fn abs_$K(x: $F) -> $F {
    $F::from_bits(x.to_bits() << 1 >> 1)
}
"),
    ("copysign", FLOATS, "
/// `|x|` with the sign of `y`.
fn copysign_$K(x: $F, y: $F) -> $F {
    $F::from_bits(x.to_bits() << 1 >> 1 | y.to_bits() >> ($B::BITS - 1) << ($B::BITS - 1))
}
"),
    ("round", FLOATS, "
/// The nearest whole number; ties go to the even one.
fn round_$K(x: $F) -> $F {
    let a = abs_$K(x);
    if a < $WHOLE { copysign_$K((a + $WHOLE) - $WHOLE, x) } else { x }
}
"),
    ("trunc", FLOATS, "
fn trunc_$K(x: $F) -> $F {
    let (a, r) = (abs_$K(x), abs_$K(round_$K(x)));
    if a < $WHOLE { copysign_$K(if r > a { r - 1.0 } else { r }, x) } else { x }
}
"),
    ("floor", FLOATS, "
fn floor_$K(x: $F) -> $F {
    let t = trunc_$K(x);
    if t > x { t - 1.0 } else { t }
}
"),
    ("ceil", FLOATS, "
fn ceil_$K(x: $F) -> $F {
    let t = trunc_$K(x);
    if t < x { copysign_$K(t + 1.0, x) } else { t }
}
"),
    ("sign", FLOATS, "
fn sign_$K(x: $F) -> $F {
    if x > 0.0 { 1.0 } else if x < 0.0 { -1.0 } else { x }
}
"),
    ("sqrt", "f64", "
/// By Newton's method, from half the exponent. With `std`, take `x.sqrt()`.
fn sqrt_f64(x: f64) -> f64 {
    if x != x || x < 0.0 { return f64::NAN; }
    if x == 0.0 || x == f64::INFINITY { return x; }
    if x < $NORMAL { return sqrt_f64(x * 18014398509481984.0) / 134217728.0; }
    let mut y = f64::from_bits((x.to_bits() >> 1) + 0x1ff8_0000_0000_0000);
    for _ in 0..5 {
        y = 0.5 * (y + x / y);
    }
    y
}
"),
    ("pow2", FLOATS, "
/// `2^n`, a normal number.
fn pow2_$K(n: i32) -> $F {
    $F::from_bits(((n + $BIAS) as $B) << $MANTISSA)
}
"),
    ("exp_parts", FLOATS, "
/// `(n, p)` with `e^x = 2^n·(1 + p)` and `p` from √½ - 1 to √2 - 1.
fn exp_parts_$K(x: $F) -> (i32, $F) {
    let n = round_$K(x * $LOG2_E);
    let r = (x - n * $LN2_HIGH) - n * $LN2_LOW;
    let p = $EXP;
    (n as i32, r * r * p + r)
}
"),
    ("exp", FLOATS, "
fn exp_$K(x: $F) -> $F {
    let x = if x > $INF_FROM { $INF_FROM } else { x };
    let (n, p) = exp_parts_$K(if x < $ZERO_FROM { $ZERO_FROM } else { x });
    (p + 1.0) * pow2_$K(n / 2) * pow2_$K(n - n / 2)
}
"),
    ("expm1", FLOATS, "
fn expm1_$K(x: $F) -> $F {
    if abs_$K(x) < $TINY { return x; }
    let x = if x > $INF_FROM { $INF_FROM } else { x };
    let (n, p) = exp_parts_$K(if x < $FLAT_FROM { $FLAT_FROM } else { x });
    let s = pow2_$K(n - 1);
    let y = p * s + (s - 0.5);
    y + y
}
"),
    ("tanh", FLOATS, "
fn tanh_$K(x: $F) -> $F {
    let a = abs_$K(x);
    let a = if a > $TANH_ONE { $TANH_ONE } else { a };
    let (n, p) = exp_parts_$K(a + a);
    let s = pow2_$K(n);
    copysign_$K((p * s + (s - 1.0)) / (p * s + (s + 1.0)), x)
}
"),
    ("sigmoid", FLOATS, "
fn sigmoid_$K(x: $F) -> $F {
    let e = exp_$K(-abs_$K(x));
    (if x < 0.0 { e } else { 1.0 }) / (e + 1.0)
}
"),
    ("split", FLOATS, "
/// `(m, e)` with `x = m·2^e` and `m` from √½ to √2, for a positive normal `x`.
fn split_$K(x: $F) -> ($F, i32) {
    let e = (x.to_bits() >> $MANTISSA) as i32 - $BIAS;
    let m = $F::from_bits(x.to_bits() << ($B::BITS - $MANTISSA) >> ($B::BITS - $MANTISSA) | ($BIAS << $MANTISSA));
    if m > $ROOT_2 { (m * 0.5, e + 1) } else { (m, e) }
}
"),
    ("log_sum", FLOATS, "
/// `e·ln 2 + log(1 + f)` for `f` from √½ - 1 to √2 - 1.
fn log_sum_$K(f: $F, e: $F) -> $F {
    let s = f / (f + 2.0);
    let z = s * s;
    let half = f * f * 0.5;
    let tail = s * (z * ($LOGARITHM) + half) + e * $LN2_LOW;
    e * $LN2_HIGH + (f - (half - tail))
}
"),
    ("log", FLOATS, "
fn log_$K(x: $F) -> $F {
    if x == 0.0 { return $F::NEG_INFINITY; }
    if x < 0.0 || x != x { return $F::NAN; }
    if x == $F::INFINITY { return x; }
    let (lift, by) = if x < $NORMAL { ($LIFT, $LIFT_BY) } else { (1.0, 0.0) };
    let (m, e) = split_$K(x * lift);
    log_sum_$K(m - 1.0, e as $F - by)
}
"),
    ("log1p", FLOATS, "
fn log1p_$K(x: $F) -> $F {
    if x == -1.0 { return $F::NEG_INFINITY; }
    if x < -1.0 || x != x { return $F::NAN; }
    if x == $F::INFINITY { return x; }
    let (m, e) = split_$K(1.0 + x);
    // (1 + x)·2^-e - 1 from x itself, so that no bit of x is lost in the sum.
    let f = if e > 64 { m - 1.0 } else { x * pow2_$K(-e) + (pow2_$K(-e) - 1.0) };
    copysign_$K(log_sum_$K(f, e as $F), x)
}
"),
    ("erf", FLOATS, "
fn erf_$K(x: $F) -> $F {
    let (a, z) = (abs_$K(x), x * x);
    if a < 1.0 { return x * ($ERF) + x; }
    let b = if a > $ERF_ONE { $ERF_ONE } else { a };
    copysign_$K(1.0 - exp_$K(-($ERFC)), x)
}
"),
    ("sin_cos", "f64", "
/// `(n, sin r, cos r)` with `x = n·π/2 + r`; good for `|x|` up to a million.
fn sin_cos_f64(x: f64) -> (i64, f64, f64) {
    let n = round_f64(x * $TWO_OVER_PI);
    let r = ((x - n * $QUARTER_0) - n * $QUARTER_1) - n * $QUARTER_2;
    let z = r * r;
    let sin = r * z * ($SIN) + r;
    let cos = z * z * ($COS) + (1.0 - 0.5 * z);
    (n as i64, sin, cos)
}
"),
    ("sin", "f64", "
fn sin_f64(x: f64) -> f64 {
    if abs_f64(x) < $SIN_TINY { return x; }
    let (n, sin, cos) = sin_cos_f64(x);
    let y = if n & 1 == 0 { sin } else { cos };
    if n & 2 == 0 { y } else { -y }
}
"),
    ("cos", "f64", "
fn cos_f64(x: f64) -> f64 {
    let (n, sin, cos) = sin_cos_f64(x);
    let y = if n & 1 == 0 { cos } else { sin };
    if (n + 1) & 2 == 0 { y } else { -y }
}
"),
    ("tan", "f64", "
fn tan_f64(x: f64) -> f64 {
    sin_f64(x) / cos_f64(x)
}
"),
    ("atan", "f64", "
/// By two halvings of the angle, and the series.
fn atan_f64(x: f64) -> f64 {
    let a = abs_f64(x);
    let mut t = if a > 1.0 { 1.0 / a } else { a };
    for _ in 0..2 {
        t = t / (1.0 + sqrt_f64(1.0 + t * t));
    }
    let (z, mut sum, mut k) = (t * t, 0.0, 27.0);
    while k > 0.0 {
        sum = 1.0 / k - z * sum;
        k -= 2.0;
    }
    let angle = 4.0 * t * sum;
    copysign_f64(if a > 1.0 { 1.5707963267948966 - angle } else { angle }, x)
}
"),
    ("asin", "f64", "
fn asin_f64(x: f64) -> f64 {
    atan_f64(x / sqrt_f64((1.0 - x) * (1.0 + x)))
}
"),
    ("acos", "f64", "
fn acos_f64(x: f64) -> f64 {
    2.0 * atan_f64(sqrt_f64((1.0 - x) / (1.0 + x)))
}
"),
    ("atan2", "f64", "
fn atan2_f64(y: f64, x: f64) -> f64 {
    use core::f64::consts::PI;
    if x != x || y != y { return f64::NAN; }
    let (a, b) = (abs_f64(y), abs_f64(x));
    let angle = if a == 0.0 {
        0.0
    } else if a == b {
        PI / 4.0
    } else if a > b {
        PI / 2.0 - atan_f64(b / a)
    } else {
        atan_f64(a / b)
    };
    copysign_f64(if x.is_sign_negative() { PI - angle } else { angle }, y)
}
"),
    ("sinh", "f64", "
fn sinh_f64(x: f64) -> f64 {
    let a = abs_f64(x);
    if a > 700.0 {
        let half = exp_f64(0.5 * a);
        return copysign_f64(0.5 * half * half, x);
    }
    let e = expm1_f64(a);
    copysign_f64(0.5 * (e + e / (e + 1.0)), x)
}
"),
    ("cosh", "f64", "
fn cosh_f64(x: f64) -> f64 {
    let half = exp_f64(0.5 * abs_f64(x));
    0.5 * half * half + 0.5 / (half * half)
}
"),
    ("pow", "f64", "
/// By logarithm and exponential: in f64 the relative error grows to `|y·log x|` units.
fn pow_f64(x: f64, y: f64) -> f64 {
    if y == 0.0 || x == 1.0 { return 1.0; }
    if x != x || y != y { return f64::NAN; }
    let a = abs_f64(x);
    let r = if a == 1.0 { 1.0 } else { exp_f64(y * log_f64(a)) };
    let is_whole = trunc_f64(y) == y;
    if x < 0.0 && a < f64::INFINITY && !is_whole { return f64::NAN; }
    let is_odd = is_whole && trunc_f64(0.5 * y) != 0.5 * y;
    if x.is_sign_negative() && is_odd { -r } else { r }
}
"),
    ("erf_inv", "f64", "
/// By Halley's method, from Winitzki's approximation.
fn erf_inv_f64(x: f64) -> f64 {
    if !(abs_f64(x) < 1.0) { return if abs_f64(x) == 1.0 { x / 0.0 } else { f64::NAN }; }
    let l = log1p_f64(-x * x);
    let half = 4.33 + 0.5 * l;
    let mut y = copysign_f64(sqrt_f64(sqrt_f64(half * half - l / 0.147) - half), x);
    for _ in 0..4 {
        let step = (erf_f64(y) - x) / (1.1283791670955126 * exp_f64(-y * y));
        y -= step / (1.0 + y * step);
    }
    y
}
"),
    // What is left of f32 goes through f64.
    ("sqrt", "f32", "fn sqrt_f32(x: f32) -> f32 {\n    sqrt_f64(x as f64) as f32\n}\n"),
    ("sin", "f32", "fn sin_f32(x: f32) -> f32 {\n    sin_f64(x as f64) as f32\n}\n"),
    ("cos", "f32", "fn cos_f32(x: f32) -> f32 {\n    cos_f64(x as f64) as f32\n}\n"),
    ("tan", "f32", "fn tan_f32(x: f32) -> f32 {\n    tan_f64(x as f64) as f32\n}\n"),
    ("atan", "f32", "fn atan_f32(x: f32) -> f32 {\n    atan_f64(x as f64) as f32\n}\n"),
    ("asin", "f32", "fn asin_f32(x: f32) -> f32 {\n    asin_f64(x as f64) as f32\n}\n"),
    ("acos", "f32", "fn acos_f32(x: f32) -> f32 {\n    acos_f64(x as f64) as f32\n}\n"),
    ("sinh", "f32", "fn sinh_f32(x: f32) -> f32 {\n    sinh_f64(x as f64) as f32\n}\n"),
    ("cosh", "f32", "fn cosh_f32(x: f32) -> f32 {\n    cosh_f64(x as f64) as f32\n}\n"),
    ("erf_inv", "f32", "fn erf_inv_f32(x: f32) -> f32 {\n    erf_inv_f64(x as f64) as f32\n}\n"),
    ("pow", "f32", "fn pow_f32(x: f32, y: f32) -> f32 {\n    pow_f64(x as f64, y as f64) as f32\n}\n"),
    ("atan2", "f32", "fn atan2_f32(y: f32, x: f32) -> f32 {\n    atan2_f64(y as f64, x as f64) as f32\n}\n"),
    ("max", FLOATS, "
/// The greater, NaN if one is.
fn max_$K(x: $F, y: $F) -> $F {
    if x != x || x > y || (x == y && !x.is_sign_negative()) { x } else { y }
}
"),
    ("min", FLOATS, "
/// The smaller, NaN if one is.
fn min_$K(x: $F, y: $F) -> $F {
    if x != x || x < y || (x == y && x.is_sign_negative()) { x } else { y }
}
"),
    ("max", INTEGERS, "fn max_$K(x: $F, y: $F) -> $F {\n    if x > y { x } else { y }\n}\n"),
    ("min", INTEGERS, "fn min_$K(x: $F, y: $F) -> $F {\n    if x < y { x } else { y }\n}\n"),
    ("powi", FLOATS, "
fn powi_$K(x: $F, n: i32) -> $F {
    let (mut base, mut left, mut y) = (x, n.unsigned_abs(), 1.0);
    while left > 0 {
        if left & 1 == 1 { y *= base; }
        base *= base;
        left >>= 1;
    }
    if n < 0 { 1.0 / y } else { y }
}
"),
    ("powi", INTEGERS, "
fn powi_$K(x: $F, n: i32) -> $F {
    let y = x.wrapping_pow(n.unsigned_abs());
    if n < 0 { div_$K(1, y) } else { y }
}
"),
    ("div", INTEGERS, "
/// `x / 0` has all bits set.
fn div_$K(x: $F, y: $F) -> $F {
    if y == 0 { !0 } else { x.wrapping_div(y) }
}
"),
    ("rem", INTEGERS, "
/// `x % 0 = x`.
fn rem_$K(x: $F, y: $F) -> $F {
    if y == 0 { x } else { x.wrapping_rem(y) }
}
"),
    ("sign", "i32", "fn sign_i32(x: i32) -> i32 {\n    x.signum()\n}\n"),
    ("sign", "u32", "fn sign_u32(x: u32) -> u32 {\n    (x > 0) as u32\n}\n"),
    ("threefry", "u32", "
/// Threefry-2x32 with 20 rounds.
fn threefry_u32(k0: u32, k1: u32, x0: u32, x1: u32) -> (u32, u32) {
    let turns = [[13, 15, 26, 6], [17, 29, 16, 24]];
    let keys = [k0, k1, k0 ^ k1 ^ 0x1BD1_1BDA];
    let (mut x0, mut x1) = (x0.wrapping_add(k0), x1.wrapping_add(k1));
    for group in 0..5 {
        for turn in turns[group % 2] {
            x0 = x0.wrapping_add(x1);
            x1 = x1.rotate_left(turn) ^ x0;
        }
        x0 = x0.wrapping_add(keys[(group + 1) % 3]);
        x1 = x1.wrapping_add(keys[(group + 2) % 3]).wrapping_add(group as u32 + 1);
    }
    (x0, x1)
}
"),
];

const C: &[Helper] = &[
    ("sigmoid", FLOATS, "
static $F sigmoid_$K($F x) {
    $F e = exp$s(-fabs$s(x));
    return (x < 0 ? e : 1) / (e + 1);
}
"),
    ("sign", "f32 f64 i32 u32", "
static $F sign_$K($F x) {
    return x > 0 ? ($F)1 : x < 0 ? ($F)-1 : x;
}
"),
    ("max", FLOATS, "
static $F max_$K($F x, $F y) {
    return isnan(x) || x > y || (x == y && !signbit(x)) ? x : y;
}
"),
    ("min", FLOATS, "
static $F min_$K($F x, $F y) {
    return isnan(x) || x < y || (x == y && signbit(x)) ? x : y;
}
"),
    ("max", INTEGERS, "static $F max_$K($F x, $F y) {\n    return x > y ? x : y;\n}\n"),
    ("min", INTEGERS, "static $F min_$K($F x, $F y) {\n    return x < y ? x : y;\n}\n"),
    ("powi", FLOATS, "
static $F powi_$K($F x, int32_t n) {
    $F y = 1;
    uint32_t left = n < 0 ? 0u - (uint32_t)n : (uint32_t)n;
    for (; left > 0; left >>= 1, x *= x) {
        if (left & 1) y *= x;
    }
    return n < 0 ? 1 / y : y;
}
"),
    ("powi", INTEGERS, "
static $F powi_$K($F x, int32_t n) {
    uint32_t y = 1, base = (uint32_t)x, left = n < 0 ? 0u - (uint32_t)n : (uint32_t)n;
    for (; left > 0; left >>= 1, base *= base) {
        if (left & 1) y *= base;
    }
    return n < 0 ? div_$K(1, ($F)y) : ($F)y;
}
"),
    ("div", "i32", "
static int32_t div_i32(int32_t x, int32_t y) {
    return y == 0 ? -1 : y == -1 ? (int32_t)(0u - (uint32_t)x) : x / y;
}
"),
    ("rem", "i32", "
static int32_t rem_i32(int32_t x, int32_t y) {
    return y == 0 ? x : y == -1 ? 0 : x % y;
}
"),
    ("div", "u32", "static uint32_t div_u32(uint32_t x, uint32_t y) {\n    return y == 0 ? ~0u : x / y;\n}\n"),
    ("rem", "u32", "static uint32_t rem_u32(uint32_t x, uint32_t y) {\n    return y == 0 ? x : x % y;\n}\n"),
    ("to", "i32", "
/* Saturates; NaN gives 0. */
static int32_t to_i32(double x) {
    return isnan(x) ? 0 : x <= -2147483648.0 ? INT32_MIN : x >= 2147483647.0 ? INT32_MAX : (int32_t)x;
}
"),
    ("to", "u32", "
/* Saturates; NaN gives 0. */
static uint32_t to_u32(double x) {
    return !(x > 0) ? 0 : x >= 4294967295.0 ? UINT32_MAX : (uint32_t)x;
}
"),
    ("erf_inv", "f64", "
/* By Halley's method, from Winitzki's approximation. */
static double erf_inv_f64(double x) {
    if (!(fabs(x) < 1)) return fabs(x) == 1 ? x * INFINITY : NAN;
    double l = log1p(-x * x), half = 4.33 + 0.5 * l;
    double y = copysign(sqrt(sqrt(half * half - l / 0.147) - half), x);
    for (int i = 0; i < 4; i++) {
        double step = (erf(y) - x) / (1.1283791670955126 * exp(-y * y));
        y -= step / (1 + y * step);
    }
    return y;
}
"),
    ("erf_inv", "f32", "static float erf_inv_f32(float x) {\n    return (float)erf_inv_f64(x);\n}\n"),
    ("bits", "f32", "static uint32_t bits_f32(float x) {\n    uint32_t y;\n    memcpy(&y, &x, 4);\n    return y;\n}\n"),
    ("from_bits", "f32", "static float from_bits_f32(uint32_t x) {\n    float y;\n    memcpy(&y, &x, 4);\n    return y;\n}\n"),
    ("threefry", "u32", "
/* Threefry-2x32 with 20 rounds. */
static void threefry_u32(uint32_t k0, uint32_t k1, uint32_t x0, uint32_t x1, uint32_t out[2]) {
    static const int turns[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
    const uint32_t keys[3] = {k0, k1, k0 ^ k1 ^ 0x1BD11BDAu};
    x0 += k0;
    x1 += k1;
    for (int group = 0; group < 5; group++) {
        for (int i = 0; i < 4; i++) {
            int turn = turns[group % 2][i];
            x0 += x1;
            x1 = (x1 << turn | x1 >> (32 - turn)) ^ x0;
        }
        x0 += keys[(group + 1) % 3];
        x1 += keys[(group + 2) % 3] + (uint32_t)group + 1;
    }
    out[0] = x0;
    out[1] = x1;
}
"),
];
