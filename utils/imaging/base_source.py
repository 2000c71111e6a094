"""Base classes of the image sources."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from utils.imaging.images import ImageError


class ImageSource:
    """Images by name; names are unique within a source.

    Attributes:
        kind: "folder", "photo", "video" or "camera".
        root: the folder or file.
    """

    kind: str

    def __init__(self, root: Path) -> None:
        self.root = root

    def names(self) -> list[str]:
        """All names, in the order of iteration."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.names())

    def __iter__(self) -> Iterator[tuple[str, np.ndarray | ImageError]]:
        """Yield (name, (H, W, 3) uint8 RGB), or (name, ImageError) for a photo that can't be read."""
        raise NotImplementedError


class FrameSource(ImageSource):
    """Frames in temporal order: a video or a camera.

    Attributes:
        fps: frames per second.
        size: (width, height) px of a frame.
    """

    def __init__(self, root: Path, fps: float, size: tuple[int, int]) -> None:
        super().__init__(root)
        self.fps, self.size = fps, size

    def frame_name(self, number: int) -> str:
        """`<stem>/<6-digit frame number>`."""
        return f"{self.root.stem}/{number:06d}"

    def time(self, name: str) -> float:
        """Timestamp of a frame in seconds, relative to the first frame."""
        raise NotImplementedError
