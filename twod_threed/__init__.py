"""2D to 3D pose: the 3D pose baseline (Martinez, Hossain, Romero, Little, ICCV 2017)."""

from utils.osutils import imported_on_first_use

_MODULES = {
    "LifterShape": "twod_threed.train",
    "PosePairs": "twod_threed.pose_pairs",
    "lift": "twod_threed.lifting",
    "load_lifter": "twod_threed.loading",
    "train_lifter": "twod_threed.train",
}
__all__ = list(_MODULES)
__getattr__ = imported_on_first_use(__name__, _MODULES)
