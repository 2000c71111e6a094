"""A person's heat maps and saliency maps as one tall picture, one row per joint."""

import cv2
import numpy as np
from torch import Tensor

from stacked_hourglass.saliency import SALIENCY_KINDS
from utils.imaging.draw2d import (
    FAINT_INK,
    INK,
    OUTLINE,
    SIDE_COLORS,
    as_picture,
    draw_pose,
    heat_map_image,
    image_grid,
    move_to,
    resized,
    side_by_side,
    text_strip,
    write_line,
)
from utils.imaging.heatmaps import decode_heatmaps, heatmap_to_crop
from utils.transform import Skeleton

CELL, NAME_WIDTH, GAP = 160, 120, 4  # px
LINE = 18  # px, twice the height of a capital letter
SALIENCY_BLUR = 2.0  # crop px; single pixels of a gradient look like noise
SALIENCY_CLIPPED = 0.002  # fraction of the pixels clipped to the lightest colour, so that outliers don't set the scale
SALIENCY_OPACITY = 0.85
RING = 7.0  # px, radius
SIDES = {"r_": "right ", "l_": "left "}
COLUMNS = ("crop", "heat map", "saliency")


def notes(kind: str) -> list[str]:
    """Lines of ASCII that explain the picture; `kind` as for `saliency_maps`."""
    return [
        "heat map: of the last stack; the ring is at its peak, whose height is beside it",
        "saliency: |dS / d pixel|, largest of R, G, B (Simonyan et al. 2014);",
        f"S = {SALIENCY_KINDS[kind]}",
        f"every map in colours of its own; saliency blurred by {SALIENCY_BLUR:g} px, "
        f"its highest {100 * SALIENCY_CLIPPED:g} % alike",
    ]


def draw_joint_maps(
    crop: np.ndarray,
    heatmaps: Tensor,
    saliency: Tensor,
    skeleton: Skeleton,
    kind: str,
    with_skeleton: bool = False,
    title: str = "",
    title_color: tuple[int, int, int] = INK,
) -> np.ndarray:
    """One row per joint: its name and the height of its peak, the crop, the heat map and the saliency map on the crop.

    A ring shows where the joint was found, in the colour of its side on the crop.

    Args:
        crop: (H, W, 3) uint8 RGB.
        heatmaps, saliency: (J, H / 4, W / 4) and (J, H, W), from `saliency_maps` for the crop.
        skeleton: joint order, J joints.
        kind: kind of the saliency maps, whose definition is written in the picture.
        with_skeleton: draw all predicted joints and bones on the crop of every row.
        title: a line at the top, in `title_color`.

    Returns: (H', W', 3) uint8.
    """
    small, spans = resized(as_picture(crop), CELL / max(crop.shape[:2]))
    points, peaks = decode_heatmaps(heatmaps[None])
    places = move_to(heatmap_to_crop(points[0]), spans)
    person = draw_pose(small, places, skeleton, legend=False, min_side=0) if with_skeleton else small
    names, cells = [], []
    rows = zip(skeleton.joints, places, peaks[0].tolist(), heatmaps, smoothed(saliency), strict=True)
    for joint, place, peak, heatmap, salient in rows:
        color = SIDE_COLORS[skeleton.side(joint)]
        names.append(_name_cell(joint, peak, color, small.shape[0]))
        cells += [
            _ringed(person, place, color),
            heat_map_image(small, heatmap),
            _ringed(heat_map_image(small, salient, SALIENCY_OPACITY), place, INK, width=1),  # no colour of the map
        ]
    look = {"gap": GAP, "level": OUTLINE[0]}
    table = side_by_side([image_grid(names, 1, **look), image_grid(cells, len(COLUMNS), **look)], **look)
    width = table.shape[1]
    strips = [text_strip(title, width, 2 * LINE, title_color)] if title else []
    strips += [text_strip(line, width, LINE, FAINT_INK) for line in notes(kind)]
    heads = [text_strip(text, small.shape[1], LINE) for text in COLUMNS]
    strips.append(side_by_side([text_strip("joint", NAME_WIDTH, LINE), *heads], **look))
    return np.concatenate([*strips, table])


def smoothed(saliency: Tensor) -> np.ndarray:
    """(J, H, W) saliency maps as displayed: blurred, with the highest values clipped."""
    maps = [cv2.GaussianBlur(one, (0, 0), SALIENCY_BLUR) for one in saliency.cpu().numpy()]
    highest = np.quantile(maps, 1 - SALIENCY_CLIPPED, axis=(1, 2), keepdims=True)
    return np.minimum(maps, highest)


def _name_cell(joint: str, peak: float, color: tuple[int, int, int], height: int) -> np.ndarray:
    """A joint's name, in the colour of its side, and its peak."""
    cell = np.full((height, NAME_WIDTH, 3), OUTLINE, np.uint8)
    name = SIDES.get(joint[:2], "") + joint.removeprefix("r_").removeprefix("l_").replace("_", " ")
    write_line(cell, name, (LINE // 2, height // 2), LINE, color)
    write_line(cell, f"peak {peak:.2f}", (LINE // 2, height // 2 + round(1.4 * LINE)), LINE)
    return cell


def _ringed(picture: np.ndarray, place: np.ndarray, color: tuple[int, int, int], width: int = 2) -> np.ndarray:
    """The picture with a ring around a point (2,), px."""
    picture, center, radius = picture.copy(), np.rint(16 * place).astype(int).tolist(), round(16 * RING)
    for ink, thickness in ((OUTLINE, width + 2), (color, width)):
        cv2.circle(picture, center, radius, ink, thickness, cv2.LINE_AA, shift=4)
    return picture
