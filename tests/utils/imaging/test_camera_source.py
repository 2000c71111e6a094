"""A camera as a stream of named images."""

import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from utils.imaging import camera_source
from utils.imaging.image_sources import open_source
from utils.imaging.source_paths import is_camera
from utils.imaging.video_source import FrameRange
from utils.osutils import UserError


class FakeCamera:
    """`last` frames of 64 × 48 px, frame k of level k, 0.05 s apart; Ctrl-C is pressed at frame `interrupt`."""

    clock = 0.0

    def __init__(self, last: int = 1000, interrupt: int | None = None) -> None:
        self.number, self.last, self.interrupt = -1, last, interrupt

    def read(self):
        self.number += 1
        FakeCamera.clock += 0.05
        if self.number == self.interrupt:
            signal.raise_signal(signal.SIGINT)
        return (True, np.full((48, 64, 3), self.number, np.uint8)) if self.number < self.last else (False, None)

    def isOpened(self):
        return self.last > 0

    def get(self, _):
        return 0.0

    def release(self):
        pass


class TestCamera:
    @pytest.fixture
    def camera(self, monkeypatch):
        """`camera(last=5)`: the source of a camera that can be opened any number of times."""

        def plug_in(max_frames=None, **kwargs):
            monkeypatch.setattr(camera_source, "_open_capture", lambda index: FakeCamera(**kwargs))
            monkeypatch.setattr(camera_source, "time", SimpleNamespace(monotonic=lambda: FakeCamera.clock))
            return open_source("7", frames=FrameRange(max_frames=max_frames), camera=True)

        return plug_in

    def test_ends_after_max_frames(self, camera, capfd):
        source = camera(max_frames=3)
        assert (source.kind, source.size, source.names(), len(source)) == ("camera", (64, 48), [], 0)
        assert [(name, int(image.max())) for name, image in source] == [(f"camera_7/{k:06d}", k) for k in range(3)]
        assert source.fps == pytest.approx(20), "as measured"
        assert capfd.readouterr().err == ""

    def test_ends_at_ctrl_c_and_keeps_what_it_saw(self, camera):
        former = signal.getsignal(signal.SIGINT)
        assert len(list(camera(interrupt=4))) == 5
        assert signal.getsignal(signal.SIGINT) is former

    def test_an_unplugged_camera_is_reported(self, camera, capfd):
        assert len(list(camera(last=2))) == 2
        assert capfd.readouterr().err == "warning: camera 7 delivered no more frames after 2 frames\n"

    def test_no_camera(self, camera):
        with pytest.raises(UserError, match="--data_dir 7: no camera with this index responds"):
            camera(last=0)

    @pytest.mark.parametrize(("name", "expected"), [("0", True), ("12", True), ("1234", False), ("a0", False)])
    def test_a_bare_number_is_a_camera_unless_it_is_a_path(self, tmp_path, monkeypatch, name, expected):
        monkeypatch.chdir(tmp_path)
        assert is_camera(name) is is_camera(Path(name)) is expected
        (tmp_path / name).mkdir()
        assert not is_camera(name)
