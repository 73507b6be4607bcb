"""Recurrent layers of other frameworks, with what they compute; and ONNX Runtime on their exports.

    python frameworks.py make FRAMEWORK DIR SEED
    python frameworks.py run DIR

`make` writes a file DIR/NAME.safetensors for each layer, of random sizes and weights in f64:

    w/*         the weights, by the names that the framework gives them
    xs          the inputs, [time, batch, input]
    h0, c0      the states, [layers * directions, batch, size]
    ys          the outputs, [time, batch, directions * size]
    ys_zeros    the outputs from states of zeros
    ct          a cotangent of ys
    g/*         the gradients of sum(ys * ct) by all of w/*, xs, h0 and c0

It ends with status 3 if the framework is not installed. `run` gives the inputs of these files to the
models beside them, and compares with `ys` and `ys_zeros`: NAME.scan.onnx is the whole layer as a
`Scan` of one sequence from its states, in f64; NAME.LAYER.DIRECTION.onnx is one of ONNX's own
operators, in f32.
"""

import pathlib
import sys

import numpy as np

NOT_INSTALLED = 3


class Cases:
    def __init__(self, directory, seed):
        self.directory = pathlib.Path(directory)
        self.random = np.random.default_rng(seed)
        self.n = 0

    def numbers(self, *shape):
        return self.random.normal(size=shape) * 0.5

    def sizes(self):
        """time, batch, input, hidden"""
        return [int(self.random.integers(low, high)) for low, high in [(2, 12), (1, 5), (1, 8), (2, 10)]]

    def write(self, kind, about, weights, given, found):
        from safetensors.numpy import save_file

        tensors = {f"w/{name}": array for name, array in weights.items()} | given | found
        tensors = {name: np.array(array, order="C") for name, array in tensors.items()}
        assert all(array.dtype == np.float64 for array in tensors.values())
        texts = {"kind": kind} | {name: str(value) for name, value in about.items()}
        save_file(tensors, self.directory / f"{kind}_{self.n}.safetensors", texts)
        self.n += 1


def pytorch(cases):
    import torch

    torch.set_num_threads(1)
    tensor = lambda array: torch.tensor(array, dtype=torch.float64, requires_grad=True)

    def case(kind, module, **options):
        n_time, n_batch, n_input, n_hidden = cases.sizes()
        layer = module(n_input, n_hidden, **options).double()
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.copy_(torch.tensor(cases.numbers(*parameter.shape)))
        n_layers, n_directions = options.get("num_layers", 1), 1 + options.get("bidirectional", False)
        size = options.get("proj_size", 0) or n_hidden
        rows = n_layers * n_directions
        xs = tensor(cases.numbers(n_time, n_batch, n_input))
        h0 = tensor(cases.numbers(rows, n_batch, size))
        states = {"h0": h0}
        if module is torch.nn.LSTM:
            states["c0"] = tensor(cases.numbers(rows, n_batch, n_hidden))
        ys, _ = layer(xs, tuple(states.values()) if len(states) == 2 else h0)
        ct = cases.numbers(*ys.shape)
        (ys * torch.tensor(ct)).sum().backward()
        array = lambda tensor: tensor.detach().numpy()
        about = dict(input=n_input, hidden=n_hidden, layers=n_layers, directions=n_directions)
        about |= {name: options[name] for name in ("proj_size", "nonlinearity") if name in options}
        given = {"xs": array(xs), "ct": ct} | {name: array(state) for name, state in states.items()}
        found = {"ys": array(ys), "ys_zeros": array(layer(xs)[0]), "g/xs": xs.grad.numpy()}
        found |= {f"g/{name}": state.grad.numpy() for name, state in states.items()}
        found |= {f"g/w/{name}": weight.grad.numpy() for name, weight in layer.named_parameters()}
        cases.write(kind, about, {k: array(v) for k, v in layer.state_dict().items()}, given, found)

    nn = torch.nn
    for module, kind in [(nn.RNN, "torch_rnn"), (nn.GRU, "torch_gru"), (nn.LSTM, "torch_lstm")]:
        for n_layers in (1, 2, 3):
            for bidirectional in (False, True):
                case(kind, module, num_layers=n_layers, bidirectional=bidirectional)
        case(kind, module, bias=False)
    case("torch_rnn", nn.RNN, nonlinearity="relu", num_layers=2, bidirectional=True)
    case("torch_lstm", nn.LSTM, proj_size=2)
    case("torch_lstm", nn.LSTM, proj_size=1, num_layers=2, bidirectional=True)


