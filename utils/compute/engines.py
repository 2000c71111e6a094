"""The two engines behind `distributed`, and the trivial one of a single process."""

import gc
import os
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import timedelta
from importlib import import_module
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook
from torch.nn.parallel import DistributedDataParallel

from utils.osutils import UserError

T = TypeVar("T")
PATIENCE = timedelta(minutes=30)  # rank 0 may compute statistics of a training set while the others wait


class Alone:
    """A single process, and the interface of an engine."""

    rank = local_rank = 0
    size = local_size = 1

    def sum_(self, tensor: Tensor) -> Callable[[], Any]:
        """Start an in-place sum of `tensor` over all ranks; call the returned function to wait for it."""
        return lambda: None

    def broadcast_(self, tensor: Tensor) -> None:
        """Overwrite `tensor` with rank 0's values."""

    def broadcast_object(self, value: T) -> T:
        return value

    def gather_objects(self, value: T) -> list[T]:
        return [value]

    def wrap_model(self, model: nn.Module, compression: str) -> nn.Module:
        return model

    def wrap_optimizer(self, optimizer, named_parameters, compression: str) -> torch.optim.Optimizer:
        return optimizer

    def reduced(self, optimizer: torch.optim.Optimizer) -> AbstractContextManager:
        return nullcontext()

    def close(self) -> None:
        pass


class Torch(Alone):
    """torch.distributed, started by torchrun."""

    def __init__(self, device_type: str):
        backend = "cpu:gloo,cuda:nccl" if device_type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=PATIENCE, **_meeting_place())
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        self.local_size = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))

    def sum_(self, tensor):
        return dist.all_reduce(tensor, async_op=True).wait

    def broadcast_(self, tensor):
        dist.broadcast(tensor, src=0)

    def broadcast_object(self, value):
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def gather_objects(self, value):
        values = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def wrap_model(self, model, compression):
        if not any(parameter.requires_grad for parameter in model.parameters()):
            return model
        parallel = Parallel(model, gradient_as_bucket_view=True)
        # Broadcasting buffers at every pass would change them between two passes of one step (as of a critic).
        parallel.broadcast_buffers = False
        if compression == "fp16":
            parallel.register_comm_hook(None, fp16_compress_hook)
        return parallel

    def close(self):
        self.sum_(torch.zeros(1))()  # rank 0 hosts the store and must exit last
        gc.collect()  # wrapped networks keep the group's threads alive, which crash at interpreter exit
        dist.destroy_process_group()


class Horovod(Alone):
    """Horovod (Sergeev, Del Balso, arXiv:1802.05799), started by horovodrun."""

    def __init__(self, device_type: str):
        try:
            self._hvd = import_module("horovod.torch")
        except ImportError:
            raise UserError(
                "--use_horovod: Horovod is not installed; build it with scripts/install_horovod.sh, or use torchrun "
                "instead"
            ) from None
        self._hvd.init()
        if device_type == "cuda" and not self._hvd.nccl_built():
            raise UserError(
                "--use_horovod: this Horovod was built for CPUs; run scripts/install_horovod.sh --gpu, or add "
                "--device cpu"
            )
        self.rank, self.size = self._hvd.rank(), self._hvd.size()
        self.local_rank, self.local_size = self._hvd.local_rank(), self._hvd.local_size()

    def sum_(self, tensor):
        handle = self._hvd.allreduce_async_(tensor, op=self._hvd.Sum)
        return lambda: self._hvd.synchronize(handle)

    def broadcast_(self, tensor):
        self._hvd.broadcast_(tensor, root_rank=0)

    def broadcast_object(self, value):
        return self._hvd.broadcast_object(value, root_rank=0)

    def gather_objects(self, value):
        return self._hvd.allgather_object(value)

    def wrap_optimizer(self, optimizer, named_parameters, compression):
        compressor = InMemoryOrder(getattr(self._hvd.Compression, compression))
        return self._hvd.DistributedOptimizer(optimizer, named_parameters, compression=compressor)

    @contextmanager
    def reduced(self, optimizer):
        optimizer.synchronize()
        with optimizer.skip_synchronize():
            yield

    def close(self):
        self._hvd.shutdown()


class InMemoryOrder:
    """A Horovod compressor for gradients of any memory layout: Horovod only sends contiguous tensors."""

    def __init__(self, compressor):
        self._compressor = compressor

    def compress(self, tensor: Tensor) -> tuple[Tensor, Any]:
        order = sorted(range(tensor.ndim), key=tensor.stride, reverse=True)
        sent, context = self._compressor.compress(tensor.permute(order).contiguous())
        return sent, (order, context)

    def decompress(self, tensor: Tensor, context: Any) -> Tensor:
        order, context = context
        places = sorted(range(tensor.ndim), key=order.__getitem__)
        return self._compressor.decompress(tensor, context).permute(places)


class Parallel(DistributedDataParallel):
    """DistributedDataParallel with the attributes and the unprefixed state dict of the wrapped network."""

    def forward(self, *inputs, **named):
        # A frozen network (a critic in the generator's step) must not reduce: it would wait for its gradients.
        if not torch.is_grad_enabled() or not any(p.requires_grad for p in self.module.parameters()):
            return self.module(*inputs, **named)
        return super().forward(*inputs, **named)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("module"), name)

    def state_dict(self, *args, **named):
        return self.module.state_dict(*args, **named)

    def load_state_dict(self, *args, **named):
        return self.module.load_state_dict(*args, **named)


def launchers_store() -> dist.TCPStore:
    """torchrun's store, which survives restarts of the processes."""
    return dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)


def _meeting_place() -> dict[str, Any]:
    """Arguments of `init_process_group`: a store for this attempt only, where the ranks exchange addresses.

    The launcher's store survives a restart, and a rank would read addresses of dead ranks from it. So rank 0 opens a
    new store and publishes its port. A port of an earlier attempt does not answer, since torchrun ends all processes
    before it starts new ones.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return {}  # started by hand: no restarts
    rank, size, host = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), os.environ["MASTER_ADDR"]
    board = launchers_store()
    if rank == 0:
        store = dist.TCPStore(host, 0, size, is_master=True, wait_for_workers=False)
        board.set("port_of_rank_0", str(store.port))
        return {"store": store, "rank": rank, "world_size": size}
    end = time.monotonic() + PATIENCE.total_seconds()
    while not _answers(host, port := int(board.get("port_of_rank_0"))):
        if time.monotonic() > end:
            raise TimeoutError(f"rank 0 does not answer at {host}:{port}")
        time.sleep(0.1)
    store = dist.TCPStore(host, port, size, is_master=False)
    return {"store": store, "rank": rank, "world_size": size}


def _answers(host: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False
