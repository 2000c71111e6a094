"""Time of each step from a video to a video with poses.

    python benchmarks/video.py                                  # a photo of a person, panned over
    python benchmarks/video.py --video clip.mp4 --frames 200

The steps run one after the other, each over all frames, in one process, before the whole and after it, so that other
load affects both. "s" is elapsed time and "CPU s" the time of all threads, both per 1,000 frames, means of the two.
"shrink" is decoding frames to the size at which they are drawn.

Then the whole, without what a video takes to begin and to end: what `run.py stitched_mpii` does, which finds and crops
the people of a batch of frames on all cores and then predicts them (on a GPU it does both at once), and what `viz.py
video` does, with a thread each for decoding, drawing and encoding. Both are compared with the slowest of their steps
alone. Steps overlap only as far as there are cores: "cores" is the time that all steps' CPU seconds take if no core
ever waits.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean

import cv2
import numpy as np
import torch

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER.parent), str(FOLDER)]

from measuring import verdict

from stacked_hourglass.demo_weights import DEMO_WEIGHTS
from stacked_hourglass.finding.boxes import make_finder
from stacked_hourglass.finding.finder import PersonFinder
from stacked_hourglass.finding.photo_crops import PhotoPeople, crop_people
from stacked_hourglass.finding.tracking import Tracker
from stacked_hourglass.photos import find_poses, predict_photos
from stitched import StitchedPredictor, load_network
from stitched.pose_files import PosePair
from stitched.video import MAX_SIDE, Layout, compose_frame, draw_video, fit_panels, stand, view_azimuth
from utils.compute.allocator import keep_large_blocks
from utils.imaging.images import CROP_SIZE, read_image
from utils.imaging.source_paths import require_path
from utils.imaging.video_source import FrameRange, VideoSource, open_video
from utils.imaging.video_writer import write_video
from utils.osutils import UserError
from utils.predictions.pose_results import PoseResults
from utils.predictions.smoothed_people import smooth_people

PHOTO = FOLDER.parent / "docs" / "photos" / "photographer.jpg"
SIZE, RATE = (1280, 720), 25  # of the video made from it
BATCH = 16
PREDICTION, DRAWING = ("decode", "find", "crop", "track", "network"), ("shrink", "draw", "encode")
BAR = 85  # % of the rate of the slowest step alone


class Times:
    """Elapsed and CPU seconds of steps."""

    def __init__(self) -> None:
        self.steps: dict[str, tuple[float, float]] = {}

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        start = time.perf_counter(), time.process_time()
        yield
        self.steps[step] = time.perf_counter() - start[0], time.process_time() - start[1]

    def mean(self, other: "Times") -> "Times":
        """Of this and another measurement of the same steps."""
        result = Times()
        for step, times in self.steps.items():
            result.steps[step] = tuple(map(fmean, zip(times, other.steps[step], strict=True)))
        return result

    def table(self, frames: int) -> str:
        """Per 1,000 frames."""
        lines, total = (
            [f"{'step':<10} {'s':>8} {'CPU s':>8} {'share':>6}"],
            sum(wall for wall, _ in self.steps.values()),
        )
        for step, (wall, cpu) in self.steps.items():
            lines.append(f"{step:<10} {1000 * wall / frames:8.2f} {1000 * cpu / frames:8.2f} {wall / total:6.0%}")
        cpu = sum(cpu for _, cpu in self.steps.values())
        return "\n".join([*lines, f"{'all':<10} {1000 * total / frames:8.2f} {1000 * cpu / frames:8.2f}"])


def panned_photo(path: Path, frames: int) -> Path:
    """Write a video that moves over `PHOTO`; returns its path."""
    photo, (width, height) = read_image(PHOTO), SIZE
    scale = 1.1 * max(width / photo.shape[1], height / photo.shape[0])
    with write_video(path, RATE, SIZE) as write:
        for share in np.linspace(0, 1, frames):
            shift = -share * (scale * np.array([photo.shape[1], photo.shape[0]]) - SIZE)
            write(cv2.warpAffine(photo, np.float32([[scale, 0, shift[0]], [0, scale, shift[1]]]), SIZE))
    return path


def measure(source: VideoSource, predictor: StitchedPredictor, person_box: str, folder: Path) -> tuple[Times, int]:
    """Times of all steps on a video, and the number of poses in it."""
    times = Times()
    with times.of("decode"):
        frames = dict(source)
    finder, tracker = make_finder(person_box, predictor.device, whole_where_nobody=False), Tracker()
    warm_up(finder, predictor, next(iter(frames.items())))
    with times.of("find"):
        found = {name: finder(image, name) for name, image in frames.items()}
    with times.of("crop"):
        cropped = [crop_people(name, image, lambda _, name: found[name]) for name, image in frames.items()]
    with times.of("track"):
        followed = [people.in_order_of(tracker(people.boxes)) for people in cropped]
    with times.of("network"):
        results = predicted(source, predictor, followed)
    with times.of("smooth"):
        smooth_people(results, "zero_phase", predictor.lift)
    size, *how = drawing_of(source, results)
    with times.of("shrink"):
        frames = dict(source.shrunk(size))
    with times.of("draw"):
        pictures = drawn(source, frames, *how)
    with times.of("encode"):
        size = next(iter(pictures.values())).shape[1::-1]
        with write_video(folder / "poses.mp4", source.fps, size) as write:
            for name, picture in pictures.items():
                write(picture, source.time(name) - source.time(next(iter(frames))))
    return times, results.people


def measure_whole(video: Path, predictor: StitchedPredictor, person_box: str, frames: int, folder: Path) -> Times:
    """Times of prediction and of drawing as the scripts do them, of a few frames and of all."""
    times = Times()
    for count in (1, few_of(frames), frames):  # the first starts what is started once
        which = {"frames": FrameRange(max_frames=count), "batch_size": BATCH}
        with times.of(f"prediction, {count}"):
            results = find_poses(predictor, video, person_box=person_box, **which)
        results.save(folder)
        files = [folder / f"{kind}_pose_estimations.pt" for kind in ("2d", "3d")]
        with times.of(f"drawing, {count}"):
            draw_video(video, *files, folder / "drawn")
    return times


def few_of(frames: int) -> int:
    """How many frames are drawn to know what a video takes to begin and to end, whatever its length."""
    return max(1, frames // 3)


def report_whole(steps: Times, whole: Times, frames: int) -> None:
    """Rates of prediction and of drawing, beside their slowest step alone and what the cores allow.

    By chance all frames can take no longer than a few; then there is a line that says so instead of a rate.
    """
    few = few_of(frames)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"\n{'frames/s':<12} {'whole':>8} {'slowest step alone':>28} {'cores':>8}")
    shares = {}
    for what, parts in (("prediction", PREDICTION), ("drawing", DRAWING)):
        seconds = (whole.steps[f"{what}, {frames}"][0] - whole.steps[f"{what}, {few}"][0]) / (frames - few)
        if seconds <= 0:
            print(f"{what:<12} not measured: {frames} frames took no longer than {few}; use more --frames")
            continue
        slowest = max(parts, key=lambda step: steps.steps[step][0])
        alone = steps.steps[slowest][0] / frames
        least = sum(steps.steps[step][1] for step in parts) / cores / frames
        print(f"{what:<12} {1 / seconds:8.2f} {f'{slowest} {1 / alone:.2f}':>28} {1 / least:8.2f}")
        shares[what] = 100 * alone / seconds, 100 * alone / least
    for what, (share, bound) in shares.items():
        why = bound, f"the CPU time of all steps on {cores} cores that never wait"
        verdict(f"video, {what}, share of its slowest step alone", share, BAR, "%", digits=0, bound=why)


def warm_up(finder: PersonFinder, predictor: StitchedPredictor, frame: tuple[str, np.ndarray]) -> None:
    """Load what is loaded at first use, networks' kernels and SciPy for the tracker, and fill the allocator."""
    finder(frame[1], frame[0])
    Tracker()(np.zeros((1, 4)))
    predictor(torch.zeros(BATCH, 3, CROP_SIZE, CROP_SIZE, dtype=torch.uint8), torch.eye(2, 3).expand(BATCH, -1, -1))


