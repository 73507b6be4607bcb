#!/usr/bin/env python3
"""The cells of the w8 and w9 workloads in JAX, written as `rondeau bench` has them.

    peers_cells.py WORKLOAD [--variant scan,unroll4,hoisted,parallel] [--budget SECONDS]

WORKLOAD is w8f_lnlstm, w8g_lnlstm, w8f_mgu, w8g_mgu, w8f_s6, w8g_s6 (an LSTM with layer norms, a minimal
gated unit, a selective state space); w9f_ or w9g_ and the name that `rondeau --cell` has for a cell of
`rondeau::nn`, such as w9f_peephole-lstm; or `all`. f is the forward pass of one sequence (T=1000, I=64,
H=128), g value and gradients by all parameters of the mean squared error for a batch of 32 (T=100).

Sizes of w9 are those of rondeau: projected-lstm projects to 64; lru has 128 complex states and s5 64, both
with 64 outputs; selective-ssm has 128 channels (so I=128), 16 states a channel and steps in time of rank 8.
Initial weights are of the same distributions (the numbers are others), first carries are the same.

Variants: `scan` is the plain step; `unroll4` the same with unroll=4; `hoisted` has, by hand, the products
with the inputs before the loop, those of the outputs behind it where the state does not need them, and one
product a step; `parallel` (cells that are linear in their state) is `lax.associative_scan`. One JSON line
for each variant on standard output; a cell without a variant passes over it. `max_err` is the largest
difference to the same function in float64, relative to the largest magnitude of each array.
It says nothing of two workloads: the layer-norm LSTM with its initial weights is chaotic over 1000 steps,
and the gradient of the sLSTM by its input bias is zero but for rounding.

Needs numpy and jax (measured with 0.10.2). One thread: pin it with `taskset -c 0`.
"""
import argparse
import json
import os
import time

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_ENABLE_X64"] = "1"
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.nn import log_sigmoid, relu, sigmoid, softplus

STATES, RANK = 16, 8
INPUTS, HIDDEN = 64, 128
FORWARD, GRADIENT = (1000, None), (100, 32)


class Draw:
    """Normal numbers, each time others."""

    def __init__(self):
        self.rng = np.random.default_rng(0)

    def normal(self, *shape):
        return self.rng.standard_normal(shape)

    def weights(self, rows, cols):
        return self.normal(rows, cols) / np.sqrt(cols)

    def bias(self, n):
        return 0.1 * self.normal(n)

    def gate(self, inputs, hidden):
        return dict(w=self.weights(hidden, inputs), u=self.weights(hidden, hidden), b=self.bias(hidden))

    def norm(self, n):
        return dict(gain=1 + self.bias(n), offset=self.bias(n))

    # From here on the initial weights of `rondeau::nn`.

    def lecun(self, *shape):
        """Normal numbers cut at two deviations, with the variance 1/inputs."""
        x = self.normal(*shape)
        while (cut := np.abs(x) > 2).any():
            x[cut] = self.normal(int(cut.sum()))
        return x / (0.8796256610342398 * np.sqrt(shape[-1]))

    def uniform(self, low, high, n):
        return self.rng.uniform(low, high, n)

    def orthogonal(self, rows, cols):
        q, r = np.linalg.qr(self.normal(max(rows, cols), min(rows, cols)))
        q = q * np.sign(np.diag(r))
        return q if rows >= cols else q.T

    def nn_gate(self, inputs, hidden, recurrent=None):
        u = self.orthogonal(hidden, recurrent or hidden)
        return dict(w=self.lecun(hidden, inputs), u=u, b=np.zeros(hidden))

    def nn_gates(self, names, inputs, hidden, recurrent=None):
        gates = {name: self.nn_gate(inputs, hidden, recurrent) for name in names.split()}
        if "forget" in gates and "output" in gates:
            gates["forget"]["b"] = np.ones(hidden)
        return gates

    def linear(self, inputs, outputs):
        return dict(w=self.lecun(outputs, inputs), b=np.zeros(outputs))

    def complex_weight(self, rows, cols):
        deviation = np.sqrt(0.5 / cols)
        return dict(re=deviation * self.normal(rows, cols), im=deviation * self.normal(rows, cols))


