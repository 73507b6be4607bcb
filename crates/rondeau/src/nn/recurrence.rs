//! Linear recurrences in parallel over time.

use crate::{Array, Tree, associative_scan};

/// All states of `h[t] = a[t]∘h[t-1] + b[t]`, in a logarithmic number of rounds.
///
/// # Shapes
/// `a, b: [time, ..]`, `h0: [..]` → `[time, ..]`.
/// # Source
/// Blelloch 1990, section 1.4.
/// # Examples
/// ```
/// use rondeau::{Array, nn};
///
/// let a = Array::from([0.5_f32, 0.5, 2.0]);
/// let b = Array::from([1.0_f32, 0.0, 3.0]);
/// let h = nn::linear_recurrence(&a, &b, &Array::from(2.0_f32));
/// assert_eq!(h.to_vec::<f32>()?, [2.0, 1.0, 5.0]);
/// # Ok::<(), rondeau::Error>(())
/// ```
#[track_caller]
pub fn linear_recurrence(a: &Array, b: &Array, h0: &Array) -> Array {
    // A step is the map h -> a·h + b; one after another they are again such a map.
    let combine = |(a1, b1): &(Array, Array), (a2, b2): &(Array, Array)| (a2 * a1, a2 * b1 + b2);
    let (a, b) = associative_scan(combine, &(a.clone(), b.clone()));
    a * h0 + b
}

/// Complex numbers as two arrays of one shape.
#[derive(Clone, Debug, Tree)]
pub struct Complex {
    /// The real parts.
    pub re: Array,
    /// The imaginary parts.
    pub im: Array,
}

impl Complex {
    /// Two arrays as one.
    pub fn new(re: impl Into<Array>, im: impl Into<Array>) -> Complex {
        Complex { re: re.into(), im: im.into() }
    }

    /// `eˣ⁺ⁱʸ`.
    #[track_caller]
    pub fn exp(&self) -> Complex {
        let length = self.re.exp();
        Complex::new(&length * self.im.cos(), &length * self.im.sin())
    }

    /// Products of corresponding numbers.
    #[track_caller]
    pub fn mul(&self, other: &Complex) -> Complex {
        let re = &self.re * &other.re - &self.im * &other.im;
        Complex::new(re, &self.re * &other.im + &self.im * &other.re)
    }

    /// Sums of corresponding numbers.
    #[track_caller]
    pub fn add(&self, other: &Complex) -> Complex {
        Complex::new(&self.re + &other.re, &self.im + &other.im)
    }

    /// Quotients of corresponding numbers.
    #[track_caller]
    pub fn div(&self, other: &Complex) -> Complex {
        let square = other.re.square() + other.im.square();
        let re = (&self.re * &other.re + &self.im * &other.im) / &square;
        Complex::new(re, (&self.im * &other.re - &self.re * &other.im) / square)
    }

    /// The product of a complex matrix and a real vector.
    #[track_caller]
    pub fn dot_real(&self, x: &Array) -> Complex {
        Complex::new(self.re.dot(x), self.im.dot(x))
    }

    /// The real part of the product of a complex matrix and a complex vector.
    #[track_caller]
    pub fn dot_to_real(&self, x: &Complex) -> Array {
        self.re.dot(&x.re) - self.im.dot(&x.im)
    }

    /// Products of corresponding complex and real numbers.
    #[track_caller]
    pub fn scale(&self, by: &Array) -> Complex {
        Complex::new(&self.re * by, &self.im * by)
    }

    /// The matrix with its axes exchanged; no number is conjugated.
    #[track_caller]
    pub fn t(&self) -> Complex {
        Complex::new(self.re.t(), self.im.t())
    }

    /// The rows at an index.
    #[track_caller]
    pub fn at(&self, i: i32) -> Complex {
        Complex::new(self.re.at(i), self.im.at(i))
    }

    /// The same numbers `n` times along a new first axis.
    #[track_caller]
    pub fn repeated(&self, n: usize) -> Complex {
        let repeated = |x: &Array| x.broadcast_to([&[n], x.shape()].concat());
        Complex::new(repeated(&self.re), repeated(&self.im))
    }

    /// The products of real rows with this matrix: `xs: [time, n]` by `[n, m]` → `[time, m]`.
    #[track_caller]
    pub fn project(&self, xs: &Array) -> Complex {
        Complex::new(xs.dot(&self.re), xs.dot(&self.im))
    }

    /// The real parts of the products of complex rows with this matrix.
    #[track_caller]
    pub fn project_to_real(&self, xs: &Complex) -> Array {
        xs.re.dot(&self.re) - xs.im.dot(&self.im)
    }
}

/// [`linear_recurrence`] of complex numbers.
///
/// # Shapes
/// `a, b: [time, ..]`, `h0: [..]` → `[time, ..]`.
#[track_caller]
pub fn complex_recurrence(a: &Complex, b: &Complex, h0: &Complex) -> Complex {
    let combine = |(a1, b1): &(Complex, Complex), (a2, b2): &(Complex, Complex)| {
        (a2.mul(a1), a2.mul(b1).add(b2))
    };
    let (a, b) = associative_scan(combine, &(a.clone(), b.clone()));
    a.mul(h0).add(&b)
}
