"""Numbers that take a while to compute, kept under `.cache/` by a key of what they were computed from."""

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from utils.compute.distributed import on_main
from utils.osutils import write_text

CACHE = Path(".cache")


def key_of(parts: Iterable[str | bytes]) -> str:
    """32 hex digits that change when any part does."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:32]


def cached(name: str, parts: Iterable[str | bytes], compute: Callable[[], Any], folder: Path = CACHE) -> Any:
    """What `compute` gives (plain types), from `<folder>/<name>_<key>.json` if it is there; written there if not.

    Of several processes rank 0 does it for all.
    """

    def on_this_machine() -> Any:
        path = folder / f"{name}_{key_of(parts)}.json"
        if path.is_file():
            return json.loads(path.read_text())
        result = compute()
        write_text(path, json.dumps(result, indent=1))
        return result

    return on_main(on_this_machine)
