"""What the doors of this package share: the network that the options name."""

from argparse import Namespace
from pathlib import Path

import torch

from stacked_hourglass.demo_weights import weights_to_load
from stitched.loading import load_network
from stitched.stitched_network import StitchedNetwork
from twod_threed.loading import require_normalisation
from utils.console.option_rules import given_value, refuse_disagreement


def open_stitched(
    options: Namespace, device: str | torch.device = "cpu", image_scale: str = "any"
) -> tuple[StitchedNetwork, Path | None]:
    """The network of `load`, of `load_hourglass` and `load_2d3d`, or of the demo weights; and the `load` used, if any.

    Raises UserError as `load_network` does, and for an option on the command line that shaped one of the two networks
    and is not what the checkpoint was trained with.
    """
    load = weights_to_load(options.load, options.load_hourglass, options.load_2d3d)
    network = load_network(
        load,
        options.load_hourglass,
        options.load_2d3d,
        device=device,
        image_scale=image_scale,
        allow_unsafe=options.allow_unsafe_load,
    )
    refuse_disagreement(options, vars(network.hourglass.architecture), load or options.load_hourglass)
    refuse_disagreement(options, network.lifter.architecture(), load or options.load_2d3d)
    asked = given_value(options, "dataset_normalization")
    require_normalisation(asked, network.normalisation.kind, load or options.load_2d3d)
    return network, load
