import pytest

from utils.imaging.source_paths import require_path, require_source
from utils.osutils import UserError


def test_a_path_that_does_not_exist_is_refused_with_what_does(tmp_path):
    (tmp_path / "photos").mkdir()
    require_path(tmp_path / "photos")
    with pytest.raises(UserError, match=f"^--img_dir {tmp_path}/Fotos: no such file .* did you mean {tmp_path}/photos"):
        require_path(tmp_path / "Fotos")
    with pytest.raises(UserError, match=f"^--data_dir {tmp_path}/zzz: no such file or folder; .* holds photos$"):
        require_source(tmp_path / "zzz")


def test_cameras_and_the_default_folder_are_left_to_the_script(tmp_path):
    require_source("0")
    require_source(tmp_path / "data" / "mpii")
