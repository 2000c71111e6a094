"""What a checkpoint holds, of whichever network: one schema, which every reader of checkpoints goes through."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from utils.files.schema import (
    Kind,
    by_name,
    described,
    entries,
    flag,
    holds_its_data,
    is_tensor,
    nothing,
    number,
    numbers,
    require,
    required,
    several,
    text,
    whole,
)
from utils.files.sizes import require_stored
from utils.osutils import UserError

MAPPING = Kind("a dict", lambda value: isinstance(value, Mapping))
PLAIN = nothing() | flag() | number() | text()
STATISTICS = {"mean": {"low": -1e7, "high": 1e7}, "stddev": {"low": 1e-6, "high": 1e7}}  # px and mm
NORMALISATION = {"kind": required(text("instance", "dataset"))} | {
    f"{name}_{dims}d": required(numbers(joints, dims, **bounds))
    for name, bounds in STATISTICS.items()
    for joints, dims in ((16, 2), (17, 3))
}
WIDEST = 256.0  # px of the window of a soft-argmax, whose table grows as its square; it covers maps of 181 × 181
SOFT_ARGMAX_FIELDS = {
    "base_index": required(number(-1e6, 1e6)),
    "step_size": required(number(-1e6, 1e6)),
    "window_fn": required(nothing() | text("Parzen", "Uniform")),
    "window_width": required(number(1e-6, WIDEST)),
    "softmax_temp": required(number(1e-6, 1e6)),
    "smoothing": number(0, 0) | number(0.1, 1e3),  # a narrower Gaussian's height is infinite in the end
}
GENERATORS = {
    "python": required(Kind("a list of 3", lambda value: isinstance(value, list | tuple) and len(value) == 3)),
    "numpy": required(Kind("a list of 5", lambda value: isinstance(value, list | tuple) and len(value) == 5)),
    "torch": required(Kind("a tensor", is_tensor)),
    "cuda": required(several(Kind("a tensor", is_tensor))),
}
OPTIMIZER = entries({"state": required(MAPPING), "param_groups": required(several(MAPPING))})
CHECKPOINT_SCHEMA = {
    "format_version": whole(),
    "script": text(),
    "options": by_name(PLAIN | several(PLAIN)),
    "epoch": number(0, 1e9),
    "step": number(0, 1e15),
    "best": nothing() | number() | Kind("a float", lambda value: isinstance(value, float)),
    "mean": numbers(3, low=0, high=1),
    "stddev": numbers(3, low=0, high=1),
    "skeleton": text(),
    "score_threshold": number(-1e3, 1e3),
    "batch_norm_momentum": nothing() | number(0, 1),
    "normalisation": nothing() | entries(NORMALISATION),
    "input_places": text("h36m", "mpii"),
    "soft_argmax": entries(SOFT_ARGMAX_FIELDS),
    "optimizer": OPTIMIZER | several(OPTIMIZER),
    "rng": nothing() | entries(GENERATORS),
    "rng_of_other_ranks": several(nothing() | entries(GENERATORS)),
    "grad_scaler": MAPPING,
    "ema": MAPPING,
}
# What the optimizers hold of a parameter, beside "step", and what a setting adds; each a tensor of its shape.
SLOTS = {"Adam": ("exp_avg", "exp_avg_sq"), "RMSprop": ("square_avg",)}
SLOTS_OF_SETTINGS = {"amsgrad": "max_exp_avg_sq", "momentum": "momentum_buffer", "centered": "grad_avg"}
BOUNDS = {"betas": number(0, 1 - 1e-9), "alpha": number(0, 1), "momentum": number(0, 1)}  # at 1 Adam divides by 0
COMPUTING = ("foreach", "fused", "capturable", "differentiable", "maximize")  # how a step is computed here, not there
OPTIONS = {"batch_norm_momentum": nothing() | number(0, 1)}  # those that a network is built from
WEIGHT = Kind(
    "a tensor of real numbers that the file holds",
    lambda value: is_tensor(value) and value.device.type == "cpu" and holds_its_data(value),
)


def require_content(checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Raise UserError for the first entry of a checkpoint that is of another type or shape, or out of bounds.

    Entries that this project does not read pass, as published checkpoints have them.
    """
    require(checkpoint, CHECKPOINT_SCHEMA if "format_version" in checkpoint else _of_others(checkpoint), path)
    require(checkpoint.get("options", {}), OPTIONS, f"{path}: options")
    for name, value in checkpoint["state_dict"].items():
        if not WEIGHT.right(value):
            raise UserError(f"{path}: state_dict[{str(name)!r:.80}] is not {WEIGHT.expected}")


