"""RGB to 2D pose: the stacked hourglass network (Newell, Yang, Deng, ECCV 2016)."""

__all__ = ["load_hourglass"]


def __getattr__(name: str):
    """Import on first use: readers of annotations need no torch."""
    if name in __all__:
        from stacked_hourglass.loading import load_hourglass  # noqa: PLC0415

        return load_hourglass
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