def gate_of(p, h, x):
    return p["w"] @ x + p["u"] @ h + p["b"]


def norm_of(p, x):
    centered = x - x.mean(-1, keepdims=True)
    variance = (centered**2).mean(-1, keepdims=True)
    return centered * lax.rsqrt(variance + 1e-5) * p["gain"] + p["offset"]


class LnLstm:
    @staticmethod
    def init(d, inputs, hidden):
        gates = [d.gate(inputs, hidden) for _ in range(4)]
        return dict(gates=gates, norms=[d.norm(hidden) for _ in range(4)], cell=d.norm(hidden))

    @staticmethod
    def start(d, hidden):
        return (0.1 * d.normal(hidden), 0.1 * d.normal(hidden))

    @staticmethod
    def step(p, carry, x):
        h, c = carry
        gate = lambda k: norm_of(p["norms"][k], gate_of(p["gates"][k], h, x))
        c = sigmoid(gate(0)) * c + sigmoid(gate(1)) * jnp.tanh(gate(2))
        h = sigmoid(gate(3)) * jnp.tanh(norm_of(p["cell"], c))
        return (h, c), h

    @staticmethod
    def hoisted(p, init, xs):
        """By hand: products with the inputs before the loop, one product a step."""
        w = jnp.concatenate([g["w"] for g in p["gates"]])
        u = jnp.concatenate([g["u"] for g in p["gates"]])
        b = jnp.concatenate([g["b"] for g in p["gates"]])
        gain = jnp.stack([n["gain"] for n in p["norms"]])
        offset = jnp.stack([n["offset"] for n in p["norms"]])

        def step(carry, xw):
            h, c = carry
            a = norm_of(dict(gain=gain, offset=offset), (xw + u @ h).reshape(4, -1))
            c = sigmoid(a[0]) * c + sigmoid(a[1]) * jnp.tanh(a[2])
            h = sigmoid(a[3]) * jnp.tanh(norm_of(p["cell"], c))
            return (h, c), h

        return lax.scan(step, init, xs @ w.T + b)[1]


class Mgu:
    @staticmethod
    def init(d, inputs, hidden):
        return dict(forget=d.gate(inputs, hidden), candidate=d.gate(inputs, hidden))

    @staticmethod
    def start(d, hidden):
        return 0.1 * d.normal(hidden)

    @staticmethod
    def step(p, h, x):
        f = sigmoid(gate_of(p["forget"], h, x))
        h = (1 - f) * h + f * jnp.tanh(gate_of(p["candidate"], f * h, x))
        return h, h

    @staticmethod
    def hoisted(p, init, xs):
        w = jnp.concatenate([p["forget"]["w"], p["candidate"]["w"]])
        b = jnp.concatenate([p["forget"]["b"], p["candidate"]["b"]])
        n = init.shape[-1]

        def step(h, xw):
            f = sigmoid(xw[:n] + p["forget"]["u"] @ h)
            h = h + f * (jnp.tanh(xw[n:] + p["candidate"]["u"] @ (f * h)) - h)
            return h, h

        return lax.scan(step, init, xs @ w.T + b)[1]


class S6:
    @staticmethod
    def init(d, inputs, hidden):
        return dict(
            w=d.weights(hidden, inputs),
            narrow=d.weights(RANK, hidden),
            widen=d.weights(hidden, RANK),
            bias=d.bias(hidden) - 2,
            log_decay=0.5 * d.normal(hidden, STATES) + 1,
            b=d.weights(STATES, hidden),
            c=d.weights(STATES, hidden),
            skip=1 + d.bias(hidden),
        )

    @staticmethod
    def start(d, hidden):
        return 0.1 * d.normal(hidden, STATES)

    @staticmethod
    def step(p, h, x):
        u = p["w"] @ x
        delta = softplus(p["widen"] @ (p["narrow"] @ u) + p["bias"])
        h = jnp.exp(-jnp.exp(p["log_decay"]) * delta[:, None]) * h + jnp.outer(delta * u, p["b"] @ u)
        return h, h @ (p["c"] @ u) + p["skip"] * u

    @staticmethod
    def hoisted(p, init, xs):
        us = xs @ p["w"].T
        deltas = softplus(us @ p["narrow"].T @ p["widen"].T + p["bias"])
        decay = -jnp.exp(p["log_decay"])

        def step(h, row):
            u, delta, b, c = row
            h = jnp.exp(decay * delta[:, None]) * h + jnp.outer(delta * u, b)
            return h, h @ c

        rows = (us, deltas, us @ p["b"].T, us @ p["c"].T)
        return lax.scan(step, init, rows)[1] + p["skip"] * us


