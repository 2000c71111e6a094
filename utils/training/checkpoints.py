"""Checkpoints: plain dicts that `torch.load(weights_only=True)` opens, written atomically."""

import pickle
import random
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from utils.compute.distributed import ALONE, Processes
from utils.compute.pickles import is_plain_pickle, pickled_names, unsafe_name
from utils.compute.torch_files import save_torch, saved_bytes, write_bytes
from utils.osutils import UserError, counted, warn, written_together
from utils.training.checkpoint_paths import BEST, LATEST, find_checkpoint
from utils.training.checkpoint_schema import (
    optimizer_fault,
    require_content,
    require_honest_archive,
    with_own_settings,
)

FORMAT_VERSION = 1
STITCHED_PARTS = ("hourglass.", "lifter.")  # prefixes of a stitched checkpoint's keys
MT19937_KEYS = 624  # numbers in the state of NumPy's global generator


def read_checkpoint(path: str | Path, allow_unsafe: bool = False, processes: Processes = ALONE) -> dict[str, Any]:
    """Read a checkpoint onto the CPU. With several processes, rank 0 reads it for all.

    A bare state dict (a published checkpoint) is wrapped as {"state_dict": …}. The "module." prefix of multi-GPU
    training is stripped.

    Args:
        path: file or directory, see `find_checkpoint`.
        allow_unsafe: also open files with pickled objects, which can execute any code. Warns.

    Raises UserError for a missing or truncated file, for one that is no checkpoint, and for one that needs unpickling.
    """
    return processes.on_main(lambda: _read_checkpoint(find_checkpoint(path), allow_unsafe))


def _read_checkpoint(path: Path, allow_unsafe: bool) -> dict[str, Any]:
    require_honest_archive(path)
    try:
        content = _torch_load(path, allow_unsafe)
    except Exception as error:  # a damaged pickle raises anything
        raise UserError(f"{path}: {_refusal(path, error)}") from None
    if not isinstance(content, Mapping) or not content:
        raise UserError(f"{path}: holds a {type(content).__name__}, not a checkpoint or state dict")
    checkpoint = dict(content) if "state_dict" in content else {"state_dict": content}
    state_dict = checkpoint["state_dict"]
    if not isinstance(state_dict, Mapping) or not all(isinstance(value, torch.Tensor) for value in state_dict.values()):
        raise UserError(f"{path}: neither a checkpoint with a 'state_dict' of tensors nor a bare state dict")
    require_content(checkpoint, path)
    if checkpoint.get("format_version", FORMAT_VERSION) not in range(FORMAT_VERSION + 1):
        raise UserError(f"{path}: format {checkpoint['format_version']}, this version reads {FORMAT_VERSION}; update")
    checkpoint["state_dict"] = {str(key).removeprefix("module."): value for key, value in state_dict.items()}
    return checkpoint


def written_by(checkpoint: Mapping[str, Any]) -> str:
    """For error messages: where a checkpoint of the wrong network comes from."""
    script = checkpoint.get("script")
    return f"it was written by train.py {script}" if script else "its keys belong to another network"


def is_stitched(checkpoint: Mapping[str, Any]) -> bool:
    """Whether a checkpoint from `read_checkpoint` holds a stitched network."""
    return all(any(key.startswith(part) for key in checkpoint["state_dict"]) for part in STITCHED_PARTS)


def part_of_stitched(checkpoint: dict[str, Any], part: str, facts: Sequence[str]) -> dict[str, Any]:
    """The weights of one network of a stitched checkpoint, with its `facts`; any other checkpoint unchanged.

    Args:
        part: one of `STITCHED_PARTS`.
        facts: names of what the checkpoint stores beside the weights for this network.
    """
    if not is_stitched(checkpoint):
        return checkpoint
    state = {key.removeprefix(part): v for key, v in checkpoint["state_dict"].items() if key.startswith(part)}
    return {name: checkpoint[name] for name in facts if name in checkpoint} | {"state_dict": state}


def network_with_weights(
    make: Callable[[], nn.Module], state_dict: Mapping[str, torch.Tensor], path: str | Path
) -> nn.Module:
    """The network that `make` gives, with these weights.

    It is made without memory first: a file of 1 kB can name a layer of 10⁹ units. Raises UserError as `load_state`.
    """
    try:
        with torch.device("meta"):
            require_same_weights(make(), state_dict, path)
    except (ValueError, TypeError, RuntimeError, ZeroDivisionError, IndexError) as error:
        raise UserError(f"{path}: its weights make no network ({str(error).splitlines()[0]})") from None
    model = make()
    load_state(model, state_dict, path)
    return model


