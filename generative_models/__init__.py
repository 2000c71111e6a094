"""A Wasserstein GAN over 3D poses."""

from generative_models.loading import load_pose_gan

__all__ = ["load_pose_gan"]
