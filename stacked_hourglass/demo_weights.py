"""The demo weights in the repository: a small, weak stitched network for a first look without training."""

from pathlib import Path

from utils.osutils import inform

DEMO_WEIGHTS = Path(__file__).resolve().parents[1] / "stitched" / "pretrained" / "demo.pth.tar"


def weights_to_load(load: str | Path | None, *pair: str | Path | None) -> str | Path | None:
    """`load`, or the demo weights, with a message, if no checkpoint is given and they exist.

    Args:
        load: the given checkpoint, if any.
        pair: the given checkpoints of the hourglass and the 3D baseline, for scripts that accept these two.
    """
    if load or any(pair) or not DEMO_WEIGHTS.is_file():
        return load
    inform(demo_weights_line(with_pair=bool(pair)))
    return DEMO_WEIGHTS


def demo_weights_line(with_pair: bool) -> str:
    """A message that the demo weights are used, with their quality and better alternatives."""
    better = "--load_hourglass HOURGLASS --load_2d3d LIFTER, or --load STITCHED" if with_pair else "--load HOURGLASS"
    return (
        f"no checkpoint given: the demo weights {DEMO_WEIGHTS} are used; they are weak (a small network trained on a "
        f"few thousand photos). Better: {better}; see docs/poses.md"
    )
