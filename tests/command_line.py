"""Entry points and scripts called as a user calls them, in this process (quick) or in one of their own."""

import contextlib
import importlib.util
import io
import os
import subprocess
import sys
import unittest.mock
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from options import GROUPS, SCRIPTS
from utils.command_line.cli import main
from utils.osutils import file_digest
from utils.training.log_files import read_log

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENT = "hourglass_mpii_tiny"
TRAINED_FILES = ["checkpoint.pth.tar", "log.txt", "model_best.pth.tar", "options.json", "preds_valid.mat"]


@dataclass(frozen=True)
class Result:
    """What a command left behind: exit status, stdout, stderr."""

    status: int
    out: str
    err: str

    def succeeded(self) -> "Result":
        assert self.status == 0, self.err
        assert "Traceback" not in self.err
        return self

    def refusal(self) -> str:
        """The one line on stderr of a command that was refused."""
        assert self.status == 2, f"exit status {self.status}: {self.err}"
        assert "Traceback" not in self.err
        [line] = self.err.splitlines()
        assert ": error: " in line
        return line

    def last_error(self) -> str:
        """The last line on stderr of a refused program of scripts/; argparse prints its usage before it."""
        assert self.status == 2, f"exit status {self.status}: {self.err}"
        assert "Traceback" not in self.err
        line = self.err.splitlines()[-1]
        assert ": error: " in line
        return line

    def warnings(self) -> list[str]:
        """The warnings of a command that succeeded."""
        self.succeeded()
        return [line for line in self.err.splitlines() if line.startswith("warning: ")]


def load_script(folder: str, name: str) -> ModuleType:
    """`folder`/`name`.py, of scripts/ or benchmarks/, which are no packages, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call(entry: str, *argv: object, cwd: Path | None = None) -> Result:
    """`python <entry>.py <argv>` within this process."""
    return _in_this_process(lambda: main(entry, SCRIPTS[entry], GROUPS, list(map(str, argv))), cwd)


def call_script(script: ModuleType, *argv: object, cwd: Path | None = None) -> Result:
    """`python scripts/<script>.py <argv>` within this process; `script` is what `load_script` gave."""
    with unittest.mock.patch.object(sys, "argv", [script.__file__, *map(str, argv)]):
        return _in_this_process(script.main, cwd)


def _in_this_process(run: Callable[[], object], cwd: Path | None) -> Result:
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.chdir(cwd or os.curdir):
        try:
            run()
        except SystemExit as stop:
            status = stop.code
    return Result(status, out.getvalue(), err.getvalue())


def command(entry: str, *argv: object) -> list[str]:
    """The command line itself."""
    return [sys.executable, str(ROOT / f"{entry}.py"), *map(str, argv)]


def spawn(entry: str, *argv: object, cwd: Path = ROOT) -> Result:
    """`python <entry>.py <argv>` in a process of its own."""
    done = subprocess.run(command(entry, *argv), cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    return Result(done.returncode, done.stdout, done.stderr)


def modules_after(entry: str, *argv: object) -> set[str]:
    """The top-level modules that `python <entry>.py <argv>` has imported when it is done, in a process of its own."""
    code = (
        "import sys; from options import GROUPS, SCRIPTS; from utils.command_line.cli import main; "
        f"main({entry!r}, SCRIPTS[{entry!r}], GROUPS, sys.argv[1:]); "
        "print('MODULES', *{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, argv)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("MODULES ")[2].split())


def files(folder: Path) -> list[str]:
    """All files below a folder, hidden and temporary ones too; none where there is no folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def digests(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of every file below a folder."""
    return {name: file_digest(folder / name) for name in files(folder)}


def train_arguments(data_dir: Path, work: Path, *more: object, workers: int = 1) -> list[object]:
    """Arguments that train the smallest of networks into `work`, as `EXPERIMENT`."""
    return [
        "hourglass_mpii", "--data_dir", data_dir, "--features", 8, "--stacks", 1, "--train_batch_size", 4,
        "--test_batch_size", 4, "--workers", workers, "--exp", "tiny", "--checkpoint_dir", work / "checkpoints",
        "--tb_dir", work / "tb", *more,
    ]  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """What a training with `train_arguments` leaves in `work`."""

    work: Path

    @property
    def folder(self) -> Path:
        return self.work / "checkpoints" / EXPERIMENT

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pth.tar"

    def log(self) -> list[dict[str, float]]:
        return read_log(self.folder / "log.txt")[1]
