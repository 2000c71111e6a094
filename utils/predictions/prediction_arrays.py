"""Prediction arrays in `.mat`, `.h5` and `.npz` files: one array `preds` with a row per validation sample, in order.

* 2D poses: (N, J, 2) px of the original image, a row per validation person. ONE-BASED on file in all three formats,
  because the public PCKh scripts expect it. In memory pixel coordinates are zero-based, pixel centres at integers: the
  functions here subtract 1 on reading and add 1 on writing. Other readers must subtract 1 themselves.
* 3D poses: (N, J, 3) mm in camera coordinates, a row per validation frame; stored unchanged.

No torch import here. Writers use `atomic_path` and raise ValueError for invalid arguments. Readers raise UserError.
"""

# SciPy and h5py are imported only for a file that needs them.
# ruff: noqa: PLC0415

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from utils.files.mat_files import read_mat
from utils.osutils import UserError, atomic_path
from utils.transform import Skeleton

if TYPE_CHECKING:
    from torch import Tensor

Values = Union[np.ndarray, "Tensor"]
ARRAY_SUFFIXES = (".mat", ".h5", ".npz")
ARRAY_KEY = "preds"


def save_prediction_array(path: str | Path, array: Values) -> None:
    """Write ZERO-BASED (N, J, 2) predictions as `preds`, ONE-BASED on file, float64.

    Args:
        path: `.mat` (MATLAB 5), `.h5` or `.npz`; the suffix selects the format.
        array: a row per validation person, in annotation order; px of the original image.

    Raises ValueError for another shape, UserError for another suffix.
    """
    path = Path(path)
    one_based = as_array(array) + 1
    if one_based.ndim != 3 or one_based.shape[2] != 2:
        raise ValueError(f"{path}: predictions of shape {one_based.shape}, expected N × J × 2")
    suffix = _array_suffix(path)
    with atomic_path(path) as temporary:
        if suffix == ".mat":
            import scipy.io

            scipy.io.savemat(temporary, {ARRAY_KEY: one_based}, do_compression=True)
        elif suffix == ".h5":
            import h5py

            with h5py.File(temporary, "w") as file:
                file[ARRAY_KEY] = one_based
        else:
            np.savez_compressed(temporary, **{ARRAY_KEY: one_based})


def as_array(values: Values) -> np.ndarray:
    """Convert an array, or a tensor on any device, to a float64 array."""
    return np.asarray(values if isinstance(values, np.ndarray) else values.detach().cpu(), dtype=np.float64)


def load_prediction_array(path: str | Path) -> np.ndarray:
    """Read (N, J, 2) predictions: `preds`, ONE-BASED on file, returned ZERO-BASED, float64, rows as on file.

    A `.mat` without `preds` may have `pos_pred_src` (J, 2, N), as MPII's `detections_our_format.mat` does, also
    one-based. A MATLAB 7.3 `.mat` is HDF5 with reversed axes, which is handled. NaN is allowed; see `require_finite`.

    Raises UserError for a missing or damaged file, another suffix, a missing key, and an array that is not
    numeric N × J × 2; the message names the keys of the file.
    """
    return _load(Path(path), 2, "one-based px, people in validation order") - 1


def load_pose_array(path: str | Path) -> np.ndarray:
    """Read (N, J, 3) 3D predictions, mm: `preds`, float64, unchanged. Otherwise like `load_prediction_array`."""
    return _load(Path(path), 3, "mm, frames in validation order")


def _load(path: Path, numbers: int, what: str) -> np.ndarray:
    """Read `preds`, (N, J, numbers) float64, unchanged; `what`: its unit and order, for messages."""
    suffix = _array_suffix(path)
    require_file(path, f"a {suffix} prediction file")
    read = {".mat": _read_mat, ".h5": _read_h5, ".npz": _read_npz}[suffix]
    expected = f"expected {ARRAY_KEY!r}, N × joints × {numbers} ({what})"
    try:
        array, keys = read(path)
    except Exception as error:  # the three readers raise nearly anything on damaged bytes
        raise UserError(
            f"{path}: truncated, damaged or not a {suffix} file ({type(error).__name__}); {expected}"
        ) from error
    if array is None:
        raise UserError(f"{path}: has no {ARRAY_KEY!r} (it holds {', '.join(keys) or 'nothing'}); {expected}")
    if array.dtype.kind not in "iuf" or array.ndim != 3 or array.shape[2] != numbers:
        raise UserError(f"{path}: {ARRAY_KEY!r} is {describe(array)} (file holds {', '.join(keys)}); {expected}")
    return array.astype(np.float64)


def _read_mat(path: Path) -> tuple[np.ndarray | None, list[str]]:
    import h5py

    if h5py.is_hdf5(path):
        array, keys = _read_h5(path)
        return (None if array is None else array.transpose()), keys
    content = read_mat(path)
    keys = list(content)
    if ARRAY_KEY not in content and "pos_pred_src" in content:
        joints_first = np.atleast_3d(np.asarray(content["pos_pred_src"]))  # MATLAB drops a trailing axis of length 1
        return np.moveaxis(joints_first, -1, 0), keys
    return (np.asarray(content[ARRAY_KEY]) if ARRAY_KEY in content else None), keys


def _read_h5(path: Path) -> tuple[np.ndarray | None, list[str]]:
    import h5py

    from utils.files.arrays_in_files import member_names, read_dataset

    with h5py.File(path, "r") as file:
        return (read_dataset(file, ARRAY_KEY) if ARRAY_KEY in file else None), member_names(file)


def _read_npz(path: Path) -> tuple[np.ndarray | None, list[str]]:
    from utils.files.arrays_in_files import npz_members, read_npz

    with zipfile.ZipFile(path) as archive:
        keys = npz_members(archive)
    return read_npz(path, [ARRAY_KEY]).get(ARRAY_KEY), keys


def require_finite(array: np.ndarray, path: str | Path, skeleton: Skeleton) -> None:
    """Raise UserError if a prediction is NaN or infinite; the message counts the joints and names the first ones.

    Args:
        array: (N, J, D), any frame.
        path: source file, for the message.
        skeleton: joint order, J joints.
    """
    bad = ~np.isfinite(np.asarray(array)).all(axis=2)
    if not bad.any():
        return
    people = np.flatnonzero(bad.any(axis=1))
    named = [
        f"person {person} ({', '.join(skeleton.joints[joint] for joint in np.flatnonzero(bad[person]))})"
        for person in people[:3]
    ]
    more = ", ..." if len(people) > 3 else ""
    raise UserError(
        f"{path}: {bad.sum()} of {bad.size} joints, of {len(people)} people, are NaN or infinite: "
        f"{', '.join(named)}{more} (the first person is 0); expected a prediction for every joint of every person"
    )


# What readers share


def _array_suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in ARRAY_SUFFIXES:
        raise UserError(f"{path}: unknown suffix {path.suffix!r} of an array; choose {', '.join(ARRAY_SUFFIXES)}")
    return suffix


def require_file(path: str | Path, kind: str) -> None:
    if not Path(path).is_file():
        state = "is a folder" if Path(path).is_dir() else "does not exist"
        raise UserError(f"{path} {state}; expected {kind}")


def describe(value: Any) -> str:
    """Describe a value for messages: its type, or dtype and shape."""
    shape = getattr(value, "shape", None)
    if shape is None:
        return f"a {type(value).__name__}"
    return f"{value.dtype} of shape {' × '.join(map(str, shape)) or 'scalar'}"
