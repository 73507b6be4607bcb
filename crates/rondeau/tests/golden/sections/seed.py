"""The seed example, as the tutorial has it (line breaks restored), plus its transformations."""
import numpy as np
import jax
import jax.numpy as jnp
import jax.lax as lax
from jax import random
from goldrec import Rec, wave, ct_like, flat
import inspect

# ---------------------------------------------------------------- verbatim from the tutorial
# Define activation functions
sigmoid = jax.nn.sigmoid
tanh = jnp.tanh

def initialize_gru_params(key, input_dim, hidden_dim):
    """Initializes parameters for the simplified GRU cell."""
    keys = random.split(key, 6) # Need keys for Wz, Uz, bz, Wr, Ur, br, Wh, Uh, bh (3 pairs of W,U + 3 biases)

    # Update gate parameters
    Wz = random.normal(keys[0], (hidden_dim, input_dim)) * 0.01
    Uz = random.normal(keys[1], (hidden_dim, hidden_dim)) * 0.01
    bz = jnp.zeros((hidden_dim,))

    # Reset gate parameters
    Wr = random.normal(keys[2], (hidden_dim, input_dim)) * 0.01
    Ur = random.normal(keys[3], (hidden_dim, hidden_dim)) * 0.01
    br = jnp.zeros((hidden_dim,))

    # Candidate hidden state parameters
    Wh = random.normal(keys[4], (hidden_dim, input_dim)) * 0.01
    Uh = random.normal(keys[5], (hidden_dim, hidden_dim)) * 0.01
    bh = jnp.zeros((hidden_dim,))

    params = {
        'Wz': Wz, 'Uz': Uz, 'bz': bz,
        'Wr': Wr, 'Ur': Ur, 'br': br,
        'Wh': Wh, 'Uh': Uh, 'bh': bh
    }
    return params

def gru_step(params, h_prev, x_t):
    """Performs one step of the simplified GRU computation."""
    # Update gate
    z_t = sigmoid(jnp.dot(params['Wz'], x_t) + jnp.dot(params['Uz'], h_prev) + params['bz'])

    # Reset gate
    r_t = sigmoid(jnp.dot(params['Wr'], x_t) + jnp.dot(params['Ur'], h_prev) + params['br'])

    # Candidate hidden state
    h_tilde_t = tanh(jnp.dot(params['Wh'], x_t) + jnp.dot(params['Uh'], (r_t * h_prev)) + params['bh'])

    # Final hidden state
    h_t = (1.0 - z_t) * h_prev + z_t * h_tilde_t

    # Return new hidden state as carry and output
    return h_t, h_t

def gru_sequence(params, initial_h, inputs):
    """Applies the GRU cell over a sequence of inputs using lax.scan."""
    # Define the scan function, closing over the parameters
    scan_fn = lambda carry, x: gru_step(params, carry, x)

    # Apply lax.scan
    final_h, outputs_h = lax.scan(scan_fn, initial_h, inputs)

    # final_h contains the last hidden state
    # outputs_h contains the sequence of hidden states [h_1, h_2, ..., h_T]
    return final_h, outputs_h

