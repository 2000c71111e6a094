"""Training and prediction in several processes, on one machine or many, through one object that is passed along.

    torchrun --nproc_per_node 2 train.py …                     torch.distributed: NCCL on GPUs, Gloo on CPUs
    horovodrun -np 2 python train.py … --use_horovod           Horovod, imported only then

`join` returns the `Processes`; command lines call it (`utils.compute.launched`). `ALONE` is a single process, rank 0 of
1: the default of every `processes` argument, whose exchanges do nothing.
"""

import copy
import io
import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from utils.compute.engines import Alone, Horovod, Torch, launchers_store
from utils.compute.launcher import TORCHRUN
from utils.osutils import UserError

T = TypeVar("T")
Optimizers = torch.optim.Optimizer | tuple[torch.optim.Optimizer, ...]
SIGNS_OF_A_LOST_PROCESS = (
    "Connection closed by peer", "Connection reset by peer", "Broken pipe", "HorovodInternalError", "NCCL",
    "is killed by signal: Terminated",  # a worker process of the data loader: the launcher ends whole groups
)  # fmt: skip


class Processes:
    """The processes of a job, seen from one of them. All must make the exchanging calls, in the same order.

    Attributes:
        rank: of this process; only rank 0, the main one, writes files.
        size: number of processes.
        local_rank: rank among the processes of this machine, which is also the index of its GPU.
        local_size: number of processes on this machine.
    """

    def __init__(self, engine: Alone | None = None):
        self._engine = Alone() if engine is None else engine
        self.rank, self.size = self._engine.rank, self._engine.size
        self.local_rank, self.local_size = self._engine.local_rank, self._engine.local_size

    def __deepcopy__(self, memo: dict) -> "Processes":
        """Returns itself: a copied network stays among the same processes."""
        return self

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, the only one that writes and prints."""
        return self.rank == 0

    @property
    def is_launched(self) -> bool:
        """Whether a launcher has started this process, possibly as the only one."""
        return type(self._engine) is not Alone

    def local_device(self, device: torch.device) -> torch.device:
        """Replace "cuda" by this process's own GPU, which becomes the current one; other devices are unchanged.

        Raises UserError if a machine has fewer GPUs than processes, or if one GPU is given for all.
        """
        if self.size == 1 or device.type != "cuda":
            return device
        if device.index is not None:
            raise UserError(f"--device {device}: each process uses its own GPU; give --device cuda")
        if self.local_size > torch.cuda.device_count():
            raise UserError(
                f"{self.local_size} processes on a machine with {torch.cuda.device_count()} GPUs; start one process "
                "per GPU, or add --device cpu"
            )
        torch.cuda.set_device(self.local_rank)
        return torch.device("cuda", self.local_rank)

    def close(self) -> None:
        """Leave the other processes."""
        self._engine.close()

    # -------------------------------------------------------------------------------------- exchange
    def barrier(self) -> None:
        """Wait for all ranks."""
        self._engine.sum_(torch.zeros(1))()

    def all_reduce_sum(self, tensor: Tensor) -> Tensor:
        """The sum over all ranks of tensors of equal shape, as a new tensor."""
        total = tensor.detach().clone(memory_format=torch.contiguous_format)
        self._engine.sum_(total)()
        return total

    def all_reduce_mean(self, tensor: Tensor) -> Tensor:
        """The mean over all ranks of floating-point tensors of equal shape, as a new tensor."""
        return self.all_reduce_sum(tensor) / self.size

    def sum_over_ranks(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Name -> the sum over the ranks that have it, on this rank's device (or the CPU).

        Every rank gets bitwise equal results, in the same order. A rank without samples contributes nothing.
        """
        totals: dict[str, Tensor] = {}
        for part in self.gather_objects({name: value.detach().cpu() for name, value in values.items()}):
            for name, value in part.items():
                totals[name] = totals[name] + value if name in totals else value
        return {name: total.to(values[name].device) if name in values else total for name, total in totals.items()}

    def broadcast_object(self, value: T) -> T:
        """Rank 0's value, on every rank; it must be picklable."""
        return self._engine.broadcast_object(value)

    def gather_objects(self, value: T) -> list[T]:
        """Every rank's value, in the order of ranks."""
        return self._engine.gather_objects(value)

    def gather(self, rows: Tensor) -> Tensor:
        """Concatenate all ranks' tensors (n, …), in the order of ranks; n may differ and be 0."""
        return torch.cat(self.gather_objects(rows.detach().cpu())).to(rows.device) if self.size > 1 else rows

    def on_main(self, function: Callable[[], T]) -> T:
        """Call `function` on rank 0 only and return its result on all ranks. Its UserErrors are raised on all."""
        if self.size == 1:
            return function()
        result = error = None
        if self.is_main:
            try:
                result = function()
            except (UserError, OSError) as problem:
                error = str(problem)
        result, error = self.broadcast_object((result, error))
        if error is not None:
            raise UserError(error)
        return result

    def any_rank(self, flag: bool) -> bool:
        """Whether `flag` is set on any rank."""
        return any(self.gather_objects(flag)) if self.size > 1 else flag

    def start_sum(self, tensor: Tensor) -> Callable[[], Any]:
        """Start an in-place sum over all ranks; call the returned function to wait for it."""
        return self._engine.sum_(tensor)

    # -------------------------------------------------------------------------------------- networks, optimizers
    def wrap_model(self, model: nn.Module, compression: str = "none") -> nn.Module:
        """Wrap a network for a trainer's update hook: under torchrun, backward averages the gradients.

        A container of networks that are called separately lists them in its attribute `apart`, e.g. ("generator",
        "companions.critic"). Each of these is wrapped, and the container is a shallow copy that shares everything else.
        Weights are shared: checkpoint and validate the original network.

        Args:
            model: on its device, with parts already frozen and compiled as needed. Rank 0's weights are sent to all
                ranks.
            compression: "fp16" halves the traffic.
        """
        if self.size == 1:
            return model
        self.broadcast_model(model)
        parts = getattr(model, "apart", ("",))
        return _with_parts(model, "", parts, lambda part: self._engine.wrap_model(part, compression))

    def wrap_optimizer(self, optimizer: Optimizers, model: nn.Module, compression: str = "none") -> Optimizers:
        """Wrap an optimizer, or a tuple of them, so that Horovod averages gradients in backward; else unchanged.

        Call it before loading the optimizer's state: Horovod's is a new object. `model` names the parameters.
        """
        if isinstance(optimizer, tuple):
            return tuple(self.wrap_optimizer(one, model, compression) for one in optimizer)
        own = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        named = [(name, parameter) for name, parameter in model.named_parameters() if id(parameter) in own]
        return self._engine.wrap_optimizer(optimizer, named, compression)

    def reduced_gradients(self, optimizer: torch.optim.Optimizer) -> AbstractContextManager:
        """Context after backward in which gradients are averaged over all ranks, and `step` does not average again.

        Unscale, clip and step in it: they then act as in one process with the whole minibatch.
        """
        return self._engine.reduced(optimizer)

    def broadcast_model(self, model: nn.Module) -> None:
        """Copy rank 0's parameters and buffers to every rank."""
        self._fused([*model.parameters(), *model.buffers()], self._engine.broadcast_)

    def broadcast_optimizer(self, optimizer: Optimizers) -> None:
        """Copy rank 0's optimizer state (moments, step counts, rates) to every rank."""
        if self.size == 1:
            return
        optimizers = optimizer if isinstance(optimizer, tuple) else (optimizer,)
        file = io.BytesIO()
        if self.is_main:
            torch.save([one.state_dict() for one in optimizers], file)
        content = self.broadcast_object(file.getvalue())  # pickled tensors would be restored on rank 0's GPU
        if not self.is_main:
            states = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            for one, state in zip(optimizers, states, strict=True):
                one.load_state_dict(state)

    def average_batch_norms(self, model: nn.Module) -> None:
        """Average the running statistics of batch norms over all ranks, each of which saw its part of the minibatches.

        Call it before a validation or a checkpoint, so that all ranks have the same network.
        """
        norms = [one for one in model.modules() if isinstance(one, BatchNorm) and one.running_mean is not None]
        statistics = [tensor for norm in norms for tensor in (norm.running_mean, norm.running_var)]
        self._fused(statistics, lambda tensor: tensor.copy_(self.all_reduce_mean(tensor)))

    @torch.no_grad()
    def _fused(self, tensors: Iterable[Tensor], operation: Callable[[Tensor], Any]) -> None:
        """Apply an in-place operation to many tensors, with one call per dtype and device."""
        if self.size == 1:
            return
        kinds: dict[tuple, list[Tensor]] = {}
        for tensor in tensors:
            kinds.setdefault((tensor.dtype, tensor.device), []).append(tensor)
        for alike in kinds.values():
            flat = torch.cat([tensor.reshape(-1) for tensor in alike])
            operation(flat)
            for tensor, part in zip(alike, flat.split([tensor.numel() for tensor in alike]), strict=True):
                tensor.copy_(part.view_as(tensor))

    # -------------------------------------------------------------------------------------- restarts
    def job(self) -> dict[str, str] | None:
        """An identifier of this launch of torchrun, stored with the experiment; None outside torchrun.

        `torchrun --max_restarts` restarts all ranks with the same command line when one has died. The launcher's store,
        with a token in it, outlives them.
        """
        if not isinstance(self._engine, Torch):
            return None
        run_id = os.environ.get("TORCHELASTIC_RUN_ID", "none")
        return self.on_main(lambda: {"token": _token_of_launch(), "run_id": run_id})

    def restarted(self, former: Mapping[str, str] | None) -> bool:
        """Whether this is a later attempt of the launch with the stored `job`.

        A new main machine has a new store. Then the run id must match, and an attempt must have failed before.
        """
        now = self.job()
        if not now or not former:
            return False
        failed_before = self.any_rank(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0")
        same_run = now["run_id"] != "none" and now["run_id"] == former.get("run_id")
        return now["token"] == former.get("token") or (same_run and failed_before)

    def lost_process(self, error: BaseException) -> str | None:
        """A one-line message for an error caused by the end of another rank, or None for other errors."""
        text = f"{type(error).__name__}: {error}"
        known = isinstance(error, dist.DistError) or any(sign in text for sign in SIGNS_OF_A_LOST_PROCESS)
        if self.size == 1 or not known:
            return None
        return (
            f"rank {self.rank}: another process of this job has ended; the last checkpoint is intact, continue with "
            f"--resume ({text.splitlines()[0][:160]})"
        )


ALONE = Processes()


def join(use_horovod: bool = False, device: str = "auto") -> Processes:
    """Join the other processes if a launcher has started this one. Call it once, before reading or seeding anything.

    Args:
        use_horovod: use Horovod, else torch.distributed if torchrun has started this process.
        device: as in `--device`; with "cpu" no GPU is used.

    Raises UserError if Horovod is not installed or lacks GPU operations, or if option and launcher disagree.
    """
    device_type = "cuda" if device.startswith(("auto", "cuda")) and torch.cuda.is_available() else "cpu"
    by_torchrun, by_horovodrun = os.environ.keys() >= TORCHRUN, "HOROVOD_RANK" in os.environ
    if use_horovod and by_torchrun and not by_horovodrun:
        raise UserError("--use_horovod: started by torchrun; leave the option out, or start with horovodrun")
    if by_horovodrun and not use_horovod:
        raise UserError("started by horovodrun: add --use_horovod, or start with torchrun")
    if use_horovod or by_torchrun:
        return Processes((Horovod if use_horovod else Torch)(device_type))
    return ALONE


class AnyRankLater:
    """`any_rank` for every step of a loop. With several processes it returns the result of the previous call.

    So the exchange overlaps with the step, and all ranks see the flag at the same step.
    """

    def __init__(self, processes: Processes = ALONE) -> None:
        self._processes = processes
        self._pending: tuple[Tensor, Callable] | None = None

    def __call__(self, flag: bool) -> bool:
        if self._processes.size == 1:
            return flag
        former, votes = self._pending, torch.tensor([float(flag)])
        self._pending = votes, self._processes.start_sum(votes)
        if former is None:
            return False
        former[1]()
        return bool(former[0].item())

    def close(self) -> None:
        """Wait for the pending exchange, after the last call on all ranks."""
        if self._pending:
            self._pending[1]()
            self._pending = None


def _with_parts(model: nn.Module, name: str, parts: Iterable[str], wrap: Callable) -> nn.Module:
    """A shallow copy of a module tree in which the modules named `parts` are wrapped."""
    if name in parts:
        return wrap(model)
    prefix = f"{name}." if name else ""
    if not any(part.startswith(prefix) for part in parts):
        return model
    view = copy.copy(model)
    view._modules = {key: _with_parts(child, prefix + key, parts, wrap) for key, child in model._modules.items()}
    return view


def _token_of_launch() -> str:
    return launchers_store().compare_set("token_of_launch", "", uuid.uuid4().hex).decode()
