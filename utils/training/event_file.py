"""TensorBoard events, written in this thread, so that a full disk is an error here and not in a lost thread."""

import logging
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from torch import Tensor

from utils.osutils import full_disk_named


class EventFile:
    """A new file of TensorBoard events in a folder. Raises RunFailed for a full disk."""

    def __init__(self, folder: Path, purge_step: int | None = None):
        """`purge_step`: TensorBoard ignores what earlier files have from this step on."""
        from tensorboardX.proto import event_pb2  # noqa: PLC0415 - slow, needed by training only
        from tensorboardX.record_writer import RecordWriter  # noqa: PLC0415

        # Training itself tells of losses that are not finite, once and with the samples.
        logging.getLogger("tensorboardX.x2num").setLevel(logging.ERROR)
        self._folder, self._events = folder, event_pb2
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard sorts names by the seconds; resuming within the same one must not overwrite earlier events.
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{time.time_ns()}"
        self._writer = RecordWriter(str(folder / name))
        self._write(step=0, file_version="brain.Event:2")
        if purge_step is not None:
            self._write(step=purge_step, file_version="brain.Event:2")
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._write(step=purge_step, session_log=start)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        from tensorboardX.summary import scalar  # noqa: PLC0415

        for name, value in values.items():
            self._write(step=step, summary=scalar(name, value))

    def pictures(self, values: Mapping[str, Tensor], step: int) -> None:
        """Pictures (3, H, W), uint8."""
        from tensorboardX.summary import image  # noqa: PLC0415

        for name, picture in values.items():
            self._write(step=step, summary=image(name, picture.cpu().numpy()))

    def flush(self) -> None:
        """Flush to disk."""
        with full_disk_named(self._folder):
            self._writer.flush()

    def close(self) -> None:
        """Close the file. Events that could not be written are lost; `flush` or a write has raised for them."""
        with suppress(OSError):
            self._writer.close()

    def _write(self, step: int, **content) -> None:
        with full_disk_named(self._folder):
            event = self._events.Event(wall_time=time.time(), step=step, **content)
            self._writer.write(event.SerializeToString())
