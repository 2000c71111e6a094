"""The sample in HumanEva-I's form: rendered people who walk, seen by three cameras at once.

`S1/Image_Data/Walking_1_(C1).avi`, `data_2d_humaneva15_gt.npz` as public scripts write it, and the table `sync.csv` of
where each chunk begins. Exact cameras and 3D poses are in `cameras.json` and `poses_3d.npz`, in a form of their own.
"""

import csv
import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from utils.sample.body import random_body
from utils.sample.motion import walking_motion
from utils.sample.render import look_camera
from utils.sample.scene import draw_actors, dress
from utils.transform import EVA, MPII

SAMPLE_SUBJECTS = ("S1", "S2")
ACTION = "Walking 1"
SIZE = (640, 480)  # px
RATE = 60  # frames a second, as HumanEva's
CHUNKS = {"Train": (4, 24), "Validate": (26, 36)}  # first frame, and the one after the last
FRAMES = 38
_AZIMUTHS = (0.0, 2 * np.pi / 3, 4 * np.pi / 3)
_DISTANCE, _HEIGHT, _FOCAL = 4500.0, 1400.0, 820.0  # mm, mm, px
_DRAWN_AT = 0.5  # pictures are rendered at this scale: HumanEva's are soft, too


def make_eva(folder: Path, seed: int = 0) -> None:
    """Write the folder; the same seed gives the same truth."""
    positions: dict[str, dict[str, list]] = {f"{part}/{s}": {} for part in CHUNKS for s in SAMPLE_SUBJECTS}
    cameras, poses_3d = {}, {}
    for number, subject in enumerate(SAMPLE_SUBJECTS):
        images = Path(folder, subject, "Image_Data")
        images.mkdir(parents=True)
        rng = np.random.default_rng([seed, number])
        truth, mm, cameras[subject] = _render(rng, images)
        poses_3d[subject] = mm
        for part, (start, end) in CHUNKS.items():
            positions[f"{part}/{subject}"][f"{ACTION} chunk0"] = [one[start:end] for one in truth]
    np.savez_compressed(
        folder / "data_2d_humaneva15_gt.npz",
        positions_2d=np.array(positions, dtype=object),
        metadata=np.array({"layout_name": "humaneva15", "num_joints": len(EVA)}, dtype=object),
    )
    with (folder / "sync.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("subject", "action", "chunk", "camera", "start"))
        for part, (start, _) in CHUNKS.items():
            table.writerows((f"{part}/{s}", ACTION, 0, f"C{c}", start) for s in SAMPLE_SUBJECTS for c in (1, 2, 3))
    (folder / "cameras.json").write_text(json.dumps(cameras), encoding="utf-8")
    np.savez(folder / "poses_3d.npz", **poses_3d)


def _render(rng: np.random.Generator, images: Path) -> tuple[list[np.ndarray], np.ndarray, dict]:
    """Write a video for each camera; (F, 15, 2) px in each, (F, 15, 3) mm in the world, and the cameras."""
    body = random_body(rng)
    motion = walking_motion(rng, body, 25 * FRAMES // RATE + 2)
    middle = motion.positions[:, 0].mean(0) * [1, 1, 0]
    motion = motion.moved(np.broadcast_to(-middle, (len(motion.positions), 3)))
    clothes, lights = int(rng.integers(1 << 31)), rng.integers(1 << 31, size=len(_AZIMUTHS)).tolist()
    rows = np.arange(FRAMES) * 25 // RATE  # motions have 25 poses a second: each is shown in two or three frames
    camera = look_camera((0, -_DISTANCE, _HEIGHT), np.radians(6), 0.0, _FOCAL, ((SIZE[0] - 1) / 2, (SIZE[1] - 1) / 2))
    small = look_camera(
        (0, -_DISTANCE, _HEIGHT), np.radians(6), 0.0, _FOCAL * _DRAWN_AT,
        tuple((side * _DRAWN_AT - 1) / 2 for side in SIZE),
    )  # fmt: skip
    truth, cameras = [], {}
    for number, (azimuth, light) in enumerate(zip(_AZIMUTHS, lights, strict=True), start=1):
        seen = motion.turned(
            azimuth
        )  # the body turns, the camera stays: the same picture as of a camera that goes round
        pictures = [_draw(seen.frame(row), clothes, light, small) for row in range(rows[-1] + 1)]
        _write_avi(images / f"{ACTION.replace(' ', '_')}_(C{number}).avi", [pictures[row] for row in rows])
        truth.append(camera.project(camera.world_to_camera(_in_eva(seen.joints(MPII)[rows]))).astype(np.float32))
        cos, sin = np.cos(azimuth), np.sin(azimuth)
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        cameras[f"C{number}"] = {
            "rotation": (camera.rotation @ turn).tolist(), "position": (turn.T @ camera.position).tolist(),
            "focal": camera.focal.tolist(), "centre": camera.centre.tolist(),
        }  # fmt: skip
    return truth, _in_eva(motion.joints(MPII)[rows]), cameras


def _in_eva(joints: np.ndarray) -> np.ndarray:
    """(F, 16, D) of MPII's joints as (F, 15, D) of HumanEva's, whose head is the head's top."""
    return joints[:, MPII.indices(["head_top" if joint == "head" else joint for joint in EVA.joints])]


def _draw(posed, clothes: int, light: int, camera) -> np.ndarray:
    """(480, 640, 3) uint8 RGB."""
    actor = dress(np.random.default_rng(clothes), posed, on_stool=False)
    width, height = (round(side * _DRAWN_AT) for side in SIZE)
    picture = draw_actors(np.random.default_rng(light), [actor], camera, width, height, farthest=1500.0)[0]
    return cv2.resize(picture, SIZE, interpolation=cv2.INTER_LINEAR)[..., ::-1]


def _write_avi(path: Path, pictures: list[np.ndarray]) -> None:
    """MPEG-4 in AVI, one thread: the same bytes every time."""
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(RATE))
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.bit_rate, stream.thread_count = 3_000_000, 1
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode())
