"""More formats of `mutations.py`: photos and videos."""

from pathlib import Path
from typing import Any

import numpy as np
from cases import Format
from PIL import Image

from utils.imaging.image_sources import open_source
from utils.imaging.images import ImageError, image_size, read_image
from utils.imaging.video_writer import write_video
from utils.osutils import UserError


def _photo(suffix: str, mode: str) -> Any:
    def make(folder: Path) -> Path:
        picture = np.random.default_rng(0).integers(0, 255, (40, 60, len(mode)), dtype=np.uint8)
        Image.fromarray(picture, mode).save(folder / f"a{suffix}")
        return folder / f"a{suffix}"

    return make


def _read_photo(path: Path) -> None:
    try:
        image_size(path)
        read_image(path)
    except ImageError as error:
        raise UserError(str(error)) from None


def _video(suffix: str, frames: int = 8) -> Any:
    def make(folder: Path) -> Path:
        rng = np.random.default_rng(0)
        if suffix == ".gif":
            pictures = [Image.fromarray(rng.integers(0, 255, (48, 64, 3), np.uint8)) for _ in range(frames)]
            pictures[0].save(folder / "a.gif", save_all=True, append_images=pictures[1:], duration=40)
        else:
            with write_video(folder / f"a{suffix}", 25, (64, 48)) as write:
                for _ in range(frames):
                    write(rng.integers(0, 255, (48, 64, 3), np.uint8))
        return folder / f"a{suffix}"

    return make


def _read_video(path: Path) -> None:
    for name, frame in open_source(path):
        assert isinstance(frame, np.ndarray), name


PICTURE_FORMATS = {
    "photo_jpg": Format(_photo(".jpg", "RGB"), _read_photo),
    "video_mp4": Format(_video(".mp4"), _read_video),
    "video_gif": Format(_video(".gif"), _read_video),
    "photo_png": Format(_photo(".png", "RGBA"), _read_photo),
    **{f"photo_{suffix}": Format(_photo(f".{suffix}", "RGB"), _read_photo) for suffix in ("webp", "bmp", "tif")},
}