def nn_norm(n):
    return dict(gain=np.ones(n), offset=np.zeros(n))


def stacked(*gates):
    """Several gates as one: one product instead of several."""
    return {key: jnp.concatenate([gate[key] for gate in gates]) for key in gates[0]}


def rows_of(gate, xs):
    return xs @ gate["w"].T + gate["b"]


def linear_of(p, x):
    return p["w"] @ x + p["b"]


def linear_recurrence(a, b, h0):
    """All h[t] = a[t] h[t-1] + b[t] at once."""
    combine = lambda one, two: (two[0] * one[0], two[0] * one[1] + two[1])
    a, b = lax.associative_scan(combine, (a, b))
    return a * h0 + b


class OneState:
    """A cell whose carry is its output."""

    @staticmethod
    def start(_, hidden):
        return np.zeros(hidden)


class Rnn(OneState):
    @staticmethod
    def init(d, inputs, hidden):
        return d.nn_gate(inputs, hidden)

    @staticmethod
    def step(p, h, x):
        h = jnp.tanh(gate_of(p, h, x))
        return h, h

    @staticmethod
    def hoisted(p, init, xs):
        def step(h, xw):
            h = jnp.tanh(xw + p["u"] @ h)
            return h, h

        return lax.scan(step, init, rows_of(p, xs))[1]


class IndRnn(OneState):
    @staticmethod
    def init(d, inputs, hidden):
        return dict(input=d.linear(inputs, hidden), recurrent=d.uniform(-1, 1, hidden))

    @staticmethod
    def step(p, h, x):
        h = relu(linear_of(p["input"], x) + p["recurrent"] * h)
        return h, h

    @staticmethod
    def hoisted(p, init, xs):
        def step(h, xw):
            h = relu(xw + p["recurrent"] * h)
            return h, h

        return lax.scan(step, init, rows_of(p["input"], xs))[1]


class Gru(OneState):
    @staticmethod
    def init(d, inputs, hidden):
        return d.nn_gates("update reset candidate", inputs, hidden)

    @staticmethod
    def step(p, h, x):
        z = sigmoid(gate_of(p["update"], h, x))
        r = sigmoid(gate_of(p["reset"], h, x))
        a = jnp.tanh(gate_of(p["candidate"], r * h, x))
        h = (1 - z) * h + z * a
        return h, h

    @staticmethod
    def hoisted(p, init, xs):
        n = init.shape[-1]
        u = jnp.concatenate([p["update"]["u"], p["reset"]["u"]])

        def step(h, xw):
            z, r = jnp.split(sigmoid(xw[: 2 * n] + u @ h), 2)
            h = h + z * (jnp.tanh(xw[2 * n :] + p["candidate"]["u"] @ (r * h)) - h)
            return h, h

        return lax.scan(step, init, rows_of(stacked(p["update"], p["reset"], p["candidate"]), xs))[1]


class GruResetAfter(OneState):
    @staticmethod
    def init(d, inputs, hidden):
        return dict(**d.nn_gates("reset update candidate", inputs, hidden), bias=np.zeros(hidden))

    @staticmethod
    def step(p, h, x):
        r = sigmoid(gate_of(p["reset"], h, x))
        z = sigmoid(gate_of(p["update"], h, x))
        n = jnp.tanh(linear_of(p["candidate"], x) + r * (p["candidate"]["u"] @ h + p["bias"]))
        h = (1 - z) * n + z * h
        return h, h

    @staticmethod
    def hoisted(p, init, xs):
        n = init.shape[-1]
        all = stacked(p["reset"], p["update"], p["candidate"])

        def step(h, xw):
            uh = all["u"] @ h
            r, z = jnp.split(sigmoid(xw[: 2 * n] + uh[: 2 * n]), 2)
            a = jnp.tanh(xw[2 * n :] + r * (uh[2 * n :] + p["bias"]))
            h = a + z * (h - a)
            return h, h

        return lax.scan(step, init, rows_of(all, xs))[1]


