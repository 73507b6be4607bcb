"""Cells by the code of those who published them, in f64: outputs, and gradients of sum(out*ct).

S5 (Smith et al.) and Mamba's reference scan (Gu and Dao) are read from checkouts of lindermanlab/S5 and
state-spaces/mamba, whose directories are in S5_CHECKOUT and MAMBA_CHECKOUT; sLSTM (Beck et al.) is in the
package xlstm. The linear recurrent unit has no published code of its authors but the listing in the appendix of
their paper: here it is computed by the package LRU-pytorch, of others.
"""
import importlib.util, os, sys, types
import numpy as np, jax, jax.numpy as jnp
from goldrec import Rec, wave

T, I, H = 7, 4, 6

def by_path(name, *parts):
    """A module of a file, without the package around it, which would need a GPU or be imported whole."""
    path = os.path.join(*parts)
    search = [os.path.dirname(path)] if path.endswith("__init__.py") else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=search)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module

def torch_case(R, cid, note, params, xs, f, outs, gradients=True):
    """`f` of torch tensors returns a dict; gradients by backward()."""
    import torch
    tensor = lambda a: torch.tensor(np.asarray(a), dtype=torch.float64, requires_grad=True)
    p, x = {k: tensor(v) for k, v in params.items()}, tensor(xs)
    found = f(p, x)
    assert list(found) == outs and all(v.dtype == torch.float64 for v in found.values()), found
    R.case(cid, note, {"params": params, "xs": xs}, {k: v.detach().numpy() for k, v in found.items()}, src=note)
    if not gradients: return
    cts = {k: wave(tuple(v.shape), 0.3 + 1.3 * i) for i, (k, v) in enumerate(found.items())}
    sum((found[k] * torch.tensor(ct)).sum() for k, ct in cts.items()).backward()
    for k, ct in cts.items(): R.put(f"{cid}/ct/{k}", ct)
    R.put(f"{cid}/grad/xs", x.grad.numpy())
    for k, v in p.items(): R.put(f"{cid}/grad/params.{k}", v.grad.numpy())

