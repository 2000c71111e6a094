"""RGB to 2D pose: the stacked hourglass network (Newell, Yang, Deng, ECCV 2016)."""

from utils.osutils import imported_on_first_use

_MODULES = {
    "Architecture": "stacked_hourglass.hourglass",
    "People": "stacked_hourglass.annotations.people",
    "Predictor": "stacked_hourglass.inference",
    "find_poses": "stacked_hourglass.photos",
    "load_hourglass": "stacked_hourglass.loading",
    "load_mpii": "stacked_hourglass.annotations.mpii",
    "train_hourglass": "stacked_hourglass.train",
}
__all__ = list(_MODULES)
__getattr__ = imported_on_first_use(__name__, _MODULES)
