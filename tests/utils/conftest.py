"""A Human3.6M sample in whose pictures one joint can be measured."""

from pathlib import Path

import numpy as np
import pytest

from utils.sample import human36m, scene
from utils.sample.flesh import RoundCones
from utils.sample.human36m import make_h36m
from utils.sample.render import NOTHING, random_outfit
from utils.sample.scene import Actor
from utils.transform import H36M


@pytest.fixture(scope="session")
def ball_h36m(made_once) -> Path:
    """5 training and 3 validation pictures that show nothing but a white ball at the left wrist."""

    def ball(rng, posed, on_stool):
        place = posed.joints(H36M)[[H36M.index("l_wrist")]]
        cones = RoundCones(("ball",), place, place, np.full((1, 2), 40.0), np.eye(3)[None], np.ones((1, 3)))
        return Actor(posed, cones, random_outfit(rng, cones.names))

    def flat_white(surface, *_):
        return np.repeat((surface.limb != NOTHING)[..., None], 4, axis=-1).astype(np.float32)

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(human36m, "dress", ball)
            patch.setattr(scene, "shade", flat_white)
            patch.setattr(scene, "random_background", lambda rng, camera, w, h, wall: np.zeros((h, w, 3), np.float32))
            make_h36m(folder, 5, 3, seed=1, frames=5)

    return made_once("ball_h36m", make)
