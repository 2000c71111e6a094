"""The demo weights of the repository: a whole stitched network, small and weak, for a first look without training."""

from pathlib import Path

from utils.osutils import inform

DEMO_WEIGHTS = Path(__file__).resolve().parents[1] / "stitched" / "pretrained" / "demo.pth.tar"


def weights_to_load(load: str | Path | None, *pair: str | Path | None) -> str | Path | None:
    """`load`, or the demo weights where no checkpoint is given and they exist; then a message says so.

    Args:
        load: the checkpoint given, if any.
        pair: those given for the hourglass and the 3D baseline, where a script takes the two in place of `load`.
    """
    if load or any(pair) or not DEMO_WEIGHTS.is_file():
        return load
    inform(demo_weights_line(with_pair=bool(pair)))
    return DEMO_WEIGHTS


def demo_weights_line(with_pair: bool) -> str:
    """That the demo weights are used, how good they are, and what is better."""
    better = "--load_hourglass HOURGLASS --load_2d3d LIFTER, or --load STITCHED" if with_pair else "--load HOURGLASS"
    return (
        f"no checkpoint given: the demo weights {DEMO_WEIGHTS} are used; they are weak (a small network trained on a "
        f'few thousand photos). Better: {better}; see "From a photo to a 3D pose" in README.md'
    )
