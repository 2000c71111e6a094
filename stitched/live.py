"""A camera's pictures with their poses, live, on a web page of this machine.

    with LiveWindow(skeleton, score_threshold) as window:
        find_poses(predictor, "0", watch=window)

The page is served on 127.0.0.1 alone, so no other machine can see the camera.
"""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread

import cv2
import numpy as np
import torch
from torch import Tensor

from stitched.viz import Scene, compose
from twod_threed.joint_order import doubtful_joints
from utils.osutils import inform
from utils.transform import H36M, Skeleton

HOST = "127.0.0.1"
JPEG_QUALITY = 80
BOUNDARY = "picture"
RESEND = 0.2  # s; Chromium shows a picture only when the next one begins
PAGE = b"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Live poses</title>
<style>body { margin: 0; background: #141414 } img { width: 100vw; height: 100vh; object-fit: contain }</style></head>
<body><img src="/stream" alt="live poses"></body></html>
"""


class LiveWindow:
    """The page. As a context, it is served until the end of the context; `address` says where.

    Args:
        skeleton: of the 2D joints.
        score_threshold: joints of a lower score are not drawn.
    """

    def __init__(self, skeleton: Skeleton, score_threshold: float = 0.0) -> None:
        self._skeleton, self._threshold = skeleton, score_threshold
        self._frames: dict[str, np.ndarray] = {}
        self._news = Condition()
        self._jpeg, self._shown, self._closed = b"", 0, False
        self._server = ThreadingHTTPServer((HOST, 0), _handler(self))  # any free port
        self._server.daemon_threads = True

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self._server.server_port}/"

    def __enter__(self) -> "LiveWindow":
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        inform(f"live: open {self.address} in a browser on this machine; Ctrl-C ends the run")
        return self

    def __exit__(self, *_: object) -> None:
        with self._news:
            self._closed = True
            self._news.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def frame(self, name: str, image: np.ndarray) -> None:
        """Keep an image (H, W, 3) uint8 RGB until its poses are known."""
        self._frames[name] = image

    def poses(self, name: str, joints: Tensor, scores: Tensor, joints_3d: Tensor | None = None) -> None:
        """Show an image with its P people: (P, J, 2) px, (P, J), and (P, 17, 3) mm."""
        image = self._frames.pop(name)
        unsure = ~(scores >= self._threshold)
        scene = Scene(
            joints.masked_fill(unsure[..., None], torch.nan),
            self._skeleton,
            {"": torch.zeros(len(joints), len(H36M), 3) if joints_3d is None else joints_3d},
            doubtful=doubtful_joints(unsure, self._skeleton),
            threshold=self._threshold,
        )
        picture = cv2.cvtColor(compose(image, scene).raster(), cv2.COLOR_RGB2BGR)
        jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
        with self._news:
            self._jpeg, self._shown = jpeg, self._shown + 1
            self._news.notify_all()

    def next_picture(self, after: int) -> tuple[int, bytes] | None:
        """A picture's number and JPEG: one with a number above `after`, or, when none comes soon, the latest once more.

        None after the end.
        """
        with self._news:
            self._news.wait_for(lambda: self._closed or self._shown > after, RESEND if after else None)
            return None if self._closed else (self._shown, self._jpeg)


def _handler(window: LiveWindow) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # A page of another site, whose name was made to lead here, must not see the camera.
            if self.headers.get("Host", "").rpartition(":")[0] not in (HOST, "localhost"):
                self.send_error(403)
            elif self.path == "/":
                self._begin("text/html; charset=utf-8")
                self.wfile.write(PAGE)
            elif self.path == "/stream":
                self._begin(f"multipart/x-mixed-replace; boundary={BOUNDARY}")
                self._stream()
            else:
                self.send_error(404)

        def _begin(self, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Cache-Control", "no-store")
            self.end_headers()

        def _stream(self) -> None:
            shown, boundary = 0, f"--{BOUNDARY}\r\n".encode()
            try:
                self.wfile.write(boundary)
                while (news := window.next_picture(shown)) is not None:
                    shown, jpeg = news
                    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    self.wfile.write(head.encode() + jpeg + b"\r\n" + boundary)
            except OSError:  # the browser has closed the page
                return

        def log_message(self, *_: object) -> None:
            """Requests are not reported."""

    return Handler
