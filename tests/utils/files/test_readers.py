"""Files that declare more than they hold, or are nested too deeply, are refused before memory is allocated."""

import gzip
import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import scipy.io
import torch

from utils.files.arrays_in_files import numeric_dataset, read_npz
from utils.files.json_files import read_json
from utils.files.mat_files import MatError, read_mat
from utils.files.sizes import TooLarge
from utils.human36m.object_npz import read_object_npz
from utils.osutils import UserError
from utils.predictions.prediction_files import load_predictions


class TestJson:
    def refusal(self, path: Path) -> str:
        with pytest.raises(UserError) as caught:
            read_json(path, "give another", "--option ")
        assert str(caught.value).startswith(f"--option {path}: not a readable JSON file (")
        return str(caught.value)

    def test_whole_files(self, tmp_path):
        (tmp_path / "a.json").write_text('{"a": [1, 2]}')
        (tmp_path / "a.json.gz").write_bytes(gzip.compress(b'{"a": [1, 2]}') + b"\0\0")
        for name in ("a.json", "a.json.gz"):
            assert read_json(tmp_path / name, "") == {"a": [1, 2]}

    def test_nested_too_deeply(self, tmp_path):
        (tmp_path / "a.json").write_text("[" * 200_000)
        assert "nested too deeply; give another" in self.refusal(tmp_path / "a.json").replace(")", "")

    def test_numbers_of_many_digits(self, tmp_path):
        (tmp_path / "a.json").write_text("9" * 5000)
        assert "digits" in self.refusal(tmp_path / "a.json")

    @pytest.mark.parametrize(
        "damage", [lambda data: data[:-9], lambda data: data + gzip.compress(b"[]"), lambda _: b""]
    )
    def test_damaged_gzip(self, tmp_path, damage):
        path = tmp_path / "a.json.gz"
        path.write_bytes(damage(gzip.compress(b"[1, 2, 3]" * 50)))
        self.refusal(path)

    def test_bomb(self, tmp_path):
        (tmp_path / "a.json.gz").write_bytes(gzip.compress(b"[" + b" " * (80 << 20) + b"]", 9))
        assert "MiB of content in a file of 0.1 MiB" in self.refusal(tmp_path / "a.json.gz")

    def test_objects_are_counted_before_they_are_made(self, tmp_path):
        """60 MB of empty lists would be 1.3 GB of objects."""
        path = tmp_path / "a.json.gz"
        path.write_bytes(gzip.compress(b"[" + b"[]," * (3 << 20) + b"[]]", 1))
        assert "declares objects of 696 MiB" in self.refusal(path)
        (tmp_path / "a.json").write_bytes(b"[" + b"[]," * 1000 + b"[]]")
        assert len(read_json(tmp_path / "a.json", "")) == 1001


