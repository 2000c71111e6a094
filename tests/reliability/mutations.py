"""Damaged files by the thousand: every outcome is success or the project's own error, in bounded time and memory.

    python tests/reliability/torture.py mutations                     # all formats, 5,000 cases each
    python tests/reliability/torture.py mutations --formats mat_truth npz_frames --seed 7 --count 200

A format is a small file made here, and the readers that take it. A mutation, fixed by (format, seed, number), changes
bytes, cuts the file, repeats or swaps parts of it, or writes extreme numbers into it; for files with a structure
(JSON, checkpoints, HDF5, npz) half of the mutations change a value inside and leave the file well-formed.
Cases run in child processes, so that one that dies or hangs is counted and the others still run.
"""

import argparse
import gzip
import io
import json
import pickle
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import h5py
import numpy as np
from cases import Child, Format, Outcome

EXTREME_BYTES = (0, 1, 0x7F, 0x80, 0xFF)
EXTREME_VALUES = (
    None, True, "", "x", "\0", [], [[]], {}, {"a": 1}, -1, 0, 1e18, -1e18, 1e300, float("nan"), float("inf"), 10**400,
    [float("nan")] * 3, "a" * 1000,
)  # fmt: skip


# ------------------------------------------------------------------------------------------ mutations of bytes
def damage(data: bytes, rng: random.Random) -> bytes:
    """One to eight changes of bytes, cuts, repeats and swaps."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
        if not changed:
            break
        kind, at = rng.randrange(8), rng.randrange(len(changed))
        length = min(rng.choice((1, 2, 4, 8, 64)), len(changed) - at)
        if kind <= 2:
            changed[at] = rng.choice(EXTREME_BYTES) if kind else changed[at] ^ 1 << rng.randrange(8)
        elif kind == 3:
            changed[at : at + length] = rng.randbytes(length)
        elif kind == 4:
            changed[at : at + length] = bytes([rng.choice((0, 0xFF))]) * length
        elif kind == 5:
            del changed[at : at + length]
        elif kind == 6:
            changed[at:at] = changed[at : at + length] * rng.choice((1, 2, 50))
        else:
            del changed[at if rng.random() < 0.5 else max(len(changed) - length, 1) :]
    return bytes(changed)


def case(form: Format, data: bytes, name: str, seed: int, number: int) -> bytes:
    """The content of one mutated file."""
    rng = random.Random(f"{name} {seed} {number}")
    return form.change(data, rng) if form.change and rng.random() < 0.5 else damage(data, rng)


def with_value(content: Any, rng: random.Random, change: Callable[[Any], Any] | None = None) -> Any:
    """Nested dicts and lists with one value replaced by an extreme one, or by `change` of it, or left out."""
    if isinstance(content, Mapping) and content and rng.random() < 0.93:
        key = rng.choice(list(content))
        if rng.random() < 0.04:
            return {name: value for name, value in content.items() if name != key}
        return {name: with_value(value, rng, change) if name == key else value for name, value in content.items()}
    if isinstance(content, list) and content and rng.random() < 0.93:
        at = rng.randrange(len(content))
        return [*content[:at], with_value(content[at], rng, change), *content[at + 1 :]]
    if change and rng.random() < 0.5 and (changed := change(content)) is not None:
        return changed
    return rng.choice(EXTREME_VALUES)


def change_json(data: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.02:
        return b"[" * 200_000
    return json.dumps(with_value(json.loads(data), rng)).encode()


def change_gzip(data: bytes, rng: random.Random) -> bytes:
    return gzip.compress(change_json(gzip.decompress(data), rng), 1)


@lru_cache(maxsize=1)
def loaded(data: bytes) -> Any:
    """The content of the undamaged file, which all its mutations start from; they change copies."""
    import torch

    return torch.load(io.BytesIO(data), weights_only=True)


def change_torch(data: bytes, rng: random.Random) -> bytes:
    """A value of a checkpoint or of metas, or the type, shape or memory of a tensor in it."""
    import torch

    def change(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return None
        return rng.choice([
            lambda: value.new_zeros(1).expand(10**9, *value.shape[1:]), lambda: value.reshape(-1)[:0], value.flatten,
            lambda: value[None], lambda: value.double() * float("nan"), lambda: value.to(torch.complex64),
            lambda: value.to_sparse() if value.is_floating_point() else value.bool(), lambda: value.to(torch.int8),
        ])()  # fmt: skip

    content = with_value(loaded(data), rng, change)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def change_hdf5(data: bytes, rng: random.Random) -> bytes:
    """One dataset of another type, shape, or kind, or gone."""
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        name = rng.choice(names)
        values = file[name][()]
        del file[name]
        choice = rng.randrange(9)
        if choice == 0:
            file.create_group(name)
        elif choice == 1:
            file.create_dataset(name, shape=(10**6, *values.shape), dtype="f8", chunks=True)
        elif choice == 2:
            file[name] = rng.choice(
                [x for x in EXTREME_VALUES if isinstance(x, int | float | str) and x != 10**400 and x != "\0"]
            )
        elif choice <= 4:
            changed = np.array(values, dtype=np.float64)
            changed.flat[rng.randrange(changed.size)] = rng.choice((np.nan, np.inf, -np.inf, 1e300, -1e18, 0))
            file[name] = changed
        elif choice <= 6:
            file[name] = values.reshape(-1)[: rng.randrange(values.size)]
        elif choice == 7:
            file[name] = np.array(["a"] * 3, dtype="S1")
    return buffer.getvalue()


def change_npz(data: bytes, rng: random.Random) -> bytes:
    with np.load(io.BytesIO(data), allow_pickle=True) as file:
        arrays = {name: file[name] for name in file.files}
    name = rng.choice(list(arrays))
    values = arrays[name]
    arrays[name] = rng.choice([
        lambda: values[..., None], lambda: values[:0], lambda: np.array(["x"] * 3), lambda: values.reshape(-1),
        lambda: np.full(values.shape, rng.choice((np.nan, np.inf, 1e300, -1))), lambda: np.zeros(10**6),
        lambda: np.array([with_value(values.tolist(), rng)], dtype=object), lambda: np.zeros(values.shape, "M8[s]"),
    ])()  # fmt: skip
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def change_pickled_npz(data: bytes, rng: random.Random) -> bytes:
    """A member that is a pickle: nested values changed, or the pickle's own bytes."""
    with np.load(io.BytesIO(data), allow_pickle=True) as file:
        content = file["positions_3d"].item()
    array = np.empty((), dtype=object)
    array[()] = with_value(content, rng)
    buffer = io.BytesIO()
    np.savez(buffer, positions_3d=array)
    whole = buffer.getvalue()
    if rng.random() < 0.5:
        return whole
    header = io.BytesIO()
    np.lib.format.write_array(header, np.empty((), dtype=object), allow_pickle=True)
    start = header.getvalue()[: header.getvalue().index(b"\n") + 1]
    import zipfile

    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        archive.writestr("positions_3d.npy", start + damage(pickle.dumps(array, 4), rng))
    return buffer.getvalue()


