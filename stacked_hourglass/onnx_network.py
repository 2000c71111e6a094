"""An hourglass in ONNX Runtime: on a CPU in fp32 the same heat maps in less time and memory (benchmarks/network.py).

    network = OnnxNetwork(for_inference(load_hourglass("CHECKPOINT")))
    heatmaps = network(crops)

The graph is made from a trace of the network by torch.fx, in a fifth of a second. `run.py export`, which writes files
for other programs, goes through torch.export, which takes ten.
"""

import operator
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, fx, nn

from stacked_hourglass.folding import scale_and_shift
from stacked_hourglass.hourglass import HourglassNet
from utils.compute.onnx_sessions import cpu_session

OPSET, IR_VERSION = 18, 8
CROPS, HEATMAPS = "crops", "heatmaps"


class OnnxNetwork:
    """uint8 RGB crops (B, 3, H, W) to the last stack's heat maps (B, J, H / 4, W / 4), float32, on the CPU.

    A core takes a crop of its own as long as there is one for each: none waits for the others, and what it computes
    stays in its cache. The crops that are left are computed by all cores together.

    It holds a copy of the weights as they are now. It sees single images: attention over time has no part in it.
    """

    def __init__(self, model: HourglassNet):
        """`model`: in eval mode, with batch norm. It runs in as many threads as PyTorch has now."""
        self._threads = torch.get_num_threads()
        self._session = cache(partial(cpu_session, onnx_of(model)))  # by its threads
        self._cores: ThreadPoolExecutor | None = None

    def __call__(self, crops: Tensor) -> Tensor:
        crops = crops.contiguous().numpy()
        together = len(crops) % self._threads
        alone, others = np.split(crops, [len(crops) - together])
        found = self._each_on_a_core(alone) if len(alone) else []
        if together or not found:
            found.append(_heatmaps(self._session(self._threads), others))
        # Not by PyTorch: after an operation its threads wait in a loop for the next, which takes their cores from us.
        return torch.from_numpy(np.concatenate(found))

    def _each_on_a_core(self, crops: np.ndarray) -> list[np.ndarray]:
        self._cores = self._cores or ThreadPoolExecutor(self._threads)
        return list(self._cores.map(partial(_heatmaps, self._session(1)), np.split(crops, len(crops))))


def _heatmaps(session: Any, crops: np.ndarray) -> np.ndarray:
    return session.run([HEATMAPS], {CROPS: crops})[0]


@torch.no_grad()
def onnx_of(model: HourglassNet) -> bytes:
    """The network as an ONNX model, `CROPS` to `HEATMAPS`, for any batch and image size. See `OnnxNetwork`.

    Raises TypeError for an operation that has no counterpart here: layer norm, and batch norm in training.
    """
    last = _LastHeatmaps(model)
    traced = fx.GraphModule(last, _Tracer().trace(last))
    traced.graph.eliminate_dead_code()  # the heat maps of the other stacks
    graph = _Graph(model.mean)
    for node in traced.graph.nodes:
        graph.add(node, traced.get_submodule(node.target) if node.op == "call_module" else None)
    return graph.as_bytes()


class _LastHeatmaps(nn.Module):
    def __init__(self, model: HourglassNet):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model.heatmaps_and_features(images)[0][-1]


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, nn.Conv2d) or super().is_leaf_module(module, name)


class _Graph:
    """An ONNX graph in the making."""

    def __init__(self, mean: Tensor) -> None:
        """`mean` (3,): of RGB in [0, 1], subtracted from the crops as in `inference.as_input`."""
        self._names: dict[fx.Node, str] = {}  # of what the traced operations give
        self._nodes, self._constants = [], []
        self._mean = mean[:, None, None]

    def add(self, node: fx.Node, module: nn.Module | None) -> None:
        """The counterpart of a traced operation, the call of `module` if there is one."""
        if node.op == "placeholder":
            levels = self._operation("levels", "Cast", [CROPS], to=TensorProto.FLOAT)
            shares = self._operation("shares", "Div", [levels, self._constant("white", torch.tensor(255))])
            self._names[node] = self._operation("images", "Sub", [shares, self._constant("mean", self._mean)])
        elif isinstance(module, nn.Identity):
            self._names[node] = self._names[node.args[0]]
        else:
            kind, constants, attributes = _counterpart(node, module)
            inputs = [self._names[value] for value in node.all_input_nodes]
            inputs += [self._constant(f"{node.name}.{place}", constant) for place, constant in enumerate(constants)]
            name = HEATMAPS if node.op == "output" else node.name
            self._names[node] = self._operation(name, kind, inputs, **attributes)

    def _operation(self, name: str, kind: str, inputs: list[str], **attributes: Any) -> str:
        """Append an operation; returns the name of what it gives."""
        self._nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def _constant(self, name: str, value: Tensor | None) -> str:
        """The name of a constant input; of an optional one that is left out, an empty one."""
        if value is None:
            return ""
        self._constants.append(numpy_helper.from_array(value.float().contiguous().numpy(), name))
        return name

    def as_bytes(self) -> bytes:
        crops = helper.make_tensor_value_info(CROPS, TensorProto.UINT8, ("B", 3, "H", "W"))
        heatmaps = helper.make_tensor_value_info(HEATMAPS, TensorProto.FLOAT, ("B", "J", "H / 4", "W / 4"))
        graph = helper.make_graph(self._nodes, "hourglass", [crops], [heatmaps], self._constants)
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION).SerializeToString()


Counterpart = tuple[str, tuple[Tensor | None, ...], Mapping[str, Any]]  # operator, constant inputs, attributes


def _counterpart(node: fx.Node, module: nn.Module | None) -> Counterpart:
    """ONNX's operator for a traced operation. Raises TypeError if there is none here."""
    if node.op == "output":
        return "Identity", (), {}
    if isinstance(module, nn.Conv2d):
        edges = 2 * module.padding
        return "Conv", (module.weight, module.bias), {"strides": module.stride, "pads": edges}
    if isinstance(module, nn.BatchNorm2d) and (known := scale_and_shift(module)):
        mean, variance = torch.zeros_like(known[0]), torch.ones_like(known[0])
        return "BatchNormalization", (*known, mean, variance), {"epsilon": 0.0}
    if isinstance(module, nn.ReLU):
        return "Relu", (), {}
    if node.target in (operator.add, "add_"):
        return "Add", (), {}
    if node.target is F.max_pool2d:
        size = [node.args[1]] * 2
        return "MaxPool", (), {"kernel_shape": size, "strides": size}
    if node.target is F.interpolate and node.kwargs["mode"] == "nearest":
        scales = torch.tensor([1, 1, *[node.kwargs["scale_factor"]] * 2])
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return "Resize", (None, scales), how
    raise TypeError(f"{module or node.target}: has no counterpart in ONNX here")
