"""scripts/measure_views.py: triangulation by hand, and errors of views whose truth is known."""

from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import ROOT, call_script, load_script

from utils.camera_utils import Camera
from utils.predictions.pose_results import PoseResults
from utils.transform import H36M, MPII

measure_views = load_script("scripts", "measure_views")
LIMBS, triangulate = measure_views.LIMBS, measure_views.triangulate
CALIBRATION = ROOT.parent / "shared/data/clips/four_cameras/Calib.qca.txt"
FRAMES = 3


def camera(angle: float, name: str) -> Camera:
    """3.4 m from the world's origin, at height 1.5 m, looking at it, with slight distortion."""
    away = torch.tensor([np.sin(angle), -np.cos(angle), 0.5], dtype=torch.float64)
    forward = -away / away.norm()
    right = torch.linalg.cross(forward, torch.tensor([0.0, 0, 1], dtype=torch.float64))
    right = right / right.norm()
    rotation = torch.stack([right, torch.linalg.cross(forward, right), forward])
    lens = {"f": [1600, 1610], "c": [540, 960], "k": [-0.05, 0.1, 0], "p": [0, 0]}
    lens = {key: torch.tensor(value, dtype=torch.float64) for key, value in lens.items()}
    return Camera(R=rotation, T=3000 * away, name=name, **lens)


CAMERAS = {f"cam{number}": camera(angle, f"cam{number}") for number, angle in enumerate((0, 1.4, 2.9, 4.5))}


def project(points: torch.Tensor) -> torch.Tensor:
    return torch.stack([one.project(one.world_to_camera(points)) for one in CAMERAS.values()])


@pytest.fixture
def points() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 200 * torch.randn(FRAMES, len(LIMBS), 3, dtype=torch.float64, generator=generator)


def test_exact_images_give_the_points(points):
    images = project(points)
    found = triangulate(images, torch.ones(images.shape[:-1]), [*CAMERAS.values()], agree=1.0)
    torch.testing.assert_close(found.points, points, rtol=0, atol=0.05)
    assert (found.views == 4).all()
    assert found.error.max() < 0.05


def test_a_wrong_and_a_missing_view_do_no_harm(points):
    images = project(points)
    images[0, 0] += 300.0
    images[1, 1] = torch.nan
    found = triangulate(images, torch.ones(images.shape[:-1]), [*CAMERAS.values()], agree=5.0)
    torch.testing.assert_close(found.points, points, rtol=0, atol=0.05)
    assert (found.views[0] == 3).all()
    assert (found.views[1] == 3).all()
    assert (found.views[2] == 4).all()


def test_confident_views_count_more(points):
    images = project(points)
    images[0] += 4.0
    errors = []
    for weight in (1.0, 0.1):
        weights = torch.ones(images.shape[:-1])
        weights[0] = weight
        found = triangulate(images, weights, [*CAMERAS.values()], agree=1000.0)
        errors.append(torch.linalg.vector_norm(found.points - points, dim=-1).mean())
    assert errors[1] < errors[0] / 5


def save_view(folder: Path, one: Camera, points: torch.Tensor, offset: float) -> None:
    """What run.py stitched_mpii writes; the 3D pose's first joint is `offset` mm off, all others are exact."""
    seen = one.world_to_camera(points)
    hips = [LIMBS.index("l_hip"), LIMBS.index("r_hip")]
    solid = torch.zeros(FRAMES, 1, len(H36M), 3)
    solid[:, 0, H36M.indices(LIMBS)] = (seen - seen[:, hips].mean(1, keepdim=True)).float()
    solid[:, 0, H36M.indices(LIMBS[:1]), 0] += offset
    flat = torch.zeros(FRAMES, 1, len(MPII), 2)
    flat[:, 0, MPII.indices(LIMBS)] = one.project(seen).float()
    results = PoseResults(MPII, 0.0)
    box = {"size": [1080, 1920], "boxes": torch.zeros(1, 4), "box_scores": torch.ones(1)}
    for frame in range(FRAMES):
        results.add(f"clip/{frame:06d}", dict(box), flat[frame], torch.ones(1, len(MPII)), solid[frame])
    results.save(folder)


def attributes(names: str, values) -> str:
    return " ".join(f'{name}="{float(value)!r}"' for name, value in zip(names.split(), values, strict=True))


def write_qca(path: Path) -> None:
    lines = []
    for one in CAMERAS.values():
        rotation = measure_views.FROM_QUALISYS @ one.R.numpy()  # the flip is its own inverse
        turn = attributes("r11 r12 r13 r21 r22 r23 r31 r32 r33 x y z", [*rotation.flat, *one.T])
        names = "focalLengthU focalLengthV centerPointU centerPointV radialDistortion1 radialDistortion2 "
        names += "radialDistortion3 tangentalDistortion1 tangentalDistortion2"
        lens = attributes(names, [*(one.f * 64), *((one.c + 0.5) * 64), *one.k, *one.p])
        lines.append(f'<camera serial="{one.name}"><transform {turn}/><intrinsic {lens}/></camera>')
    path.write_text(f"<calibration><cameras>{''.join(lines)}</cameras></calibration>")


def test_errors_of_views_whose_truth_is_known(points, tmp_path):
    write_qca(tmp_path / "calibration.txt")
    for number, (name, one) in enumerate(CAMERAS.items()):
        save_view(tmp_path / name, one, points, offset=12.0 * number)
    views = [tmp_path / name for name in CAMERAS]
    argv = ("--calibration", tmp_path / "calibration.txt", "--views", *views, "--agree", 2)
    first, *lines = call_script(measure_views, *argv).succeeded().out.splitlines()
    assert first.startswith("100.0% of the limb joints triangulated by at least 3 views that agree within 2 px")
    assert len(lines) == len(CAMERAS)
    for number, line in enumerate(lines):
        assert line.startswith(f"cam{number}: MPJPE {number:.1f} mm")  # 12 mm at one of 12 joints
        assert f"{FRAMES} frames" in line
        assert "median 2D error 0.0 px" in line


def test_refusals(tmp_path):
    def refusal(*argv: object) -> str:
        return call_script(measure_views, *argv).last_error()

    (tmp_path / "bad.txt").write_text("<calibration><cameras><camera serial='a'/></cameras></calibration>")
    assert "bad.txt: not a Qualisys calibration" in refusal("--calibration", tmp_path / "bad.txt", "--views", "a")
    write_qca(tmp_path / "good.txt")
    good = "--calibration", tmp_path / "good.txt", "--views"
    assert "no camera elsewhere; the calibration has cam0, cam1" in refusal(*good, tmp_path / "elsewhere")
    assert "2 given, expected at least 3" in refusal(*good, tmp_path / "cam0", tmp_path / "cam1")


def test_the_real_cameras_look_at_one_place():
    if not CALIBRATION.is_file():
        pytest.skip("../shared/data is not here")
    cameras = [*measure_views.read_qca(CALIBRATION).values()]
    axes = torch.stack([one.R[2] for one in cameras])
    across = torch.eye(3, dtype=torch.float64) - axes[:, :, None] * axes[:, None, :]
    centers = torch.stack([one.T for one in cameras])
    centre = torch.linalg.solve(across.sum(0), (across @ centers[..., None]).sum(0)[:, 0])
    distance = torch.linalg.vector_norm((across @ (centre - centers)[..., None])[..., 0], dim=-1)
    assert distance.max() < 150  # mm, of 3.5 m
    assert all(one.world_to_camera(centre)[2] > 3000 for one in cameras)
