"""JSON files, perhaps gzipped, whose size and nesting are bounded."""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.files.sizes import ALWAYS, TEXT_FACTOR, TooLarge, require_honest
from utils.osutils import UserError

PIECE = 1 << 20  # bytes
GZIP = 31  # zlib's window bits for gzip's header
CONTAINER, ITEM = 192, 40  # bytes in memory of a list or dict with one item, and of a further item, at most
ALWAYS_OBJECTS, OBJECTS_FACTOR = 8 * ALWAYS, 100  # annotations take up to 10 times their text in memory


def read_json(path: str | Path, advice: str, option: str = "") -> Any:
    """The content of a JSON file; gzipped where the name ends in .gz.

    Args:
        advice: what to do about a file that can't be read, for the error.
        option: prefix of the path in the error, e.g. "--person_box ".

    Raises UserError for a file that can't be opened, isn't whole, isn't JSON, is nested too deeply, or unfolds to far
    more than it holds.
    """
    path = Path(path)
    try:
        data = _unzipped(path) if path.suffix == ".gz" else path.read_bytes()
        _require_few_objects(data, path)
        return json.loads(data)
    except RecursionError:
        fault = "nested too deeply"
    except (OSError, EOFError, ValueError, zlib.error) as error:
        fault = str(error)
    raise UserError(f"{option}{path}: not a readable JSON file ({fault}); {advice}")


def as_mapping(content: Any) -> Mapping[str, Any]:
    """The content of a JSON file if it is an object, else an empty one."""
    return content if isinstance(content, Mapping) else {}


def _require_few_objects(data: bytes | bytearray, path: Path) -> None:
    """Raise TooLarge for text of far more objects than the file can hold: empty lists take 20 times their text."""
    needed = CONTAINER * (data.count(b"[") + data.count(b"{")) + ITEM * data.count(b",")
    if needed > max(ALWAYS_OBJECTS, OBJECTS_FACTOR * path.stat().st_size):
        raise TooLarge(f"declares objects of {needed / 2**20:,.0f} MiB")


def _unzipped(path: Path) -> bytearray:
    content = bytearray()
    with path.open("rb") as file:
        decoder = zlib.decompressobj(GZIP)
        while piece := decoder.unconsumed_tail or file.read(PIECE):
            content += decoder.decompress(piece, PIECE)
            require_honest(len(content), path, TEXT_FACTOR)
            if decoder.eof and (rest := decoder.unused_data + file.read()):
                if not rest.startswith(b"\x1f\x8b"):
                    break  # padding, as gzip ignores it
                raise ValueError("several gzip members in one file")
    if not decoder.eof:
        raise EOFError("the gzip stream ends early")
    return content
