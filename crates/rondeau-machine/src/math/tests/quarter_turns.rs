//! Angles of any size, brought to at most an eighth of a turn without loss: π with 1,300 binary digits, computed
//! here, and `x·2/π` as a product of whole numbers.
//!
//! The double nearest to a multiple of π/2 is about 2⁻⁶² turns away from it (Kahan), and a double is less than
//! 2¹⁰²⁴: with 1,300 digits of 2/π at least 100 of the difference are right.

use super::double_double::Dd;
use std::f64::consts::FRAC_PI_4;

/// Words of a fixed-point number behind the point.
const WORDS: usize = 42;

/// A number from 0 to below 2³², in words of 32 bits, the whole part first.
#[derive(Clone)]
struct Fixed([u32; WORDS + 1]);

impl Fixed {
    fn whole(n: u32) -> Fixed {
        let mut words = [0; WORDS + 1];
        words[0] = n;
        Fixed(words)
    }

    fn is_zero(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }

    fn divided(&self, by: u32) -> Fixed {
        let mut rest = 0u64;
        Fixed(self.0.map(|word| {
            let part = rest << 32 | u64::from(word);
            rest = part % u64::from(by);
            (part / u64::from(by)) as u32
        }))
    }

    /// The sum modulo 2³².
    fn plus(&self, other: &Fixed) -> Fixed {
        let mut words = [0; WORDS + 1];
        let mut carry = 0u64;
        for i in (0..=WORDS).rev() {
            let sum = u64::from(self.0[i]) + u64::from(other.0[i]) + carry;
            words[i] = sum as u32;
            carry = sum >> 32;
        }
        Fixed(words)
    }

    /// The difference modulo 2³².
    fn minus(&self, other: &Fixed) -> Fixed {
        let mut complement = Fixed(other.0.map(|word| !word));
        let mut least = [0; WORDS + 1];
        least[WORDS] = 1;
        complement = complement.plus(&Fixed(least));
        self.plus(&complement)
    }

    fn doubled(&self) -> Fixed {
        self.plus(self)
    }

    /// `Σ (-1)ⁿ / ((2n + 1)·k^(2n + 1))`
    fn atan_of_inverse(k: u32) -> Fixed {
        let mut power = Fixed::whole(1).divided(k);
        let mut sum = Fixed::whole(0);
        let mut n = 0;
        while !power.is_zero() {
            let term = power.divided(2 * n + 1);
            sum = if n % 2 == 0 { sum.plus(&term) } else { sum.minus(&term) };
            power = power.divided(k * k);
            n += 1;
        }
        sum
    }

    /// π/4 by Machin's formula, `4·atan(1/5) - atan(1/239)`.
    fn quarter_pi() -> Fixed {
        let fifth = Fixed::atan_of_inverse(5).doubled().doubled();
        fifth.minus(&Fixed::atan_of_inverse(239))
    }

    /// `self / other`, bit by bit, for `self < other < 2³¹`.
    fn over(&self, other: &Fixed) -> Fixed {
        let (mut rest, mut quotient) = (self.clone(), Fixed::whole(0));
        for i in 0..32 * WORDS {
            rest = rest.doubled();
            if rest.0 >= other.0 {
                rest = rest.minus(other);
                quotient.0[1 + i / 32] |= 1 << (31 - i % 32);
            }
        }
        quotient
    }
}

/// The table that angles are brought down with.
pub(super) struct QuarterTurns {
    /// The digits of 2/π, which begin behind the point.
    inverse: Fixed,
}

impl QuarterTurns {
    pub(super) fn new() -> QuarterTurns {
        // 2/π = ½ / (π/4)
        QuarterTurns { inverse: Fixed::whole(1).divided(2).over(&Fixed::quarter_pi()) }
    }

