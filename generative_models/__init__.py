"""A Wasserstein GAN over 3D poses."""

from utils.osutils import imported_on_first_use

_MODULES = {
    "GANShape": "generative_models.train",
    "facing": "generative_models.poses",
    "load_pose_gan": "generative_models.loading",
    "train_pose_gan": "generative_models.train",
}
__all__ = list(_MODULES)
__getattr__ = imported_on_first_use(__name__, _MODULES)
