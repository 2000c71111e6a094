"""Device, seeds, precision, and the optimizer step."""

import random
from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from utils.compute.batch_parts import BatchGenerator, Part
from utils.compute.distributed import ALONE, Processes
from utils.osutils import UserError, warn

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(name: str, processes: Processes = ALONE) -> torch.device:
    """The device for `--device`; auto selects CUDA, then MPS, then the CPU. Raises UserError if it is not available.

    With several processes on a machine, each gets its own GPU.
    """
    if name == "auto":
        mps = torch.backends.mps.is_available()
        return processes.local_device(torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"))
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"--device {name}: unknown; choose auto, cpu, cuda, cuda:N or mps") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"--device {name}: {torch.cuda.device_count()} CUDA devices available; try --device auto")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("--device mps: not available; try --device auto")
    if device.type not in ("cpu", "cuda", "mps"):
        raise UserError(f"--device {name}: unknown; choose auto, cpu, cuda, cuda:N or mps")
    return processes.local_device(device)


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries draw from the global generator
    torch.manual_seed(seed)


def seeded_generator(seed: int, number: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator seeded with (seed, number); the number is an epoch or an iteration."""
    return torch.Generator(device).manual_seed(_mixed(seed, number))


def batch_generator(
    seed: int, number: int, device: torch.device | str = "cpu", part: Part | None = None
) -> BatchGenerator:
    """A generator seeded with (seed, number) for a training step on `part`, see `utils.compute.batch_parts`."""
    return BatchGenerator(device, part).manual_seed(_mixed(seed, number))


def _mixed(seed: int, number: int) -> int:
    return seed * 1_000_003 + number


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """Mixed precision for the forward pass; no effect for fp32, nor for bf16 on a CPU without bf16 instructions."""
    if precision == "bf16" and device.type == "cpu" and not cpu_has_bf16():
        precision = "fp32"
    return torch.autocast(device.type, dtype=DTYPES[precision], enabled=precision != "fp32")


@cache
def cpu_has_bf16() -> bool:
    """`has_bf16_instructions`. Warns once if not: with emulation a step can take 90 times as long."""
    if not has_bf16_instructions():
        warn("--precision bf16: this CPU has no bf16 instructions and emulation is far slower; using fp32")
        return False
    return True


def has_bf16_instructions() -> bool:
    """Whether the CPU has bf16 instructions."""
    capabilities = torch.cpu.get_capabilities()
    names = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")  # x86-64, then ARM
    return any(capabilities.get(name, False) for name in names)


def to_device(minibatch: dict, device: torch.device) -> dict:
    """The minibatch with its tensors on `device`; other values as they are."""
    move = {"device": device, "non_blocking": True}
    return {key: value.to(**move) if isinstance(value, Tensor) else value for key, value in minibatch.items()}


class GradientStep:
    """Backward, unscale, clip, step: the end of every update hook.

    `state_dict` has the loss scale of fp16 and belongs in the checkpoint.
    """

    def __init__(self, device: torch.device, precision: str = "fp32", clip: float | None = None):
        """`clip`: maximum gradient norm; None disables clipping."""
        if precision == "fp16" and device.type == "cpu":
            raise UserError("--precision fp16 needs a GPU; on a CPU choose fp32 or bf16")
        self._clip = clip
        self._scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")

    def __call__(
        self,
        loss: Tensor,
        parameters: Iterable[nn.Parameter],
        optimizer: torch.optim.Optimizer,
        part: Part | None = None,
    ) -> None:
        """One step. The loss is the mean over the samples of `part`; gradients are of the mean over all parts."""
        weight, processes = (1.0, ALONE) if part is None else (part.weight, part.processes)
        optimizer.zero_grad()
        self._scaler.scale(loss * weight).backward()
        with processes.reduced_gradients(optimizer):
            self._scaler.unscale_(optimizer)
            if self._clip is not None:
                nn.utils.clip_grad_norm_(parameters, self._clip)
            self._scaler.step(optimizer)
        self._scaler.update()

    def state_dict(self) -> dict:
        return self._scaler.state_dict()

    def load_state_dict(self, state: dict) -> None:
        if state:
            self._scaler.load_state_dict(state)
