"""The live window: a web page that only this machine can open."""

import re
import socket
import threading
import urllib.error
import urllib.request

import cv2
import numpy as np
import pytest
import torch
from browser import CHROMIUM, WHY_NO_BROWSER, browser
from command_line import call
from standing_people import joints_of, people
from tiny_checkpoints import hourglass_file, lifter_file

from stitched.live import LiveWindow
from utils.imaging import camera_source
from utils.predictions.prediction_files import load_metas
from utils.transform import H36M_2D

SHOWN_SCRIPTS = [("run", "stitched_mpii")]

IMAGE = np.full((240, 320, 3), 90, np.uint8)


def show(window, name="camera_0/000000", image=IMAGE, count=1):
    window.frame(name, image)
    joints = joints_of(people(count))
    window.poses(name, joints, torch.ones(joints.shape[:2]), people(count))


def first_picture(address):
    """The first picture of the stream, (H, W, 3) BGR."""
    with urllib.request.urlopen(f"{address}stream", timeout=60) as stream:
        assert stream.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=picture"
        assert stream.readline() == b"--picture\r\n"
        assert stream.readline() == b"Content-Type: image/jpeg\r\n"
        length = int(stream.readline().split(b":")[1])
        assert stream.readline() == b"\r\n"
        return cv2.imdecode(np.frombuffer(stream.read(length), np.uint8), cv2.IMREAD_COLOR)


@pytest.fixture
def window():
    with LiveWindow(H36M_2D) as window:
        yield window


def test_only_this_machine_is_served(window):
    host, port = re.fullmatch(r"http://(127\.0\.0\.1):(\d+)/", window.address).groups()
    assert window._server.server_address == (host, int(port))
    for path in ("", "stream"):
        asked = urllib.request.Request(f"{window.address}{path}", headers={"Host": f"elsewhere.example:{port}"})
        with pytest.raises(urllib.error.HTTPError, match="403") as refused:
            urllib.request.urlopen(asked)
        refused.value.close()
    with pytest.raises(urllib.error.HTTPError, match="404") as unknown:
        urllib.request.urlopen(f"{window.address}etc/passwd")
    unknown.value.close()


def test_the_picture_has_the_frame_and_the_poses(window):
    show(window)
    picture = first_picture(window.address)
    assert picture.shape[1] > picture.shape[0] * 320 / 240, "a 3D panel is beside the frame"
    orange = (np.abs(picture.astype(int) - (20, 110, 240)).sum(axis=2) < 60).sum()
    assert orange > 100
    show(window, count=0)
    assert first_picture(window.address).shape == picture.shape


def test_the_stream_ends_with_the_run():
    with LiveWindow(H36M_2D) as window:
        show(window)
        stream = urllib.request.urlopen(f"{window.address}stream", timeout=60)
        assert stream.readline() == b"--picture\r\n"
    stream.read()
    stream.close()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(window._server.server_address, timeout=5):
        pass


@pytest.mark.skipif(CHROMIUM is None, reason=WHY_NO_BROWSER)
def test_a_browser_shows_it(window):
    show(window)
    with browser() as page:
        page.open(window.address, complete=False)
        page.wait_for("document.images.length === 1 && document.images[0].naturalWidth > 320")
        assert page.errors == []


def test_a_camera_is_shown_while_it_runs(tmp_path, monkeypatch):
    """A video stands in for the camera; it waits until a client has seen the first frame."""
    writer = cv2.VideoWriter(str(tmp_path / "camera.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for level in (40, 80, 120, 160):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    seen, pictures, addresses = threading.Event(), [], []

    def look(message):
        addresses.append(re.search(r"http://\S+", message)[0])

        def client():
            pictures.append(first_picture(addresses[0]))
            seen.set()

        threading.Thread(target=client).start()

    class Camera:
        def __init__(self):
            self.video, self.count = cv2.VideoCapture(str(tmp_path / "camera.avi")), 0

        def read(self):
            self.count += 1
            if self.count == 3:
                assert seen.wait(60)
            return self.video.read()

        def __getattr__(self, name):
            return getattr(self.video, name)

    monkeypatch.setattr("stitched.live.inform", look)
    monkeypatch.setattr(camera_source, "_open_capture", lambda index: Camera())
    networks = (
        "--load_hourglass",
        hourglass_file(tmp_path / "a.pth.tar"),
        "--load_2d3d",
        lifter_file(tmp_path / "b.tar"),
    )
    out = ("--output_dir", tmp_path / "out", "--person_box", "whole", "--device", "cpu")
    call("run", "stitched_mpii", *networks, "--data_dir", 0, "--show", "--max_frames", 4, *out).succeeded()
    assert len(pictures) == len(addresses) == 1
    assert len(load_metas(tmp_path / "out/metas.pt")) == 4


@pytest.mark.shows("show")
def test_show_is_only_for_cameras(tmp_path):
    line = call("run", "stitched_mpii", "--data_dir", tmp_path, "--show", "--output_dir", tmp_path / "out").refusal()
    assert "--show: for a camera, such as --data_dir 0" in line
    assert not (tmp_path / "out").exists()
