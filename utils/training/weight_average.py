"""Exponential moving average (EMA) of a network's weights."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class WeightAverage:
    """The average of a network's weights over the steps of its training.

        average.start(model)
        ...
        average.update(model)           # after every step
        with average.in_place_of(model):
            validate(model)             # sees the average

    After step n, from 1, average = d · average + (1 − d) · weights with d = min(decay, n / (n + 9)), so that the first
    steps are soon forgotten. The running statistics of batch norm are averaged too; integer buffers are copied.

    Inside `in_place_of` the network holds the average and this object holds the training weights, which `state_dict`
    returns. A checkpoint written there has the average as its "state_dict", and with this object's state training
    resumes bit for bit.
    """

    def __init__(self, decay: float):
        """Raise ValueError unless 0 < decay < 1."""
        if not 0 < decay < 1:
            raise ValueError(f"decay {decay}: expected a number above 0 and below 1")
        self.decay = decay
        self._steps = 0
        self._held: dict[str, Tensor] = {}
        self._loaded: Mapping[str, Tensor] | None = None

    @torch.no_grad()
    def start(self, model: nn.Module) -> None:
        """Start from the weights of `model`.

        After `load_state_dict`, `model` must hold the average; it gets its training weights back.
        """
        self._held = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        if self._loaded is None:
            self._steps = 0
            return
        for name, tensor in model.state_dict().items():
            tensor.copy_(self._loaded[name])
        self._loaded = None

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Update the average after a step."""
        self._steps += 1
        decay = min(self.decay, self._steps / (self._steps + 9))
        averages, weights = [], []
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                averages.append(self._held[name])
                weights.append(tensor)
            else:
                self._held[name].copy_(tensor)
        get_ema_multi_avg_fn(decay)(averages, weights, self._steps)

    @contextmanager
    def in_place_of(self, model: nn.Module) -> Iterator[None]:
        """Context in which the network has the averaged weights."""
        self._exchange(model)
        try:
            yield
        finally:
            self._exchange(model)

    @torch.no_grad()
    def _exchange(self, model: nn.Module) -> None:
        for name, tensor in model.state_dict().items():
            former = tensor.clone()
            tensor.copy_(self._held[name])
            self._held[name] = former

    def state_dict(self) -> dict[str, Any]:
        """Number of steps, and, inside `in_place_of`, the training weights."""
        return {"steps": self._steps, "training_weights": dict(self._held)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned; `start` completes it."""
        self._steps, self._loaded = state["steps"], state["training_weights"]