class TestArrays:
    def test_npz(self, tmp_path):
        arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array(["x", "yy"]), "c": np.asfortranarray(np.eye(3))}
        np.savez_compressed(tmp_path / "a.npz", **arrays)
        found = read_npz(tmp_path / "a.npz")
        assert all(np.array_equal(found[name], array) for name, array in arrays.items())
        assert found["a"].flags.writeable
        assert list(read_npz(tmp_path / "a.npz", ["b", "missing"])) == ["b"]

    def test_npz_that_declares_more(self, tmp_path):
        np.savez_compressed(tmp_path / "zeros.npz", a=np.zeros(9 << 20))
        with pytest.raises(TooLarge, match="declares 72 MiB of content"):
            read_npz(tmp_path / "zeros.npz")
        header = (
            np.lib.format.magic(1, 0)
            + b"\x76\0"
            + b"{'descr': '<f8', 'fortran_order': False, 'shape': (10,)}".ljust(118)
        )
        with zipfile.ZipFile(tmp_path / "short.npz", "w") as archive:
            archive.writestr("a.npy", header + b"\0" * 8)
        with pytest.raises(ValueError, match="buffer"):
            read_npz(tmp_path / "short.npz")

    @pytest.mark.parametrize(
        "header",
        [
            b"(3,",
            b"'''",
            b"(" * 5000,
            b"{'descr': '<f8', 'shape': (3,",
        ],
    )
    def test_a_header_that_python_cannot_parse(self, tmp_path, header):
        member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("a.npy", member + bytes(64))
        with pytest.raises(ValueError, match=r"header"):
            read_npz(tmp_path / "a.npz")

    def test_all_wanted_members_count(self, tmp_path):
        np.savez_compressed(tmp_path / "a.npz", a=np.zeros(5 << 20), b=np.zeros(5 << 20, np.int8))
        with pytest.raises(TooLarge, match="declares 80 MiB of content"):
            read_npz(tmp_path / "a.npz")
        assert read_npz(tmp_path / "a.npz", ["b"])["b"].shape == (5 << 20,)

    def test_chunks_count_whole(self, tmp_path):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("a", shape=(2,), maxshape=(None,), chunks=(9 << 20,), dtype="f8", compression=9)[:] = 1
        with h5py.File(tmp_path / "a.h5") as file, pytest.raises(TooLarge, match="declares 72 MiB"):
            numeric_dataset(file, "a")

    def test_objects_are_refused(self, tmp_path):
        np.savez(tmp_path / "a.npz", a=np.array([{}], dtype=object))
        with pytest.raises(ValueError, match="holds objects"):
            read_npz(tmp_path / "a.npz")

    def test_hdf5_that_declares_more(self, tmp_path):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("sparse", shape=(10**9, 96), dtype="f4", chunks=(1000, 96))
            file["text"] = "words"
            file["fine"] = [[1, 2], [3, 4]]
        with h5py.File(tmp_path / "a.h5") as file:
            with pytest.raises(TooLarge, match="declares 732,422 MiB"):
                numeric_dataset(file, "sparse")
            with pytest.raises(TypeError, match="not numbers"):
                numeric_dataset(file, "text")
            with pytest.raises(ValueError, match="has 4 elements, expected at most 3"):
                numeric_dataset(file, "fine", most=3)
            assert numeric_dataset(file, "fine").tolist() == [[1, 2], [3, 4]]


class TestSharedObjects:
    def write(self, path: Path, value: object) -> Path:
        array = np.empty((), dtype=object)
        array[()] = value
        np.savez(path, a=array)
        return path

    def test_doubling_lists_take_no_time(self, tmp_path):
        value = [1.0]
        for _ in range(60):
            value = [value, value]
        found = read_object_npz(self.write(tmp_path / "a.npz", value), "a")
        for _ in range(60):
            assert found[0] is found[1]
            found = found[0]
        assert found == [1.0]

    def test_a_list_that_holds_itself(self, tmp_path):
        value = []
        value.append(value)
        with pytest.raises(UserError, match="holds itself"):
            read_object_npz(self.write(tmp_path / "a.npz", value), "a")

    def test_memo_beyond_the_pickle(self, tmp_path):
        path = self.write(tmp_path / "a.npz", {})
        with zipfile.ZipFile(path) as archive:
            member = archive.read("a.npy")
        body = pickle.PROTO + b"\x02]r\xff\xff\xff\x7f."  # LONG_BINPUT 2³¹ − 1
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", member[: member.index(b"\n") + 1] + body)
        with pytest.raises(UserError, match="its memo goes to 2147483647 after 2 steps"):
            read_object_npz(path, "a")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(
                "a.npy", member[: member.index(b"\n") + 1] + pickle.PROTO + b"\x02" + b"]" * 600_000 + b"."
            )
        with pytest.raises(UserError, match="it has more than 500,000 steps"):
            read_object_npz(path, "a")

    def test_protocol_5(self, tmp_path):
        """NumPy never writes it into an .npz: bytearrays, and arrays as buffers."""
        path = self.write(tmp_path / "a.npz", {})
        with zipfile.ZipFile(path) as archive:
            member = archive.read("a.npy")
        start = member[: member.index(b"\n") + 1]
        huge = pickle.PROTO + b"\x05" + pickle.BYTEARRAY8 + (1 << 50).to_bytes(8, "little") + b"."
        for body in (pickle.dumps(bytearray(9), 5), pickle.dumps(np.eye(2), 5), huge):
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("a.npy", start + body)
            with pytest.raises(UserError, match=r"a is not plain data|a cannot be read"):
                read_object_npz(path, "a")


VALUES = {
    "numbers": np.arange(24.0).reshape(2, 3, 4), "bytes": np.array([[1, 2]], np.uint8),
    "complex": np.array([[1 + 2j]]), "single": np.float32([[1.5, np.nan]]), "empty": np.zeros((0, 0)),
    "flags": np.array([[True, False]]),
}  # fmt: skip


