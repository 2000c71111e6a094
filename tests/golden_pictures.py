"""One small picture of each kind, drawn from fixed poses. To write them anew (look at them before committing):

PYTHONPATH=.:tests:tests/stitched python tests/golden_pictures.py
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from standing_people import joints_of, people

from generative_models.viz import draw_beside
from stacked_hourglass.browse import Shown, draw_sample
from stacked_hourglass.joint_maps import draw_joint_maps
from stacked_hourglass.viz import overlay_figure
from stitched.viz import Scene, compose
from stitched.worst import photo_pair
from twod_threed.viz import draw_comparison
from utils.imaging.figures import FigureStyle
from utils.imaging.heatmaps import crop_to_heatmap, render_heatmaps
from utils.imaging.sketch import Sketch
from utils.transform import H36M, H36M_2D, MPII

FOLDER = Path(__file__).parent / "golden"
SIDE = 480  # px, longer side of a stored picture


def photo(width: int = 640, height: int = 480) -> np.ndarray:
    """A smooth photo without detail."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([60 + columns // 8, 90 + rows // 10, 140 - columns // 12], axis=2).astype(np.uint8)


def hidden() -> torch.Tensor:
    """(1, 17) bool: the left arm is uncertain."""
    return torch.tensor([[joint in ("l_elbow", "l_wrist") for joint in H36M.joints]])


def moved(poses: torch.Tensor) -> torch.Tensor:
    poses = poses.clone()
    poses[:, H36M.indices(["r_wrist", "l_ankle"]), 1] += 170
    return poses


def overlay() -> Sketch:
    return overlay_figure(photo(), joints_of(people(1)), H36M_2D, "not drawn: left wrist (confidence below 0.2)")


def crowd() -> Sketch:
    return compose(photo(), Scene(joints_of(people(4)), H36M_2D, {"": people(4)}))


def small_person() -> Sketch:
    return overlay_figure(photo(), joints_of(people(1)) * 0.25 + 200, H36M_2D)


def doubtful() -> Sketch:
    return compose(photo(), Scene(joints_of(people(1)), H36M_2D, {"": people(1)}, None, hidden(), 0.2))


def paper() -> Sketch:
    scene = Scene(joints_of(people(1)), H36M_2D, {"ours": people(1)}, moved(people(1)))
    return compose(photo(), scene, FigureStyle("paper", ("front", "side", "top"), "error"))


def truth_and_prediction() -> Sketch:
    return draw_comparison(joints_of(people(1))[0], people(1)[0], {"": moved(people(1))[0]}, "S9/Walking, frame 3")


def generated() -> Sketch:
    world = people(4)[..., [0, 2, 1]] * torch.tensor([1, 1, -1])
    return draw_beside(world, world)


def joint_maps() -> Sketch:
    joints = torch.stack([torch.tensor([30.0 + 12 * joint, 220.0 - 12 * joint]) for joint in range(len(MPII))])
    maps = render_heatmaps(crop_to_heatmap(joints)[None], sigma=2.0)[0] * torch.linspace(0.05, 0.9, 16)[:, None, None]
    saliency = torch.nn.functional.interpolate(maps[None], size=256)[0]
    return draw_joint_maps(photo(256, 256), maps, saliency, MPII, "sum", True, min_score=0.2)


def worst() -> Sketch:
    joints = joints_of(people(1))[0]
    return photo_pair(photo(), joints + 30, joints, H36M_2D, "a.png, person 0, error 11 %")


def training_sample() -> Sketch:
    crop = torch.from_numpy(photo(256, 256)).permute(2, 0, 1) / 255
    joints = torch.stack([torch.tensor([30.0 + 12 * joint, 220.0 - 12 * joint]) for joint in range(len(MPII))])
    joints[3:5] = torch.nan  # not annotated
    targets = render_heatmaps(crop_to_heatmap(joints)[None], sigma=1.5)[0]
    return draw_sample(Shown("a.jpg", crop, joints, targets, "not counted"), MPII)


PICTURES: dict[str, Callable[[], Sketch]] = {
    drawing.__name__: drawing
    for drawing in (
        overlay, crowd, small_person, doubtful, paper, truth_and_prediction, generated, joint_maps, worst,
        training_sample,
    )
}  # fmt: skip


def shrunk(name: str) -> np.ndarray:
    """The picture, its longer side `SIDE` px."""
    picture = PICTURES[name]().raster()
    factor = SIDE / max(picture.shape[:2])
    size = (round(picture.shape[1] * factor), round(picture.shape[0] * factor))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def path_of(name: str) -> Path:
    return FOLDER / f"{name}.png"


if __name__ == "__main__":
    for picture_name in PICTURES:
        content = cv2.cvtColor(shrunk(picture_name), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(path_of(picture_name)), content, [cv2.IMWRITE_PNG_COMPRESSION, 9])
