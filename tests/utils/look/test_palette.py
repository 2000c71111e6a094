"""The colours: told apart in greyscale and by the colour-blind."""

from itertools import combinations

import numpy as np
import pytest

from utils.look.palette import (
    DARK,
    ERROR_RAMP,
    MODEL_COLORS,
    PALETTES,
    contrast,
    hexadecimal,
    luminance,
    model_line,
    ramp_color,
)

# Linear RGB as people without green or red cones see it (Machado, Oliveira and Fernandes 2009, severity 1).
BLINDNESS = {
    "deuteranopia": [(0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)],
    "protanopia": [(0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)],
}
TO_XYZ = np.array([(0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505)])
WHITE = TO_XYZ.sum(axis=1)


def linear(color):
    share = np.array(color) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def lab(light):
    """CIE L*a*b* of linear RGB."""
    ratio = TO_XYZ @ light / WHITE
    x, y, z = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def difference(one, other, kind):
    """CIE76 difference of two colours as the colour-blind see them; about 2 is just noticeable."""
    seen = [lab((np.array(BLINDNESS[kind]) @ linear(color)).clip(0, 1)) for color in (one, other)]
    return float(np.linalg.norm(seen[0] - seen[1]))


def test_luminance_by_hand():
    assert luminance((255, 255, 255)) == pytest.approx(1)
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert luminance((0, 255, 0)) == pytest.approx(0.7152)
    assert contrast((9, 9, 9), (9, 9, 9)) == 1


@pytest.mark.parametrize("style", PALETTES)
class TestSides:
    def test_differ_in_greyscale(self, style):
        sides = PALETTES[style].sides
        assert contrast(sides["r"], sides["l"]) >= 2

    @pytest.mark.parametrize("kind", BLINDNESS)
    def test_differ_for_the_colour_blind(self, style, kind):
        palette = PALETTES[style]
        assert min(difference(one, other, kind) for one, other in combinations(palette.sides.values(), 2)) > 20
        assert min(difference(palette.truth, palette.sides[side], kind) for side in "rl") > 20

    def test_stand_out_on_their_ground(self, style):
        palette = PALETTES[style]
        assert contrast(palette.ink, palette.ground) > 7
        assert contrast(palette.faint_ink, palette.ground) > 4.5
        for color in (palette.sides["r"], palette.truth):
            assert contrast(color, palette.ground) > 3
        # Light limbs on a white ground have a dark outline.
        assert max(contrast(palette.sides["l"], palette.ground), contrast(palette.outline, palette.ground)) > 3


def test_errors_grow_lighter():
    levels = [luminance(color) for color in ERROR_RAMP]
    assert levels == sorted(levels)
    assert ramp_color(-1) == ERROR_RAMP[0]
    assert ramp_color(9) == ERROR_RAMP[-1]
    assert ramp_color(0.4) == ERROR_RAMP[2]


def test_small_errors_stand_out_on_the_dark_ground():
    for behind in (DARK.ground, DARK.wall, DARK.floor):
        assert contrast(ERROR_RAMP[0], behind) >= 2


def test_models_repeat_with_other_lines():
    lines = [model_line(index) for index in range(4 * len(MODEL_COLORS))]
    assert len(set(lines)) == len(lines)
    assert model_line(len(lines)) == lines[0]
    assert hexadecimal((224, 82, 10)) == "#e0520a"
