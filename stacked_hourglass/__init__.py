"""RGB to 2D pose: the stacked hourglass network (Newell, Yang, Deng, ECCV 2016)."""

from importlib import import_module

_MODULES = {
    "Architecture": "stacked_hourglass.hourglass",
    "People": "stacked_hourglass.people",
    "Predictor": "stacked_hourglass.inference",
    "find_poses": "stacked_hourglass.photos",
    "load_hourglass": "stacked_hourglass.loading",
    "load_mpii": "stacked_hourglass.annotations",
    "train_hourglass": "stacked_hourglass.train",
}
__all__ = list(_MODULES)


def __getattr__(name: str):
    """Import on first use: readers of annotations need no torch."""
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
