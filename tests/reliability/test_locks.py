"""Temporary files and locks: those of dead processes are recognised, those of others are not touched."""

import json
import os
import re
import signal

import pytest
from command_line import call
from forks import status_of_child
from tiny_trainer import options_for, run

from utils.doors.experiments import experiment_of
from utils.osutils import Owner, UserError, sweep, write_text
from utils.training.experiment_lock import lock_path, locked, require_unlocked


def owner_of_the_dead() -> Owner:
    reading, writing = os.pipe()
    assert status_of_child(lambda: os.write(writing, str(Owner.this()).encode())) == 0
    dead = Owner.parse(os.read(reading, 1000).decode())
    os.close(reading)
    os.close(writing)
    return dead


THIS = Owner.this()
ELSEWHERE = Owner("elsewhere", 1, 1)
EARLIER_OF_THIS_ID = Owner(THIS.host, THIS.pid, THIS.start - 1)


def test_an_owner_is_written_and_read():
    for owner in (THIS, ELSEWHERE, Owner("a-b.c-1", 2, 3)):
        assert Owner.parse(str(owner)) == owner
    for text in ("", "a", "a-1", "a-b-c", "a-1-x", "../a-1-2/x-1-2"):
        assert Owner.parse(text) is None


def test_the_dead_are_told_from_the_living():
    assert owner_of_the_dead().is_dead()
    assert not THIS.is_dead()
    assert not ELSEWHERE.is_dead()
    assert Owner(THIS.host, 1, Owner.this().start).is_dead() == (os.getpid() != 1)  # another process has the id
    assert EARLIER_OF_THIS_ID.is_dead()


def test_a_killed_process_that_nobody_waited_for_is_dead():
    """A zombie still has its id and its start time."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, str(Owner.this()).encode())
        signal.pause()
    owner = Owner.parse(os.read(reading, 1000).decode())
    os.close(reading)
    os.close(writing)
    assert not owner.is_dead()
    os.kill(child, signal.SIGKILL)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert owner.is_dead()
    os.waitpid(child, 0)


def test_only_temporary_files_of_the_dead_are_swept(tmp_path):
    kept = [f".a.tmp_{owner}_x1_y.pt" for owner in (THIS, ELSEWHERE)]
    kept += [".hidden", f"a.tmp_{owner_of_the_dead()}_x.pt", ".a.tmp_nobody_x.pt"]
    for name in [*kept, *(f".a.b.tmp_{owner_of_the_dead()}_{end}" for end in ("x1_y.tar", "x"))]:
        (tmp_path / name).touch()
    sweep.cache_clear()
    write_text(tmp_path / "b.txt", "")
    assert sorted(os.listdir(tmp_path)) == sorted([*kept, "b.txt"])


# ------------------------------------------------------------------------------------------ locks
@pytest.fixture
def folder(tmp_path):
    return experiment_of(options_for(tmp_path)).directory


def test_two_trainings_of_one_experiment_are_refused(folder, tmp_path):
    with locked([folder]):
        [line] = json.loads(lock_path(folder).read_text()).values()
        assert Owner.parse(line) == THIS
        message = rf"^{re.escape(str(folder))} is in use by another training, process {THIS.pid} on [\w-]+; give "
        with pytest.raises(UserError, match=message):
            run(tmp_path)
        with pytest.raises(UserError, match=message):
            require_unlocked("tiny", "default", tmp_path / "checkpoints", evaluate=False)
        require_unlocked("tiny", "default", tmp_path / "checkpoints", evaluate=True)
        require_unlocked("tiny", "other", tmp_path / "checkpoints", evaluate=False)
        assert not folder.exists()
    run(tmp_path, epochs=1)
    assert not list(tmp_path.rglob(".*"))


def test_two_trainings_with_one_folder_of_events_are_refused(tmp_path):
    with locked([tmp_path / "tb/tiny_default"]), pytest.raises(UserError, match="tb/tiny_default is in use"):
        run(tmp_path)
    assert not (tmp_path / "checkpoints/tiny_default").exists()
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"owner": 1}', "of the dead"])
def test_a_stale_lock_is_replaced(folder, content):
    folder.parent.mkdir()
    if content == "of the dead":
        content = json.dumps({"owner": str(owner_of_the_dead())})
    lock_path(folder).write_text(content)
    with locked([folder]):
        assert Owner.parse(json.loads(lock_path(folder).read_text())["owner"]) == THIS
    assert not lock_path(folder).exists()


def test_one_folder_for_checkpoints_and_events_is_locked_once(tmp_path):
    run(tmp_path, epochs=1, tb_dir=tmp_path / "checkpoints")
    assert not list(tmp_path.rglob(".*"))


def test_only_a_restart_of_the_same_job_replaces_another_hosts_lock(folder, capsys):
    folder.parent.mkdir()
    lock_path(folder).write_text(json.dumps({"owner": str(ELSEWHERE)}))
    with pytest.raises(UserError, match=r"process 1 on elsewhere; .* delete .*\.tiny_default\.lock"), locked([folder]):
        pass
    with locked([folder], take_over=True):
        pass
    assert "taking over from process 1 on elsewhere" in capsys.readouterr().err
    assert not lock_path(folder).exists()


def test_a_resume_is_refused_before_any_data_are_read(folder, tmp_path):
    """Also without --resume; another host's training may still run."""
    folder = folder.with_name("2d3d_h36m_default")
    folder.mkdir(parents=True)
    (folder / "checkpoint.pth.tar").touch()
    lock_path(folder).write_text(json.dumps({"owner": str(ELSEWHERE)}))
    missing = ("--data_dir", tmp_path / "none", "--checkpoint_dir", folder.parent)
    for more in (["--resume"], []):
        line = call("train", "2d3d_h36m", *missing, *more).refusal()
        assert f"{folder} is in use by another training, process 1 on elsewhere" in line
