import pickle
from collections import OrderedDict
from fractions import Fraction

import numpy as np
import pytest
import torch

from utils.compute.pickles import is_plain_pickle, pickled_names, unsafe_name


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"


@pytest.mark.parametrize("protocol", range(6))
def test_names_of_plain_pickles_of_every_protocol(path, protocol):
    path.write_bytes(pickle.dumps([Fraction(1, 2), OrderedDict(a=1), Fraction(1, 3)], protocol))
    names = pickled_names(path)
    assert "fractions.Fraction" in names
    assert "collections.OrderedDict" in names
    assert is_plain_pickle(path)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
def test_names_of_torch_save(path, zipped, protocol):
    torch.save(
        {"state_dict": OrderedDict(w=torch.ones(2)), "best": np.float64(3)},
        path,
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=zipped,
    )
    names = pickled_names(path)
    assert {"collections.OrderedDict", "torch._utils._rebuild_tensor_v2"} <= set(names)
    assert unsafe_name(names).endswith("multiarray.scalar")
    assert not is_plain_pickle(path)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
def test_a_state_dict_needs_nothing_unsafe(path, zipped):
    torch.save({"w": torch.ones(2), "epoch": 3}, path, _use_new_zipfile_serialization=zipped)
    assert pickled_names(path)
    assert unsafe_name(pickled_names(path)) is None


def test_plain_values_import_nothing(path):
    path.write_bytes(pickle.dumps({"a": [1.0, "two", None]}))
    assert pickled_names(path) == []
    assert is_plain_pickle(path)


@pytest.mark.parametrize("protocol", range(6))
def test_a_truncated_pickle_has_no_names(path, protocol):
    path.write_bytes(pickle.dumps(Fraction(1, 2), protocol)[:-1])
    assert pickled_names(path) is None
    assert not is_plain_pickle(path)


@pytest.mark.parametrize("content", [b"", b"A text.\n", b"PK\3\4" + bytes(99), b"\x80\x02garbage"])
def test_other_files_have_no_names(path, content):
    path.write_bytes(content)
    assert pickled_names(path) is None
    assert not is_plain_pickle(path)


def test_a_missing_file_has_none(path):
    assert pickled_names(path) is None
    assert not is_plain_pickle(path)
