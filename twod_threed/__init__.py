"""2D to 3D pose: the 3D pose baseline (Martinez, Hossain, Romero, Little, ICCV 2017)."""

from importlib import import_module

_MODULES = {
    "LifterShape": "twod_threed.train",
    "PosePairs": "twod_threed.pose_pairs",
    "lift": "twod_threed.lifting",
    "load_lifter": "twod_threed.loading",
    "train_lifter": "twod_threed.train",
}
__all__ = list(_MODULES)


def __getattr__(name: str):
    """Import on first use: the metrics need no network."""
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