def example():
    # Example Usage
    key = random.PRNGKey(0)
    seq_len = 10
    input_dim = 5
    hidden_dim = 8

    # Initialize parameters
    gru_params = initialize_gru_params(key, input_dim, hidden_dim)

    # Create dummy input sequence (sequence_length, input_features)
    key, subkey = random.split(key)
    input_sequence = random.normal(subkey, (seq_len, input_dim))

    # Initialize hidden state
    initial_hidden_state = jnp.zeros((hidden_dim,))

    # Run the GRU over the sequence
    final_state, hidden_states_sequence = gru_sequence(gru_params, initial_hidden_state, input_sequence)

    print("Input sequence shape:", input_sequence.shape)
    print("Initial hidden state shape:", initial_hidden_state.shape)
    print("Final hidden state shape:", final_state.shape)
    print("Output sequence of hidden states shape:", hidden_states_sequence.shape)

    # Compile the GRU function for efficiency
    jit_gru_sequence = jax.jit(gru_sequence)

    # Run the compiled version (first run includes compilation time)
    key, subkey = random.split(key)
    input_sequence_2 = random.normal(subkey, (seq_len, input_dim))
    final_state_jit, hidden_states_sequence_jit = jit_gru_sequence(gru_params, initial_hidden_state, input_sequence_2)

    print("\nRunning JIT-compiled version:")
    print("Final hidden state shape (JIT):", final_state_jit.shape)
    print("Output sequence shape (JIT):", hidden_states_sequence_jit.shape)

    # Example VMAP usage (requires batched inputs/states)
    batch_size = 32
    batched_inputs = random.normal(key, (batch_size, seq_len, input_dim))
    batched_initial_h = jnp.zeros((batch_size, hidden_dim,))
    # Map over the batch dimension (axis 0 for params=None, initial_h, inputs)
    # Note: params are shared across the batch, so we use None in in_axes
    batched_gru = jax.vmap(gru_sequence, in_axes=(None, 0, 0))
    final_states_batch, hidden_sequences_batch = batched_gru(gru_params, batched_initial_h, batched_inputs)
    print("Batched final state shape:", final_states_batch.shape) # (batch_size, hidden_dim)
    print("Batched output sequences shape:", hidden_sequences_batch.shape) # (batch_size, seq_len, hidden_dim)
    return locals()
# ---------------------------------------------------------------- end of the verbatim part

# losses used below
def loss_seq(params, h0, xs):      # sum of squares of every hidden state
    return jnp.sum(gru_sequence(params, h0, xs)[1] ** 2)

def loss_final(params, h0, xs):    # sum of squares of the last hidden state
    return jnp.sum(gru_sequence(params, h0, xs)[0] ** 2)

def loss_batch(params, h0s, xss):  # mean over the batch of loss_seq
    return jnp.mean(jax.vmap(loss_seq, in_axes=(None, 0, 0))(params, h0s, xss))

def loss_seq_remat(params, h0, xs):
    body = jax.checkpoint(lambda c, x: gru_step(params, c, x))
    return jnp.sum(lax.scan(body, h0, xs)[1] ** 2)

