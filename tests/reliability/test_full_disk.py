"""A full disk: one line that names the file, exit status 1, and every file as it was before."""

import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from command_line import call, call_script, files, load_script
from forks import status_of_child
from tiny_checkpoints import hourglass_file
from tiny_trainer import run

from utils import osutils
from utils.osutils import RunFailed, written_together
from utils.predictions.prediction_files import save_predictions
from utils.training.event_file import EventFile
from utils.training.experiment_lock import locked

FULL = "was not written: {}; files written before are intact. Free disk space, then repeat the command"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB."""
    if shutil.which("mount") is None:
        pytest.skip("needs the mount command")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small file system needs root: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files(folder)}


def test_a_training_on_a_full_disk_keeps_its_files(tmp_path, small_disk):
    run(small_disk, epochs=1)
    folder = small_disk / "checkpoints/tiny_default"
    before = contents(folder)
    free = shutil.disk_usage(small_disk).free
    (small_disk / "other").write_bytes(b"x" * (free - 32768))
    with pytest.raises(RunFailed, match=r"tiny_default.* was not written: No space left on device; "):
        run(small_disk, epochs=3, resume=True)
    assert {name: content for name, content in contents(folder).items() if name != "options.json"} == {
        name: content for name, content in before.items() if name != "options.json"
    }
    (small_disk / "other").unlink()
    assert [epoch for epoch, *_ in run(small_disk, epochs=3, resume=True).named("checkpoint")] == [2, 3]


def test_events_on_a_full_disk_are_an_error_that_names_the_folder(small_disk):
    events = EventFile(small_disk / "events")
    (small_disk / "other").write_bytes(b"x" * shutil.disk_usage(small_disk).free)

    def write() -> None:
        events.pictures({"picture": torch.randint(0, 255, (3, 64, 64), dtype=torch.uint8)}, 1)
        events.flush()

    with pytest.raises(RunFailed, match=r"disk/events was not written: No space left on device"):
        write()
    events.close()


def test_a_lock_on_a_full_disk_is_an_error_that_names_it(small_disk):
    (small_disk / "other").write_bytes(b"x" * shutil.disk_usage(small_disk).free)
    with pytest.raises(RunFailed, match=r"disk/\.tiny\.lock was not written: No space"), locked([small_disk / "tiny"]):
        pass
    assert files(small_disk) == ["other"]


def test_a_file_size_limit_ends_a_command_with_one_line_and_status_1(tiny_h36m, tmp_path):
    """As a quota does; torch.save alone would raise a RuntimeError with a line of its C++ source."""
    train = [
        "2d3d_h36m", "--data_dir", tiny_h36m, "--action", "Walking", "--linear_size", 128, "--num_stage", 1,
        "--checkpoint_dir", tmp_path / "checkpoints", "--tb_dir", tmp_path / "tb", "--epochs",
    ]  # fmt: skip
    call("train", *train, 1).succeeded()
    folder = tmp_path / "checkpoints/2d3d_h36m_default"
    before = contents(folder)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        ended = call("train", *train, 2, "--resume")
        (tmp_path / "ended.txt").write_text(f"{ended.status}\n{ended.err}")

    assert status_of_child(limited) == 0
    status, *lines = (tmp_path / "ended.txt").read_text().splitlines()
    assert status == "1"
    assert lines[-1].startswith(f"train.py 2d3d_h36m: error: {folder}/")
    assert FULL.format("File too large") in lines[-1]
    assert not any("Traceback" in line for line in lines)
    after = contents(folder)
    assert {name: after[name] == before[name] for name in before if name != "options.json"} == {
        "checkpoint.pth.tar": True, "log.txt": True, "model_best.pth.tar": True,
    }  # fmt: skip
    assert sorted(after) == sorted(before)


@pytest.mark.parametrize(("name", "size"), [("grow_hourglass", ("--stacks", 2)), ("average_weights", ())])
def test_a_program_that_writes_a_checkpoint_says_so_in_one_line(tmp_path, monkeypatch, name, size):
    networks = [hourglass_file(tmp_path / f"{number}.pth.tar") for number in range(1 if size else 2)]
    before = files(tmp_path)

    def full(event: str, path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(osutils, "_passed", full)
    output = tmp_path / "new.pth.tar"
    ended = call_script(load_script("scripts", name), "--load", *networks, *size, "--output", output)
    assert ended.status == 1
    assert ended.err.startswith(f"{name}.py: error: {output} {FULL.format('No space left on device')}")
    assert ended.err.count("\n") == 1
    assert files(tmp_path) == before


@pytest.mark.parametrize("at", range(3))
def test_files_that_belong_together_are_written_together_or_not_at_all(tmp_path, monkeypatch, at):
    """The disk is full at the first, second or third file."""

    def write(value: float) -> None:
        with written_together():
            for name in "abc":
                save_predictions(tmp_path / f"{name}.pt", {"photo": torch.full((1, 2, 2), value)})

    write(1.0)
    before = contents(tmp_path)
    written = 0

    def full(event: str, path: Path) -> None:
        nonlocal written
        if event == "written":
            if written == at:
                raise OSError(28, "No space left on device")
            written += 1

    monkeypatch.setattr(osutils, "_passed", full)
    with pytest.raises(RunFailed, match=rf"{'abc'[at]}\.pt was not written: No space left"):
        write(2.0)
    assert contents(tmp_path) == before
    monkeypatch.undo()
    write(2.0)
    assert all(contents(tmp_path)[name] != before[name] for name in before)
