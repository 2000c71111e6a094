"""RGB to 2D pose: the stacked hourglass network (Newell, Yang, Deng, ECCV 2016)."""

from stacked_hourglass.loading import load_hourglass

__all__ = ["load_hourglass"]
