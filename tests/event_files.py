"""Values in TensorBoard event files."""

import struct
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event


def events(folder: Path) -> list[tuple]:
    """(tag, step, value) of all TensorBoard events: records of length, checksum, Event, checksum."""
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            event = Event.FromString(content[12 : 12 + length])
            found += [
                (v.tag, event.step, v.simple_value if v.HasField("simple_value") else "image")
                for v in event.summary.value
            ]
            content = content[16 + length :]
    return found