class TestTorch:
    def test_zip_files_that_declare_more_than_they_hold(self, tmp_path):
        torch.save({"a.jpg": torch.zeros(1 << 20, 2, 3)}, tmp_path / "a.pt")
        with (
            zipfile.ZipFile(tmp_path / "a.pt") as whole,
            zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as b,
        ):
            for member in whole.infolist():
                b.writestr(member.filename, whole.read(member))
        with pytest.raises(UserError, match="truncated, damaged or not written by torch.save"):
            load_predictions(tmp_path / "b.pt")

    def test_shared_tensors_count_each_time(self, tmp_path):
        poses = torch.zeros(1 << 16, 16, 2)
        torch.save({f"{number}.jpg": poses for number in range(60)}, tmp_path / "a.pt")
        with pytest.raises(UserError, match="declares 480 MiB of content in a file of 8"):
            load_predictions(tmp_path / "a.pt")


class TestMat:
    def test_cells_count_what_their_objects_take(self, tmp_path):
        scipy.io.savemat(tmp_path / "a.mat", {})
        count = 600_000
        parts = struct.pack("<IIII", 6, 8, 1, 0) + struct.pack("<IIii", 5, 8, 1, count) + b"\1\0\1\0a\0\0\0"
        cells = zlib.compress(
            struct.pack("<II", 14, len(parts) + 8 * count) + parts + struct.pack("<II", 14, 0) * count
        )
        with open(tmp_path / "a.mat", "ab") as file:
            file.write(struct.pack("<II", 15, len(cells)) + cells)
        with pytest.raises(TooLarge):
            read_mat(tmp_path / "a.mat")

    @pytest.mark.parametrize("compressed", [False, True])
    def test_as_scipy_writes(self, tmp_path, compressed):
        others = {"text": "words", "rows": np.array(["ab", "cd"]), "cell": np.array(["a", np.eye(2)], object)[None]}
        nested = {"struct": {"x": 2.5, "name": "n", "inner": {"y": 1}}}
        path = tmp_path / "a.mat"
        scipy.io.savemat(path, VALUES | others | nested, do_compression=compressed)
        found, theirs = read_mat(path), scipy.io.loadmat(path)
        for name in VALUES:
            assert np.array_equal(found[name], theirs[name], equal_nan=name == "single"), name
            assert found[name].dtype == theirs[name].dtype
        assert found["text"] == "words"
        assert found["rows"].tolist() == ["ab", "cd"]
        assert found["cell"].shape == (1, 2)
        assert found["cell"][0, 0] == "a"
        assert found["struct"].name == "n"
        assert found["struct"].inner == SimpleNamespace(y=np.array([[1]]))
        assert list(read_mat(path, ["text", "missing"])) == ["text"]

    @pytest.mark.parametrize(("at", "whole"), [(136, 6), (152, 5), (176, 5 | 4 << 16)])
    def test_floats_for_whole_numbers(self, tmp_path, at, whole):
        """Found by the mutation harness: as the flags of an array, its shape, and the length of a struct's names."""
        path = tmp_path / "a.mat"
        scipy.io.savemat(path, {"a": {"x": 1.0}})
        data = bytearray(path.read_bytes())
        assert struct.unpack_from("<I", data, at) == (whole,)
        struct.pack_into("<I", data, at, 7 | whole >> 16 << 16)  # single
        path.write_bytes(data)
        with pytest.raises(MatError, match="float32 where whole numbers are expected"):
            read_mat(path)

    def test_other_files(self, tmp_path):
        (tmp_path / "a.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(512))
        with pytest.raises(MatError, match="save it with -v7"):
            read_mat(tmp_path / "a.mat")
        (tmp_path / "a.mat").write_bytes(b"")
        with pytest.raises(MatError, match="no MATLAB file of level 5"):
            read_mat(tmp_path / "a.mat")

    def test_declared_sizes(self, tmp_path):
        path = tmp_path / "a.mat"
        scipy.io.savemat(path, {"a": np.ones((2, 3))})
        data = bytearray(path.read_bytes())
        rows = data.index((2).to_bytes(4, "little") + (3).to_bytes(4, "little"), 128)
        data[rows : rows + 4] = (10**9).to_bytes(4, "little")
        path.write_bytes(data)
        with pytest.raises(TooLarge, match="declares 22,888 MiB"):
            read_mat(path)

    def test_bomb(self, tmp_path):
        scipy.io.savemat(tmp_path / "a.mat", {"a": np.zeros((9 << 20, 1))}, do_compression=True)
        with pytest.raises(TooLarge):
            read_mat(tmp_path / "a.mat")