class LayerNormGru(OneState):
    @staticmethod
    def init(d, inputs, hidden):
        gates = d.nn_gates("update reset candidate", inputs, hidden)
        return dict(
            gates={key: np.concatenate([gates["update"][key], gates["reset"][key]]) for key in "wub"},
            candidate=gates["candidate"],
            input_norm=nn_norm(2 * hidden),
            recurrent_norm=nn_norm(2 * hidden),
            candidate_input_norm=nn_norm(hidden),
            candidate_recurrent_norm=nn_norm(hidden),
        )

    @staticmethod
    def step(p, h, x):
        gates, candidate = p["gates"], p["candidate"]
        sums = norm_of(p["input_norm"], gates["w"] @ x) + norm_of(p["recurrent_norm"], gates["u"] @ h)
        z, r = jnp.split(sigmoid(sums + gates["b"]), 2)
        of_input = norm_of(p["candidate_input_norm"], candidate["w"] @ x)
        of_state = norm_of(p["candidate_recurrent_norm"], candidate["u"] @ h)
        a = jnp.tanh(of_input + r * of_state + candidate["b"])
        h = (1 - z) * a + z * h
        return h, h

    @staticmethod
    def hoisted(p, init, xs):
        n = init.shape[-1]
        all = stacked(p["gates"], p["candidate"])
        products = xs @ all["w"].T
        of_gates = norm_of(p["input_norm"], products[:, : 2 * n]) + p["gates"]["b"]
        of_candidate = norm_of(p["candidate_input_norm"], products[:, 2 * n :]) + p["candidate"]["b"]

        def step(h, row):
            uh = all["u"] @ h
            z, r = jnp.split(sigmoid(row[0] + norm_of(p["recurrent_norm"], uh[: 2 * n])), 2)
            a = jnp.tanh(row[1] + r * norm_of(p["candidate_recurrent_norm"], uh[2 * n :]))
            h = a + z * (h - a)
            return h, h

        return lax.scan(step, init, (of_gates, of_candidate))[1]


class NnMgu(OneState):
    step, hoisted = Mgu.step, Mgu.hoisted

    @staticmethod
    def init(d, inputs, hidden):
        return d.nn_gates("forget candidate", inputs, hidden)


class MguResetAfter(OneState):
    @staticmethod
    def init(d, inputs, hidden):
        return dict(**d.nn_gates("forget candidate", inputs, hidden), bias=np.zeros(hidden))

    @staticmethod
    def step(p, h, x):
        f = sigmoid(gate_of(p["forget"], h, x))
        n = jnp.tanh(linear_of(p["candidate"], x) + f * (p["candidate"]["u"] @ h + p["bias"]))
        h = (1 - f) * n + f * h
        return h, h

    @staticmethod
    def hoisted(p, init, xs):
        n = init.shape[-1]
        all = stacked(p["forget"], p["candidate"])

        def step(h, xw):
            uh = all["u"] @ h
            f = sigmoid(xw[:n] + uh[:n])
            a = jnp.tanh(xw[n:] + f * (uh[n:] + p["bias"]))
            h = a + f * (h - a)
            return h, h

        return lax.scan(step, init, rows_of(all, xs))[1]


LSTM_GATES = "input forget candidate output"


