"""From a photo to a 3D pose: hourglass, soft-argmax and 3D baseline as one network."""

from utils.osutils import imported_on_first_use

_MODULES = {
    "PoseEstimates": "stitched.api",
    "SoftArgmax1D": "stitched.soft_argmax",
    "SoftArgmax2D": "stitched.soft_argmax",
    "StitchedNetwork": "stitched.stitched_network",
    "StitchedOutput": "stitched.stitched_network",
    "StitchedPredictor": "stitched.crop_predictor",
    "estimate_poses": "stitched.api",
    "load_network": "stitched.loading",
}
__all__ = list(_MODULES)
__getattr__ = imported_on_first_use(__name__, _MODULES)
