"""More formats of `mutations.py`: files of the data sets, and the pack of crops that training makes of them."""

import io
import json
import random
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
from cases import Format
from mutations import change_hdf5, change_json, with_value
from PIL import Image

from stacked_hourglass.annotations.eva import read_clips, read_ofs, read_sync
from stacked_hourglass.annotations.mpii import load_mpii_training
from stacked_hourglass.annotations.mpii_release import convert_release
from stacked_hourglass.annotations.people import People
from stacked_hourglass.samples.crop_pack import pack_crops
from utils.camera_utils import XML_COUNT, read_cameras
from utils.human36m.files import find_sequences, load_detections, write_positions
from utils.imaging.images import crop_photo
from utils.training.log_files import read_log

PEOPLE = 3
CAMERA = "54138969"


# ------------------------------------------------------------------------------------------ MPII
def structs(*entries: dict[str, Any]) -> np.ndarray:
    """A MATLAB 1 × n struct array."""
    array = np.empty((1, len(entries)), [(name, object) for name in entries[0]])
    array[0] = [tuple(entry.values()) for entry in entries]
    return array


def _release(folder: Path) -> Path:
    """The official file with a person in each of three images."""
    annotations = []
    for number in range(PEOPLE):
        points = [{"x": 10.0 + joint, "y": 20.0, "id": float(joint), "is_visible": 1.0} for joint in range(2)]
        person = {"x1": 1.0, "y1": 2.0, "x2": 31.0, "y2": 42.0, "scale": 1.5} | {
            "objpos": structs({"x": 30.0, "y": 40.0}), "annopoints": structs({"point": structs(*points)}),
        }  # fmt: skip
        annotations.append({"image": structs({"name": f"{number}.jpg"}), "annorect": structs(person)})
    release = structs({"annolist": structs(*annotations), "img_train": np.ones((1, PEOPLE))})
    scipy.io.savemat(folder / "release.mat", {"RELEASE": release})
    return folder / "release.mat"


def _read_release(path: Path) -> None:
    split = path.with_name("split.json")
    split.write_text(json.dumps([{"image": "1.jpg", "center": [30.0, 40.0]}]))
    convert_release(path, split)


def _split(suffix: str) -> Any:
    """A list of validation people, in the forms that `--split_from` takes, beside the official file."""

    def make(folder: Path) -> Path:
        path, names = _release(folder).with_name(f"split{suffix}"), ("0.jpg", "2.jpg")
        if suffix == ".json":
            path.write_text(json.dumps([{"image": name, "center": [30.0, 40.0]} for name in names]))
        elif suffix == ".mat":
            scipy.io.savemat(path, {"RELEASE_img_index": [1.0, 3.0], "RELEASE_person_index": [1.0, 1.0]})
        else:
            with h5py.File(path, "w") as file:
                file["imgname"] = np.array([list(name.encode()) for name in names], float)
                file["center"] = np.array([[30.0, 40.0]] * len(names))
        return path

    return make


def _read_split(path: Path) -> None:
    convert_release(path.with_name("release.mat"), path)


def _simple(folder: Path) -> Path:
    """`train.json` and `valid.json`."""
    joints = np.round(np.random.default_rng(0).uniform(1, 60, (16, 2)), 1).tolist()
    person = {"center": [30.0, 40.0], "scale": 0.5, "joints": joints, "joints_vis": [1] * 16}
    (folder / "images").mkdir()
    for number in range(PEOPLE):
        (folder / "images" / f"{number}.jpg").touch()
    text = json.dumps([person | {"image": f"{number}.jpg"} for number in range(PEOPLE)])
    for name in ("valid.json", "train.json"):
        (folder / name).write_text(text)
    return folder / "train.json"


