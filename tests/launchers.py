"""Two processes of a job on this machine: forked, or started by torchrun or horovodrun without ssh and host names."""

import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from forks import child, status_of

from utils.compute.launcher import TORCHRUN

ROOT = Path(__file__).resolve().parents[1]
LAUNCHERS = (*TORCHRUN, "HOROVOD_RANK")
# A forked process has imported torch already. A launcher's imports it, twice where it starts again after a loss.
ENGINES = ("forked", *(pytest.param(engine, marks=pytest.mark.long) for engine in ("torchrun", "horovodrun")))


def environment() -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if name not in LAUNCHERS}
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return clean | {"PYTHONPATH": paths}


def why_no_horovod() -> str | None:
    """What the tests that need Horovod say where they are skipped."""
    return None if importlib.util.find_spec("horovod") else "Horovod is not installed; run `make horovod`"


def launcher(engine: str, restarts: int = 0) -> list[object]:
    """The words of a command line before the script that two processes run; skips the test where Horovod is missing."""
    if engine == "torchrun":
        return ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2, "--max-restarts", restarts]
    if why := why_no_horovod():
        pytest.skip(why)
    run = ["-m", "horovod.runner.launch", "-np", 2, "-H", "localhost:2", "--network-interfaces", "lo"]
    return [*run, sys.executable]


def two_machines(restarts: int = 0) -> list[list[object]]:
    """The same for one torchrun per "machine", each with one process; they meet on the loopback."""
    meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{free_port()}", "--rdzv-id", "test"]
    one = ["-m", "torch.distributed.run", "--nnodes", 2, "--nproc-per-node", 1, "--max-restarts", restarts]
    return [[*one, *meeting, "--local-addr", "127.0.0.1"] for _ in range(2)]


def fork_two(work: Callable[[], object], printed: Path) -> None:
    """Two forked processes that meet as those of torchrun do call `work`; both write into `printed`, and end well."""
    with printed.open("w", buffering=1) as said:
        meeting = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}

        def rank_of(rank: int) -> None:
            for name, value in {**meeting, "RANK": rank, "LOCAL_RANK": rank}.items():
                os.environ[name] = str(value)
            for stream in (1, 2):
                os.dup2(said.fileno(), stream)
            sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = said
            work()

        ranks = [child(partial(rank_of, rank)) for rank in range(2)]
        statuses = [status_of(rank) for rank in ranks]
    assert statuses == [0, 0], printed.read_text()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(*command: object, cwd: Path | None = None, stderr: int = subprocess.STDOUT) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *map(str, command)], env=environment(), cwd=cwd, text=True, stdout=subprocess.PIPE,
        stderr=stderr,
    )  # fmt: skip


@contextlib.contextmanager
def none_left(launched: list[subprocess.Popen]) -> Iterator[None]:
    """On leaving, whatever happened, terminate those that still run."""
    with contextlib.ExitStack() as stack:
        for process in launched:
            stack.enter_context(process)
            stack.callback(process.terminate)
        yield


def finish(*launched: subprocess.Popen) -> list[str]:
    """Wait for all of them, which must succeed; what each printed."""
    with none_left(list(launched)):
        printed = [process.communicate(timeout=300)[0] for process in launched]
    for process, out in zip(launched, printed, strict=True):
        assert process.returncode == 0, out
    return printed


def wait_for_line(process: subprocess.Popen, wanted: Callable[[str], bool]) -> list[str]:
    """The lines up to the first one that is wanted; AssertionError where there is none."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if wanted(line):
            return lines
    raise AssertionError("".join(lines))


def process_of_rank(launched: subprocess.Popen, rank: int) -> int:
    """The id of the process that a launcher has started as this rank."""
    for below in descendants(launched.pid):
        with contextlib.suppress(OSError):
            variables = Path(f"/proc/{below}/environ").read_bytes().split(b"\0")
            program = Path(f"/proc/{below}/cmdline").read_bytes().split(b"\0")[0]
            if b"python" in program and not {b"RANK=%d" % rank, b"HOROVOD_RANK=%d" % rank}.isdisjoint(variables):
                return below
    raise AssertionError(f"no process of rank {rank}")


def descendants(process: int) -> Iterator[int]:
    """Children and their children, the eldest first."""
    children = " ".join(path.read_text() for path in Path(f"/proc/{process}/task").glob("*/children")).split()
    for below in map(int, children):
        yield below
        yield from descendants(below)