# ------------------------------------------------------------------------------------------ running
def run_format(name: str, count: int, seed: int = 0) -> Outcome:
    """All cases of a format."""
    from formats import FORMATS

    form, outcome = FORMATS[name], Outcome()
    with Child(form) as child:
        for number in range(count):
            outcome.add(number, child.run(case(form, child.data, name, seed, number)))
    return outcome


def main(argv: Sequence[str]) -> int:
    """A part of `torture.py`: print a line per format with its faults; 1 if there are any."""
    from formats import FORMATS

    parser = argparse.ArgumentParser(prog="torture.py mutations", description="Damaged files by the thousand.")
    parser.add_argument("--count", type=int, default=5000, help="mutations per format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS), help="by default all")
    options = parser.parse_args(argv)
    failed = 0
    print(
        f"{'format':<22}{'cases':>7}{'read':>7}{'refused':>9}{'faults':>8}{'longest, s':>12}{'memory, MiB':>13}",
        flush=True,
    )
    for name in options.formats:
        outcome = run_format(name, options.count, options.seed)
        counts = f"{options.count:>7}{outcome.read:>7}{outcome.refused:>9}{len(outcome.faults):>8}"
        print(f"{name:<22}{counts}{outcome.seconds:>12.2f}{outcome.memory / 2**20:>13.0f}", flush=True)
        for kind, times in Counter(fault.partition(": ")[2] for fault in outcome.faults).most_common(8):
            first = next(fault.partition(":")[0] for fault in outcome.faults if fault.endswith(kind))
            print(f"    {times} × {kind} (first: case {first})", flush=True)
        failed += len(outcome.faults)
    return 1 if failed else 0
