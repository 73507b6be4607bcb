//! Arithmetic with about 100 bits, for references: a number is the sum of two doubles.

use std::ops::{Add, Div, Mul, Sub};

#[derive(Clone, Copy, Debug)]
pub(super) struct Dd {
    high: f64,
    low: f64,
}

impl From<f64> for Dd {
    fn from(high: f64) -> Dd {
        Dd { high, low: 0.0 }
    }
}

impl Dd {
    /// `a + b`, exactly (Knuth's two-sum).
    pub(super) fn sum(a: f64, b: f64) -> Dd {
        let high = a + b;
        let c = high - a;
        Dd { high, low: (a - (high - c)) + (b - c) }
    }

    /// `a·b`, exactly unless it underflows.
    fn product(a: f64, b: f64) -> Dd {
        let high = a * b;
        Dd { high, low: a.mul_add(b, -high) }
    }

    pub(super) fn high(self) -> f64 {
        self.high
    }

    /// `π/2`
    pub(super) fn half_pi() -> Dd {
        Dd { high: std::f64::consts::FRAC_PI_2, low: 6.123233995736766e-17 }
    }

    /// `self·2ⁿ`
    pub(super) fn scaled(self, n: i32) -> Dd {
        // In two steps: 2^n may be no double.
        let (a, b) = (2f64.powi(n / 2), 2f64.powi(n - n / 2));
        Dd { high: self.high * a * b, low: self.low * a * b }
    }

    /// `e^x - 1` by its series, for `|x|` up to 2^-8.
    fn exp_m1_series(self) -> Dd {
        let mut sum = Dd::from(0.0);
        for k in (1..=13).rev() {
            sum = (sum + Dd::from(1.0)) * self / Dd::from(f64::from(k));
        }
        sum
    }

    fn ln_2() -> Dd {
        Dd { high: std::f64::consts::LN_2, low: 2.3190468138462996e-17 }
    }

    pub(super) fn exp(self) -> Dd {
        let n = (self.high * std::f64::consts::LOG2_E).round();
        let r = (self - Dd::from(n) * Dd::ln_2() - Dd::from(n * 5.707708438416212e-34)).scaled(-8);
        let mut y = r.exp_m1_series();
        // (1 + y)² - 1 = 2y + y²
        for _ in 0..8 {
            y = y + y + y * y;
        }
        (y + Dd::from(1.0)).scaled(n as i32)
    }

    pub(super) fn exp_m1(self) -> Dd {
        if self.high.abs() < 1.0 / 256.0 {
            self.exp_m1_series()
        } else {
            self.exp() - Dd::from(1.0)
        }
    }

    /// One step of Newton's method from the logarithm in double precision.
    pub(super) fn ln(self) -> Dd {
        // `e^-y` must be far from where numbers lose digits.
        if self.high < 1e-200 {
            return self.scaled(512).ln() - Dd::from(512.0) * Dd::ln_2();
        }
        if self.high > 1e200 {
            return self.scaled(-512).ln() + Dd::from(512.0) * Dd::ln_2();
        }
        let y = Dd::from(self.high.ln());
        let d = self * (Dd::from(0.0) - y).exp() - Dd::from(1.0);
        y + d - d * d / Dd::from(2.0)
    }

    /// `x - x³/3! + x⁵/5! - …`, for `|x|` up to 1.
    pub(super) fn sin_series(self) -> Dd {
        self * self.alternating(1.0)
    }

    /// `1 - x²/2! + x⁴/4! - …`, for `|x|` up to 1.
    pub(super) fn cos_series(self) -> Dd {
        self.alternating(0.0)
    }

    /// `1 - x²/((k + 1)(k + 2)) + x⁴/((k + 1)(k + 2)(k + 3)(k + 4)) - …`, 14 terms from the last to the first.
    fn alternating(self, k: f64) -> Dd {
        let square = self * self;
        let mut sum = Dd::from(1.0);
        for i in (1..=14).rev() {
            let i = f64::from(i);
            let divisor = (2.0 * i - 1.0 + k) * (2.0 * i + k);
            sum = Dd::from(1.0) - sum * square / Dd::from(divisor);
        }
        sum
    }

    /// One step of Newton's method from the root in double precision.
    pub(super) fn sqrt(self) -> Dd {
        let y = Dd::from(self.high.sqrt());
        y + (self - y * y) / (y + y)
    }

    /// `2/√π·e^(-x²)·Σ 2ⁿ·x^(2n+1)/(2n+1)!!`, all terms of one sign.
    pub(super) fn erf(self) -> Dd {
        let two_over_root_pi =
            Dd { high: std::f64::consts::FRAC_2_SQRT_PI, low: 1.533545961316588e-17 };
        let square = self * self;
        let (mut term, mut sum) = (self, self);
        let mut n = 0.0;
        while term.high.abs() > sum.high.abs() * 1e-33 {
            term = term * square * Dd::from(2.0) / Dd::from(2.0 * n + 3.0);
            sum = sum + term;
            n += 1.0;
        }
        two_over_root_pi * sum * (Dd::from(0.0) - square).exp()
    }
}

impl Add for Dd {
    type Output = Dd;
    fn add(self, other: Dd) -> Dd {
        let s = Dd::sum(self.high, other.high);
        let t = Dd::sum(self.low, other.low);
        let s = Dd::sum(s.high, s.low + t.high);
        Dd::sum(s.high, s.low + t.low)
    }
}

impl Sub for Dd {
    type Output = Dd;
    fn sub(self, other: Dd) -> Dd {
        self + Dd { high: -other.high, low: -other.low }
    }
}

impl Mul for Dd {
    type Output = Dd;
    fn mul(self, other: Dd) -> Dd {
        let p = Dd::product(self.high, other.high);
        Dd::sum(p.high, p.low + (self.high * other.low + self.low * other.high))
    }
}

impl Div for Dd {
    type Output = Dd;
    fn div(self, other: Dd) -> Dd {
        let q = self.high / other.high;
        let r = self - Dd::from(q) * other;
        let q2 = r.high / other.high;
        let r = r - Dd::from(q2) * other;
        Dd::sum(q, q2) + Dd::from(r.high / other.high)
    }
}
