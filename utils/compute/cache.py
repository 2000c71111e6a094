"""A cache of expensive results as JSON files, keyed by a hash of their inputs."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from utils.compute.distributed import ALONE, Processes
from utils.osutils import write_text

VARIABLE = "HUMAN_POSE_CACHE"


def cache_folder() -> Path:
    """The folder given by the environment variable HUMAN_POSE_CACHE, else `.cache` in the project's folder."""
    return Path(os.environ.get(VARIABLE) or Path(__file__).resolve().parents[2] / ".cache")


def key_of(parts: Iterable[str | bytes]) -> str:
    """A hash of the parts, 32 hex digits."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:32]


def cached(
    name: str,
    parts: Iterable[str | bytes],
    compute: Callable[[], Any],
    folder: Path | None = None,
    processes: Processes = ALONE,
) -> Any:
    """The result of `compute` (plain types), read from `<folder>/<name>_<key>.json` if it exists, else written there.

    With several processes, rank 0 does it for all.

    Args:
        folder: by default `cache_folder()`.
    """

    def on_this_machine() -> Any:
        path = (folder or cache_folder()) / f"{name}_{key_of(parts)}.json"
        if path.is_file():
            return json.loads(path.read_text())
        result = compute()
        write_text(path, json.dumps(result, indent=1))
        return result

    return processes.on_main(on_this_machine)
