"""2D to 3D pose: the 3D pose baseline (Martinez, Hossain, Romero, Little, ICCV 2017)."""

__all__ = ["load_lifter"]


def __getattr__(name: str):
    """Import on first use: the metrics need no network."""
    if name in __all__:
        from twod_threed.loading import load_lifter  # noqa: PLC0415

        return load_lifter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