def load_state(model: nn.Module, state_dict: Mapping[str, torch.Tensor], path: str | Path) -> None:
    """Load weights into a network with exactly these keys and shapes; see `require_same_weights`."""
    require_same_weights(model, state_dict, path)
    model.load_state_dict(state_dict, strict=False)  # strictly checked above


def require_same_weights(model: nn.Module, state_dict: Mapping[str, torch.Tensor], path: str | Path) -> None:
    """Raise UserError, naming the first difference, unless the keys and shapes are the network's.

    Batch norm's `num_batches_tracked` may be missing: PyTorch before 0.4.1 did not store it. All keys that start with
    one of `model.optional_parts` may be missing too: such a part has no effect until it is trained.
    """
    own = model.state_dict()
    absent = tuple(
        part for part in getattr(model, "optional_parts", ()) if not any(key.startswith(part) for key in state_dict)
    )
    missing = [
        k for k in own if k not in state_dict and not k.endswith("num_batches_tracked") and not k.startswith(absent)
    ]
    unknown = [k for k in state_dict if k not in own]
    reshaped = [k for k in own if k in state_dict and own[k].shape != state_dict[k].shape]
    if missing or unknown or reshaped:
        if reshaped:
            key = reshaped[0]
            what = f"{key} has shape {tuple(state_dict[key].shape)}, expected {tuple(own[key].shape)}"
        else:
            what = f"missing key {missing[0]}" if missing else f"unexpected key {unknown[0]}"
        count = len(missing) + len(unknown) + len(reshaped)
        raise UserError(f"{path}: weights of another network ({what}; {counted(count, 'difference')} in all)")


def write_checkpoint(path: str | Path, checkpoint: Mapping[str, Any]) -> None:
    """Save to a temporary file, flush, rename: a kill at any moment leaves the previous file intact."""
    save_torch(path, dict(checkpoint))


def rng_state() -> dict[str, Any]:
    """The state of all random number generators of this process, as plain types and tensors."""
    version, internal, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002 - libraries draw from it
    return {
        "python": [version, list(internal), gauss],
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_rng_state(state: Mapping[str, Any]) -> None:
    """Restore what `rng_state` returned."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = state["numpy"]
    if keys.shape != (MT19937_KEYS,):  # before they are copied: a damaged file may declare billions
        raise ValueError(f"expected {MT19937_KEYS} numbers of NumPy's generator, the file has {list(keys.shape)}")
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as plain types, sorted by name, for checkpoints and JSON."""
    return {key: _plain(value) for key, value in sorted(values.items())}


def make_checkpoint_fn(
    script: str,
    settings: Mapping[str, Any],
    extra: Mapping[str, Any] | None = None,
    processes: Processes = ALONE,
):
    """The default checkpoint hook: `checkpoint_fn(model, optimizer, epoch, best, directory, is_best)`.

    All processes must call it, since each has its own random state; rank 0 writes.

    Args:
        script: name of the training script.
        settings: settings of the training, stored under "options" as plain types.
        extra: further plain values to store, e.g. an hourglass's `mean` and `stddev`. For an object with a `state_dict`
            method (a gradient scaler), its state at the time of writing is stored.
    """

    def checkpoint_fn(model, optimizer, epoch, best, directory, is_best):
        own_rng, *other_rng = processes.gather_objects(rng_state())  # of rank 0, of the others
        if not processes.is_main:
            return
        optimizers = optimizer if isinstance(optimizer, tuple) else (optimizer,)
        states = {k: v.state_dict() if hasattr(v, "state_dict") else v for k, v in (extra or {}).items()}
        checkpoint = {
            "format_version": FORMAT_VERSION,
            "script": script,
            "options": plain(settings),
            "state_dict": model.state_dict(),
            "optimizer": [o.state_dict() for o in optimizers],
            "epoch": epoch,
            "best": best,
            "rng": own_rng,
            **({"rng_of_other_ranks": other_rng} if other_rng else {}),
            **states,
        }
        content = saved_bytes(checkpoint)
        with written_together(last=LATEST):
            for name in (BEST, LATEST) if is_best else (LATEST,):
                write_bytes(Path(directory, name), content)

    return checkpoint_fn


def make_load_fn(
    allow_unsafe: bool = False,
    extra: Mapping[str, Any] | None = None,
    processes: Processes = ALONE,
    best_of: Callable[[Mapping[str, Any]], float | None] = lambda checkpoint: checkpoint.get("best"),
    part_of: Callable[[dict[str, Any]], dict[str, Any]] = lambda checkpoint: checkpoint,
):
    """The default load hook: `load_fn(model, optimizer, path)` -> model, optimizer, epochs done, best value (or None).

    With a bare state dict, or None for the optimizer, only weights are loaded and training starts at epoch 0.

    Args:
        allow_unsafe: see `read_checkpoint`.
        extra: see `make_checkpoint_fn`.
        best_of: returns the best validation value stored in a checkpoint.
        part_of: returns the part of a checkpoint that holds this training's network.
    """

    def load_fn(model, optimizer, path):
        checkpoint = part_of(read_checkpoint(path, allow_unsafe, processes))
        load_state(model, checkpoint["state_dict"], path)
        if optimizer is None or "optimizer" not in checkpoint:
            return model, optimizer, 0, None
        optimizers = optimizer if isinstance(optimizer, tuple) else (optimizer,)
        states = checkpoint["optimizer"] if isinstance(checkpoint["optimizer"], list) else [checkpoint["optimizer"]]
        if len(states) != len(optimizers):
            raise UserError(f"{path}: holds {len(states)} optimizers, this script trains with {len(optimizers)}")
        for one, state in zip(optimizers, states, strict=True):
            _load_optimizer(one, state, path)
        for name, value in (extra or {}).items():
            if hasattr(value, "load_state_dict") and name in checkpoint:
                _restore(value.load_state_dict, checkpoint[name], f"{path}: {name}")
        rng = [checkpoint.get("rng"), *checkpoint.get("rng_of_other_ranks", [])]
        if (
            processes.rank < len(rng) and rng[processes.rank]
        ):  # processes beyond the former count start from their seeds
            _restore(restore_rng_state, rng[processes.rank], f"{path}: rng")
        return model, optimizer, checkpoint.get("epoch", 0), best_of(checkpoint)

    return load_fn


def _restore(restore: Callable[[Any], None], state: Any, where: str) -> None:
    """Restore a state whose content only its owner can judge. Raises UserError where it doesn't take it."""
    try:
        restore(state)
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError, RuntimeError) as error:
        fault = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{where} can't be restored ({fault}); start from the weights with --load") from None