def in_jax(cases, kind, n_input, n_hidden, weights, given, f):
    """`f(weights, xs, states)`, with its gradients."""
    import jax

    states = {name: given[name] for name in ("h0", "c0") if name in given}
    ys, pull = jax.vjp(f, weights, given["xs"], states)
    ct = cases.numbers(*ys.shape)
    by_weights, by_xs, by_states = pull(jax.numpy.asarray(ct))
    zeros = {name: np.zeros_like(state) for name, state in states.items()}
    found = {"ys": ys, "ys_zeros": f(weights, given["xs"], zeros), "g/xs": by_xs}
    found |= {f"g/w/{name}": gradient for name, gradient in by_weights.items()}
    found |= {f"g/{name}": gradient for name, gradient in by_states.items()}
    about = dict(input=n_input, hidden=n_hidden)
    cases.write(kind, about, weights, given | {"ct": ct}, found)


def given(cases, n_time, n_batch, n_input, n_hidden, is_lstm):
    states = {name: cases.numbers(1, n_batch, n_hidden) for name in ["h0", "c0"][: 1 + is_lstm]}
    return {"xs": cases.numbers(n_time, n_batch, n_input)} | states


def flat(tree, prefix=""):
    """Nested dictionaries as one, with dots in its names."""
    arrays = {}
    for name, value in tree.items():
        arrays |= flat(value, f"{prefix}{name}.") if hasattr(value, "items") else {f"{prefix}{name}": value}
    return arrays


def nested(arrays):
    tree = {}
    for name, array in arrays.items():
        *above, last = name.split(".")
        inner = tree
        for part in above:
            inner = inner.setdefault(part, {})
        inner[last] = array
    return tree


def haiku(cases):
    import haiku as hk
    import jax

    for kind, core in [("haiku_gru", hk.GRU), ("haiku_lstm", hk.LSTM), ("haiku_vanilla", hk.VanillaRNN)]:
        for _ in range(3):
            sizes = cases.sizes()
            n_input, n_hidden = sizes[2:]
            is_lstm = core is hk.LSTM
            sequence = given(cases, *sizes, is_lstm)
            state = lambda of: hk.LSTMState(of["h0"][0], of["c0"][0]) if is_lstm else of["h0"][0]
            run = lambda xs, states: hk.dynamic_unroll(core(n_hidden), xs, state(states))[0]
            net = hk.without_apply_rng(hk.transform(run))
            weights = flat(net.init(jax.random.key(0), sequence["xs"], sequence))
            weights = {name: cases.numbers(*array.shape) for name, array in weights.items()}
            f = lambda weights, xs, states: net.apply(nested(weights), xs, states)
            in_jax(cases, kind, n_input, n_hidden, weights, sequence, f)


def flax(cases):
    import flax.linen as nn
    import jax

    kinds = {
        "flax_simple": nn.SimpleCell,
        "flax_gru": nn.GRUCell,
        "flax_mgu": nn.MGUCell,
        "flax_lstm": nn.LSTMCell,
        "flax_optimized_lstm": nn.OptimizedLSTMCell,
    }
    for kind, cell in kinds.items():
        for _ in range(2):
            sizes = cases.sizes()
            n_input, n_hidden = sizes[2:]
            is_lstm = "lstm" in kind
            sequence = given(cases, *sizes, is_lstm)
            net = nn.RNN(cell(n_hidden, param_dtype=np.float64), time_major=True)
            weights = flat(net.init(jax.random.key(0), sequence["xs"])["params"])
            weights = {name: cases.numbers(*array.shape) for name, array in weights.items()}

            def f(weights, xs, states):
                carry = (states["c0"][0], states["h0"][0]) if is_lstm else states["h0"][0]
                return net.apply({"params": nested(weights)}, xs, initial_carry=carry)

            in_jax(cases, kind, n_input, n_hidden, weights, sequence, f)


