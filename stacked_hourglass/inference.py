"""From crops to joints in the photo, batched on the device; shared by validation and `run.py`."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


def to_photo(matrices: Tensor, points: Tensor) -> Tensor:
    """Map crop pixels (B, J, 2) to photo pixels by (B, 2, 3) affine maps."""
    return points @ matrices[:, :, :2].transpose(1, 2) + matrices[:, None, :, 2]


@contextmanager
def batch_statistics(model: nn.Module, enabled: bool) -> Iterator[None]:
    """Within the block batch norm uses each batch's own statistics; the running ones stay as they are."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)] if enabled else []
    former = [(norm.training, norm.track_running_stats) for norm in norms]
    for norm in norms:
        norm.training, norm.track_running_stats = True, False
    try:
        yield
    finally:
        for norm, (training, track) in zip(norms, former, strict=True):
            norm.training, norm.track_running_stats = training, track
