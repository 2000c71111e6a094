"""The picture of a person's heat maps and saliency maps: what is in its rows and columns, and where."""

import numpy as np
import pytest
import torch

from stacked_hourglass import joint_maps
from stacked_hourglass.joint_maps import CELL, GAP, LINE, NAME_WIDTH, draw_joint_maps, notes, smoothed
from utils.imaging.draw2d import INK, SIDE_COLORS
from utils.imaging.heatmaps import crop_to_heatmap, render_heatmaps
from utils.transform import LSP, MPII

CROP = np.full((256, 256, 3), 90, np.uint8)
WIDTH = NAME_WIDTH + 3 * (CELL + GAP)
PLACES = torch.stack(  # px of the crop, one a joint
    [torch.tensor([30.0 + 12 * joint, 220.0 - 12 * joint]) for joint in range(len(MPII))]
)


def draw(heights=None, saliency=None, **how):
    maps = render_heatmaps(crop_to_heatmap(PLACES)[None], sigma=2.0)[0]
    maps = maps * (torch.ones(len(MPII)) if heights is None else heights)[:, None, None]
    saliency = torch.zeros(len(MPII), 256, 256) if saliency is None else saliency
    return draw_joint_maps(CROP, maps, saliency, MPII, "max", **how)


def panel(picture, joint, column):
    """The crop (0), heat map (1) or saliency map (2) in a joint's row."""
    top = len(picture) - (len(MPII) - MPII.index(joint)) * (CELL + GAP) + GAP
    left = NAME_WIDTH + GAP + column * (CELL + GAP)
    return picture[top : top + CELL, left : left + CELL].astype(int)


def middle(mask):
    """(x, y) of the middle of a mask, in px of the crop."""
    rows, columns = np.nonzero(mask)
    return (np.array([columns.mean(), rows.mean()]) + 0.5) * 256 / CELL - 0.5


def near(picture, color):
    return np.abs(picture - color).max(axis=2) < 12


@pytest.fixture
def texts(monkeypatch):
    """All lines that are written, with their colours."""
    import utils.imaging.draw2d as draw2d

    written, original = [], draw2d.write_line

    def record(picture, text, place, line, color=INK):
        written.append((text, color))
        original(picture, text, place, line, color)

    for module in (draw2d, joint_maps):
        monkeypatch.setattr(module, "write_line", record)
    return written


class TestRows:
    def test_a_row_a_joint_under_a_heading(self):
        picture = draw()
        strip = round(1.75 * LINE)
        assert picture.shape == ((len(notes("max")) + 1) * strip + len(MPII) * (CELL + GAP) - GAP, WIDTH, 3)
        assert draw(title="person 3").shape[0] == picture.shape[0] + round(1.75 * 2 * LINE)

    def test_names_peaks_and_definition(self, texts):
        heights = torch.linspace(0.05, 0.8, len(MPII))
        draw(heights, title="person 3", title_color=(1, 2, 3))
        written = dict(texts)
        assert written["person 3"] == (1, 2, 3)
        assert written["right ankle"] == SIDE_COLORS["r"]
        assert written["left wrist"] == SIDE_COLORS["l"]
        assert written["upper neck"] == SIDE_COLORS["c"]
        assert written["S = highest value of the joint's heat map"]
        assert {"joint", "crop", "heat map", "saliency"} <= set(written)
        names = [text for text, _ in texts if text.split()[-1] in ("ankle", "knee", "hip")]
        assert names == ["right ankle", "right knee", "right hip", "left hip", "left knee", "left ankle"]
        # A joint's place is between pixels of its map, so that the highest is a little lower than the peak.
        peaks = [float(text.split()[1]) for text, _ in texts if text.startswith("peak ")]
        assert peaks == pytest.approx(heights.tolist(), rel=0.1, abs=0.01)

    def test_notes_say_how_it_is_shown(self):
        text = " ".join(notes("sum"))
        assert "S = sum over the joint's heat map, each value weighted by itself (0 if negative)" in text
        assert "blurred by 2 px, its highest 0.2 % alike" in text
        assert "Simonyan" in text
        assert text.isascii()  # the font has no more

    def test_other_joint_orders(self):
        picture = draw_joint_maps(CROP, torch.zeros(14, 64, 64), torch.zeros(14, 256, 256), LSP, "sum", True)
        assert picture.shape[1] == WIDTH

    def test_maps_that_are_not_finite(self):
        picture = draw(saliency=torch.full((len(MPII), 256, 256), torch.nan))
        assert near(panel(picture, "pelvis", 2), (90, 90, 90)).mean() > 0.9


class TestPanels:
    @pytest.mark.parametrize("joint", ["r_ankle", "pelvis", "l_wrist"])
    def test_rings_and_heat_are_at_the_joint(self, joint):
        picture, place = draw(), PLACES[MPII.index(joint)].numpy()
        crop = panel(picture, joint, 0)
        np.testing.assert_allclose(middle(near(crop, SIDE_COLORS[MPII.side(joint)])), place, atol=1.5)
        heat = panel(picture, joint, 1)
        np.testing.assert_allclose(middle(np.abs(heat - 90).max(axis=2) > 60), place, atol=1.5)
        np.testing.assert_allclose(middle(panel(picture, joint, 2).min(axis=2) > 150), place, atol=1.5)

    def test_saliency_is_where_it_is_large(self):
        saliency = torch.zeros(len(MPII), 256, 256)
        saliency[MPII.index("l_knee"), 190:210, 40:60] = 1e-5
        picture = draw(saliency=saliency)
        spot = np.abs(panel(picture, "l_knee", 2) - 90).max(axis=2) > 100
        spot[:, CELL // 4 :] = False  # the ring is there
        np.testing.assert_allclose(middle(spot), (49.5, 199.5), atol=1.5)
        other = panel(picture, "r_knee", 2)
        assert near(other[CELL // 2 :, : CELL // 5], (90, 90, 90)).mean() > 0.7

    def test_the_skeleton_is_on_every_crop_and_only_where_it_is_asked_for(self):
        without, having = draw(), draw(with_skeleton=True)
        for joint in ("r_ankle", "l_wrist"):
            for side in "rl":
                # A ring alone against limbs.
                counts = [near(panel(picture, joint, 0), SIDE_COLORS[side]).sum() for picture in (without, having)]
                assert counts[1] > counts[0] + 40
            for column in (1, 2):
                np.testing.assert_array_equal(panel(without, joint, column), panel(having, joint, column))

    def test_the_joint_of_the_row_is_told_from_the_others(self):
        picture = draw(with_skeleton=True)
        ankle, knee = (panel(picture, joint, 0) for joint in ("r_ankle", "r_knee"))
        changed = np.abs(ankle - knee).max(axis=2) > 20
        spots = PLACES[[MPII.index("r_ankle"), MPII.index("r_knee")]].numpy()
        np.testing.assert_allclose(middle(changed), spots.mean(axis=0), atol=2)


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
