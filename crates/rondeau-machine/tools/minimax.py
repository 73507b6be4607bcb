"""Prints the polynomials of `src/math/poly.rs`: minimax fits by the exchange algorithm of Remez.

Needs mpmath. Each fit minimises the largest |p(t) - g(t)|·w(t) over an interval; the line above the
coefficients says which, and how large the error is before and after the coefficients are rounded.
"""

import struct
from mpmath import mp, mpf

mp.dps = 60


def remez(g, w, lo, hi, degree):
    n = degree + 2
    nodes = [(lo + hi) / 2 - (hi - lo) / 2 * mp.cos(mp.pi * i / (n - 1)) for i in range(n)]
    grid = [(lo + hi) / 2 - (hi - lo) / 2 * mp.cos(mp.pi * i / 1500) for i in range(1501)]
    values = [(t, g(t), w(t)) for t in grid]
    for _ in range(12):
        a = mp.matrix(n, n)
        b = mp.matrix(n, 1)
        for i, t in enumerate(nodes):
            for j in range(degree + 1):
                a[i, j] = t**j
            a[i, degree + 1] = (-1) ** i / w(t)
            b[i] = g(t)
        x = mp.lu_solve(a, b)
        c = [x[j] for j in range(degree + 1)]
        err = [(t, (mp.polyval(c[::-1], t) - v) * u) for t, v, u in values]
        # One extremum per run of equal sign; keep the n largest neighbours.
        runs = []
        for t, e in err:
            if runs and (e > 0) == (runs[-1][1] > 0):
                if abs(e) > abs(runs[-1][1]):
                    runs[-1] = (t, e)
            else:
                runs.append((t, e))
        while len(runs) > n:
            runs.pop(0 if abs(runs[0][1]) < abs(runs[-1][1]) else -1)
        if len(runs) < n:
            break
        nodes = [t for t, _ in runs]
        big, small = max(abs(e) for _, e in runs), min(abs(e) for _, e in runs)
        if big / small < 1.001:
            break
    return c, max(abs(e) for _, e in err), values


def rounded(c, single):
    return mpf(struct.unpack("f", struct.pack("f", float(c)))[0]) if single else mpf(float(c))


def show(name, g, w, lo, hi, degree, single):
    c, err, values = remez(g, w, mpf(lo), mpf(hi), degree)
    r = [rounded(x, single) for x in c]
    after = max(abs((mp.polyval(r[::-1], t) - v) * u) for t, v, u in values)
    print(f"{name}: degree {degree}, error {mp.nstr(err, 3)}, rounded {mp.nstr(after, 3)}")
    for x in r[::-1]:
        print("   ", repr(float(x)) + ",")


def by_series(f, series, radius=mpf("1e-3")):
    """`f` away from zero, where it is cancellation-free enough, and a Taylor series near zero."""
    return lambda t: series(t) if abs(t) < radius else f(t)


def taylor(coefficient, terms=24):
    return lambda t: sum(coefficient(i) * t**i for i in range(terms))


one = lambda t: mpf(1)
half_ln2 = mp.log(2) / 2 * mpf("1.0001")
exp_g = by_series(lambda r: (mp.expm1(r) - r) / r**2, taylor(lambda i: 1 / mp.factorial(i + 2)))
# R of log(1+f) = 2s + s·z·R(z), s = f/(2+f), z = s²
atanh_g = by_series(
    lambda z: (2 * mp.atanh(mp.sqrt(z)) / mp.sqrt(z) - 2) / z, taylor(lambda i: mpf(2) / (2 * i + 3))
)
erf_g = by_series(
    lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1,
    lambda z: 2 / mp.sqrt(mp.pi) * taylor(lambda i: mpf(-1) ** i / mp.factorial(i) / (2 * i + 1))(z) - 1,
)
erfc_g = lambda x: -mp.log(mp.erfc(x))
erfc_w = lambda x: mp.erfc(x)
sin_g = by_series(
    lambda z: (mp.sin(mp.sqrt(z)) / mp.sqrt(z) - 1) / z,
    taylor(lambda i: mpf(-1) ** (i + 1) / mp.factorial(2 * i + 3)),
)
cos_g = by_series(
    lambda z: (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2,
    taylor(lambda i: mpf(-1) ** i / mp.factorial(2 * i + 4)),
)
quarter = (mp.pi / 4 * mpf("1.0001")) ** 2
root2 = mp.sqrt(2)

DEGREES = [
    (True, dict(e=4, a=2, f=6, c=6, s=2, k=2)),
    (False, dict(e=9, a=6, f=11, c=17, s=5, k=5)),
]
for single, d in DEGREES:
    print("f32" if single else "f64")
    show("EXP   (e^r - 1 - r)/r²", exp_g, lambda r: abs(r) + mpf("1e-6"), -half_ln2, half_ln2, d["e"], single)
    z = ((root2 - 1) / (root2 + 1)) ** 2 * mpf("1.0001")
    show("LOG   (2·atanh(√z)/√z - 2)/z", atanh_g, lambda t: t + mpf("1e-6"), 0, z, d["a"], single)
    show("ERF   erf(√z)/√z - 1", erf_g, one, 0, 1, d["f"], single)
    show("ERFC  -log(erfc(x))", erfc_g, erfc_w, 1, 4 if single else 6, d["c"], single)
    show("SIN   (sin(√z)/√z - 1)/z", sin_g, lambda z: z + mpf("1e-9"), 0, quarter, d["s"], single)
    show("COS   (cos(√z) - 1 + z/2)/z²", cos_g, lambda z: z**2 + mpf("1e-12"), 0, quarter, d["k"], single)
