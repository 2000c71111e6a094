"""A cache of expensive results as JSON files, keyed by a hash of their inputs."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from utils.compute.distributed import ALONE, Processes
from utils.files.json_files import read_json
from utils.files.schema import Schema, described, require, required
from utils.osutils import UserError, warn, write_text

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
    *,
    schema: Schema,
) -> Any:
    """The result of `compute` (plain types), read from `<folder>/<name>_<key>.json` if it exists, else written there.

    With several processes, rank 0 does it for all.

    Args:
        folder: by default `cache_folder()`.
        schema: what the result is. A file that is damaged or of another shape goes, with one line, and is made again.
    """

    def on_this_machine() -> Any:
        path = (folder or cache_folder()) / f"{name}_{key_of(parts)}.json"
        if path.is_file() and (kept := _kept(path, schema)) is not None:
            return kept
        result = compute()
        write_text(path, json.dumps(result, indent=1))
        return result

    return processes.on_main(on_this_machine)


def _kept(path: Path, schema: Schema) -> dict[str, Any] | None:
    """The result in a file; None, and the file is deleted, if it is damaged or does not match the schema."""
    try:
        content = read_json(path, "it is computed again")
        if not isinstance(content, dict):
            raise UserError(f"{path}: holds {described(content)}, not a result; it is computed again")
        require(content, {name: required(kind) for name, kind in schema.items()}, path)
        return content
    except UserError as error:
        warn(f"cache dropped: {error}")
        path.unlink(missing_ok=True)
        return None
