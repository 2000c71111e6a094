import pytest

from stitched.checkpoint_paths import require_checkpoints
from utils.osutils import UserError


@pytest.fixture
def there(tmp_path):
    path = tmp_path / "there.pth"
    path.write_bytes(b"")
    return path


@pytest.mark.parametrize(
    ("load", "pair", "message"),
    [
        (None, ("none", None), "^--load_2d3d missing: give an hourglass with --load_hourglass"),
        (None, (None, "none"), "^--load_hourglass missing"),
        (None, ("none", "there"), "^--load_hourglass none: no such checkpoint"),
        (None, ("there", "none"), "^--load_2d3d none: no such checkpoint"),
        ("none", (None, None), "^none: no such checkpoint"),
    ],
)
def test_checkpoints_that_are_missing(there, load, pair, message):
    hourglass, lifter = (there if path == "there" else path for path in pair)
    with pytest.raises(UserError, match=message):
        require_checkpoints(load, hourglass, lifter)


def test_none_or_all_checkpoints_are_accepted(there):
    require_checkpoints(None, None, None)
    require_checkpoints(None, there, there)
    require_checkpoints(there, "none", None)  # --load takes precedence