    /// `n mod 4` and `r` with `|x| = n·π/2 + r` and `|r| ≤ π/4`.
    fn reduced(&self, x: f64) -> (u32, Dd) {
        let x = x.abs();
        if x <= FRAC_PI_4 {
            return (0, Dd::from(x));
        }
        // x = m·2^e with a whole m; since x is above π/4, e is at least -53.
        let bits = x.to_bits();
        let e = (bits >> 52) as i32 - 1075;
        let m = bits & ((1 << 52) - 1) | 1 << 52;
        // Digits of 2/π whose products with x are multiples of 4 are left out: those before `first`.
        let first = (e - 2).max(0) as usize;
        let word = |i: usize| -> u32 {
            // The 32 digits from `first + 32·i` on.
            let at = first + 32 * i;
            let digits = |k: usize| u64::from(self.inverse.0.get(1 + k).copied().unwrap_or(0));
            let pair = digits(at / 32) << 32 | digits(at / 32 + 1);
            (pair >> (32 - at % 32)) as u32
        };
        // m times eight words of digits, the least first.
        let mut product = [0u32; 10];
        let mut carry = 0u128;
        for (i, digits) in product.iter_mut().take(8).enumerate() {
            let sum = u128::from(m) * u128::from(word(7 - i)) + carry;
            *digits = sum as u32;
            carry = sum >> 32;
        }
        product[8] = carry as u32;
        product[9] = (carry >> 32) as u32;
        // The product counts in units of 2^(e - first - 256): the point is that many digits from the right.
        let point = (256 + first as i32 - e) as usize;
        let digit = |i: usize| product[i / 32] >> (i % 32) & 1;
        let from = |high: usize, n: usize| {
            (0..n).fold(0u64, |bits, i| {
                bits << 1 | high.checked_sub(i).map_or(0, |i| u64::from(digit(i)))
            })
        };
        let mut n = digit(point) + if point + 1 < 320 { 2 * digit(point + 1) } else { 0 };
        // The fraction, from -½ to ½: if it is one half or more, its complement, which one more turn makes up for.
        let half = digit(point - 1) == 1;
        let mut high = point - 1;
        let flip = if half { u64::MAX } else { 0 };
        while high > 0 && (digit(high) == 1) == half {
            high -= 1;
        }
        // Three times 50 digits; the last of the complement is off by one in 150.
        let mut fraction = Dd::from(0.0);
        for k in (0..3).rev() {
            let top = high as i32 - 50 * k;
            if top < 0 {
                continue;
            }
            let digits = (from(top as usize, 50) ^ flip) & ((1 << 50) - 1);
            let weight = 2f64.powi(top - 49 - point as i32);
            fraction = fraction + Dd::from(digits as f64 * weight);
        }
        if half {
            n = (n + 1) % 4;
            fraction = Dd::from(0.0) - fraction;
        }
        (n % 4, fraction * Dd::half_pi())
    }

    pub(super) fn sin(&self, x: f64) -> Dd {
        let (n, r) = self.reduced(x);
        let y = match n {
            0 => r.sin_series(),
            1 => r.cos_series(),
            2 => Dd::from(0.0) - r.sin_series(),
            _ => Dd::from(0.0) - r.cos_series(),
        };
        if x < 0.0 { Dd::from(0.0) - y } else { y }
    }

    pub(super) fn cos(&self, x: f64) -> Dd {
        let (n, r) = self.reduced(x);
        match n {
            0 => r.cos_series(),
            1 => Dd::from(0.0) - r.sin_series(),
            2 => Dd::from(0.0) - r.cos_series(),
            _ => r.sin_series(),
        }
    }
}

#[test]
fn large_angles_are_reduced_as_known() {
    let turns = QuarterTurns::new();
    // The first words of 2/π.
    assert_eq!(turns.inverse.0[..4], [0, 0xA2F9836E, 0x4E441529, 0xFC2757D1]);
    // Values computed with 60 digits.
    let known = [
        (1e22, -0.8522008497671888, 0.5232147853951389),
        (1e300, -0.8178819121159085, -0.5753861119575491),
        // The double nearest to a multiple of π/2, in proportion.
        (5.319372648326541e255, 1.0, -4.687165924254624e-19),
    ];
    for (x, sin, cos) in known {
        let close = |got: f64, need: f64| (got - need).abs() <= 1e-15 * need.abs();
        assert!(close(turns.sin(x).high(), sin), "sin {x:e} = {:e}", turns.sin(x).high());
        assert!(close(turns.cos(x).high(), cos), "cos {x:e} = {:e}", turns.cos(x).high());
    }
    for x in [0.5, 0.8, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 100.0, 12345.678] {
        for x in [x, -x] {
            assert!((turns.sin(x).high() - x.sin()).abs() < 2e-16, "sin {x}");
            assert!((turns.cos(x).high() - x.cos()).abs() < 2e-16, "cos {x}");
        }
    }
}
