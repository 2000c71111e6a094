"""A headless Chromium for tests of web pages, driven over a pipe by the DevTools protocol."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WHY_NO_BROWSER = "no Chromium: apt-get install chromium"
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--no-first-run", "--disable-extensions", "--remote-debugging-pipe",
)  # fmt: skip


class Page:
    """One page. `errors` are what its scripts threw, `requests` the addresses that it asked for."""

    def __init__(self, to_browser: int, from_browser: Any) -> None:
        self._to, self._from, self._count, self._session = to_browser, from_browser, 0, None
        self.errors: list[str] = []
        self.requests: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self._call(f"{domain}.enable")

    def open(self, address: str, width: int = 1200, height: int = 700, complete: bool = True) -> None:
        """`complete`: wait until all is loaded, which a stream never is."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self._call("Page.navigate", url=address)
        if complete:
            self.wait_for("document.readyState === 'complete'")

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        done = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not self.value(expression):
            assert time.monotonic() < end, f"{expression} did not become true; {self.errors}"
            time.sleep(0.02)

    def drag(self, element: str, by: tuple[float, float]) -> None:
        """Drag from the middle of the element of an id by (x, y) px."""
        x, y = self._middle(element)
        for kind, share in (("mousePressed", 0), ("mouseMoved", 0.5), ("mouseMoved", 1), ("mouseReleased", 1)):
            point = {"x": x + share * by[0], "y": y + share * by[1]}
            self._call("Input.dispatchMouseEvent", type=kind, **point, button="left", buttons=1, clickCount=1)

    def click(self, element: str) -> None:
        self.drag(element, (0, 0))

    def key(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key)

    def screenshot(self, path: Path) -> Path:
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"]))
        return path

    def _middle(self, element: str) -> tuple[float, float]:
        box = f"document.getElementById({element!r}).getBoundingClientRect()"
        return tuple(self.value(f"(box => [box.x + box.width / 2, box.y + box.height / 2])({box})"))

    def _call(self, method: str, **parameters: Any) -> dict:
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._count:
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(str(answer["params"]["exceptionDetails"]))
            if answer.get("method") == "Network.requestWillBeSent":
                self.requests.append(answer["params"]["request"]["url"])
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def _read(self) -> dict:
        text = bytearray()
        while (byte := self._from.read(1)) != b"\0":
            assert byte, "the browser has ended"
            text += byte
        return json.loads(text)


@contextmanager
def browser() -> Iterator[Page]:
    """A page of a new headless Chromium, which ends with the context."""
    profile = tempfile.mkdtemp(prefix="browser_")
    commands, to_browser = os.pipe()
    from_browser, answers = os.pipe()

    # Chromium reads commands from descriptor 3 and answers on 4.
    script = f'exec "$@" 3<&{commands} 4>&{answers}'
    process = subprocess.Popen(
        ["bash", "-c", script, "bash", CHROMIUM, *FLAGS, f"--user-data-dir={profile}"],
        pass_fds=(commands, answers),
        stderr=subprocess.DEVNULL,
    )
    os.close(commands)
    os.close(answers)
    try:
        with os.fdopen(from_browser, "rb") as reader:
            yield Page(to_browser, reader)
    finally:
        process.kill()
        process.wait()
        os.close(to_browser)
        shutil.rmtree(profile, ignore_errors=True)