def transforms(R, tag, P, h0, xs, tol, exact64):
    """every transformation of gru_sequence at (P, h0, xs)"""
    N = ["params", "h0", "xs"]
    A = (P, h0, xs)
    dt = np.asarray(h0).dtype
    def case(cid, doc, ins, outs, src, names=N, **kw):
        R.case(f"{tag}_{cid}", doc, ins, outs, src=src, in_names=names, tol=tol, **kw)
    def run(f, *a):
        o, oj = f(*a), jax.jit(f)(*a)
        worst = 0.0
        for (p, x), (_, y) in zip(flat(o), flat(oj)):
            x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
            if x.size:
                worst = max(worst, float(np.max(np.abs(x - y)) / (np.max(np.abs(x)) + 1e-300)))
        assert worst < (1e-4 if dt == np.float32 else 1e-11), worst
        return o, worst
    o, w = run(gru_sequence, *A)
    case("forward", "gru_sequence(params, h0, xs) -> (final_h, hs)", A, {"final": o[0], "hs": o[1]}, "gru_sequence(params, h0, xs)", jit_vs_eager_rel=w)
    shared = f"{tag}_forward/in"
    for u in (2, 5, 10, True):
        f = lambda p, h, x: lax.scan(lambda c, t: gru_step(p, c, t), h, x, unroll=u)
        np.testing.assert_allclose(f(*A)[1], o[1], rtol=1e-5 if dt == np.float32 else 1e-12, atol=1e-7 if dt == np.float32 else 1e-14)
    f = lambda p, h, x: lax.scan(lambda c, t: gru_step(p, c, t), h, x, reverse=True)
    o, w = run(f, *A)
    case("reverse", f"lax.scan(..., reverse=True); inputs as in {shared}", None, {"final": o[0], "hs": o[1]}, "lax.scan(lambda c, t: gru_step(params, c, t), h0, xs, reverse=True)")
    for nm, L in [("loss_seq", loss_seq), ("loss_final", loss_final)]:
        (v, g), w = run(jax.value_and_grad(L, argnums=(0, 1, 2)), *A)
        case(f"grad_{nm}", f"value_and_grad({nm}, argnums=(0,1,2)); inputs as in {shared}", None, {"value": v, "g": dict(zip(N, g))},
             inspect.getsource(L) + f"\njax.value_and_grad({nm}, argnums=(0, 1, 2))(params, h0, xs)", jit_vs_eager_rel=w)
    g2 = jax.grad(loss_seq_remat, argnums=(0, 1, 2))(*A)
    g1 = jax.grad(loss_seq, argnums=(0, 1, 2))(*A)
    for (p, a), (_, b) in zip(flat(g1), flat(g2)):
        np.testing.assert_allclose(a, b, rtol=1e-4 if dt == np.float32 else 1e-11, atol=1e-7 if dt == np.float32 else 1e-14)
    # vjp with cotangents for both outputs
    out, vjp = jax.vjp(gru_sequence, *A)
    ct = ct_like(out, 0.2)
    g = vjp(ct)
    R.case(f"{tag}_vjp", f"vjp of gru_sequence with cotangents for both outputs; inputs as in {shared}", None, {"g": dict(zip(N, g))}, src="jax.vjp(gru_sequence, params, h0, xs)[1]((ct_final, ct_hs))", tol=tol)
    R.tree(f"{tag}_vjp", "ct", {"final": ct[0], "hs": ct[1]})
    # jvp along a fixed tangent in every argument
    tan = ct_like(A, 1.1)
    (po, to), w = run(lambda a, t: jax.jvp(gru_sequence, a, t), A, tan)
    R.case(f"{tag}_jvp", f"jvp of gru_sequence along tan; inputs as in {shared}", None, {"final": to[0], "hs": to[1]}, src="jax.jvp(gru_sequence, (params, h0, xs), tan)[1]", tol=tol, jit_vs_eager_rel=w)
    R.tree(f"{tag}_jvp", "tan", tan, N)
    # Hessian-vector product: forward over reverse; must equal reverse over forward and reverse over reverse
    gl = jax.grad(loss_seq, argnums=(0, 1, 2))
    hv, w = run(lambda a, t: jax.jvp(gl, a, t)[1], A, tan)
    dot = lambda a, b: sum(jnp.vdot(x, y) for x, y in zip(jax.tree_util.tree_leaves(a), jax.tree_util.tree_leaves(b)))
    hv2 = jax.grad(lambda p, h, x: dot(gl(p, h, x), tan), argnums=(0, 1, 2))(*A)
    hv3 = jax.grad(lambda p, h, x: jax.jvp(loss_seq, (p, h, x), tan)[1], argnums=(0, 1, 2))(*A)
    for (p, a), (_, b), (_, c) in zip(flat(hv), flat(hv2), flat(hv3)):
        s = float(np.max(np.abs(a))) + 1e-30
        assert np.max(np.abs(a - b)) / s < (1e-3 if dt == np.float32 else 1e-10), p
        assert np.max(np.abs(a - c)) / s < (1e-3 if dt == np.float32 else 1e-10), p
    case("hvp", f"Hessian-vector product of loss_seq along {tag}_jvp/tan (jvp of grad = grad of <grad, tan> = grad of jvp); inputs as in {shared}", None, {"hv": dict(zip(N, hv))}, "jax.jvp(jax.grad(loss_seq, (0,1,2)), (params, h0, xs), tan)[1]", jit_vs_eager_rel=w)
    # full Jacobians and Hessians of small blocks
    J, w = run(jax.jacrev(lambda h: gru_sequence(P, h, xs)[0]), h0)
    J2 = jax.jacfwd(lambda h: gru_sequence(P, h, xs)[0])(h0)
    np.testing.assert_allclose(J, J2, rtol=1e-4 if dt == np.float32 else 1e-11, atol=1e-7 if dt == np.float32 else 1e-14)
    case("jac_final_h0", f"jacrev = jacfwd of final_h wrt h0, [out, in]; inputs as in {shared}", None, J, "jax.jacrev(lambda h: gru_sequence(params, h, xs)[0])(h0)")
    case("jac_final_xs", f"jacrev of final_h wrt xs, [out, t, i]; inputs as in {shared}", None, jax.jacrev(lambda x: gru_sequence(P, h0, x)[0])(xs), "jax.jacrev(lambda x: gru_sequence(params, h0, x)[0])(xs)")
    H, w = run(jax.hessian(lambda h: loss_seq(P, h, xs)), h0)
    case("hess_h0", f"hessian of loss_seq wrt h0; inputs as in {shared}", None, H, "jax.hessian(lambda h: loss_seq(params, h, xs))(h0)")
    H = jax.hessian(lambda b: loss_seq({**P, **b}, h0, xs))({"bz": P["bz"], "bh": P["bh"]})
    case("hess_bz_bh", f"hessian of loss_seq wrt the dict (bz, bh): blocks [first, second]; inputs as in {shared}", None, H, "jax.hessian(lambda b: loss_seq({**params, **b}, h0, xs))({'bz': params['bz'], 'bh': params['bh']})")
    t3 = jax.jvp(lambda h: jax.jvp(lambda h: jax.jvp(lambda h: loss_seq(P, h, xs), (h,), (tan[1],))[1], (h,), (tan[1],))[1], (h0,), (tan[1],))[1]
    case("third_dir", f"third directional derivative of loss_seq wrt h0 along {tag}_jvp/tan/h0; inputs as in {shared}", None, t3, "three nested jax.jvp along tan_h0")
    # vmap
    B = 4
    ws = jnp.asarray(1.0 + 0.25 * np.arange(B), dt)
    Ps = jax.tree_util.tree_map(lambda a: a[None] * ws.reshape((B,) + (1,) * a.ndim), P)
    hB = jnp.asarray(np.stack([np.asarray(h0) + wave(h0.shape, 0.4 * i, 0.1) for i in range(B)]), dt)
    xB = jnp.asarray(np.stack([np.asarray(xs) * (1 - 0.3 * i) for i in range(B)]), dt)
    R.case(f"{tag}_batch_inputs", "batched arguments for the vmap cases: params stacked (4, ...) = params*(1+0.25 i), h0s (4, H), xss (4, T, I)", {"params": Ps, "h0": hB, "xs": xB}, None)
    sb = f"{tag}_batch_inputs/in"
    for nm, ax, a in [("N00", (None, 0, 0), (P, hB, xB)), ("0NN", (0, None, None), (Ps, h0, xs)), ("000", (0, 0, 0), (Ps, hB, xB)), ("NN0", (None, None, 0), (P, h0, xB)), ("N0N", (None, 0, None), (P, hB, xs)), ("0N0", (0, None, 0), (Ps, h0, xB))]:
        o, w = run(jax.vmap(gru_sequence, in_axes=ax), *a)
        case(f"vmap_{nm}", f"vmap(gru_sequence, in_axes={ax}); mapped args from {sb}, others from {shared}", None, {"final": o[0], "hs": o[1]}, f"jax.vmap(gru_sequence, in_axes={ax})", jit_vs_eager_rel=w)
    axd = {k: None for k in P}; axd["Wz"] = 0; axd["bh"] = 0
    Pm = {**P, "Wz": Ps["Wz"], "bh": Ps["bh"]}
    o, w = run(jax.vmap(gru_sequence, in_axes=(axd, None, 0)), Pm, h0, xB)
    case("vmap_dict_axes", f"vmap with a per-leaf in_axes dict: only Wz and bh (and xs) mapped", None, {"final": o[0], "hs": o[1]}, "jax.vmap(gru_sequence, in_axes=({'Wz': 0, 'bh': 0, others: None}, None, 0))")
    o, w = run(jax.vmap(gru_sequence, in_axes=(None, 1, 2), out_axes=(1, 2)), P, hB.T, jnp.moveaxis(xB, 0, 2))
    case("vmap_axes_12", "vmap(gru_sequence, in_axes=(None, 1, 2), out_axes=(1, 2)) with h0s transposed (H, B) and xss (T, I, B); outputs (H, B) and (T, H, B)", None, {"final": o[0], "hs": o[1]}, "jax.vmap(gru_sequence, in_axes=(None, 1, 2), out_axes=(1, 2))")
    o, w = run(jax.vmap(gru_sequence, in_axes=(None, 0, 1), out_axes=(0, 1)), P, hB, jnp.moveaxis(xB, 0, 1))
    case("vmap_time_major", "vmap(gru_sequence, in_axes=(None, 0, 1), out_axes=(0, 1)): xss (T, B, I), hs (T, B, H)", None, {"final": o[0], "hs": o[1]}, "jax.vmap(gru_sequence, in_axes=(None, 0, 1), out_axes=(0, 1))")
    o, w = run(jax.vmap(jax.vmap(gru_sequence, in_axes=(None, 0, 0)), in_axes=(0, None, None)), Ps, hB, xB)
    case("vmap_vmap", "vmap over params of vmap over the batch: final (P=4, B=4, H)", None, {"final": o[0], "hs": o[1]}, "jax.vmap(jax.vmap(gru_sequence, (None, 0, 0)), (0, None, None))")
    (v, g), w = run(jax.value_and_grad(loss_batch, argnums=(0, 1, 2)), P, hB, xB)
    case("grad_of_vmap", f"value_and_grad of the batch-mean loss; args {sb} h0/xs, params {shared}", None, {"value": v, "g": dict(zip(N, g))}, inspect.getsource(loss_batch) + "\njax.value_and_grad(loss_batch, argnums=(0, 1, 2))(params, h0s, xss)", jit_vs_eager_rel=w)
    g, w = run(jax.vmap(jax.grad(loss_seq, argnums=(0, 1, 2)), in_axes=(None, 0, 0)), P, hB, xB)
    case("vmap_of_grad", "per-example gradients: vmap(grad(loss_seq, (0,1,2)), in_axes=(None, 0, 0)); every leaf has a leading batch axis", None, {"g": dict(zip(N, g))}, "jax.vmap(jax.grad(loss_seq, argnums=(0, 1, 2)), in_axes=(None, 0, 0))(params, h0s, xss)", jit_vs_eager_rel=w)
    (v, g), w = run(jax.vmap(jax.value_and_grad(loss_final), in_axes=(0, None, None)), Ps, h0, xs)
    case("vmap_params_vag", "vmap over params of value_and_grad(loss_final)", None, {"value": v, "g": {"params": g}}, "jax.vmap(jax.value_and_grad(loss_final), in_axes=(0, None, None))(params_stacked, h0, xs)")
    hv, w = run(jax.vmap(lambda h, x: jax.jvp(jax.grad(loss_seq, argnums=1), (P, h, x), (jax.tree_util.tree_map(jnp.zeros_like, P), tan[1], jnp.zeros_like(x)))[1]), hB, xB)
    case("vmap_of_hvp_h0", f"vmap of the Hessian-vector product wrt h0 along {tag}_jvp/tan/h0", None, hv, "jax.vmap(lambda h, x: jax.jvp(lambda h: jax.grad(loss_seq, 1)(params, h, x), (h,), (tan_h0,))[1])(h0s, xss)")
    # grad of the gradient norm (reverse over reverse)
    gg, w = run(jax.grad(lambda p: sum(jnp.sum(l ** 2) for l in jax.tree_util.tree_leaves(jax.grad(loss_seq)(p, h0, xs)))), P)
    case("grad_of_gradnorm", f"grad of ||grad loss_seq||^2 wrt params (reverse over reverse); inputs as in {shared}", None, {"g": gg}, "jax.grad(lambda p: sum(jnp.sum(l**2) for l in tree_leaves(jax.grad(loss_seq)(p, h0, xs))))(params)")

