import pytest

from utils.imaging.source_paths import require_files, require_path, require_source
from utils.osutils import UserError


def test_a_path_that_does_not_exist_is_refused_with_what_does(tmp_path):
    (tmp_path / "photos").mkdir()
    require_path(tmp_path / "photos")
    with pytest.raises(UserError, match=f"^--img_dir {tmp_path}/Fotos: no such file .* did you mean {tmp_path}/photos"):
        require_path(tmp_path / "Fotos")
    with pytest.raises(UserError, match=f"^--data_dir {tmp_path}/zzz: no such file or folder; .* holds photos$"):
        require_source(tmp_path / "zzz")


def test_cameras_are_left_to_the_script():
    require_source("0")
    require_source("999")
    with pytest.raises(UserError, match="--data_dir 1000: no such file or folder"):
        require_source("1000")


def test_files_that_do_not_exist_are_refused_with_their_option(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "2d_pose_estimations.pt").touch()
    monkeypatch.chdir(tmp_path)
    good = "run/2d_pose_estimations.pt"
    for paths in (None, good, [good, good]):
        require_files(paths, "--prediction_files")
    with pytest.raises(
        UserError, match=r"^--a run/2d_pose.pt: no such file; did you mean run/2d_pose_estimations.pt\?$"
    ):
        require_files([good, "run/2d_pose.pt"], "--a")
    with pytest.raises(UserError, match="^--a run: is a folder; give a file: it holds 2d_pose_estimations.pt$"):
        require_files("run", "--a")
    with pytest.raises(UserError, match="^--a zzz.pt: no such file; the current folder holds run$"):
        require_files("zzz.pt", "--a")