# ------------------------------------------------------------------------------------------ HumanEva-I
def _eva(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    cameras = lambda frames: [rng.uniform(1, 400, (frames, 15, 2)).astype(np.float32) for _ in range(3)]  # noqa: E731
    return _write_eva(
        folder / "data_2d_humaneva15_gt.npz",
        {"Train/S1": {"Walking 1 chunk0": cameras(3)}, "Validate/S1": {"Walking 1 chunk1": cameras(2)}},
    )


def _write_eva(target: Any, content: Any) -> Any:
    array = np.empty((), dtype=object)
    array[()] = content
    np.savez(target, positions_2d=array)
    return target


def _change_eva(data: bytes, rng: random.Random) -> bytes:
    with np.load(io.BytesIO(data), allow_pickle=True) as file:
        content = file["positions_2d"].item()
    return _write_eva(io.BytesIO(), with_value(content, rng)).getvalue()


def _sync(folder: Path) -> Path:
    rows = [f"Train/S1,Walking 1,{chunk},C1,{5 * chunk}" for chunk in range(3)]
    (folder / "sync.csv").write_text("\n".join(["subject,action,chunk,camera,start", *rows]))
    return folder / "sync.csv"


def _ofs(folder: Path) -> Path:
    (folder / "a.ofs").write_text("82\n10\n2.0\n")
    return folder / "a.ofs"


# ------------------------------------------------------------------------------------------ Human3.6M
def _cameras_xml(folder: Path) -> Path:
    values = " ".join(f"{value:.4f}" for value in np.random.default_rng(0).uniform(0.1, 3, XML_COUNT))
    (folder / "metadata.xml").write_text(f"<mocap><w0>[{values}]</w0></mocap>")
    return folder / "metadata.xml"


def _detections(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    write_positions(folder / "S1/MyPoses/3D_positions/Walking 1.h5", rng.uniform(-700, 700, (4, 32, 3)))
    path = folder / "S1/StackedHourglass" / f"Walking_1.{CAMERA}.h5"
    path.parent.mkdir()
    with h5py.File(path, "w") as file:
        file["poses"] = rng.uniform(1, 600, (4, 16, 2))
    return path


def _read_detections(path: Path) -> None:
    files = find_sequences(path.parents[2])
    load_detections(files, files.sequences[0], CAMERA)


# ------------------------------------------------------------------------------------------ what training writes
def _log(folder: Path) -> Path:
    rows = [f"{epoch}\t0.001\t{1 / epoch:.6g}\t{50 / epoch:.6g}" for epoch in range(1, 4)]
    (folder / "log.txt").write_text("\n".join(["epoch\tlr\ttrain/loss\tval/MPJPE", *rows, ""]))
    return folder / "log.txt"


def _people(folder: Path) -> People:
    """They are the same before and after the pack is made, so that it is found again."""
    names = [folder / f"{number}.png" for number in range(PEOPLE)]
    for number, name in enumerate(names):
        if not name.exists():
            Image.fromarray(np.linspace(20 + 50 * number, 100, 4800).reshape(40, 40, 3).astype(np.uint8)).save(name)
    joints = np.random.default_rng(1).uniform(5, 35, (PEOPLE, 16, 2))
    return People.from_arrays(names, joints, boxes=np.array([[5, 5, 35, 35]] * PEOPLE, float))


def _crop_pack(folder: Path) -> Path:
    return pack_crops(_people(folder), folder=folder).path


def _read_crop_pack(path: Path) -> None:
    """A damaged pack is made again, so that its crops are always those of the photos."""
    people = _people(path.parent)
    pack = pack_crops(people, folder=path.parent)
    for number, matrix in enumerate(pack.matrices):
        crop, photo = pack.crop(number, matrix, 40).astype(int), crop_photo(people.photo(number), matrix, 40)
        assert abs(crop - photo).mean() < 5, f"the crop of person {number} is not that of the photo"


DATA_SET_FORMATS = {
    "mat_release": Format(_release, _read_release),
    "split_json": Format(_split(".json"), _read_split, change_json),
    "split_mat": Format(_split(".mat"), _read_split),
    "split_h5": Format(_split(".h5"), _read_split, change_hdf5),
    "mpii_split_jsons": Format(_simple, lambda path: load_mpii_training(path.parent), change_json),
    "npz_eva": Format(_eva, lambda path: read_clips(path.parent), _change_eva),
    "csv_sync": Format(_sync, read_sync),
    "ofs": Format(_ofs, read_ofs),
    "xml_cameras": Format(_cameras_xml, read_cameras),
    "h5_detections": Format(_detections, _read_detections, change_hdf5),
    "log_txt": Format(_log, read_log),
    "crop_pack": Format(_crop_pack, _read_crop_pack),
}
