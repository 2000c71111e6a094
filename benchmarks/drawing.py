"""Drawing: 2D poses over photos and 3D poses in panels, pictures a second on one core.

python benchmarks/drawing.py
"""

import sys
from functools import partial
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER.parent), str(FOLDER)]

import cv2
import numpy as np
import torch
from measuring import machine, parser_of, print_table, take_turns, verdict

from utils.compute.allocator import keep_large_blocks
from utils.imaging.draw2d import draw_pose
from utils.imaging.draw3d import draw_pose_3d
from utils.transform import H36M, MPII

SIZE = (1280, 720)  # px of a photo
BARS = {"2D pose on a photo": 50.0, "3D panel": 10.0}  # pictures/s


def one(draw, *arguments) -> int:
    draw(*arguments)
    return 1


def main() -> None:
    arguments = parser_of(__doc__, seconds=3, turns=3).parse_args()
    keep_large_blocks()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print(machine())
    random = np.random.default_rng(0)
    photo = random.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    joints = random.uniform(100, 600, (1, len(MPII), 2))
    pose = random.normal(0, 300, (1, len(H36M), 3))
    contenders = {
        "copying the photo": lambda: one(photo.copy),
        "2D pose on a photo": partial(one, draw_pose, photo, joints, MPII),
        "3D panel": partial(one, draw_pose_3d, pose, H36M),
    }
    rates = take_turns(contenders, arguments)
    print_table(f"Drawing, photos of {SIZE[0]} × {SIZE[1]} px, one core", rates, unit="pictures")
    for name, bar in BARS.items():
        verdict(name, rates[name], bar, "pictures/s", digits=0)


if __name__ == "__main__":
    main()
