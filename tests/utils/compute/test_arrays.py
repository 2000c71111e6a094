from typing import NamedTuple

import numpy as np
import pytest
import torch

from utils.compute.arrays import as_tensor, in_kind, network_in_kind


class Both(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor


class Shifted:
    def __init__(self, by):
        self.by = torch.tensor(by)

    @in_kind
    def add(self, points, times=1):
        """Adds."""
        return points + times * self.by


@in_kind
def total(a, b):
    return (a + b).sum()


def test_the_result_is_of_the_kind_of_the_arguments():
    ones = np.ones((2, 3))
    from_arrays = total(ones, b=ones)
    assert isinstance(from_arrays, np.float64)
    assert from_arrays == 12
    from_tensors = total(torch.ones(2, 3), b=torch.ones(2, 3))
    assert isinstance(from_tensors, torch.Tensor)
    assert from_tensors.dtype == torch.float32


def test_tensors_keep_their_gradient():
    a = torch.ones(2, requires_grad=True)
    total(a, a).backward()
    assert a.grad.tolist() == [2, 2]


def test_methods_and_what_an_object_holds():
    shifted = Shifted(2.0)
    assert Shifted.add.__doc__ == "Adds."
    result = shifted.add(np.zeros(2, np.float32), times=3)
    assert isinstance(result, np.ndarray)
    assert result.tolist() == [6, 6]
    assert isinstance(shifted.add(torch.zeros(2)), torch.Tensor)


def test_every_tensor_of_a_result_becomes_an_array():
    @in_kind
    def several(x):
        return {"both": Both(x, 2 * x), "list": [x, "text"], "pair": (x, None)}

    result = several(np.arange(3))
    assert type(result["both"]) is Both
    assert result["both"].second.tolist() == [0, 2, 4]
    assert isinstance(result["list"][0], np.ndarray)
    assert result["list"][1] == "text"
    assert isinstance(result["pair"][0], np.ndarray)
    assert result["pair"][1] is None


def test_both_kinds_in_one_call_are_refused():
    with pytest.raises(TypeError, match="total: expected NumPy arrays or tensors, got both in one call"):
        total(np.ones(2), torch.ones(2))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3)[::-1, ::-1],
        np.arange(6.0).reshape(2, 3).T,
        np.arange(6, dtype=">f4"),
        np.float32(np.arange(2))[0:0],
        np.array(3.0),
    ],
    ids=["negative strides", "transposed", "big-endian", "empty", "no dimensions"],
)
def test_arrays_of_every_layout(array):
    tensor = as_tensor(array)
    assert tuple(tensor.shape) == array.shape
    assert tensor.tolist() == array.tolist()


def test_a_read_only_array_is_copied_without_a_warning():
    array = np.zeros(2)
    array.flags.writeable = False
    as_tensor(array)[0] = 1  # warnings are errors
    assert array.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("values", "got"),
    [([1.0], "a list"), (np.array(["a"]), "an array of <U1"), (np.array([None]), "an array of object")],
)
def test_anything_else_is_refused(values, got):
    with pytest.raises(TypeError, match=f"expected a numeric NumPy array or a tensor, got {got}"):
        as_tensor(values)


class Halves(torch.nn.Linear):
    @network_in_kind
    def forward(self, values, scale=1):
        result = super().forward(values) * scale
        return [result[:, :1], result[:, 1:]]


def test_a_network_takes_arrays_of_any_type_as_its_own():
    network = Halves(3, 2).double()
    values = np.arange(6).reshape(2, 3)
    expected = network(torch.from_numpy(values).double(), scale=2)
    for kind in (np.int32, np.float32, np.float64):
        found = network(values.astype(kind), scale=2)
        assert [part.dtype for part in found] == [np.float64] * 2
        assert all(np.array_equal(a, b.detach().numpy()) for a, b in zip(found, expected, strict=True))
    assert all(part.requires_grad for part in expected)
    with pytest.raises(RuntimeError, match="dtype"):
        network(torch.zeros(2, 3))  # a tensor passes as it is
    with pytest.raises(TypeError, match="expected a numeric NumPy array"):
        network(np.array(["a"]))
