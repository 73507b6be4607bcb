#!/usr/bin/env python3
"""The cells of the w8 workloads in JAX: an LSTM with layer norms, a minimal gated unit, and a selective
state space, written as `rondeau bench` has them.

    peers_cells.py WORKLOAD [--variant scan,unroll4,hoisted] [--budget SECONDS]

WORKLOAD is w8f_lnlstm, w8g_lnlstm, w8f_mgu, w8g_mgu, w8f_s6, w8g_s6, or `all`; f is the forward pass of
one sequence (T=1000, I=64, H=128), g value and gradients by all parameters of the mean squared error for
a batch of 32 (T=100). One JSON line for each variant on standard output. `max_err` is the largest
difference to the same function in float64, relative to the largest magnitude of each array.

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
from jax.nn import sigmoid, softplus

STATES, RANK = 16, 8
FORWARD, GRADIENT = (1000, 64, 128, None), (100, 64, 128, 32)


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


CELLS = dict(lnlstm=LnLstm, mgu=Mgu, s6=S6)
WORKLOADS = [f"w8{kind}_{cell}" for cell in CELLS for kind in "fg"]
VARIANTS = ["scan", "unroll4", "hoisted"]


def sequence(cell, variant):
    if variant == "hoisted":
        return cell.hoisted
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
    kind, cell = workload[2], CELLS[workload[4:]]
    steps, inputs, hidden, batch = GRADIENT if kind == "g" else FORWARD
    d = Draw()
    params, init = cell.init(d, inputs, hidden), cell.start(d, hidden)
    if batch:
        init = jax.tree.map(lambda x: np.stack([x * (1 + k / batch) for k in range(batch)]), init)
    lead = (batch,) if batch else ()
    xs, target = d.normal(*lead, steps, inputs), d.normal(*lead, steps, hidden)

    forward = sequence(cell, variant)
    if batch:
        forward = jax.vmap(forward, in_axes=(None, 0, 0))
    if kind == "g":
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workload", choices=WORKLOADS + ["all"])
    parser.add_argument("--variant", default=",".join(VARIANTS))
    parser.add_argument("--budget", type=float, default=1.0)
    args = parser.parse_args()
    for workload in WORKLOADS if args.workload == "all" else [args.workload]:
        for variant in args.variant.split(","):
            if variant not in VARIANTS:
                parser.error(f"there is no variant {variant}; there are {', '.join(VARIANTS)}")
            run(workload, variant, args.budget)


if __name__ == "__main__":
    main()
