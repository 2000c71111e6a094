"""From a photo to a 3D pose: hourglass, soft-argmax and 3D baseline as one network."""

from importlib import import_module

_PLACES = {
    "SoftArgmax1D": "stitched.soft_argmax",
    "SoftArgmax2D": "stitched.soft_argmax",
    "StitchedNetwork": "stitched.stitched_network",
    "StitchedOutput": "stitched.stitched_network",
    "StitchedPredictor": "stitched.crop_predictor",
    "load_network": "stitched.loading",
    "estimate_poses": "stitched.api",
    "PoseEstimates": "stitched.api",
}
__all__ = list(_PLACES)


def __getattr__(name: str):
    """Import on first use, since `--help` needs no torch."""
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
