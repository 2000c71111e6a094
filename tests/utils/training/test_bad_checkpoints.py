"""Damaged, foreign and hostile checkpoint files are refused in one line."""

import pickle
import zipfile

import numpy as np
import pytest
import torch
from small_checkpoints import SETTINGS, RunsCode, one_line_error, small_network, trained

from utils.osutils import UserError
from utils.training.checkpoint_paths import LATEST
from utils.training.checkpoints import make_checkpoint_fn, read_checkpoint


@pytest.fixture
def whole(tmp_path):
    """The content of a good checkpoint."""
    network, optimizer = trained()
    make_checkpoint_fn("s", SETTINGS)(network, optimizer, 1, 0.0, tmp_path, is_best=False)
    return (tmp_path / LATEST).read_bytes()


@pytest.mark.parametrize("kept", [0, 1, 2, 100, 0.5, 0.99, -1])
def test_a_truncated_checkpoint_is_refused(tmp_path, whole, kept):
    path = tmp_path / "truncated.pth.tar"
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    assert one_line_error(read_checkpoint, path).startswith(f"{path}: not a PyTorch checkpoint, or truncated")


@pytest.mark.parametrize(
    "content", [b"Just a text.\n" * 50, b"\x89PNG\r\n\x1a\n" + bytes(300), b"PK\x03\x04" + bytes(300)]
)
@pytest.mark.parametrize("allow_unsafe", [False, True])
def test_a_file_of_another_kind_is_refused(tmp_path, content, allow_unsafe):
    path = tmp_path / "other.pth"
    path.write_bytes(content)
    assert "not a PyTorch checkpoint" in one_line_error(read_checkpoint, path, allow_unsafe)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1, 2], "holds a list"),
        ({}, "holds a dict"),
        ({"weights": {"w": torch.ones(1)}}, "neither a checkpoint"),
        ({"epoch": 3, "w": torch.ones(1)}, "neither a checkpoint"),
        ({"state_dict": [torch.ones(1)]}, "neither a checkpoint"),
        ({"state_dict": {"w": "text"}}, "neither a checkpoint"),
        ({"state_dict": {}, "format_version": 2}, "format 2, this version reads 1"),
        ({"state_dict": {}, "format_version": "new"}, "format_version is 'new'; expected a whole number"),
    ],
)
def test_other_content_is_refused(tmp_path, content, reason):
    torch.save(content, tmp_path / "other.pth")
    assert reason in one_line_error(read_checkpoint, tmp_path / "other.pth")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old pickle"])
def test_pickled_objects_are_refused_without_running_them(tmp_path, capsys, zipped):
    path, trap = tmp_path / "objects.pth.tar", tmp_path / "ran"
    content = {"state_dict": {"w": torch.ones(1)}, "trap": RunsCode(trap)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    message = one_line_error(read_checkpoint, path)
    assert "could run code" in message
    assert "--allow_unsafe_load" in message
    assert not trap.exists()

    opened = read_checkpoint(path, allow_unsafe=True)
    assert opened["state_dict"] == {"w": torch.ones(1)}
    opened["trap"].close()
    assert trap.exists()
    assert capsys.readouterr().err.startswith(f"warning: {path}: --allow_unsafe_load opens pickled objects")


@pytest.mark.parametrize("protocol", range(6))
def test_a_plain_pickle_of_objects_is_refused_as_such(tmp_path, protocol):
    path, trap = tmp_path / "weights.pkl", tmp_path / "ran"
    path.write_bytes(pickle.dumps({"state_dict": {"w": torch.ones(1)}, "trap": RunsCode(trap)}, protocol))
    message = one_line_error(read_checkpoint, path)
    assert message.startswith(f"{path}: refused, it holds pickled objects that could run code (")
    assert message.endswith("if you trust its source, add --allow_unsafe_load")
    assert not trap.exists()
    read_checkpoint(path, allow_unsafe=True)["trap"].close()
    assert trap.exists()


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old pickle"])
def test_the_refusal_names_what_a_checkpoint_of_another_protocol_holds(tmp_path, protocol, zipped):
    content = {"state_dict": {"w": torch.ones(1)}, "best": np.float64(3)}
    path = tmp_path / "w.pth"
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    message = one_line_error(read_checkpoint, path)
    assert "refused, it holds pickled objects that could run code (numpy" in message
    assert read_checkpoint(path, allow_unsafe=True)["best"] == 3


def test_foreign_zip_files_and_damaged_pickles_are_told_from_unsafe_objects(tmp_path):
    path = tmp_path / "other.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "text")
    assert "(a zip file that torch.save did not write)" in one_line_error(read_checkpoint, path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02garbage")
        archive.writestr("archive/version", "3\n")
    assert "(its pickle is damaged)" in one_line_error(read_checkpoint, path)
    path.write_bytes(pickle.dumps({"state_dict": [1.0]}))
    assert one_line_error(read_checkpoint, path).endswith("a plain pickle without tensors, not a PyTorch checkpoint")


def test_objects_of_a_missing_package_are_refused(tmp_path, capsys):
    path = tmp_path / "gone.pth"
    torch.save(
        {"state_dict": {}, "model": RunsCode("x")}, path, _use_new_zipfile_serialization=False, pickle_module=Gone
    )
    assert "No module named 'gone_project'" in one_line_error(read_checkpoint, path, True)
    assert "warning" in capsys.readouterr().err


class Gone:
    """A pickle module that writes `RunsCode` as a class of a project that is not installed."""

    class Pickler(pickle._Pickler):
        def save_global(self, obj, name=None):
            self.write(b"cgone_project\nModel\n")

        dispatch = pickle._Pickler.dispatch

    @staticmethod
    def dump(obj, file, protocol):
        Gone.Pickler(file, protocol).dump(obj)


def test_any_damage_is_a_user_error(tmp_path, whole):
    """With three random bytes replaced, a checkpoint opens or is refused with a UserError."""
    rng, path, refused = np.random.default_rng(0), tmp_path / "damaged.pth", 0
    torch.save(small_network().state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for original in (whole, (tmp_path / "old.pth").read_bytes()):
        for _ in range(60):
            content = np.frombuffer(original, np.uint8).copy()
            content[rng.integers(0, min(len(content), 1500), 3)] = rng.integers(0, 256, 3)
            path.write_bytes(content.tobytes())
            try:
                read_checkpoint(path)
            except UserError:
                refused += 1
    assert refused > 60
