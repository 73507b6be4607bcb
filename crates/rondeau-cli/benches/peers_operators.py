#!/usr/bin/env python3
"""Recurrent layers of ONNX Runtime and PyTorch, at the sizes of the w9 workloads of `rondeau bench`.

    peers_operators.py onnxruntime|torch WORKLOAD [--budget SECONDS]

WORKLOAD is w9f_ and the name of a cell for the outputs of one sequence (T=1000, I=64, H=128), by ONNX Runtime's
operators with inputs and outputs bound (rnn, gru, gru-reset-after, lstm, peephole-lstm) or PyTorch's layers (rnn,
gru-reset-after, lstm, projected-lstm to 64); or w9g_ for value and gradients by all parameters of the mean squared
error for a batch of 32 (T=100), which ONNX Runtime does not have. It says nothing of others. Weights are random. One
JSON line on standard output.

Needs numpy, and onnx and onnxruntime (measured with 1.32), or torch (measured with 2.15). One thread: pin it with
`taskset -c 0`.
"""
import argparse
import json
import time

import numpy as np

I, H, PROJECTED = 64, 128, 64
# Operator, gates, attributes, whether there are peepholes.
OPERATORS = {
    "rnn": ("RNN", 1, {}, False),
    "gru": ("GRU", 3, {"linear_before_reset": 0}, False),
    "gru-reset-after": ("GRU", 3, {"linear_before_reset": 1}, False),
    "lstm": ("LSTM", 4, {}, False),
    "peephole-lstm": ("LSTM", 4, {}, True),
}


# Layer, and the size that it projects to.
LAYERS = {
    "rnn": ("RNN", 0),
    "gru-reset-after": ("GRU", 0),
    "lstm": ("LSTM", 0),
    "projected-lstm": ("LSTM", PROJECTED),
}


def onnxruntime_call(cell, steps):
    """One call of the operator as a model of its own: x [T, 1, I] -> y [T, 1, 1, H]."""
    import onnx
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    operator, gates, attributes, has_peepholes = OPERATORS[cell]
    rng = np.random.default_rng(0)

    def draw(*shape):
        return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

    weights = {"w": draw(1, gates * H, I), "r": draw(1, gates * H, H), "b": draw(1, 2 * gates * H)}
    inputs = ["x", "w", "r", "b"]
    if has_peepholes:
        weights["p"] = draw(1, 3 * H)
        inputs += ["", "", "", "p"]
    graph = helper.make_graph(
        [helper.make_node(operator, inputs, ["y"], hidden_size=H, **attributes)],
        cell,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [steps, 1, I])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [steps, 1, 1, H])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    run = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    bound = run.io_binding()
    bound.bind_ortvalue_input("x", ort.OrtValue.ortvalue_from_numpy(draw(steps, 1, I)))
    y = np.zeros((steps, 1, 1, H), np.float32)
    bound.bind_ortvalue_output("y", ort.OrtValue.ortvalue_from_numpy(y))
    return lambda: run.run_with_iobinding(bound)


def torch_call(cell, steps, batch, is_gradient):
    """One call of the layer: x [T, B, I] -> y [T, B, H], or value and gradients by its parameters."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    name, projected = LAYERS[cell]
    sizes = {"proj_size": projected} if projected else {}
    layer = getattr(torch.nn, name)(I, H, **sizes)
    x = torch.randn(steps, batch, I)
    if not is_gradient:
        layer.eval()

        def forward():
            with torch.inference_mode():
                layer(x)

        return forward
    target = torch.randn(steps, batch, projected or H)
    parameters = list(layer.parameters())

    def gradient():
        loss = ((layer(x)[0] - target) ** 2).mean()
        torch.autograd.grad(loss, parameters)

    return gradient


def median_us(call, budget):
    call()
    times, start = [], time.perf_counter()
    while time.perf_counter() - start < budget or len(times) < 7:
        before = time.perf_counter()
        call()
        times.append(time.perf_counter() - before)
    return float(np.median(times)) * 1e6


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("peer", choices=["onnxruntime", "torch"])
    arguments.add_argument("workload")
    arguments.add_argument("--budget", type=float, default=1.0)
    asked = arguments.parse_args()
    kind, _, cell = asked.workload.partition("_")
    is_gradient = kind == "w9g"
    steps, batch = (100, 32) if is_gradient else (1000, 1)
    if asked.peer == "torch" and cell in LAYERS:
        call = torch_call(cell, steps, batch, is_gradient)
    elif asked.peer == "onnxruntime" and cell in OPERATORS and not is_gradient:
        call = onnxruntime_call(cell, steps)
    else:
        return
    us = median_us(call, asked.budget)
    print(json.dumps({"peer": asked.peer, "workload": asked.workload, "T": steps, "H": H, "median_us": us}))


if __name__ == "__main__":
    main()
