"""Keras 3 (JAX backend, f32): SimpleRNN, GRU reset_after False/True, LSTM, masking, go_backwards."""
import os, sys
os.environ.setdefault("KERAS_BACKEND", "jax")
import numpy as np
from goldrec import Rec, wave

def run(outdir):
    try:
        import keras
    except ImportError:
        print("keras missing: skipped"); return
    R = Rec("cells_keras", outdir)
    B, T, I, H = 3, 5, 4, 6
    import jax, jax.numpy as jnp
    def case(cid, mk, note, ns=1, mask=None):
        L = mk(); L.build((B, T, I))
        vals = [wave(tuple(w.shape), 0.9 * i + 0.1, 0.4) for i, w in enumerate(L.trainable_variables)]
        names = [w.path.split("/")[-1] for w in L.trainable_variables]
        ntv = [v.value for v in L.non_trainable_variables]
        x = wave((B, T, I), 0.2)
        st = [wave((B, H), 0.5 + i, 0.5) for i in range(ns)]
        def f(params, state, xs):
            (o, *s), _ = L.stateless_call([params[n] for n in names], ntv, xs, initial_state=state, **({"mask": jnp.asarray(mask)} if mask is not None else {}))
            return {"out": o, "state": list(s)}
        P = dict(zip(names, map(jnp.asarray, vals)))
        assert len(P) == len(vals)
        R.fn(cid, f"Keras {keras.__version__} {note}; xs (B,T,I)", f, (P, [jnp.asarray(s) for s in st], jnp.asarray(x)), jvp=False, jit=False, src=note)
        if mask is not None: R.put(f"{cid}/in/mask", np.asarray(mask))
    kw = dict(return_sequences=True, return_state=True)
    m = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 1, 0, 0]], bool)
    case("keras_simple", lambda: keras.layers.SimpleRNN(H, **kw), "SimpleRNN: kernel (I,H), recurrent_kernel (H,H), bias")
    case("keras_gru_reset_before", lambda: keras.layers.GRU(H, reset_after=False, **kw), "GRU(reset_after=False): columns z,r,h; n = tanh(x W_h + (r*h) U_h + b_h); h = z*h + (1-z)*n")
    case("keras_gru_reset_after", lambda: keras.layers.GRU(H, reset_after=True, **kw), "GRU(reset_after=True, the default): bias (2,3H) = input and recurrent bias; n = tanh(x W_h + b + r*(h U_h + rb))")
    case("keras_lstm", lambda: keras.layers.LSTM(H, **kw), "LSTM: columns i,f,c,o; one bias", ns=2)
    case("keras_gru_backwards", lambda: keras.layers.GRU(H, go_backwards=True, **kw), "GRU(go_backwards=True): outputs in reversed time order")
    case("keras_gru_masked", lambda: keras.layers.GRU(H, **kw), "GRU with mask: a masked step keeps the state and repeats the previous output (zeros at the start)", mask=m)
    R.write()