def equinox(cases):
    import equinox as eqx
    import jax

    for kind, cell in [("equinox_gru", eqx.nn.GRUCell), ("equinox_lstm", eqx.nn.LSTMCell)]:
        for use_bias in (True, True, False):
            sizes = cases.sizes()
            n_input, n_hidden = sizes[2:]
            is_lstm = cell is eqx.nn.LSTMCell
            sequence = given(cases, *sizes, is_lstm)
            made = cell(n_input, n_hidden, use_bias, dtype=np.float64, key=jax.random.key(0))
            names = ["weight_ih", "weight_hh"] + ["bias", "bias_n"][: use_bias * (2 - is_lstm)]
            weights = {name: cases.numbers(*getattr(made, name).shape) for name in names}

            def f(weights, xs, states):
                fields = lambda cell: [getattr(cell, name) for name in names]
                filled = eqx.tree_at(fields, made, [weights[name] for name in names])
                hidden = lambda state: state[0] if is_lstm else state

                def step(state, x):
                    state = jax.vmap(filled)(x, state)
                    return state, hidden(state)

                state = tuple(states[name][0] for name in ("h0", "c0")) if is_lstm else states["h0"][0]
                return jax.lax.scan(step, state, xs)[1]

            in_jax(cases, kind, n_input, n_hidden, weights, sequence, f)


FRAMEWORKS = {"torch": pytorch, "haiku": haiku, "flax": flax, "equinox": equinox}


def make(framework, directory, seed):
    import importlib.util

    missing = [name for name in (framework, "safetensors") if importlib.util.find_spec(name) is None]
    if missing:
        print(f"{missing[0]} is not installed")
        sys.exit(NOT_INSTALLED)
    if framework != "torch":
        import jax

        jax.config.update("jax_enable_x64", True)
        jax.config.update("jax_platforms", "cpu")
    cases = Cases(directory, int(seed))
    FRAMEWORKS[framework](cases)
    print(f"{sys.modules[framework].__version__}")


def run(directory):
    try:
        import onnx
        import onnxruntime
        from safetensors.numpy import load_file
    except ImportError as error:
        print(f"{error.name} is not installed")
        sys.exit(NOT_INSTALLED)
    onnxruntime.set_default_logger_severity(4)
    counts, worst, failures = {"scan": 0, "layers": 0}, {"scan": 0.0, "layers": 0.0}, []

    def session(path):
        onnx.checker.check_model(onnx.load(path), full_check=True)
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def compare(what, form, got, want, tolerance):
        error = float(np.max(np.abs(got - want)) / np.max(np.abs(want)))
        counts[form] += 1
        worst[form] = max(worst[form], error)
        if got.shape != want.shape or not error <= tolerance:
            failures.append(f"{what} as {form}: the error is {error:.2e} of the largest number")

    for path in sorted(pathlib.Path(directory).glob("*.safetensors")):
        arrays = load_file(path)
        scan = path.with_suffix(".scan.onnx")
        if scan.exists():
            (ys,) = session(scan).run(["ys"], {"xs": arrays["xs"][:, 0]})
            compare(path.stem, "scan", ys, arrays["ys"][:, 0], 1e-12)
        xs, n_layers = arrays["xs"].astype(np.float32), 0
        while (forward := path.with_suffix(f".{n_layers}.0.onnx")).exists():
            backward = path.with_suffix(f".{n_layers}.1.onnx")
            (ys,) = session(forward).run(["ys"], {"xs": xs})
            if backward.exists():
                (back,) = session(backward).run(["ys"], {"xs": xs[::-1]})
                ys = np.concatenate([ys, back[::-1]], axis=-1)
            xs, n_layers = ys, n_layers + 1
        if n_layers:
            compare(path.stem, "layers", xs, arrays["ys_zeros"], 1e-5)
    print(
        f"onnxruntime {onnxruntime.__version__}: {counts['scan']} as a Scan in f64, largest error "
        f"{worst['scan']:.1e}; {counts['layers']} of its own operators in f32, {worst['layers']:.1e}"
    )
    if failures:
        sys.exit("\n".join(failures))


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    {"make": make, "run": run}[command](*arguments)
