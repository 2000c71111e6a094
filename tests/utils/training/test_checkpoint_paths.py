import pytest

from utils.osutils import UserError
from utils.training.checkpoint_paths import BEST, LATEST, find_checkpoint, require_checkpoint, require_latest


def test_the_best_checkpoint_of_a_folder_is_preferred_to_the_latest(tmp_path):
    assert (LATEST, BEST) == ("checkpoint.pth.tar", "model_best.pth.tar")
    for name in (LATEST, BEST):
        (tmp_path / name).write_bytes(b"")
        assert find_checkpoint(tmp_path) == tmp_path / name
    assert find_checkpoint(str(tmp_path / LATEST)) == tmp_path / LATEST


def test_other_files_are_refused_unless_training_resumes(tmp_path):
    with pytest.raises(UserError, match="no checkpoint in this directory; it should hold model_best.pth.tar or"):
        require_checkpoint(tmp_path)
    with pytest.raises(UserError, match="none.pth: no such checkpoint; give a .pth.tar file"):
        require_checkpoint(tmp_path / "none.pth")
    require_checkpoint(None)


def test_nothing_to_resume(tmp_path):
    require_latest(False, "hourglass_mpii", "deep", tmp_path)
    path = tmp_path / "hourglass_mpii_deep" / LATEST
    with pytest.raises(UserError, match=f"^--resume: {path} does not exist; check --exp"):
        require_latest(True, "hourglass_mpii", "deep", tmp_path)
    path.parent.mkdir()
    path.touch()
    require_latest(True, "hourglass_mpii", "deep", tmp_path)
