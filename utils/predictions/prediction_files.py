"""Prediction files by image: `run.py` writes them, `viz.py` and `eval.py` read them.

A `.pt` is a plain dict, image name -> (people, J, 2) px or (people, J, 3) mm. Pixel coordinates are zero-based both on
file and in memory, pixel centres at integers. `metas.pt` beside it holds scores, boxes and further values per image.

Other formats: `utils.predictions.coco_results` (`predictions.json`), `utils.predictions.prediction_arrays` (arrays).

Writers use `atomic_path` and raise ValueError for invalid arguments. Readers raise UserError.
"""

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from utils.compute.pickles import pickled_names, unsafe_name
from utils.compute.torch_files import save_torch
from utils.files.schema import (
    holds_its_data,
    is_tensor,
    nothing,
    number,
    numbers,
    require,
    several,
    tensor,
    text,
    whole,
)
from utils.files.sizes import TooLarge, require_honest, require_stored
from utils.osutils import UserError
from utils.predictions.prediction_arrays import describe, require_file

PEOPLE_SHAPES = "people × joints × 2 (px) or people × joints × 3 (mm)"

# --- poses -----------------------------------------------------------------------------------------------------


def save_predictions(path: str | Path, predictions: Mapping[str, Tensor]) -> None:
    """Write poses by image as a plain dict that `torch.load(weights_only=True)` can read.

    Args:
        path: the `.pt` file.
        predictions: image name -> (people, J, 2), zero-based px of the original image, or (people, J, 3), mm in
            camera coordinates. People of one image are rows of one tensor.

    Raises ValueError for a value of another type or shape.
    """
    for name, poses in predictions.items():
        if not isinstance(name, str) or not isinstance(poses, Tensor) or not _is_people(poses):
            raise ValueError(f"{path}: {name!r} holds {describe(poses)}, not {PEOPLE_SHAPES}")
    # Saving a view would store its whole batch.
    plain = {name: poses.detach().cpu().clone() for name, poses in predictions.items()}
    save_torch(path, plain)


def load_predictions(path: str | Path) -> dict[str, Tensor]:
    """Read poses by image: name -> floating (people, J, 2) zero-based px or (people, J, 3) mm, on the CPU.

    A bare (J, 2) or (J, 3) becomes one person. NaN is allowed.

    Raises UserError for a file that is missing, truncated or needs unpickling, and for other content.
    """
    content = _load_torch(path, "a prediction file")
    expected = f"a prediction file is a dict, image name -> {PEOPLE_SHAPES}"
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds {describe(content)}; {expected}")
    predictions = {name: _as_people(poses, f"{path}: {name!r}", expected, name) for name, poses in content.items()}
    try:  # entries may share one tensor
        require_honest(sum(poses.nbytes for poses in predictions.values()), path)
    except TooLarge as error:
        raise UserError(f"{path}: {error}; {expected}") from None
    return predictions


def _as_people(poses: Any, where: str, expected: str, name: Any) -> Tensor:
    """One entry of a `.pt` file as floating (people, J, 2 or 3)."""
    if isinstance(poses, Tensor) and poses.ndim == 2:
        poses = poses[None]
    numeric = isinstance(poses, Tensor) and is_tensor(poses) and poses.dtype != torch.bool
    if not isinstance(name, str) or not numeric or not _is_people(poses) or not holds_its_data(poses):
        raise UserError(f"{where} holds {describe(poses)}; {expected}")
    return poses if poses.is_floating_point() else poses.float()


def _is_people(poses: Tensor) -> bool:
    return poses.ndim == 3 and poses.shape[2] in (2, 3)


# --- metas.pt --------------------------------------------------------------------------------------------------

# What readers take from the entry of a photo, frame or clip.
META = {
    "skeleton": nothing() | text(),
    "scores": nothing() | tensor(None, None, kinds="f"),
    "score_threshold": number(-1e3, 1e3),
    "tracks": nothing() | several(whole()),
    "boxes": nothing() | tensor(None, 4),
    "box_scores": nothing() | tensor(None),
    "annotation_index": several(whole()),
    "entry": text(),
    "img_dir": nothing() | text(),
    "size": nothing() | numbers(2, low=0, high=1e6),
    "fps": nothing() | number(1e-6, 1e6),
    "time": number(0, 1e9),
}
PLAIN_TYPES = (type(None), bool, int, float, str, Tensor)


def save_metas(path: str | Path, metas: Mapping[str, Any]) -> None:
    """Write metadata: name -> None, bool, int, float, str, tensors, and lists, tuples and dicts of these.

    Raises ValueError, naming the entry, for anything else (including NumPy scalars and paths), which
    `torch.load(weights_only=True)` could not read.
    """
    plain = {name: _plain(value, f"metas[{name!r}]") for name, value in metas.items()}
    save_torch(path, plain)


def load_metas(path: str | Path) -> dict[str, Any]:
    """Read `metas.pt`. Raises UserError for a file that is missing, truncated, needs unpickling or holds no dict."""
    content = _load_torch(path, "a metas file")
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds {describe(content)}; a metas file is a dict, name -> plain values or tensors")
    for name, meta in content.items():
        if isinstance(meta, dict):
            require(meta, META, f"{path}: {str(name)!r:.80}")
    return content


def metas_of(folder: str | Path) -> dict[str, Any]:
    """`load_metas` of a folder of predictions; empty without the file."""
    path = Path(folder) / "metas.pt"
    return load_metas(path) if path.is_file() else {}


def noted_images(metas: Mapping[str, Any]) -> str | None:
    """Where the photos or the video of the predictions are, as the run noted it in `metas.pt`."""
    return next((meta["img_dir"] for meta in metas.values() if isinstance(meta, dict) and meta.get("img_dir")), None)


def _plain(value: Any, where: str) -> Any:
    """`value` with its tensors copied to the CPU. Exact types only: np.float64 is a float but pickles as NumPy."""
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if type(value) in (list, tuple):
        return type(value)(_plain(item, f"{where}[{index}]") for index, item in enumerate(value))
    if type(value) is dict:
        for key in value:
            if type(key) not in (str, int):
                raise ValueError(f"{where}: key {key!r} is a {type(key).__name__}; keys are str or int")
        return {key: _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    if type(value) in PLAIN_TYPES:
        return value
    raise ValueError(f"{where} is a {type(value).__name__}; metas hold plain Python values and tensors only")


def _load_torch(path: str | Path, kind: str) -> Any:
    require_file(path, kind)
    try:
        require_stored(path)
        with warnings.catch_warnings():  # torch warns of unusual pickle protocols
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes make the unpickler raise nearly anything
        if isinstance(error, pickle.UnpicklingError) and (names := pickled_names(path)):
            named = f" ({name})" if (name := unsafe_name(names)) else ""
            message = (
                f"refused, it holds pickled objects that could run code{named}; expected {kind} with plain types and "
                "tensors only"
            )
        else:
            message = f"truncated, damaged or not written by torch.save; expected {kind} of run.py"
        raise UserError(f"{path}: {message}") from error