def predicted(source: VideoSource, predictor: StitchedPredictor, people: list[PhotoPeople]) -> PoseResults:
    results = PoseResults(predictor.skeleton, predictor.score_threshold, image_kind="frame")
    for photo, *found in predict_photos(predictor, people, BATCH):
        boxes = {"boxes": torch.from_numpy(photo.boxes), "box_scores": torch.from_numpy(photo.box_scores)}
        results.add(photo.name, boxes | {"tracks": photo.tracks.tolist(), "time": source.time(photo.name)}, *found)
    return results


def drawing_of(source: VideoSource, results: PoseResults) -> tuple[tuple[int, int], PosePair, dict, Layout]:
    """What `viz.py video` knows before it draws: the size of frames, poses, tracks and layout."""
    poses = {name: stand(people.double()) for name, people in results.joints_3d.items()}
    pair = PosePair(results.joints, results.joints, results.skeleton, poses, dict.fromkeys(poses, 0.0))
    tracks = {name: meta["tracks"] for name, meta in results.metas.items()}
    size, layout = fit_panels(source.size, MAX_SIDE, tracks, poses)
    return size, pair, tracks, layout


def drawn(
    source: VideoSource, frames: dict[str, np.ndarray], pair: PosePair, tracks: dict, layout: Layout
) -> dict[str, np.ndarray]:
    """The pictures of `viz.py video`."""
    pictures = {}
    for name, frame in frames.items():
        spans = np.divide(frame.shape[1::-1], source.size)
        picture = compose_frame(frame, name, pair, tracks, layout, view_azimuth(source.time(name)), spans).raster()
        height, width = (side // 2 * 2 for side in picture.shape[:2])
        pictures[name] = picture[:height, :width]
    return pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=Path, help="video file (default: a photo of the project, panned over)")
    parser.add_argument("--frames", type=int, default=48, help="frames to use; all stay in memory (default: 48)")
    parser.add_argument("--person_box", default="auto", help="as for run.py (default: auto)")
    parser.add_argument("--load", type=Path, default=DEMO_WEIGHTS, help="stitched checkpoint (default: demo weights)")
    parser.add_argument("--device", default="cpu", type=torch.device, help="cpu or cuda (default: cpu)")
    arguments = parser.parse_args()
    keep_large_blocks()
    with tempfile.TemporaryDirectory() as folder:
        try:
            if arguments.video:
                require_path(arguments.video, "--video")
            video = arguments.video or panned_photo(Path(folder) / "clip.mp4", arguments.frames)
            source = open_video(video, "--video", FrameRange(max_frames=arguments.frames))
            predictor = StitchedPredictor(load_network(arguments.load, device=arguments.device))
            times, poses = measure(source, predictor, arguments.person_box, Path(folder))
            count = len(source)
            whole = measure_whole(video, predictor, arguments.person_box, count, Path(folder)) if count > 1 else None
            times = times.mean(measure(source, predictor, arguments.person_box, Path(folder))[0])
        except UserError as error:
            parser.error(str(error))
    print(
        f"{arguments.device}, {torch.get_num_threads()} threads, torch {torch.__version__}, Python "
        f"{platform.python_version()}\n{count} frames of {source.size[0]} × {source.size[1]} px with {poses} "
        f"poses; times per 1,000 frames\n\n{times.table(count)}"
    )
    if whole:
        report_whole(times, whole, count)


if __name__ == "__main__":
    main()
