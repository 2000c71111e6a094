"""The Python blocks of docs/python.md and of README.md run, in order and in one process, on tiny data."""

import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import ROOT

from utils.compute import allocator
from utils.imaging.draw2d import save_image
from utils.osutils import logger
from utils.transform import H36M, MPII

PAGE = "docs/python.md"
DEMO_WEIGHTS = "stitched/pretrained/demo.pth.tar"
LONGEST_BLOCK = 10  # lines besides imports and empty ones
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks_of(name: str) -> list[str]:
    return [block for block in BLOCK.findall((ROOT / name).read_text()) if "onnxruntime" not in block]


def blocks_by_title() -> dict[str, list[str]]:
    """The page's blocks by the heading that they stand under."""
    parts = re.split(r"^#+ (.*)$", (ROOT / PAGE).read_text(), flags=re.MULTILINE)
    return {title: BLOCK.findall(text) for title, text in zip(parts[1::2], parts[2::2], strict=True)}


def arrays(people: int, seed: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
    """Photos of noise, joints (N, 16, 2) in them, and 2D and 3D poses (20 · N, 16, 2) px and (20 · N, 17, 3) mm."""
    rng = np.random.default_rng(seed)
    photos = [rng.integers(0, 255, (120, 100, 3), np.uint8) for _ in range(people)]
    joints = rng.uniform(10, 90, (people, len(MPII), 2))
    joints[0, 0] = np.nan
    poses_3d = rng.normal(0, 300, (20 * people, len(H36M), 3)) + np.array([0, 0, 4000])
    return photos, joints, 500 + 0.2 * np.delete(poses_3d, H36M.index("nose"), axis=1)[..., :2], poses_3d


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A working directory with the demo weights and a folder of two photos."""
    folder = tmp_path_factory.mktemp("python")
    (folder / "stitched" / "pretrained").mkdir(parents=True)
    (folder / DEMO_WEIGHTS).symlink_to(ROOT / DEMO_WEIGHTS)
    (folder / "my_photos").mkdir()
    for name, photo in zip("ab", arrays(2, 3)[0], strict=True):
        save_image(folder / "my_photos" / f"{name}.jpg", photo)
    return folder


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """The user's arrays, by the names that the page gives them; what the blocks make is added."""
    photos, joints, poses_2d, poses_3d = arrays(6, 0)
    other_photos, other_joints, other_2d, other_3d = arrays(4, 1)
    return {
        "photo": photos[0], "photos": photos, "joints": joints, "poses_2d": poses_2d, "poses_3d": poses_3d,
        "other_photos": other_photos, "other_joints": other_joints, "other_2d": other_2d, "other_3d": other_3d,
        "predicted_joints": np.nan_to_num(other_joints) + 1, "head_boxes": np.array([[[10, 10], [40, 50]]] * 4, float),
        "world": np.random.default_rng(2).normal(0, 300, (5, 17, 3)),
        "poses_world": poses_3d, "other_world": other_3d,
    }  # fmt: skip


@pytest.fixture
def run(place, names, monkeypatch):
    """`run(block)`: the names after the block. The logger and the allocator stay as they were for other tests."""
    monkeypatch.chdir(place)
    monkeypatch.setattr(allocator, "keep_large_blocks", lambda: False)
    level = logger().level

    def run_block(code: str) -> dict[str, Any]:
        exec(compile(code, PAGE, "exec"), names)
        return names

    yield run_block
    logger().setLevel(level)


@pytest.fixture
def run_section(run):
    def run_blocks(title: str) -> dict[str, Any]:
        for block in blocks_by_title()[title]:
            found = run(block)
        return found

    return run_blocks


def test_blocks_are_short():
    for block in blocks_of(PAGE):
        lines = [line for line in block.splitlines() if line and not line.startswith(("from ", "import "))]
        assert len(lines) <= LONGEST_BLOCK, block
        assert all(len(line) <= 120 for line in lines), block


def test_all_in_ten_lines(run_section, place):
    found = run_section("Python calls")
    assert (place / "model_checkpoints" / "people_default" / "log.txt").is_file()
    assert found["lifted"].shape == (80, 17, 3)
    assert isinstance(found["lifted"], np.ndarray)
    assert set(found["results"].joints) == {"a.jpg", "b.jpg"}
    assert found["joints_of_a"].shape == (1, 16, 2)
    assert found["picture"].dtype == np.uint8
    assert found["percent"] == 100
    assert 0 < found["mm"] < 2000


def test_poses_in_photos(run_section, place):
    found = run_section("Poses in photos")
    poses, results = found["poses"], found["results"]
    shapes = [part.shape for part in poses]
    assert shapes == [(1, 16, 2), (1, 16), (1, 17, 3), (1, 4), (1,)]
    assert poses.boxes.tolist() == [[10, 5, 90, 110]]
    assert results.joints["a.jpg"].shape == (1, 16, 2)
    assert results.joints_3d["b.jpg"].shape == (1, 17, 3)
    assert results.metas["a.jpg"]["boxes"].shape == (1, 4)
    assert place / "out" / "2d_pose_estimations.pt" in [place / path for path in found["files"]]
    assert all((place / path).is_file() for path in found["files"])


def test_an_hourglass(run_section):
    found = run_section("Training an hourglass")
    assert 0 <= found["averages"]["PCKh@0.5"] <= 100
    assert not found["hourglass"].training
    assert [maps.shape for maps in found["heatmaps"]] == [(2, 16, 64, 64)]
    (maps,) = found["hourglass"](found["crops"].numpy() - found["hourglass"].mean.numpy()[:, None, None])
    np.testing.assert_allclose(maps, found["heatmaps"][0].numpy(), atol=1e-5)
    assert found["places"].shape == (2, 16, 2)


def test_a_lifter_and_scores(run_section):
    found = run_section("Training a lifter")
    assert found["averages"]["MPJPE"] > 0
    assert found["lifted"].shape == (80, 17, 3)
    assert found["lifter"](torch.zeros(2, 32)).shape == (2, 51)
    assert isinstance(found["lifter"](np.zeros((2, 32))), np.ndarray)
    found = run_section("Scores")
    assert found["sizes"].tolist() == [30] * 4
    assert set(found["table"]) == {"PCKh@0.5", "PCKh@0.1", "AUC"}
    assert found["table"]["PCKh@0.5"]["mean"] == 100
    assert found["p_mpjpe"](found["predicted"], found["truth"]) < found["mpjpe"](found["predicted"], found["truth"])


def test_drawing_after_poses_in_photos(run, run_section, place):
    run(blocks_by_title()["Poses in photos"][0])
    found = run_section("Drawing")
    assert found["picture"].shape[2] == 3
    assert found["panel"].shape == (480, 420, 3)
    assert (place / "pose.jpg").is_file()
    assert (place / "pose_3d.png").is_file()


def test_cameras(run_section, names):
    before = names["world"]
    found = run_section("Cameras")
    assert found["pixels"].shape == (5, 17, 2)
    np.testing.assert_allclose(found["world"], before, atol=1e-6)


def test_generated_poses(run_section):
    assert run_section("Generating poses")["generated"].shape == (5, 17, 3)


def test_messages(run_section, capsys):
    run_section("Messages, cache, memory")
    logger().warning("not shown")
    assert not logging.getLogger("human_pose").isEnabledFor(logging.WARNING)
    assert "not shown" not in capsys.readouterr().err


def test_readme(run, place):
    (block,) = blocks_of("README.md")
    poses = run(block)["poses"]
    assert poses.joints_3d.shape == (1, 17, 3)
    assert poses.boxes.tolist() == [[40, 20, 180, 400]]


def test_every_section_with_code_has_a_test():
    tested = set(re.findall(r'(?:run_section\(|blocks_by_title\(\)\[)"([^"]+)"', Path(__file__).read_text()))
    assert tested == {title for title, blocks in blocks_by_title().items() if blocks}
