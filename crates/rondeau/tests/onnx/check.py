"""Checks exported models: onnx.checker accepts them, and ONNX Runtime computes the stored outputs.

    python check.py DIR

DIR has NAME.onnx, and NAME.npz with the inputs as in.* and the outputs as out.*.
"""

import pathlib
import sys

import numpy as np
import onnx
import onnxruntime

onnxruntime.set_default_logger_severity(4)
n_checked, worst, missing, failures = 0, 0.0, set(), []
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.onnx")):
    model = onnx.load(path)
    arrays = np.load(path.with_suffix(".npz"))
    inputs = {name[3:]: arrays[name] for name in arrays.files if name.startswith("in.")}
    outputs = {name[4:]: arrays[name] for name in arrays.files if name.startswith("out.")}
    try:
        onnx.checker.check_model(model, full_check=True)
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        results = session.run(list(outputs), inputs)
    except Exception as error:
        # Not every operator of the standard is there for every type.
        if "NOT_IMPLEMENTED" in str(error) and path.stem.startswith("prim_"):
            missing.add(str(error).split("Could not find an implementation for ")[-1].split("(")[0])
        else:
            failures.append(f"{path.stem}: {error}")
        continue
    n_checked += 1
    for (name, want), got in zip(outputs.items(), results):
        if got.dtype != want.dtype or got.shape != want.shape:
            failures.append(f"{path.stem}: {name} is {got.dtype}{got.shape}, not {want.dtype}{want.shape}")
            continue
        if want.size == 0:
            continue
        got, want = got.astype(np.float64), want.astype(np.float64)
        same = (got == want) | (np.isnan(got) & np.isnan(want))
        scale = max(1e-3, np.max(np.abs(want[np.isfinite(want)]), initial=0.0))
        error = np.max(np.where(same, 0.0, np.abs(got - want)), initial=0.0) / scale
        worst = max(worst, error)
        if not error <= 1e-5:
            failures.append(f"{path.stem}: {name} is {got.ravel()[:8]}, not {want.ravel()[:8]}")
print(f"{n_checked} models ran; the largest error is {worst:.2e}")
print("without an implementation:", ", ".join(sorted(missing)) or "none")
if failures:
    sys.exit("\n".join(failures))
