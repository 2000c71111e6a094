import pytest

from utils.human36m.folder import HOW_TO_GET, require_h36m_folder, require_h36m_folder_or_file
from utils.osutils import UserError


def test_a_folder_that_does_not_exist_is_named_with_how_to_get_it(tmp_path):
    for require in (require_h36m_folder, require_h36m_folder_or_file):
        require(tmp_path)
        with pytest.raises(UserError) as refused:
            require(tmp_path / "h36m")
        assert str(refused.value) == f"--data_dir {tmp_path / 'h36m'}: no such folder; Human3.6M: {HOW_TO_GET}"


def test_a_file_of_poses_is_for_some_scripts(tmp_path):
    path = tmp_path / "2d_pose_estimations.pt"
    path.write_bytes(b"")
    require_h36m_folder_or_file(path)
    with pytest.raises(UserError, match="no such folder"):
        require_h36m_folder(path)