class Lstm:
    @staticmethod
    def init(d, inputs, hidden):
        return d.nn_gates(LSTM_GATES, inputs, hidden)

    @staticmethod
    def start(_, hidden):
        return np.zeros(hidden), np.zeros(hidden)

    @staticmethod
    def memory(p, h, c, x):
        i = sigmoid(gate_of(p["input"], h, x))
        f = sigmoid(gate_of(p["forget"], h, x))
        g = jnp.tanh(gate_of(p["candidate"], h, x))
        return f * c + i * g, sigmoid(gate_of(p["output"], h, x))

    @staticmethod
    def step(p, carry, x):
        c, o = Lstm.memory(p, *carry, x)
        h = o * jnp.tanh(c)
        return (h, c), h

    @staticmethod
    def hoisted(p, init, xs):
        all = stacked(*(p[name] for name in LSTM_GATES.split()))

        def step(carry, xw):
            h, c = carry
            i, f, g, o = jnp.split(xw + all["u"] @ h, 4)
            c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
            h = sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        return lax.scan(step, init, rows_of(all, xs))[1]


class PeepholeLstm:
    start = Lstm.start

    @staticmethod
    def init(d, inputs, hidden):
        peepholes = {name: d.lecun(hidden) for name in ("pi", "pf", "po")}
        return dict(**d.nn_gates(LSTM_GATES, inputs, hidden), **peepholes)

    @staticmethod
    def step(p, carry, x):
        h, c = carry
        i = sigmoid(gate_of(p["input"], h, x) + p["pi"] * c)
        f = sigmoid(gate_of(p["forget"], h, x) + p["pf"] * c)
        c = f * c + i * jnp.tanh(gate_of(p["candidate"], h, x))
        h = sigmoid(gate_of(p["output"], h, x) + p["po"] * c) * jnp.tanh(c)
        return (h, c), h

    @staticmethod
    def hoisted(p, init, xs):
        all = stacked(*(p[name] for name in LSTM_GATES.split()))

        def step(carry, xw):
            h, c = carry
            i, f, g, o = jnp.split(xw + all["u"] @ h, 4)
            c = sigmoid(f + p["pf"] * c) * c + sigmoid(i + p["pi"] * c) * jnp.tanh(g)
            h = sigmoid(o + p["po"] * c) * jnp.tanh(c)
            return (h, c), h

        return lax.scan(step, init, rows_of(all, xs))[1]


