"""TRC and C3D of one person: joints as markers, for OpenSim and other programs of biomechanics.

Millimetres; x to the side that is the camera's right, y up, z towards the camera. There is no camera tilt here: "up" is
the picture's up. A frame without a pose between a person's first and last is kept, as a gap.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from utils.formats.people import Person
from utils.formats.sequences import UP, by_person, rate_of, whole_frames
from utils.osutils import UserError, atomic_path, write_text
from utils.transform import H36M

MOST_C3D_FRAMES = 65535  # 16 bits
GAPS = "left as gaps"


def write_trc(people: Sequence[Person], folder: Path) -> list[Path]:
    """Write `<name>.trc` of every person. Raises UserError for a sequence without a frame rate."""
    return by_person(people, folder, ".trc", GAPS, lambda person, path: write_text(path, _trc(person, path.name)))


def write_c3d(people: Sequence[Person], folder: Path) -> list[Path]:
    """Write `<name>.c3d` of every person, with residual -1 for gaps.

    Raises UserError for a sequence without a frame rate, and for more than 65535 frames.
    """
    longest = max((len(person.poses_on_grid()) for person in people), default=0)
    if longest > MOST_C3D_FRAMES:
        raise UserError(f"--to c3d: {longest} frames; expected at most {MOST_C3D_FRAMES}; --to trc has no limit")
    return by_person(people, folder, ".c3d", GAPS, _save_c3d)


def _trc(person: Person, name: str) -> str:
    positions, rate = person.poses_on_grid() @ UP, rate_of(person)
    count, first = len(positions), int(person.frames[0])
    tabs = "\t"
    axes = [f"{axis}{number + 1}" for number in range(len(H36M)) for axis in "XYZ"]
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{rate:g}\t{rate:g}\t{count}\t{len(H36M)}\tmm\t{rate:g}\t1\t{count}",
        f"Frame#\tTime\t{(3 * tabs).join(H36M.joints)}{2 * tabs}",
        f"{2 * tabs}{tabs.join(axes)}",
        "",
    ]
    start = first / person.step / rate
    for row, (numbers, whole) in enumerate(
        zip(positions.reshape(count, -1).tolist(), whole_frames(positions), strict=True)
    ):
        cells = [f"{number:.4f}" if whole else "" for number in numbers]
        lines.append(tabs.join([str(row + 1), f"{start + row / rate:.6f}", *cells]))
    return "\n".join(lines) + "\n"


def _save_c3d(person: Person, path: Path) -> None:
    import ezc3d  # noqa: PLC0415 - optional

    positions = person.poses_on_grid() @ UP
    whole = whole_frames(positions)
    points = np.ones((4, len(H36M), len(positions)))
    points[:3] = np.where(whole[:, None, None], positions, 0).transpose(2, 1, 0)
    content = ezc3d.c3d()
    parameters = content["parameters"]["POINT"]
    parameters["RATE"]["value"] = [rate_of(person)]
    parameters["UNITS"]["value"] = ["mm"]
    parameters["LABELS"]["value"] = list(H36M.joints)
    content["data"]["points"] = points
    residuals = np.where(whole, 0.0, -1.0)
    content["data"]["meta_points"]["residuals"] = np.broadcast_to(residuals, (1, len(H36M), len(whole))).copy()
    with atomic_path(path) as temporary:
        content.write(str(temporary))
