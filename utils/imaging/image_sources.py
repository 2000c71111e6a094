"""Sources of images without annotations: a folder of photos, one photo, a video file, or a camera.

Iterating over an `ImageSource` yields `(name, image)`. For an unreadable photo it yields the `ImageError` instead, so
that one bad file does not stop a run. Videos are streamed: only one frame is in memory.
"""

from pathlib import Path

from utils.files.inside import fault_of_file, fault_of_name
from utils.imaging.base_source import FrameSource, ImageSource
from utils.imaging.camera_source import CameraSource, open_camera
from utils.imaging.images import IMAGE_SUFFIXES
from utils.imaging.photo_source import PhotoSource, listed, open_folder
from utils.imaging.source_paths import VIDEO_SUFFIXES, is_camera, is_video, require_path
from utils.imaging.video_source import FrameRange, VideoSource, open_video
from utils.osutils import UserError

__all__ = [
    "VIDEO_SUFFIXES",
    "CameraSource",
    "FrameRange",
    "FrameSource",
    "ImageSource",
    "PhotoSource",
    "VideoSource",
    "is_camera",
    "is_video",
    "open_source",
]


def open_source(
    path: str | Path, option: str = "--data_dir", frames: FrameRange | None = None, camera: bool = False
) -> ImageSource:
    """Open a folder of photos, a photo, or a video, depending on `path`.

    Args:
        frames: frames to read from a video; a camera only takes `max_frames`.
        camera: treat a bare number that is no existing path as a camera index.

    Raises UserError, naming `option`, if the path does not exist, a folder has no image, a file is neither photo nor
    video, a video can't be decoded, or `frames` does not apply. A single photo that can't be decoded yields an
    ImageError on iteration.
    """
    path, frames = Path(path), frames or FrameRange()
    if camera and is_camera(path):
        if chosen := frames.given("start", "end", "every"):
            raise UserError(f"{chosen}: only for a video file; {option} {path} is a camera")
        return open_camera(int(str(path)), option, frames.max_frames)
    if not is_video(path) and (chosen := frames.given()):
        require_path(path, option)
        raise UserError(f"{chosen}: only for a video or a camera; {option} {path} holds photos")
    if path.is_dir():
        return open_folder(path, option)
    require_path(path, option)
    if fault := fault_of_file(path):
        raise UserError(f"{option} {path}: {fault}")
    if fault := fault_of_name(path.name) or fault_of_name(path.stem):
        raise UserError(f"{option} {path}: its name, by which images and frames are called, {fault}; rename it")
    if is_video(path):
        return open_video(path, option, frames)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return PhotoSource(path, "photo", path.parent, [path.name], [])
    raise UserError(
        f"{option} {path}: not a photo or video by its suffix; photos end in {listed(IMAGE_SUFFIXES)}, "
        f"videos in {listed(VIDEO_SUFFIXES)}"
    )
