import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from utils.osutils import (
    LONGEST_MESSAGE,
    UserError,
    atomic_path,
    counted,
    file_digest,
    output_folder,
    suggestion,
    write_text,
)

ROOT = Path(__file__).parents[2]
KILLED_WRITER = """
import os, signal, sys
from utils.osutils import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_written_file_is_complete_and_alone_in_new_folders(tmp_path):
    path = tmp_path / "new" / "folders" / "result.json"
    with atomic_path(path) as temporary:
        assert (temporary.parent, temporary.suffix) == (path.parent, ".json")
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["result.json"]


def test_a_message_that_quotes_a_whole_file_is_cut_in_its_middle():
    message = str(UserError(f"a.csv: could not convert '{'8' * 200_000}'; give --sync"))
    assert message.startswith("a.csv: could not convert '88")
    assert message.endswith("88'; give --sync")
    assert len(message) == LONGEST_MESSAGE + len(" … ")
    assert str(UserError("x" * LONGEST_MESSAGE)) == "x" * LONGEST_MESSAGE


@pytest.mark.parametrize("exception", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_old_file_and_no_temporary_one(tmp_path, exception):
    path = tmp_path / "result.txt"
    path.write_text("old")

    def interrupted_write():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise exception

    with pytest.raises(exception):
        interrupted_write()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.txt"]


def test_a_kill_in_mid_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("old")
    killed = subprocess.run([sys.executable, "-c", KILLED_WRITER, str(path)], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_permissions_are_those_of_an_ordinary_new_file(tmp_path):
    former = os.umask(0o027)
    try:
        write_text(tmp_path / "text", "")
    finally:
        os.umask(former)
    assert (tmp_path / "text").stat().st_mode & 0o777 == 0o640


def test_text_is_utf8_whatever_the_locale(tmp_path):
    write_text(tmp_path / "text", "Größe × 2\n")
    assert (tmp_path / "text").read_bytes() == "Größe × 2\n".encode()


def test_an_output_folder_may_not_be_a_file(tmp_path):
    assert output_folder(tmp_path) == tmp_path
    assert output_folder(str(tmp_path / "new")) == tmp_path / "new"
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file is a file"):
        output_folder(tmp_path / "file")


def test_the_digest_is_sha256_of_the_content(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert file_digest(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_suggestions_are_near_or_none():
    assert suggestion("--featurs", ["--features", "--stacks"]) == ", did you mean --features?"
    assert suggestion("--stacks", {"--stack": 1, "--tracks": 2}) == ", did you mean --stack?"
    assert suggestion("--lr", ["--help", "--flip", "-h"]) == ""
    assert suggestion("--zzzzz", ["--features", "--stacks"]) == ""


def test_counts_have_their_plural():
    assert [counted(count, "photo") for count in (0, 1, 2)] == ["0 photos", "1 photo", "2 photos"]
    assert [counted(count, "person", "people") for count in (1, 3)] == ["1 person", "3 people"]