def run(outdir):
    import torch
    torch.set_num_threads(1)
    R = Rec("cells_authors", outdir)
    numbers = lambda phase, *shape: wave(shape, phase, 0.4)
    xs = wave((T, I), 0.2)
    # ------------------------------------------------------------------ S5
    sys.path.insert(0, os.environ["S5_CHECKOUT"])
    jnp.DeviceArray = jax.Array  # a name of the JAX of its time
    from s5.ssm import apply_ssm, discretize_zoh
    def s5(params, xs):
        lam = params["Lambda_re"] + 1j * params["Lambda_im"]
        b, c = (params[k][..., 0] + 1j * params[k][..., 1] for k in "BC")
        rate, scaled = discretize_zoh(lam, b, jnp.exp(params["log_step"][:, 0]))
        return {"ys": apply_ssm(rate, scaled, c, xs, True, False) + jax.vmap(lambda u: params["D"] * u)(xs)}
    params = {"Lambda_re": -np.exp(numbers(0.1, H)), "Lambda_im": 3 * wave((H,), 1.0), "log_step": numbers(2.0, H, 1) - 1.0,
              "B": numbers(2.9, H, I, 2), "C": numbers(3.8, I, H, 2), "D": numbers(4.7, I)}
    R.fn("authors_s5", "S5SSM of lindermanlab/S5: discretize_zoh, apply_ssm with conj_sym", s5, (params, xs), jvp=False, jit=False, src="apply_ssm(*discretize_zoh(Lambda, B, exp(log_step)), C, xs, conj_sym=True, bidirectional=False) + D * xs")
    # ------------------------------------------------------------------ Mamba
    stub = lambda name, **values: sys.modules.setdefault(name, types.SimpleNamespace(**values))
    stub("mamba_ssm.utils.torch", custom_bwd=lambda f: f, custom_fwd=lambda f: f)
    stub("mamba_ssm.ops.triton.layer_norm", _layer_norm_fwd=None)
    scan = by_path("selective_scan_interface", os.environ["MAMBA_CHECKOUT"], "mamba_ssm", "ops", "selective_scan_interface.py").selective_scan_ref
    N, rank = 3, 2
    def s6(p, x):
        # As in mamba_simple.py: x_proj gives dt, B and C; dt_proj's bias goes into the scan.
        dt, b, c = torch.split(x @ p["x_proj"].T, [rank, N, N], dim=-1)
        channels = lambda rows: rows.T[None]
        to_f32, torch.Tensor.float = torch.Tensor.float, torch.Tensor.double  # it computes in f32 whatever it is given
        try:
            y, last = scan(channels(x), channels(dt @ p["dt_proj"].T), -torch.exp(p["A_log"]), channels(b), channels(c), p["D"],
                           delta_bias=p["dt_bias"], delta_softplus=True, return_last_state=True)
        finally:
            torch.Tensor.float = to_f32
        return {"ys": y[0].T, "last": last[0]}
    params = {"A_log": numbers(0.1, I, N), "x_proj": numbers(1.0, rank + 2 * N, I), "dt_proj": numbers(1.9, I, rank), "dt_bias": numbers(2.8, I), "D": numbers(3.7, I)}
    torch_case(R, "authors_mamba", "selective_scan_ref of state-spaces/mamba under the projections of mamba_simple.py, in f64", params, xs, s6, ["ys", "last"])
    # ------------------------------------------------------------------ xLSTM
    package = os.path.dirname(importlib.util.find_spec("xlstm").origin)
    vanilla = by_path("slstm_vanilla", package, "blocks", "slstm", "src", "vanilla", "__init__.py")
    def slstm(p, x):
        # The gates are i, f, z, o; R is [heads, 4·size of a head, size of a head].
        states, last, _ = vanilla.slstm_forward((x @ p["W"].T)[:, None], torch.zeros(4, 1, H, dtype=torch.float64), p["R"], p["b"],
                                                vanilla.slstm_pointwise_function_registry["slstm"])
        return {"ys": states[0, 1:, 0]} | {k: last[i, 0] for i, k in enumerate(["h", "c", "n", "m"])}
    params = {"W": numbers(0.1, 4 * H, I), "R": numbers(1.0, 1, 4 * H, H), "b": numbers(1.9, 4 * H)}
    torch_case(R, "authors_slstm", "slstm_forward of xlstm, backend vanilla, one head, from zeros", params, xs, slstm, ["ys", "h", "c", "n", "m"])
    # Outputs alone: the gradients of that code are no numbers here.
    torch_case(R, "authors_slstm_large", "the same with gates whose exponentials overflow f64 without the stabilizer", {**params, "W": 2000 * params["W"]}, xs, slstm, ["ys", "h", "c", "n", "m"], gradients=False)
    # ------------------------------------------------------------------ LRU
    from LRU_pytorch import LRU
    torch.set_default_dtype(torch.float64)
    def lru(p, x):
        layer = LRU(I, I, H)
        gamma = torch.log(torch.sqrt(1 - torch.exp(-torch.exp(p["nu_log"])) ** 2))
        values = {"nu_log": p["nu_log"], "theta_log": p["theta_log"], "gamma_log": gamma, "D": torch.diag(p["D"]),
                  "B": torch.complex(p["B_re"], p["B_im"]), "C": torch.complex(p["C_re"], p["C_im"])}
        return {"ys": torch.func.functional_call(layer, values, (x,))}
    params = {"nu_log": numbers(0.1, H), "theta_log": numbers(1.0, H), "B_re": numbers(1.9, H, I), "B_im": numbers(2.8, H, I),
              "C_re": numbers(3.7, I, H), "C_im": numbers(4.6, I, H), "D": numbers(5.5, I)}
    torch_case(R, "package_lru", "LRU-pytorch's module, with gamma as it starts and a diagonal D", params, xs, lru, ["ys"])
    torch.set_default_dtype(torch.float32)
    R.write()
