"""What tests of several folders share: tiny MPII and Human3.6M folders, and options as a command line gives them.

`make test` runs the suite in several processes (pytest-xdist), a file at a time; what is made once a session is made
once for all of them. It leaves out the tests marked `long`, which `make test-long` runs; CI runs both.
"""

import argparse
import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest
from filelock import FileLock
from launchers import why_no_horovod

from options import GROUPS, SCRIPTS
from utils.command_line import cli
from utils.console.messages import show_messages

# A shell that starts the tests in the background has them ignore Ctrl-C, and with them every process that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ("shown_options",)
pytest.register_assert_rewrite("evaluations", "option_effects", "training_option_tests")

show_messages()  # tests read warnings as the command line prints them

# One thread per process: the processes of the suite fill the cores already. Nothing above imports torch or numpy.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

# Hypothesis would fail an example that takes longer than 200 ms, which any may on a busy machine.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")

# Statistics that tests compute are kept beside no real ones; processes that tests start share them.
if "HUMAN_POSE_CACHE" not in os.environ:
    os.environ["HUMAN_POSE_CACHE"] = tempfile.mkdtemp(prefix="human_pose_cache_")
    atexit.register(shutil.rmtree, os.environ["HUMAN_POSE_CACHE"], ignore_errors=True)

# Files that take long and can't be divided: they go first, so that none of them runs alone at the end.
LONGEST = ("test_several_processes.py", "test_lost_process.py", "test_interrupt.py", "test_train_options.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Skipped and deselected tests go unnoticed; that Horovod and what takes long were not tested should not."""
    why = why_no_horovod()
    if terminalreporter.config.option.markexpr == "not long":
        needs = f" ({why})" if why else ""
        terminalreporter.write_line(f"NOT TESTED: what takes long and Horovod{needs}; make test-long runs both")
    skipped = [report for report in terminalreporter.getreports("skipped") if why and str(why) in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(f"NOT TESTED: {len(skipped)} tests that need Horovod ({why})")


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """`made_once("mpii", make)`: the folder that `make(folder)` fills, once for all processes of the session.

    Nothing may be changed in it; tests that change anything take a copy.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "made_once"
    shared.mkdir(exist_ok=True)

    def make_once(name: str, make: Callable[[Path], object]) -> Path:
        done = shared / f"{name}.done"
        with FileLock(shared / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(shared / name, ignore_errors=True)  # what a failure has left
                make(shared / name)
                done.touch()
        return shared / name

    return make_once


@pytest.fixture(scope="session")
def tiny_mpii(made_once) -> Path:
    """An MPII folder of 8 training and 4 validation people, rendered."""
    from utils.sample.sample_data import make_mpii

    return made_once("mpii", lambda folder: make_mpii(folder, training=8, validation=4))


@pytest.fixture(scope="session")
def tiny_clips(made_once) -> Path:
    """An MPII folder of 2 training clips and 1 for validation, of 5 frames each, rendered."""
    from utils.sample.clips import make_clips

    return made_once("clips", lambda folder: make_clips(folder, training=2, validation=1, frames=5))


@pytest.fixture(scope="session")
def tiny_h36m(made_once) -> Path:
    """Seven people, 15 actions × 2 sequences of 2 to 10 frames, no pictures."""
    from utils.sample.human36m import make_h36m

    return made_once("h36m", lambda folder: make_h36m(folder, training=0, validation=0, frames=6))


@pytest.fixture(scope="session")
def two_actions_h36m(made_once, tiny_h36m) -> Path:
    """Walking and Sitting of `tiny_h36m`: to open the files of all actions takes longer than a small training."""

    def link(folder: Path) -> None:
        folder.mkdir()
        (folder / "cameras.h5").symlink_to(tiny_h36m / "cameras.h5")
        for path in (path for path in tiny_h36m.glob("S*/*/*/*.h5") if path.stem.split()[0] in ("Walking", "Sitting")):
            linked = folder / path.relative_to(tiny_h36m)
            linked.parent.mkdir(parents=True, exist_ok=True)
            linked.symlink_to(path)

    return made_once("two_actions_h36m", link)


@pytest.fixture(scope="session")
def data_of_several(made_once, two_actions_h36m) -> dict[str, Path]:
    """What the commands of `shared_launch` read, by kind."""
    from shared_launch import make_data

    folder = made_once("of_several", make_data)
    folders = {name: folder / name for name in ("mpii", "eva", "photos", "images")}
    return folders | {"h36m": two_actions_h36m, "folder": folder}


@pytest.fixture(scope="session")
def launched(made_once, data_of_several) -> Callable[[str], Path]:
    """`launched(ENGINE)`: what two processes leave; each engine is launched once. Skips without the engine."""
    from shared_launch import launch, starter

    def by(engine: str) -> Path:
        work_in = starter(engine)
        return made_once(f"two_by_{engine}", lambda folder: launch(work_in, engine, folder, data_of_several))

    return by


@pytest.fixture(scope="session")
def parse_options() -> Callable[..., argparse.Namespace]:
    """`parse_options("--stacks", 1)`: the options of `train.py hourglass_mpii`, or of another script."""

    def parse_argv(*argv: object, entry: str = "train", script: str = "hourglass_mpii") -> argparse.Namespace:
        return cli.parse(f"{entry}.py", script, SCRIPTS[entry][script], GROUPS, [str(argument) for argument in argv])

    return parse_argv


@pytest.fixture(scope="module")
def one_level():
    """Hourglasses of one level in place of four, in this module's tests: half the layers to make, read and write."""
    from tiny_checkpoints import levels

    with levels(1):
        yield


@pytest.fixture(scope="module")
def two_levels():
    """The same with two."""
    from tiny_checkpoints import levels

    with levels(2):
        yield


@pytest.fixture
def bf16_cpu(monkeypatch):
    """The CPU is taken to have bf16 instructions; PyTorch emulates them where it has none, slowly."""
    from utils.compute import devices

    monkeypatch.setattr(devices, "cpu_has_bf16", lambda: True)
