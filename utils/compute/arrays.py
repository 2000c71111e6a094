"""Functions of tensors that take NumPy arrays too, and then give NumPy arrays back."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def in_kind(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorator of a function or method of tensors: given arrays, it returns arrays.

        @in_kind
        def mpjpe(pred: Tensor, gt: Tensor) -> Tensor: ...

        mpjpe(tensor, tensor)  # a tensor, differentiable, on the device of its input
        mpjpe(array, array)    # a NumPy scalar

    Only the arguments themselves are converted, not what an object or a list among them holds. Arrays become tensors
    of their own type on the CPU. Tensors in the result, in tuples, lists and dicts too, become arrays; one without
    dimensions becomes a NumPy scalar. Calls without arrays pass unchanged.

    The decorated function raises TypeError for arrays and tensors in one call, and for arrays that are not numeric.
    """

    @wraps(function)
    def either(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        given = (*args, *kwargs.values())
        if not any(isinstance(value, np.ndarray) for value in given):
            return function(*args, **kwargs)
        if any(isinstance(value, Tensor) for value in given):
            raise TypeError(f"{function.__name__}: expected NumPy arrays or tensors, got both in one call")
        converted = function(*map(_to_tensor, args), **{name: _to_tensor(value) for name, value in kwargs.items()})
        return _to_array(converted)

    return either


def network_in_kind(forward: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """`in_kind` for a network's `forward`, whose first argument may be an array.

    The array becomes a tensor on the network's device and of its type, and no gradient is kept. Tensors pass
    unchanged.
    """

    @wraps(forward)
    def either(network: nn.Module, values: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(values, np.ndarray):
            return forward(network, values, *args, **kwargs)
        with torch.no_grad():
            return _to_array(forward(network, as_tensor(values).to(next(network.parameters())), *args, **kwargs))

    return either


def as_tensor(values: Any) -> Tensor:
    """A tensor as it is; an array as a tensor of its own type on the CPU, which may share its memory.

    Raises TypeError for an array that is not numeric, and for anything else.
    """
    if isinstance(values, Tensor):
        return values
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf":
        what = f"an array of {values.dtype}" if isinstance(values, np.ndarray) else f"a {type(values).__name__}"
        raise TypeError(f"expected a numeric NumPy array or a tensor, got {what}")
    # torch takes native byte order and no negative strides, and warns of arrays that are read-only.
    values = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("=")).reshape(values.shape)
    return torch.from_numpy(values if values.flags.writeable else values.copy())


def _to_tensor(value: Any) -> Any:
    return as_tensor(value) if isinstance(value, np.ndarray) else value


def _to_array(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().cpu().numpy()[()]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_to_array, value))
    if isinstance(value, (tuple, list)):
        return type(value)(map(_to_array, value))
    if isinstance(value, Mapping):
        return {key: _to_array(item) for key, item in value.items()}
    return value
