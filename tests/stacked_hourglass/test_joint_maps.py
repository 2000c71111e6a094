"""The figure of a person's heat maps and saliency maps: what is in its cells, and where."""

import numpy as np
import pytest
import torch

from stacked_hourglass.joint_maps import CELL_GAP, COLUMNS, GAP, draw_joint_maps, notes, smoothed
from utils.imaging.heatmaps import crop_to_heatmap, render_heatmaps
from utils.imaging.sketch import Sketch, Text
from utils.look.palette import DARK
from utils.transform import LSP, MPII

CROP = np.full((256, 256, 3), 90, np.uint8)
POINTS = torch.stack(  # px of the crop, one per joint
    [torch.tensor([30.0 + 12 * joint, 220.0 - 12 * joint]) for joint in range(len(MPII))]
)


def draw(heights=None, saliency=None, **how):
    maps = render_heatmaps(crop_to_heatmap(POINTS)[None], sigma=2.0)[0]
    maps = maps * (torch.ones(len(MPII)) if heights is None else heights)[:, None, None]
    saliency = torch.zeros(len(MPII), 256, 256) if saliency is None else saliency
    return draw_joint_maps(CROP, maps, saliency, MPII, "max", **how)


def texts(sketch):
    """All lines of text in a drawing and its insets."""
    found = []
    for mark in sketch.marks:
        found += [mark.text] if isinstance(mark, Text) else texts(mark.sketch) if hasattr(mark, "sketch") else []
    return found


def panel(sketch, joint, column, pictures=2):
    """A picture of a joint's cell: the heat map (0), the saliency map (1); the skeleton's is first if it is there."""
    picture, cell = sketch.raster(), next(mark.sketch for mark in sketch.marks if isinstance(mark.sketch, Sketch))
    height = cell.marks[0].sketch.size[1]  # of the cell with its title
    row, cell_column = divmod(MPII.index(joint), COLUMNS)
    top = (row + 1) * height + row * CELL_GAP - 256
    left = cell_column * (pictures * 256 + (pictures - 1) * GAP + CELL_GAP) + column * (256 + GAP)
    return picture[top : top + 256, left : left + 256].astype(int)


def middle(mask):
    """(x, y) of the middle of a mask, px."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean(), rows.mean()])


def near(picture, color):
    return np.abs(picture - color).max(axis=2) < 12


class TestCells:
    def test_landscape_with_crops_of_full_size(self):
        width, height = draw().size
        assert width == COLUMNS * (2 * 256 + GAP) + (COLUMNS - 1) * CELL_GAP
        assert height < width
        assert draw(with_skeleton=True).size[0] > width

    def test_names_peaks_and_definition(self):
        heights = torch.linspace(0.05, 0.8, len(MPII))
        written = texts(draw(heights, title="person 3"))
        assert "person 3" in written
        assert any(text.startswith("right ankle, peak 0.0") for text in written)
        assert "highest value of the joint's heat map" in " ".join(written)
        # Joints lie between pixels of their maps, so the highest pixel is a little lower than the peak.
        peaks = [float(text.split("peak ")[1]) for text in written if ", peak" in text]
        assert peaks == pytest.approx(heights.tolist(), rel=0.1, abs=0.01)

    def test_notes_say_how_it_is_shown(self):
        text = " ".join(notes("sum"))
        assert "S = sum over the joint's heat map, each value weighted by itself (0 if negative)" in text
        assert "Simonyan" in text

    def test_other_joint_orders(self):
        sketch = draw_joint_maps(CROP, torch.zeros(14, 64, 64), torch.zeros(14, 256, 256), LSP, "sum", True)
        assert sketch.size[0] > sketch.size[1]

    def test_maps_that_are_not_finite(self):
        sketch = draw(saliency=torch.full((len(MPII), 256, 256), torch.nan))
        assert near(panel(sketch, "pelvis", 1), (90, 90, 90)).mean() > 0.9


class TestPanels:
    @pytest.mark.parametrize("joint", ["r_ankle", "pelvis", "l_wrist"])
    def test_rings_and_heat_are_at_the_joint(self, joint):
        sketch, point = draw(), POINTS[MPII.index(joint)].numpy()
        color = DARK.sides[MPII.side(joint)]
        np.testing.assert_allclose(middle(near(panel(sketch, joint, 1), color)), point, atol=1.5)
        np.testing.assert_allclose(middle(np.abs(panel(sketch, joint, 0) - 90).max(axis=2) > 60), point, atol=1.5)

    def test_all_maps_have_one_scale(self):
        """A peak of 0.07 looks fainter than one of 0.42."""
        heights = torch.full((len(MPII),), 0.07)
        heights[MPII.index("l_knee")] = 0.42
        sketch = draw(heights)
        heat = []
        for joint in ("pelvis", "l_knee"):
            x, y = POINTS[MPII.index(joint)].int().tolist()
            heat.append(np.abs(panel(sketch, joint, 0)[y - 3 : y + 4, x - 3 : x + 4] - 90).mean())  # within the ring
        assert heat[0] < 0.8 * heat[1]
        saliency = torch.zeros(len(MPII), 256, 256)
        saliency[MPII.index("l_knee"), 190:210, 40:60], saliency[MPII.index("pelvis"), 190:210, 40:60] = 1e-5, 1e-6
        sketch = draw(saliency=saliency)
        spots = [np.abs(panel(sketch, joint, 1)[190:210, 40:60] - 90).mean() for joint in ("pelvis", "l_knee")]
        assert spots[0] < 0.5 * spots[1]

    def test_joints_below_the_threshold_are_not_marked_and_named(self):
        heights = torch.ones(len(MPII))
        heights[MPII.index("l_knee")] = 0.1
        sketch = draw(heights, min_score=0.2)
        assert any(text.startswith("left knee") and text.endswith(", below 0.2") for text in texts(sketch))
        assert not near(panel(sketch, "l_knee", 1), DARK.sides["l"]).any()
        assert near(panel(sketch, "l_ankle", 1), DARK.sides["l"]).any()

    def test_with_skeleton_every_cell_shows_it(self):
        sketch = draw(with_skeleton=True)
        for joint in ("r_ankle", "l_wrist"):
            for side in "rl":
                assert near(panel(sketch, joint, 0, 3), DARK.sides[side]).sum() > 40


class TestSmoothing:
    def test_the_highest_values_are_cut(self):
        maps = torch.zeros(2, 256, 256)
        maps[0, 100, 100] = 1000.0  # one pixel would set the scale
        maps[0, 20:60, 20:60] = 1.0
        shown = smoothed(maps)
        assert shown.shape == (2, 256, 256)
        assert shown[0].max() < 30
        assert shown[0, 40, 40] == pytest.approx(1, abs=1e-3)
        assert shown[1].max() == 0

    def test_blur_keeps_the_sum(self):
        maps = torch.zeros(1, 256, 256)
        maps[0, 100:140, 60:120] = 0.5
        assert smoothed(maps).sum() == pytest.approx(maps.sum().item(), rel=1e-3)
