"""Deterministic algorithms."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def deterministic(wanted: bool = True) -> Iterator[None]:
    """Context in which PyTorch uses deterministic algorithms only; without effect unless `wanted`.

    Equal commands then give equal bits on one machine with one number of threads. Operations of a GPU that have no
    deterministic form raise RuntimeError.
    """
    if not wanted:
        yield
        return
    former = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first CUDA matrix product is computed
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(former[0])
        torch.backends.cudnn.benchmark = former[1]
