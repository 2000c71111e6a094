"""What tests of several folders share: tiny MPII and Human3.6M folders, and options as a command line gives them."""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from launchers import why_no_horovod

from options import GROUPS, SCRIPTS
from utils.command_line.cli import parse
from utils.console.messages import show_messages

show_messages()  # tests read warnings as the command line prints them


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Skipped tests go unnoticed; that Horovod was not tested should not."""
    why = why_no_horovod()
    skipped = [report for report in terminalreporter.getreports("skipped") if why and str(why) in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(f"NOT TESTED: {len(skipped)} tests that need Horovod ({why})")


@pytest.fixture(scope="session")
def tiny_mpii(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MPII folder of 8 training and 4 validation people, rendered; tests that change anything take a copy."""
    from utils.sample.sample_data import make_mpii

    folder = tmp_path_factory.mktemp("data") / "mpii"
    make_mpii(folder, training=8, validation=4)
    return folder


@pytest.fixture(scope="session")
def tiny_h36m(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven people, 15 actions × 2 sequences of 2 to 10 frames, no pictures; tests that change it take a copy."""
    from utils.sample.human36m import make_h36m

    folder = tmp_path_factory.mktemp("data") / "h36m"
    make_h36m(folder, training=0, validation=0, frames=6)
    return folder


@pytest.fixture(scope="session")
def parse_options() -> Callable[..., argparse.Namespace]:
    """`parse_options("--stacks", 1)`: the options of `train.py hourglass_mpii`, or of another script."""

    def parse_argv(*argv: object, entry: str = "train", script: str = "hourglass_mpii") -> argparse.Namespace:
        return parse(f"{entry}.py", script, SCRIPTS[entry][script], GROUPS, [str(argument) for argument in argv])

    return parse_argv


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch on one thread: small networks are quickest so, and tests leave the other cores alone."""
    import torch

    former = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(former)
