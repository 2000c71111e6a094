"""One small picture of each kind, drawn from fixed poses. To write them anew (look at them before committing):

PYTHONPATH=.:tests:tests/stitched python tests/golden_pictures.py
"""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from unittest import mock

import cv2
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from standing_people import joints_of, people

from generative_models.viz import draw_beside, draw_nearest, draw_walk
from stacked_hourglass.browse import Shown, draw_samples
from stacked_hourglass.evaluation import CURVE_TITLES
from stacked_hourglass.joint_maps import draw_joint_maps
from stacked_hourglass.metrics import rate_curves
from stacked_hourglass.metrics.rate_curves import CurveAxes
from stacked_hourglass.viz import overlay_figure
from stitched.pose_files import PosePair
from stitched.video import arrange, compose_frame, explanation, stand
from stitched.viz import Scene, compose
from stitched.worst import photo_pair
from twod_threed import error_plots
from twod_threed.augmentation_viz import draw_orientations
from twod_threed.mpjpe import AUC_THRESHOLDS
from twod_threed.viz import draw_comparison
from utils.imaging.figures import FigureStyle
from utils.imaging.heatmaps import crop_to_heatmap, render_heatmaps
from utils.imaging.sketch import Sketch, stacked
from utils.look.plots import DPI
from utils.predictions.picture_files import ContactSheet
from utils.training.training_curves import Run
from utils.training.training_curves import draw as draw_curves
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


def models_and_views() -> Sketch:
    models = {"ours": moved(people(1))[0], "theirs": people(1)[0]}
    style = FigureStyle(views=("front", "side", "top"), color="error")
    return draw_comparison(joints_of(people(1))[0], people(1)[0], models, "S9/Walking, frame 3", style)


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


def training_samples() -> Sketch:
    crop = torch.from_numpy(photo(256, 256)).permute(2, 0, 1) / 255
    joints = torch.stack([torch.tensor([30.0 + 12 * joint, 220.0 - 12 * joint]) for joint in range(len(MPII))])
    joints[3:5] = torch.nan  # not annotated
    targets = render_heatmaps(crop_to_heatmap(joints)[None], sigma=1.5)[0]
    return draw_samples([[Shown("000000397133.jpg", crop, joints, targets, "")]] * 8, MPII, "the first samples", 0)


def orientations() -> Sketch:
    truth = torch.cat([people(1)] * 3)
    joints = torch.cat([joints_of(people(1))] * 3)
    return draw_orientations(joints, truth, moved(truth), [20.0] * 3, 13.0, "S9/Walking/54138969, frame 3")


def contact_sheet() -> Sketch:
    figures = {name: draw() for name, draw in (("a.jpg", doubtful), ("b.jpg", crowd), ("c.jpg", generated))}
    sheet = ContactSheet(list(figures), cell=(640, 320))
    for name, figure in figures.items():
        sheet.add(name, figure)
    return sheet.page()


def walk() -> Sketch:
    world = people(9)[..., [0, 2, 1]] * torch.tensor([1, 1, -1])
    return draw_walk(world[1:8], world[[0, 8]], (12.0, 9.0), ["S9/Walking, frame 3", "S11/Posing, frame 7"])


def nearest() -> Sketch:
    world = people(8)[..., [0, 2, 1]] * torch.tensor([1, 1, -1])
    return draw_nearest(world, world, [123.0] * 8)


def video_frame() -> Sketch:
    joints, poses = joints_of(people(2)), stand(people(2).double())
    pair = PosePair({"f": joints}, {"f": joints}, H36M_2D, {"f": poses}, {"f": 0.0})
    tracks = {"f": [3, 5]}
    layout = arrange((640, 480), tracks, pair.poses)
    frame = compose_frame(photo(), "f", pair, tracks, layout, 30.0)
    return stacked([frame, explanation(frame.size[0], None)], (0, 0, 0))


def training_curves() -> Figure:
    epochs = np.arange(1.0, 9)
    curves = {
        "train/loss": 9 / epochs,
        "val/loss": 12 / epochs,
        "val/PCKh@0.5": 60 - 40 / epochs,
        "val/SW": 20 + epochs,
    }
    curves |= {"val/SW_real": np.full(8, 20.5), "lr": np.full(8, 1e-3)}
    return draw_curves([Run("ours", epochs, curves, units={"PCKh@0.5": "%", "SW": "mm"})])


def rates() -> Figure:
    thresholds = np.linspace(0, 0.5, 51)
    curves = {name: dict.fromkeys(CURVE_TITLES, rate * thresholds) for name, rate in RATES.items()}
    return plot_of(rate_curves, lambda: rate_curves.draw_grid(curves, CurveAxes(CURVE_TITLES, thresholds, "head size",
                                                                                "PCKh@0.5"), Path()))  # fmt: skip


def error_bars() -> Figure:
    errors = {
        name: {joint: rate + 2 * place for place, joint in enumerate(H36M.joints)} for name, rate in RATES.items()
    }
    return plot_of(error_plots, lambda: error_plots.draw_error_bars(errors, "MPJPE by joint", Path()))


def pck_3d() -> Figure:
    curves = {name: (rate * np.array(AUC_THRESHOLDS) / 300).tolist() for name, rate in RATES.items()}
    return plot_of(error_plots, lambda: error_plots.draw_pck_3d(curves, Path()))


RATES = {"ours": 180.0, "theirs": 140.0}


def plot_of(module: ModuleType, draw: Callable[[], None]) -> Figure:
    """The figure that `draw` would write with `save_plot` of its module."""
    with mock.patch.object(module, "save_plot") as save:
        draw()
    return save.call_args.args[0]


PICTURES: dict[str, Callable[[], Sketch | Figure]] = {
    drawing.__name__: drawing
    for drawing in (
        overlay, crowd, small_person, doubtful, paper, truth_and_prediction, models_and_views, generated, joint_maps,
        worst, training_samples, orientations, contact_sheet, walk, nearest, video_frame, training_curves, rates,
        error_bars, pck_3d,
    )
}  # fmt: skip


def pixels(picture: Sketch | Figure) -> np.ndarray:
    """(H, W, 3) uint8 RGB."""
    if isinstance(picture, Sketch):
        return picture.raster()
    canvas = FigureCanvasAgg(picture)
    picture.set_dpi(DPI)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def shrunk(name: str) -> np.ndarray:
    """The picture, its longer side `SIDE` px."""
    picture = pixels(PICTURES[name]())
    factor = SIDE / max(picture.shape[:2])
    size = (round(picture.shape[1] * factor), round(picture.shape[0] * factor))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def path_of(name: str) -> Path:
    return FOLDER / f"{name}.png"


if __name__ == "__main__":
    for picture_name in PICTURES:
        content = cv2.cvtColor(shrunk(picture_name), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(path_of(picture_name)), content, [cv2.IMWRITE_PNG_COMPRESSION, 9])
