#!/usr/bin/env python3
"""Golden data from JAX. Usage: python gen_golden.py [--out DIR] [section ...]
Every section runs in a process of its own (x64 is a per-process setting). The manifest keeps what it says of sections
that are not run.
Needs: jax, numpy, safetensors; for the cells and optimizers also optax, dm-haiku, flax, equinox, torch, onnx,
onnxruntime, and keras (in a Python of its own, KERAS_PYTHON, if it does not go with the others); for the authors'
cells also xlstm, lru-pytorch, einops, and checkouts named by S5_CHECKOUT and MAMBA_CHECKOUT."""
import argparse, glob, json, os, platform, subprocess, sys, time

SECTIONS = {  # name: (module, function, x64)
    "prng": ("sections.prng", "run32", False),
    "prng_x64": ("sections.prng", "run64", True),
    "seed_f32": ("sections.seed", "run32", False),
    "seed_f64": ("sections.seed", "run64", True),
    "scan": ("sections.scan", "run", True),
    "control": ("sections.control", "run", True),
    "cells_jax": ("sections.cells_jax", "run", True),
    "cells_torch": ("sections.cells_torch", "run", True),
    "cells_onnx": ("sections.cells_onnx", "run", True),
    "cells_keras": ("sections.cells_keras", "run", False),
    "cells_authors": ("sections.cells_authors", "run", True),
    "optim": ("sections.optim", "run", True),
    "train": ("sections.train", "run", True),
}

def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--out", default=os.path.dirname(os.path.abspath(__file__)))
    ap.add_argument("--one")
    ap.add_argument("sections", nargs="*")
    a = ap.parse_args()
    here = os.path.dirname(os.path.abspath(__file__))
    if a.one:
        sys.path.insert(0, here)
        import importlib
        mod, fn, x64 = SECTIONS[a.one]
        import jax
        jax.config.update("jax_enable_x64", x64)
        jax.config.update("jax_default_matmul_precision", "highest")
        getattr(importlib.import_module(mod), fn)(a.out)
        return
    for s in a.sections or SECTIONS:
        py = os.environ.get("KERAS_PYTHON", sys.executable) if s == "cells_keras" else sys.executable
        env = dict(os.environ, JAX_PLATFORMS="cpu", KERAS_BACKEND="jax", PYTHONDONTWRITEBYTECODE="1",
                   XLA_FLAGS=os.environ.get("XLA_FLAGS", ""))
        t = time.time()
        r = subprocess.run([py, os.path.join(here, "gen_golden.py"), "--out", a.out, "--one", s], env=env)
        print(f"  {s}: rc={r.returncode} {time.time()-t:.1f}s", flush=True)
        if r.returncode and not a.sections:
            sys.exit(1)
    import jax, numpy
    path = os.path.join(a.out, "manifest.json")
    kept = json.load(open(path)) if os.path.exists(path) else {"versions": {}, "sections": []}
    parts = [json.load(open(p)) for p in sorted(glob.glob(os.path.join(a.out, ".part_*.json")))]
    ran = {p["section"] for p in parts}
    parts += [p for p in kept["sections"] if p["section"] not in ran]
    order = {s: i for i, s in enumerate(SECTIONS)}
    parts.sort(key=lambda p: order.get(p["section"], 99))
    vers = kept["versions"] | {"jax": jax.__version__, "numpy": numpy.__version__, "python": platform.python_version()}
    import importlib.metadata as md
    for m in ["jaxlib", "safetensors", "dm-haiku", "flax", "equinox", "optax", "torch", "onnx", "onnxruntime", "keras", "xlstm", "lru-pytorch"]:
        try: vers[m] = md.version(m)
        except Exception: pass
    man = {"versions": vers,
           "prng_mode": "threefry2x32, jax_threefry_partitionable=True (the default of this JAX)",
           "naming": "tensor = <case id>/<role>/<path>; roles: in, out, ct (cotangent given), grad (vjp of ct), tan (tangent given), jvp (output tangent); path joins pytree keys with '.'; dict keys sorted",
           "tol": "exact: equal bits. ulp n: at most n representable steps. rel: |a-b| <= atol + rtol*|b|. A case without tol: f64 sections rtol 1e-9 atol 1e-11; f32 rtol 1e-5 atol 1e-6.",
           "sections": parts}
    with open(path, "w") as fh:
        json.dump(man, fh, indent=1)
        fh.write("\n")
    tot = sum(os.path.getsize(p) for p in glob.glob(os.path.join(a.out, "*.safetensors")) + [os.path.join(a.out, "manifest.json")])
    print("cases", sum(p["n_cases"] for p in parts), "bytes", tot)

if __name__ == "__main__":
    main()