def _load_optimizer(optimizer: torch.optim.Optimizer, state: dict, path: str | Path) -> None:
    """Load an optimizer's state; warn and start afresh if it belongs to another kind of optimizer."""
    fields = {name for slot in state["state"].values() if isinstance(slot, Mapping) for name in slot}
    expected = {"RMSprop": "square_avg", "Adam": "exp_avg"}.get(type(optimizer).__name__)
    try:
        if fields and expected and expected not in fields:
            raise ValueError("another kind of optimizer")
        if fault := optimizer_fault(optimizer, state):
            raise ValueError(fault)
        optimizer.load_state_dict(with_own_settings(optimizer, state))
    except ValueError as error:
        warn(f"{path}: optimizer state does not fit and is reset ({error})")


def _torch_load(path: Path, allow_unsafe: bool) -> Any:
    with open(path, "rb") as file:
        begin = file.read(4)
    # A zip of PyTorch, or a pickle as before 1.6. Pickles of protocols 0 and 1 have no magic bytes and are parsed.
    if not begin.startswith((b"PK\3\4", b"\x80")) and pickled_names(path) is None:
        raise ValueError("neither a zip file nor a pickle")
    plain_pickle = is_plain_pickle(path)
    if allow_unsafe:
        warn(f"{path}: --allow_unsafe_load opens pickled objects, which can run code; only for files you trust")
        if plain_pickle:
            return pickle.loads(path.read_bytes())
        return torch.load(path, map_location="cpu", weights_only=False)
    if plain_pickle:
        raise pickle.UnpicklingError("a plain pickle")
    with warnings.catch_warnings(category=UserWarning, action="ignore"):  # about the pickle protocol
        return torch.load(path, map_location="cpu", weights_only=True)


def _refusal(path: Path, error: Exception) -> str:
    """Why a file could not be opened."""
    reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
    names = pickled_names(path)
    if "TorchScript" in reason:
        return "a TorchScript program of torch.jit.save, not a checkpoint; give a file with the state_dict"
    if names is not None and isinstance(error, pickle.UnpicklingError):
        if not names:
            return "a plain pickle without tensors, not a PyTorch checkpoint"
        named = f" ({name})" if (name := unsafe_name(names)) else ""
        return (
            f"refused, it holds pickled objects that could run code{named}; if you trust its source, add "
            "--allow_unsafe_load"
        )
    if "archive" in reason:  # PyTorch's own message names lines of its C++ source
        reason = "a zip file that torch.save did not write" if zipfile.is_zipfile(path) else "a truncated zip file"
    elif "Weights only" in reason:
        reason = "its pickle is damaged"
    return f"not a PyTorch checkpoint, or truncated ({reason})"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(v) for v in (sorted(value) if isinstance(value, set) else value)]
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)