class ProjectedLstm:
    @staticmethod
    def init(d, inputs, hidden):
        gates = d.nn_gates(LSTM_GATES, inputs, hidden, hidden // 2)
        return dict(**gates, projection=d.lecun(hidden // 2, hidden))

    @staticmethod
    def start(_, hidden):
        return np.zeros(hidden // 2), np.zeros(hidden)

    @staticmethod
    def step(p, carry, x):
        c, o = Lstm.memory(p, *carry, x)
        h = p["projection"] @ (o * jnp.tanh(c))
        return (h, c), h

    @staticmethod
    def hoisted(p, init, xs):
        all = stacked(*(p[name] for name in LSTM_GATES.split()))

        def step(carry, xw):
            h, c = carry
            i, f, g, o = jnp.split(xw + all["u"] @ h, 4)
            c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
            h = p["projection"] @ (sigmoid(o) * jnp.tanh(c))
            return (h, c), h

        return lax.scan(step, init, rows_of(all, xs))[1]


class LayerNormLstm:
    start = Lstm.start

    @staticmethod
    def init(d, inputs, hidden):
        gates = d.nn_gates(LSTM_GATES, inputs, hidden).values()
        norms = dict(input_norm=nn_norm(4 * hidden), recurrent_norm=nn_norm(4 * hidden))
        gates = {key: np.concatenate([gate[key] for gate in gates]) for key in "wub"}
        return dict(gates=gates, memory_norm=nn_norm(hidden), **norms)

    @staticmethod
    def after(p, sums, c):
        i, f, g, o = jnp.split(sums, 4)
        c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
        h = sigmoid(o) * jnp.tanh(norm_of(p["memory_norm"], c))
        return (h, c), h

    @staticmethod
    def step(p, carry, x):
        h, c = carry
        gates = p["gates"]
        sums = norm_of(p["input_norm"], gates["w"] @ x) + norm_of(p["recurrent_norm"], gates["u"] @ h)
        return LayerNormLstm.after(p, sums + gates["b"], c)

    @staticmethod
    def hoisted(p, init, xs):
        gates = p["gates"]

        def step(carry, xw):
            h, c = carry
            return LayerNormLstm.after(p, xw + norm_of(p["recurrent_norm"], gates["u"] @ h), c)

        return lax.scan(step, init, norm_of(p["input_norm"], xs @ gates["w"].T) + gates["b"])[1]


class SLstm:
    init = Lstm.init

    @staticmethod
    def start(_, hidden):
        return (*np.zeros((3, hidden)), np.full(hidden, -1e30))

    @staticmethod
    def after(sums, carry):
        i, f, g, o = sums
        _, c, n, m = carry
        log_f = log_sigmoid(f) + m
        m = jnp.maximum(log_f, i)
        i, f = jnp.exp(i - m), jnp.exp(log_f - m)
        c, n = f * c + i * jnp.tanh(g), f * n + i
        h = sigmoid(o) * c / n
        return (h, c, n, m), h

    @staticmethod
    def step(p, carry, x):
        sums = [gate_of(p[name], carry[0], x) for name in LSTM_GATES.split()]
        return SLstm.after(sums, carry)

    @staticmethod
    def hoisted(p, init, xs):
        all = stacked(*(p[name] for name in LSTM_GATES.split()))
        step = lambda carry, xw: SLstm.after(jnp.split(xw + all["u"] @ carry[0], 4), carry)
        return lax.scan(step, init, rows_of(all, xs))[1]


class Linear(OneState):
    """A cell that is linear in its state, of which it makes `keep` and `add`."""

    @classmethod
    def step(cls, p, h, x):
        keep, add = cls.gates(p, x)
        h = keep * h + add
        return h, h

    @classmethod
    def hoisted(cls, p, init, xs):
        def step(h, row):
            h = row[0] * h + row[1]
            return h, h

        return lax.scan(step, init, cls.gates(p, xs))[1]

    @classmethod
    def parallel(cls, p, init, xs):
        return linear_recurrence(*cls.gates(p, xs), init)


class MinGru(Linear):
    @staticmethod
    def init(d, inputs, hidden):
        return dict(update=d.linear(inputs, hidden), candidate=d.linear(inputs, hidden))

    @staticmethod
    def gates(p, x):
        z = sigmoid(rows_of(p["update"], x))
        return 1 - z, z * rows_of(p["candidate"], x)


class MinLstm(Linear):
    @staticmethod
    def init(d, inputs, hidden):
        return {name: d.linear(inputs, hidden) for name in ("forget", "input", "candidate")}

    @staticmethod
    def gates(p, x):
        f, i = sigmoid(rows_of(p["forget"], x)), sigmoid(rows_of(p["input"], x))
        return f / (f + i), i / (f + i) * rows_of(p["candidate"], x)


def as_complex(pair):
    return lax.complex(pair["re"], pair["im"])


class Diagonal:
    """A diagonal recurrence of complex numbers; `rates` are what the state and B·x are multiplied by."""

    @classmethod
    def step(cls, p, carry, x):
        rate, scale = cls.rates(p)
        s = rate * lax.complex(*carry) + scale * (as_complex(p["b"]) @ x)
        return (s.real, s.imag), cls.factor * (as_complex(p["c"]) @ s).real + p["d"] * x

    @classmethod
    def driven(cls, p, xs):
        rate, scale = cls.rates(p)
        return rate, scale * lax.complex(xs @ p["b"]["re"].T, xs @ p["b"]["im"].T)

    @classmethod
    def read(cls, p, re, im, xs):
        return cls.factor * (re @ p["c"]["re"].T - im @ p["c"]["im"].T) + p["d"] * xs

    @classmethod
    def hoisted(cls, p, init, xs):
        rate, rows = cls.driven(p, xs)

        def step(carry, row):
            re, im = carry
            carry = rate.real * re - rate.imag * im + row[0], rate.real * im + rate.imag * re + row[1]
            return carry, carry

        re, im = lax.scan(step, init, (rows.real, rows.imag))[1]
        return cls.read(p, re, im, xs)

    @classmethod
    def parallel(cls, p, init, xs):
        rate, rows = cls.driven(p, xs)
        states = linear_recurrence(jnp.broadcast_to(rate, rows.shape), rows, lax.complex(*init))
        return cls.read(p, states.real, states.imag, xs)


class Lru(Diagonal):
    factor = 1

    @staticmethod
    def init(d, inputs, state):
        square, angle = d.uniform(0.4**2, 0.99**2, state), d.uniform(1e-6, np.pi / 10, state)
        b, c = d.complex_weight(state, inputs), d.complex_weight(inputs, state)
        return dict(nu=np.log(-0.5 * np.log(square)), theta=np.log(angle), b=b, c=c, d=d.normal(inputs))

    @staticmethod
    def start(_, state):
        return np.zeros(state), np.zeros(state)

    @staticmethod
    def rates(p):
        decay = jnp.exp(p["nu"])
        return jnp.exp(lax.complex(-decay, jnp.exp(p["theta"]))), jnp.sqrt(1 - jnp.exp(-2 * decay))


class S5(Diagonal):
    """Half as many complex states as hidden units, since each stands for a conjugate pair."""

    factor = 2

    @staticmethod
    def init(d, inputs, hidden):
        state = hidden // 2
        return dict(
            log_decay=np.full(state, np.log(0.5)),
            frequency=np.pi * np.arange(state),
            log_step=d.uniform(np.log(0.001), np.log(0.1), state),
            b=d.complex_weight(state, inputs),
            c=d.complex_weight(inputs, state),
            d=d.normal(inputs),
        )

    @staticmethod
    def start(_, hidden):
        return np.zeros(hidden // 2), np.zeros(hidden // 2)

    @staticmethod
    def rates(p):
        poles = lax.complex(-jnp.exp(p["log_decay"]), p["frequency"])
        rate = jnp.exp(poles * jnp.exp(p["log_step"]))
        return rate, (rate - 1) / poles


class SelectiveSsm:
    """Its channels are its inputs."""

    inputs = HIDDEN

    @staticmethod
    def init(d, channels, _):
        step = np.exp(d.uniform(np.log(0.001), np.log(0.1), channels))
        up = np.stack([d.uniform(-1, 1, RANK) for _ in range(channels)]) / np.sqrt(RANK)
        return dict(
            log_decay=np.tile(np.log(np.arange(STATES) + 1), (channels, 1)),
            step_down=d.lecun(RANK, channels),
            step_up=dict(w=up, b=np.log(np.expm1(step))),
            write=d.lecun(STATES, channels),
            read=d.lecun(STATES, channels),
            d=np.ones(channels),
        )

    @staticmethod
    def start(_, channels):
        return np.zeros((channels, STATES))

    @staticmethod
    def delta(p, x):
        return softplus(rows_of(p["step_up"], x @ p["step_down"].T))

    @staticmethod
    def step(p, s, x):
        delta = SelectiveSsm.delta(p, x)
        keep = jnp.exp(-jnp.exp(p["log_decay"]) * delta[:, None])
        s = keep * s + jnp.outer(delta * x, p["write"] @ x)
        return s, s @ (p["read"] @ x) + p["d"] * x

    @staticmethod
    def hoisted(p, init, xs):
        deltas, decay = SelectiveSsm.delta(p, xs), -jnp.exp(p["log_decay"])

        def step(s, row):
            delta, dx, write, read = row
            s = jnp.exp(decay * delta[:, None]) * s + jnp.outer(dx, write)
            return s, s @ read

        rows = (deltas, deltas * xs, xs @ p["write"].T, xs @ p["read"].T)
        return lax.scan(step, init, rows)[1] + p["d"] * xs

    @staticmethod
    def parallel(p, init, xs):
        deltas = SelectiveSsm.delta(p, xs)
        keep = jnp.exp(-jnp.exp(p["log_decay"]) * deltas[..., None])
        add = (deltas * xs)[..., None] * (xs @ p["write"].T)[:, None, :]
        states = linear_recurrence(keep, add, init)
        return jnp.einsum("tcs,ts->tc", states, xs @ p["read"].T) + p["d"] * xs


CELLS = dict(lnlstm=LnLstm, mgu=Mgu, s6=S6)
NN_CELLS = {
    "rnn": Rnn,
    "indrnn": IndRnn,
    "gru": Gru,
    "gru-reset-after": GruResetAfter,
    "layer-norm-gru": LayerNormGru,
    "mgu": NnMgu,
    "mgu-reset-after": MguResetAfter,
    "lstm": Lstm,
    "peephole-lstm": PeepholeLstm,
    "projected-lstm": ProjectedLstm,
    "layer-norm-lstm": LayerNormLstm,
    "slstm": SLstm,
    "min-gru": MinGru,
    "min-lstm": MinLstm,
    "lru": Lru,
    "s5": S5,
    "selective-ssm": SelectiveSsm,
}
WORKLOADS = {f"w8{kind}_{name}": (kind, cell) for name, cell in CELLS.items() for kind in "fg"}
WORKLOADS |= {f"w9{kind}_{name}": (kind, cell) for name, cell in NN_CELLS.items() for kind in "fg"}
VARIANTS = ["scan", "unroll4", "hoisted", "parallel"]


def sequence(cell, variant):
    if variant in ("hoisted", "parallel"):
        return getattr(cell, variant)
    unroll = 4 if variant == "unroll4" else 1
    return lambda p, init, xs: lax.scan(lambda c, x: cell.step(p, c, x), init, xs, unroll=unroll)[1]


def median_us(call, budget):
    call()
    times, begin = [], time.perf_counter()
    while len(times) < 5 or time.perf_counter() - begin < budget:
        start = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - start) / 1e3)
    return float(np.median(times))


def run(workload, variant, budget):
    kind, cell = WORKLOADS[workload]
    steps, batch = GRADIENT if kind == "g" else FORWARD
    inputs, hidden = getattr(cell, "inputs", INPUTS), HIDDEN
    d = Draw()
    params, init = cell.init(d, inputs, hidden), cell.start(d, hidden)
    if batch:
        init = jax.tree.map(lambda x: np.stack([x * (1 + k / batch) for k in range(batch)]), init)
    lead = (batch,) if batch else ()
    xs = d.normal(*lead, steps, inputs)

    forward = sequence(cell, variant)
    if batch:
        forward = jax.vmap(forward, in_axes=(None, 0, 0))
    if kind == "g":
        target = d.normal(*jax.eval_shape(forward, params, init, xs).shape)
        loss = lambda p, init, xs, target: ((forward(p, init, xs) - target) ** 2).mean()
        function, args = jax.jit(jax.value_and_grad(loss)), (params, init, xs, target)
    else:
        function, args = jax.jit(forward), (params, init, xs)

    as_type = lambda dtype: jax.tree.map(lambda x: jnp.asarray(x, dtype), args)
    need, args32 = function(*as_type(jnp.float64)), as_type(jnp.float32)
    begin = time.perf_counter()
    got = jax.block_until_ready(function(*args32))
    first_s = time.perf_counter() - begin
    errors = jax.tree.map(lambda g, n: float(jnp.abs(g - n).max() / jnp.abs(n).max()), got, need)
    us = median_us(lambda: jax.block_until_ready(function(*args32)), budget)
    line = dict(peer="jax", variant=variant, workload=workload, kind="grad" if kind == "g" else "fwd")
    line |= dict(T=steps, I=inputs, H=hidden, B=batch, threads=1, median_us=round(us, 3))
    line |= dict(ns_per_step=round(us * 1e3 / steps, 1), first_s=round(first_s, 3))
    line |= dict(max_err=max(jax.tree.leaves(errors)))
    print(json.dumps(line), flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage=argparse.SUPPRESS
    )
    parser.add_argument("workload", choices=[*WORKLOADS, "all"], metavar="WORKLOAD")
    parser.add_argument("--variant", default=",".join(VARIANTS))
    parser.add_argument("--budget", type=float, default=1.0)
    args = parser.parse_args()
    for workload in WORKLOADS if args.workload == "all" else [args.workload]:
        for variant in args.variant.split(","):
            if variant not in VARIANTS:
                parser.error(f"there is no variant {variant}; there are {', '.join(VARIANTS)}")
            if variant != "parallel" or hasattr(WORKLOADS[workload][1], variant):
                run(workload, variant, args.budget)


if __name__ == "__main__":
    main()
