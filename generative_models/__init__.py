"""A Wasserstein GAN over 3D poses."""

from importlib import import_module

_MODULES = {
    "GANShape": "generative_models.train",
    "facing": "generative_models.poses",
    "load_pose_gan": "generative_models.loading",
    "train_pose_gan": "generative_models.train",
}
__all__ = list(_MODULES)


def __getattr__(name: str):
    """Import on first use: `--help` needs no torch."""
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
