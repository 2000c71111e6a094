"""What one of several processes prints, and how it exits; `test_lost_process` uses real ones."""

import os
import signal

import pytest
from ranks import rank_of

from utils.command_line import cli
from utils.command_line.cli import main
from utils.command_line.declarations import Option, Script, whole
from utils.compute import launched
from utils.doors.option_rules import processes_of
from utils.osutils import RunFailed, UserError

noted: list[tuple] = []
GROUPS = {"machine": (Option("workers", "processes", 6, whole), Option("debug_traceback", "it", False, bool))}
SCRIPT = Script(__name__, "note", "It.", "nothing", ("workers", "debug_traceback"), several=True)


def note(options) -> None:
    """What the script does: note its workers and its processes."""
    noted.append((options.workers, processes_of(options)))


class Left(BaseException):
    """Raised where the process would exit."""


@pytest.fixture
def join(monkeypatch):
    """`join(rank)`: the context of a script that runs as this rank of two."""
    former = signal.getsignal(signal.SIGTERM)

    def join_as(rank: int, **settings):
        def leave(status):
            raise Left(status)

        monkeypatch.setattr(launched, "join", lambda *_: rank_of(rank, 2))
        monkeypatch.setattr(os, "_exit", leave)
        monkeypatch.setattr(launched, "SECONDS_FOR_RANK_0", 0)
        return launched.joined("it.py", use_horovod=False, device="cpu", **settings)

    yield join_as
    signal.signal(signal.SIGTERM, former)


def leaves(join, capsys, problem: BaseException, rank: int = 0, **settings) -> tuple[int, str]:
    """Exit status and stderr of a process whose work raises `problem`."""
    with pytest.raises(Left) as left, join(rank, **settings):
        raise problem
    return left.value.args[0], capsys.readouterr().err


def test_rank_0_alone_speaks(join, capsys):
    for rank in (0, 1):
        with join(rank) as processes:
            print(f"rank {processes.rank}")
    print("after")
    assert capsys.readouterr().out == "rank 0\nafter\n"


def test_a_nested_entry_point_does_not_join_again(join):
    with join(1) as processes:
        main("it", {"it": SCRIPT}, GROUPS, ["it"], processes)
    assert noted[-1][1] is processes


@pytest.mark.parametrize("rank", [0, 1])
def test_faults_end_as_in_a_single_process(join, capsys, rank):
    assert leaves(join, capsys, UserError("wrong"), rank) == (2, "it.py: error: wrong\n")
    assert leaves(join, capsys, SystemExit(130), rank) == (130, "")
    assert leaves(join, capsys, KeyboardInterrupt(), rank) == (130, "")
    assert leaves(join, capsys, BrokenPipeError(), rank) == (0, "")
    status, err = leaves(join, capsys, ZeroDivisionError("seven"), rank)
    assert status == 1
    assert err.endswith("ZeroDivisionError: seven\n")
    status, err = leaves(join, capsys, UserError("wrong"), rank, show_traceback=True)
    assert (status, err[:9]) == (2, "Traceback")
    assert leaves(join, capsys, RunFailed("the loss is NaN"), rank) == (1, "it.py: error: the loss is NaN\n")


def test_the_end_of_another_rank_is_one_line(join, capfd):
    status, err = leaves(join, capfd, RuntimeError("[gloo] Connection closed by peer"))
    assert status == 1
    assert len(err.splitlines()) == 1
    assert err.startswith("rank 0: another process of this job has ended")


@pytest.mark.parametrize(("rank", "lines"), [(0, 1), (1, 1), (2, 0)])
def test_the_launchers_signal_ends_a_process_with_a_line(join, capfd, rank, lines):
    with pytest.raises(Left) as left, join(rank):
        os.kill(os.getpid(), signal.SIGTERM)
    assert left.value.args == (143,)
    assert len(capfd.readouterr().err.splitlines()) == lines


def test_scripts_of_one_process_are_refused_in_several(join, capsys):
    with pytest.raises(Left) as left, join(0, several=False):
        raise AssertionError("it must not run")
    assert left.value.args == (2,)
    assert "runs in one process only; start it without torchrun or horovodrun" in capsys.readouterr().err


def test_processes_share_the_workers(join, monkeypatch, capsys):
    monkeypatch.setattr(cli.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    noted.clear()
    with join(0) as processes:
        main("it", {"it": SCRIPT}, GROUPS, ["it", "--workers", "6"], processes)
    assert noted == [(4, processes)]
    assert capsys.readouterr().out == "--workers 6: 4 are used, since this machine has 8 cores and 2 processes\n"