def scaled(P, dt):
    """numbers of ordinary size, so that no gradient is lost in noise: params*40, biases and h0 not zero"""
    H = P["bz"].shape[0]
    Q = {k: (v * 40.0).astype(dt) if k[0] != "b" else jnp.asarray(wave((H,), i, 0.3), dt) for i, (k, v) in enumerate(sorted(P.items()))}
    return Q, jnp.asarray(wave((H,), 0.5, 0.7), dt)

NAMES = ["gru_params", "input_sequence", "initial_hidden_state", "final_state", "hidden_states_sequence", "input_sequence_2", "final_state_jit", "hidden_states_sequence_jit", "batched_inputs", "batched_initial_h", "final_states_batch", "hidden_sequences_batch"]

def run32(outdir):
    R = Rec("seed_f32", outdir)
    E = example()
    tol = {"kind": "rel", "rtol": 1e-5, "atol": 1e-7}
    R.case("verbatim", "the tutorial's example run as it is (float32): every array it names; key = the key after the two splits", None, {**{n: E[n] for n in NAMES}, "key": E["key"]}, tol=tol, src=inspect.getsource(initialize_gru_params) + inspect.getsource(gru_step) + inspect.getsource(gru_sequence) + inspect.getsource(example))
    R.case("stdout", "what the example prints", stdout="Input sequence shape: (10, 5)\nInitial hidden state shape: (8,)\nFinal hidden state shape: (8,)\nOutput sequence of hidden states shape: (10, 8)\n\nRunning JIT-compiled version:\nFinal hidden state shape (JIT): (8,)\nOutput sequence shape (JIT): (10, 8)\nBatched final state shape: (32, 8)\nBatched output sequences shape: (32, 10, 8)\n")
    P, h0, xs = E["gru_params"], E["initial_hidden_state"], E["input_sequence"]
    transforms(R, "seed", P, h0, xs, tol, False)
    Q, h = scaled(P, jnp.float32)
    transforms(R, "scaled", Q, h, xs, {"kind": "rel", "rtol": 5e-5, "atol": 1e-5, "note": "f32 noise; the f64 file is the tight check"}, False)
    R.write()