def _of_others(checkpoint: Mapping[str, Any]) -> dict[str, Kind]:
    """The schema of what this project may read of a checkpoint that another program wrote."""
    read = ("mean", "stddev", "skeleton", "score_threshold", "batch_norm_momentum", "normalisation", "input_places",
            "soft_argmax", "options", "script")  # fmt: skip
    return {name: CHECKPOINT_SCHEMA[name] for name in read if name in checkpoint}


def require_honest_archive(path: Path) -> None:
    """Raise UserError for a zip file that declares more than it holds. Others pass."""
    try:
        require_stored(path)
    except (ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise UserError(f"{path}: not a PyTorch checkpoint, or damaged ({error})") from None


def optimizer_fault(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> str | None:
    """Why an optimizer can't take over a state of `OPTIMIZER`'s form; None where it can."""
    groups, slots = state["param_groups"], state["state"]
    own = optimizer.param_groups
    if [len(group["params"]) for group in own] != [_length(group.get("params")) for group in groups]:
        return "it is of other parameters"
    for group, ours in zip(groups, own, strict=True):
        if fault := _group_fault(group, ours):
            return fault
    for group, ours in zip(groups, own, strict=True):
        needed = _slots_of(type(optimizer).__name__, {**ours, **group})
        for number_, parameter in zip(group["params"], ours["params"], strict=True):
            if not isinstance(number_, int):
                return f"a parameter's number is {described(number_)}"
            if number_ in slots and not _is_slot(slots[number_], parameter, needed):
                return f"what it holds of parameter {number_} has another type or shape"
    return None


def with_own_settings(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> dict[str, Any]:
    """A state that `optimizer_fault` has found right, with this optimizer's own way to compute a step.

    Settings that the state lacks are this optimizer's, too: other versions of PyTorch have fewer.
    """
    groups = [
        {**own, **group, **{name: own[name] for name in COMPUTING if name in own}}
        for own, group in zip(optimizer.param_groups, state["param_groups"], strict=True)
    ]
    return {**state, "param_groups": groups}


def _length(value: Any) -> int | None:
    return len(value) if isinstance(value, list | tuple) else None


def _group_fault(group: Mapping[str, Any], own: Mapping[str, Any]) -> str | None:
    """Why the settings of a parameter group are unusable; None if they are valid."""
    for name, value in own.items():
        if name in ("params", *COMPUTING) or name not in group:
            continue
        stored, several_numbers = group[name], isinstance(value, list | tuple)
        if several_numbers and _length(stored) != len(value):
            return f"its {name} is {described(stored)}"
        pairs = zip(value, stored, strict=True) if several_numbers else [(value, stored)]
        if not all(_fits(have, want, BOUNDS.get(name, number(0))) for want, have in pairs):
            return f"its {name} is {described(stored)}"
    return None


def _fits(stored: Any, own: Any, numeric: Kind) -> bool:
    """Whether a setting may replace an optimizer's own: `numeric` for a number, else the same type or None."""
    if isinstance(own, int | float) and not isinstance(own, bool):
        return numeric.right(stored)
    return own is None or stored is None or type(stored) is type(own)


def _slots_of(kind: str, group: Mapping[str, Any]) -> list[str]:
    """The names of the tensors that an optimizer needs of each parameter of a group; [] for an unknown kind."""
    if kind not in SLOTS:
        return []
    return [*SLOTS[kind], *(name for setting, name in SLOTS_OF_SETTINGS.items() if group.get(setting))]


def _is_slot(slot: Any, parameter: torch.Tensor, needed: Sequence[str]) -> bool:
    """Whether an optimizer may hold this of a parameter: the needed tensors, others of its shape, single numbers."""
    if not isinstance(slot, Mapping) or (needed and slot.get("step") is None):
        return False
    if not all(is_tensor(value := slot.get(name)) and value.shape == parameter.shape for name in needed):
        return False
    return all(
        value is None
        or number(0, 1e15).right(value)
        or (WEIGHT.right(value) and value.shape in (parameter.shape, torch.Size([])))
        for value in slot.values()
    )
