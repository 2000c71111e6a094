import io
import os
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from utils.human36m.object_npz import read_object_npz
from utils.osutils import UserError


def write_pickled(path, value, protocol=4):
    """An .npz whose member `data` is a 0-d object array holding `value`, or the raw pickle given as bytes."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": ()})
    stream.write(value if isinstance(value, bytes) else pickle.dumps(np.array(value, dtype=object), protocol))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.npy", stream.getvalue())


def some_poses():
    walking = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    return {"S1": {"Walking 1": walking, "Eating": np.asfortranarray(walking.astype(">f8"))}, "S5": {}}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_saves_is_read(tmp_path, save):
    path = tmp_path / "a.npz"
    metadata = {"layout": "h36m", "joints": 32, "pairs": [(1, 2), None], "fps": np.float64(50), "ok": True}
    clips = np.empty(2, dtype=object)
    clips[:] = [[np.ones(2), np.zeros(2)], {"a": 1.5}]
    save(path, positions=some_poses(), plain=np.eye(2), metadata=metadata, clips=clips)
    read = read_object_npz(path, "positions")
    assert read.keys() == {"S1", "S5"}
    for name, positions in some_poses()["S1"].items():
        np.testing.assert_array_equal(read["S1"][name], positions)
        assert read["S1"][name].dtype == positions.dtype
    np.testing.assert_array_equal(read_object_npz(path, "plain"), np.eye(2))
    assert read_object_npz(path, "metadata") == metadata
    (ones, zeros), rest = read_object_npz(path, "clips")
    assert (ones.tolist(), zeros.tolist(), rest) == ([1, 1], [0, 0], {"a": 1.5})


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("core", ["core", "_core"])
def test_pickles_of_old_and_new_numpy_are_read(tmp_path, protocol, core):
    raw = pickle.dumps(np.array(some_poses(), dtype=object), protocol)
    if protocol < 4 and core == "core":  # names are length-prefixed from 4 on
        raw = raw.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    write_pickled(tmp_path / "a.npz", raw)
    walking = read_object_npz(tmp_path / "a.npz", "data")["S1"]["Walking 1"]
    np.testing.assert_array_equal(walking, some_poses()["S1"]["Walking 1"])


@settings(max_examples=20)
@given(
    st.dictionaries(
        st.text(max_size=5),
        arrays(st.sampled_from(["<f4", ">f8", "i2", "u1", "?"]), st.tuples(st.integers(0, 4), st.integers(1, 3))),
        max_size=3,
    )
)
def test_any_dict_of_arrays_comes_back(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    write_pickled(path, value)
    read = read_object_npz(path, "data")
    assert read.keys() == value.keys()
    for key, array in value.items():
        np.testing.assert_array_equal(read[key], array)


class Touch:
    """Unpickled the ordinary way, it makes a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_code_in_a_pickle_is_refused_and_does_not_run(tmp_path, protocol):
    bait = tmp_path / "bait"
    write_pickled(tmp_path / "a.npz", {"S1": Touch(bait)}, protocol)
    with pytest.raises(UserError, match=r"data is not plain data: it asks for \w+\.mkdir") as error:
        read_object_npz(tmp_path / "a.npz", "data")
    assert "\n" not in str(error.value)
    assert not bait.exists()


def test_a_forged_array_of_objects_is_refused(tmp_path):
    """An object array whose state is bytes would be an array of pointers taken from the file."""
    raw = pickle.dumps(np.array([7, 7], dtype="u8"), 2).replace(b"u8", b"O8")
    assert b"O8" in raw
    write_pickled(tmp_path / "a.npz", raw)
    with pytest.raises(UserError, match="an array of type 'O8'"):
        read_object_npz(tmp_path / "a.npz", "data")


@pytest.mark.parametrize(
    "raw",
    [
        b"cnumpy\nndarray\n}b.",  # BUILD on a stand-in class itself
        b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x04\x00\x00\x00zlibtR.",
        b"cbuiltins\neval\n.",
        b"cnumpy\ndtype.__class__\n.",
        b"Pname\n.",  # a persistent id
        b"\x8f.",  # a set
        b"](h\x00l.",
        b"",
        b"}",
        b"]q\x00h\x00a.",  # a list that holds itself
    ],
)
def test_odd_pickles_are_one_line(tmp_path, raw):
    write_pickled(tmp_path / "a.npz", raw)
    with pytest.raises(UserError, match=r"a\.npz: data") as error:
        read_object_npz(tmp_path / "a.npz", "data")
    assert "\n" not in str(error.value)


def test_missing_damaged_and_other_files_are_one_line(tmp_path):
    path = tmp_path / "a.npz"
    with pytest.raises(UserError, match="no such file"):
        read_object_npz(path, "data")
    np.savez(path, other=np.eye(2), data=some_poses())
    with pytest.raises(UserError, match=r"no positions; it has other, data"):
        read_object_npz(path, "positions")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"damaged or not an \.npz"):
        read_object_npz(path, "data")
    path.write_text("hello")
    with pytest.raises(UserError, match=r"damaged or not an \.npz"):
        read_object_npz(path, "data")
