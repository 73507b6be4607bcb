"""Files of NumPy, safetensors and TensorBoard, written and read by those libraries.

    python files.py write numpy|safetensors DIR
    python files.py read numpy|safetensors|tensorboard DIR

Element `k` of an array, in the order of its indices, is a function of `k` and the type, so that a
file's name says all that is in it: TYPE-SIZES-ANYTHING, as in `f4-2x3-fortran.npy`. A library that
is not installed is status 3.
"""

import json
import pathlib
import sys

import numpy as np

NOT_INSTALLED = 3
SHAPES = [(), (0,), (1,), (7,), (2, 3), (3, 0, 2), (4, 1, 5), (2, 3, 4, 2)]
TYPES = ["f2", "f4", "f8", "i4", "u4", "b1"]
RONDEAU_TYPES = TYPES[1:]


def elements(kind, shape):
    n = int(np.prod(shape))
    k = np.arange(n, dtype=np.int64)
    if kind.startswith("f"):
        values = k * 0.25 - 1.5
        special = {3: np.nan, 4: np.inf, 5: -np.inf, 6: -0.0}
        for i, value in special.items():
            values[k % 11 == i] = value
        return values.astype(kind).reshape(shape)
    if kind == "i4":
        return np.where(k % 5 == 4, np.iinfo(np.int32).min + k, 7 * k - 11).astype(np.int32).reshape(shape)
    if kind == "u4":
        return (np.uint32(0xFFFFFFFF) - 3 * k.astype(np.uint32)).reshape(shape)
    return (k % 3 == 0).reshape(shape)


def expected(name):
    kind, sizes = name.split("-")[:2]
    shape = tuple(int(size) for size in sizes.split("x")) if sizes else ()
    return kind, shape


def named(kind, shape, what):
    return f"{kind}-{'x'.join(map(str, shape))}-{what}"


def check(name, array):
    kind, shape = expected(name)
    want = elements(kind, shape)
    assert array.dtype == want.dtype, f"{name}: {array.dtype}"
    assert array.shape == want.shape, f"{name}: {array.shape}"
    # As bits: not a number, and the sign of zero.
    same = np.array_equal(array, want, equal_nan=kind.startswith("f"))
    signs = not kind.startswith("f") or np.array_equal(np.signbit(array), np.signbit(want))
    assert same and signs, f"{name}: {array} and not {want}"


def write_numpy(directory):
    plain, n = {}, 0
    for kind in TYPES:
        for shape in SHAPES:
            array = elements(kind, shape)
            plain[named(kind, shape, "z")] = array
            spread = np.zeros(tuple(2 * size for size in shape), array.dtype)
            view = spread[(..., *(slice(None, None, 2) for _ in shape))]
            view[...] = array
            orders = {"c": array, "fortran": np.asfortranarray(array).reshape(shape, order="A"), "view": view}
            for what, form in orders.items():
                np.save(directory / f"{named(kind, shape, what)}.npy", form)
                n += 1
    for version in ((2, 0), (3, 0)):
        with open(directory / f"{named('f4', (2, 3), f'version{version[0]}')}.npy", "wb") as file:
            np.lib.format.write_array(file, elements("f4", (2, 3)), version=version)
            n += 1
    np.savez(directory / "stored.npz", **plain)
    np.savez_compressed(directory / "packed.npz", **plain)
    print(f"{np.__version__}: {n} .npy files and 2 .npz archives of {len(plain)} arrays")


def read_numpy(directory):
    n_npy = n_npz = 0
    for path in sorted(directory.glob("*.npy")):
        check(path.stem, np.load(path))
        n_npy += 1
    for path in sorted(directory.glob("*.npz")):
        with np.load(path) as archive:
            for name in archive.files:
                check(name, archive[name])
                n_npz += 1
    print(f"{np.__version__}: {n_npy} .npy files, and {n_npz} arrays in .npz archives")


def write_safetensors(directory):
    import safetensors
    from safetensors.numpy import save_file

    arrays = {named(kind, shape, "s"): elements(kind, shape) for kind in TYPES for shape in SHAPES}
    save_file(arrays, directory / "all.safetensors", {"told": "a text, ünïcode \"quoted\""})
    print(f"{safetensors.__version__}: {len(arrays)} arrays")


def read_safetensors(directory):
    import safetensors
    from safetensors import safe_open

    n = 0
    for path in sorted(directory.glob("*.safetensors")):
        with safe_open(path, "numpy") as file:
            assert file.metadata() == {"told": "a text, ünïcode \"quoted\""}, file.metadata()
            for name in file.keys():
                check(name, file.get_tensor(name))
                n += 1
    print(f"{safetensors.__version__}: {n} arrays")


def read_tensorboard(directory):
    """`want.json` has for each tag the steps and values that TensorBoard must find."""
    import tensorboard
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    want = json.loads((directory / "want.json").read_text())
    events = EventAccumulator(str(directory / "events"), size_guidance={"scalars": 0})
    events.Reload()
    assert sorted(events.Tags()["scalars"]) == sorted(want), events.Tags()["scalars"]
    n = 0
    for tag, points in want.items():
        found = [(point.step, np.float32(point.value)) for point in events.Scalars(tag)]
        wanted = [(step, np.float32(value)) for step, value in points]
        assert str(found) == str(wanted), f"{tag}: {found} and not {wanted}"
        n += len(points)
    print(f"{tensorboard.__version__}: {n} numbers of {len(want)} tags")


if __name__ == "__main__":
    command, what, directory = sys.argv[1:]
    try:
        globals()[f"{command}_{what}"](pathlib.Path(directory))
    except ModuleNotFoundError as error:
        print(f"{error.name} is not installed")
        sys.exit(NOT_INSTALLED)
