"""The colours of everything that is drawn: photos, 3D panels, plots and pages.

A person's right and left differ in lightness as well as in hue, so that they can be told apart in greyscale and with
every common form of colour blindness: their luminance contrast after WCAG 2 is at least 2 to 1. Ground truth is also
told by its line: thin and dashed. Hues are after Okabe and Ito (2008). Colours are RGB, 0 to 255.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from utils.look.names import STYLES

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Palette:
    """Colours of one style.

    Attributes:
        sides: "r", "l" (a person's right and left), "c" (the middle) -> colour of joints and limbs.
        truth: ground truth.
        outline: around limbs, joints and plates.
        ground: behind panels and captions.
        gap: between panels.
        ink, faint_ink: text.
        floor, grid, wall, shadow: of the room in which 3D poses stand.
        farthest: colour towards which the farthest limbs fade.
    """

    sides: Mapping[str, Color]
    truth: Color
    outline: Color
    ground: Color
    gap: Color
    ink: Color
    faint_ink: Color
    floor: Color
    grid: Color
    wall: Color
    shadow: Color
    farthest: Color


DARK = Palette(
    sides={"r": (224, 82, 10), "l": (135, 206, 250), "c": (245, 245, 245)},
    truth=(176, 182, 190),
    outline=(20, 20, 20),
    ground=(34, 37, 43),
    gap=(20, 20, 20),
    ink=(235, 235, 235),
    faint_ink=(176, 180, 186),
    floor=(54, 58, 66),
    grid=(86, 91, 101),
    wall=(42, 45, 52),
    shadow=(30, 32, 37),
    farthest=(0, 0, 0),
)
PAPER = Palette(
    sides={"r": (190, 62, 0), "l": (86, 180, 233), "c": (120, 120, 120)},
    truth=(70, 70, 70),
    outline=(25, 25, 25),
    ground=(255, 255, 255),
    gap=(255, 255, 255),
    ink=(20, 20, 20),
    faint_ink=(85, 85, 85),
    floor=(238, 239, 242),
    grid=(196, 199, 206),
    wall=(248, 248, 250),
    shadow=(212, 214, 219),
    farthest=(255, 255, 255),
)
PALETTES = dict(zip(STYLES, (DARK, PAPER), strict=True))

# Of people, in photos and above their panels; distinct from the sides.
PERSON_COLORS: tuple[Color, ...] = (
    (110, 200, 90), (235, 120, 190), (240, 225, 80), (175, 130, 240), (0, 180, 150), (170, 140, 90), (250, 170, 150),
    (80, 110, 220),
)  # fmt: skip

# Of models and runs in plots, and in the viewer from the second model on; with `LINE_STYLES` from the eighth.
MODEL_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
LINE_STYLES = ("-", "--", ":", "-.")

# Errors of joints, from none to `FULL_ERROR_MM` and more: the upper part of viridis, whose luminance rises steadily.
# Its lower part is as dark as the dark ground.
ERROR_RAMP: tuple[Color, ...] = (
    (44, 114, 142), (33, 145, 140), (39, 173, 129), (93, 201, 99), (170, 220, 50), (253, 231, 37)
)  # fmt: skip


def person_color(number: int) -> Color:
    """The colour of a person's number, the same in photos and 3D panels."""
    return PERSON_COLORS[number % len(PERSON_COLORS)]


def model_line(index: int) -> tuple[str, str]:
    """(colour, line style) of the model or run `index` in plots; the pairs repeat after 28."""
    return MODEL_COLORS[index % len(MODEL_COLORS)], LINE_STYLES[index // len(MODEL_COLORS) % len(LINE_STYLES)]


def ramp_color(share: float) -> Color:
    """The colour of `ERROR_RAMP` at 0 to 1, interpolated."""
    ramp = np.array(ERROR_RAMP, float)
    place = float(np.clip(share, 0, 1)) * (len(ramp) - 1)
    channels = (np.interp(place, np.arange(len(ramp)), ramp[:, channel]) for channel in range(3))
    return tuple(round(float(value)) for value in channels)


def hexadecimal(color: Color) -> str:
    """E.g. "#e0520a"."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def css_variables(palette: Palette) -> str:
    """The colours of a page: a rule that defines --ground, --gap, --grid, --outline, --ink, --faint and --link."""
    colors = {
        "ground": palette.ground,
        "gap": palette.gap,
        "grid": palette.grid,
        "outline": palette.outline,
        "ink": palette.ink,
        "faint": palette.faint_ink,
        "link": palette.sides["l"],
    }
    return ":root {" + " ".join(f"--{name}: {hexadecimal(color)};" for name, color in colors.items()) + "}"


def luminance(color: Color) -> float:
    """Relative luminance, 0 to 1 (WCAG 2.2)."""
    share = np.array(color) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(one: Color, other: Color) -> float:
    """Luminance contrast of two colours, 1 to 21 (WCAG 2.2)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
