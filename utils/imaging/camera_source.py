"""Live frames of a camera, by OpenCV: PyAV needs a different device and format name on each operating system."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from utils.compute.stop_signal import StopSignal
from utils.imaging.base_source import FrameSource
from utils.imaging.images import ImageError
from utils.osutils import UserError, counted, warn

DEFAULT_FPS = 25.0


class CameraSource(FrameSource):
    """Live frames of a camera, named `camera_<index>/<6-digit number>`, until Ctrl-C or `max_frames`.

    Iterate in the main thread. A consumer slower than the camera misses frames; after the iteration `fps` is the
    measured rate.

    Attributes:
        watch: called with the name and the image of every frame before it is yielded; None for nobody.
    """

    kind = "camera"

    def __init__(self, index: int, fps: float, size: tuple[int, int], max_frames: int | None = None) -> None:
        super().__init__(Path(f"camera_{index}"), fps, size)
        self._index, self._max_frames = index, max_frames
        self._times: list[float] = []
        self.watch: Callable[[str, np.ndarray], None] | None = None

    def names(self) -> list[str]:
        """Empty: the number of frames is unknown."""
        return []

    def time(self, name: str) -> float:
        """Timestamp of a frame of the latest iteration, in seconds."""
        return self._times[int(name.rpartition("/")[2])]

    def __iter__(self) -> Iterator[tuple[str, np.ndarray | ImageError]]:
        capture, self._times, start = _open_capture(self._index), [], time.monotonic()
        try:
            with StopSignal() as stop:
                while not stop.requested and len(self._times) != self._max_frames:
                    got, frame = capture.read()
                    if not got or frame is None:
                        warn(
                            f"camera {self._index} delivered no more frames after {counted(len(self._times), 'frame')}"
                        )
                        break
                    self._times.append(time.monotonic() - start)
                    name, image = self.frame_name(len(self._times) - 1), cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
                    if self.watch:
                        self.watch(name, image)
                    yield name, image
        finally:
            capture.release()
        if self._times:
            self.fps = len(self._times) / max(time.monotonic() - start, 1e-6)


def open_camera(index: int, option: str, max_frames: int | None = None) -> CameraSource:
    """Raises UserError, naming `option`, if no camera with this index responds."""
    capture = _open_capture(index)
    try:
        got, frame = capture.read() if capture.isOpened() else (False, None)
        if not got or frame is None:
            raise UserError(
                f"{option} {index}: no camera with this index responds, and there is no file {index}; cameras count "
                "from 0, and another program may be using it"
            )
        fps = capture.get(cv2.CAP_PROP_FPS)
        return CameraSource(index, fps if 0 < fps <= 1000 else DEFAULT_FPS, frame.shape[1::-1], max_frames)
    finally:
        capture.release()


def _open_capture(index: int) -> cv2.VideoCapture:
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        return cv2.VideoCapture(index)
    finally:
        cv2.utils.logging.setLogLevel(level)