def run64(outdir):
    R = Rec("seed_f64", outdir)
    # same f32 numbers as in x64-off mode, widened to f64, all arithmetic in f64
    f64 = lambda t: jax.tree_util.tree_map(lambda a: jnp.asarray(np.asarray(a, np.float64)), t)
    key = random.PRNGKey(0)
    keys = random.split(key, 6)
    d32 = lambda k, s: random.normal(k, s, jnp.float32)
    m = np.float32(0.01)
    P = {}
    for i, (n, s) in enumerate([("Wz", (8, 5)), ("Uz", (8, 8)), ("Wr", (8, 5)), ("Ur", (8, 8)), ("Wh", (8, 5)), ("Uh", (8, 8))]):
        P[n] = d32(keys[i], s) * m
    for n in ("bz", "br", "bh"):
        P[n] = jnp.zeros((8,), jnp.float32)
    key, sub = random.split(key); xs = d32(sub, (10, 5))
    key, sub2 = random.split(key); xs2 = d32(sub2, (10, 5))
    xb = d32(key, (32, 10, 5))
    P, xs, xs2, xb = f64(P), f64(xs), f64(xs2), f64(xb)
    h0 = jnp.zeros((8,), jnp.float64)
    tol = {"kind": "rel", "rtol": 1e-10, "atol": 1e-14}
    f2 = gru_sequence(P, h0, xs2)
    fb = jax.vmap(gru_sequence, in_axes=(None, 0, 0))(P, jnp.zeros((32, 8)), xb)
    R.case("verbatim", "the example's f32 numbers widened to f64, all arithmetic in f64", None, {"gru_params": P, "input_sequence": xs, "input_sequence_2": xs2, "final_state_jit": f2[0], "hidden_states_sequence_jit": f2[1], "batched_inputs": xb, "final_states_batch": fb[0], "hidden_sequences_batch": fb[1]}, tol=tol)
    transforms(R, "seed", P, h0, xs, tol, True)
    Q, h = scaled(P, jnp.float64)
    transforms(R, "scaled", Q, h, xs, tol, True)
    E = example()   # under x64 the draws themselves are f64 (64-bit words): other numbers
    R.case("x64_draws", "the example run as it is in x64 mode: float64 draws (other numbers than float32's)", None, {n: E[n] for n in ["gru_params", "input_sequence", "final_state", "hidden_states_sequence"]}, tol={"kind": "rel", "rtol": 1e-10, "atol": 1e-13})
    R.write()
