import json
import math
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.camera_utils import (
    CAMERA_NAMES,
    TENSOR_SHAPES,
    Camera,
    find_camera_table,
    get_camera,
    read_cameras,
    read_cameras_h5,
    read_cameras_json,
    read_cameras_xml,
    stack_cameras,
    write_cameras_h5,
)
from utils.osutils import UserError

SAMPLE = Path("../shared/data/h36m_sample")
SUBJECTS = (1, 5, 6, 7, 8, 9, 11)


def camera(angle=0.0, position=(0.0, 0.0, 0.0), dtype=torch.float64, name="", **changes):
    """A camera turned by `angle` about z, without distortion unless the changes say so."""
    cos, sin = math.cos(angle), math.sin(angle)
    values = {
        "R": [[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]],
        "T": position,
        "f": [1000.0, 1100.0],
        "c": [500.0, 510.0],
        "k": [0.0, 0.0, 0.0],
        "p": [0.0, 0.0],
    } | changes
    return Camera(**{key: torch.tensor(value, dtype=dtype) for key, value in values.items()}, name=name)


def distorted(seed=0, dtype=torch.float64):
    """A camera like Human3.6M's, 5 m from the origin, looking at it."""
    drawn = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=drawn, dtype=torch.float64)).Q
    return Camera(
        R=rotation,
        T=-5000 * rotation[2],
        f=torch.tensor([1145.0, 1143.8], dtype=torch.float64),
        c=torch.tensor([512.5, 515.4], dtype=torch.float64),
        k=torch.tensor([-0.207, 0.247, -0.003], dtype=torch.float64),
        p=torch.tensor([-0.0014, -0.00097], dtype=torch.float64),
        name=f"camera {seed}",
    ).to(dtype)


@pytest.fixture
def sample():
    if not SAMPLE.is_dir():
        pytest.skip("../shared/data is not here")
    return SAMPLE


# the camera itself


def test_a_point_goes_to_the_camera_frame_and_back_by_hand():
    turned = camera(math.pi / 2, (10.0, 20.0, 30.0))
    point = torch.tensor([11.0, 22.0, 33.0], dtype=torch.float64)
    expected = torch.tensor([-2.0, 1.0, 3.0], dtype=torch.float64)  # a quarter turn takes (1, 2) to (-2, 1)
    torch.testing.assert_close(turned.world_to_camera(point), expected)
    torch.testing.assert_close(turned.camera_to_world(expected), point)


def test_projection_without_distortion_by_hand():
    pixels = camera().project(torch.tensor([[200.0, -100.0, 2000.0]], dtype=torch.float64))
    assert pixels.tolist() == [[1000 * 0.1 + 500, 1100 * -0.05 + 510]]


def test_projection_with_distortion_by_hand():
    # x = 0.2, y = -0.1: r² = 0.05, and every coefficient shows in the result with a size of its own.
    bent = camera(k=[0.5, 10.0, 400.0], p=[0.3, 0.7])
    factor = 1 + 0.5 * 0.05 + 10 * 0.05**2 + 400 * 0.05**3 + 0.3 * -0.1 + 0.7 * 0.2
    expected = [
        1000 * (0.2 * factor + 0.7 * 0.05) + 500,
        1100 * (-0.1 * factor + 0.3 * 0.05) + 510,
    ]
    pixels = bent.project(torch.tensor([600.0, -300.0, 3000.0], dtype=torch.float64))
    assert pixels.tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("depth", [0.0, -1.0, -2000.0])
def test_a_point_behind_the_camera_has_no_pixels_and_no_gradient(depth):
    points = torch.tensor([[10.0, 20.0, depth], [10.0, 20.0, 1000.0]], requires_grad=True)
    pixels = camera(dtype=torch.float32).project(points)
    assert pixels.isnan().tolist() == [[True, True], [False, False]]
    pixels[1].sum().backward()
    assert points.grad[0].tolist() == [0, 0, 0]
    assert points.grad[1].isfinite().all()


def test_gradients_to_points_and_camera_are_right():
    seen = distorted()
    # Spread so wide that r⁶ matters too.
    points = 1500 * torch.randn(2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    names = list(TENSOR_SHAPES)

    def pixels(points, *tensors):
        moved = Camera(**dict(zip(names, tensors, strict=True)))
        back = moved.camera_to_world(moved.world_to_camera(points))
        return moved.project(moved.world_to_camera(back))

    inputs = [tensor.clone().requires_grad_() for tensor in (points, *(getattr(seen, name) for name in names))]
    assert torch.autograd.gradcheck(pixels, inputs, eps=1e-5, atol=1e-5, rtol=1e-5)


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.floats(0.1, 10_000))
def test_world_to_camera_and_back_is_the_identity(seed, size):
    points = size * torch.randn(4, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    seen = distorted(seed)
    back = seen.camera_to_world(seen.world_to_camera(points))
    torch.testing.assert_close(back, points, rtol=0, atol=1e-8)
    # A rigid motion keeps distances.
    moved = seen.world_to_camera(points)
    torch.testing.assert_close((moved[0] - moved[1]).norm(dim=-1), (points[0] - points[1]).norm(dim=-1))


def test_a_stacked_batch_equals_a_camera_at_a_time():
    cameras = [distorted(seed) for seed in range(3)]
    stacked = stack_cameras(cameras)
    points = 400 * torch.randn(3, 17, 3, dtype=torch.float64)
    in_camera = stacked.world_to_camera(points)
    assert in_camera.shape == (3, 17, 3)
    for i, single in enumerate(cameras):
        torch.testing.assert_close(in_camera[i], single.world_to_camera(points[i]))
        torch.testing.assert_close(stacked.project(in_camera)[i], single.project(in_camera[i]))
        torch.testing.assert_close(stacked.camera_to_world(in_camera)[i], points[i])


def test_stacked_cameras_are_indexed_by_sample_and_by_clip():
    cameras = [distorted(seed) for seed in range(3)]
    numbers = torch.tensor([2, 0, 2, 1])
    chosen = stack_cameras(cameras)[numbers]
    points = 400 * torch.randn(4, 5, 17, 3, dtype=torch.float64)
    clip = chosen[:, None].world_to_camera(points)
    assert clip.shape == points.shape
    for i, number in enumerate(numbers):
        torch.testing.assert_close(clip[i], cameras[number].world_to_camera(points[i]))
    # The same pose seen by all.
    assert stack_cameras(cameras).world_to_camera(points[0, 0]).shape == (3, 17, 3)


def test_one_camera_takes_points_of_any_shape():
    points = 400 * torch.randn(2, 3, 4, 3, dtype=torch.float64)
    seen = distorted()
    pixels = seen.project(seen.world_to_camera(points))
    assert pixels.shape == (2, 3, 4, 2)
    torch.testing.assert_close(seen.project(seen.world_to_camera(points[1, 2, 3])), pixels[1, 2, 3])


def test_single_precision_stays_single_and_agrees_with_double():
    points = 400 * torch.randn(10, 17, 3, dtype=torch.float64)
    double, single = distorted(), distorted(dtype=torch.float32)
    pixels = single.project(single.world_to_camera(points.float()))
    assert pixels.dtype == torch.float32
    assert (pixels - double.project(double.world_to_camera(points))).abs().max() < 1e-2
    assert double.world_to_camera(points.float()).dtype == torch.float64


def test_autocast_does_not_round_millimetres():
    points = 400 * torch.randn(10, 17, 3)
    single = distorted(dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = single.project(single.world_to_camera(points))
    assert torch.equal(inside, single.project(single.world_to_camera(points)))


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"T has shape \(3, 1\)"):
        camera(position=[[1.0], [2.0], [3.0]])
    with pytest.raises(ValueError, match="points have shape"):
        camera().project(torch.zeros(4, 2))
    with pytest.raises(ValueError, match="up to 1 leading"):
        stack_cameras([camera(), camera()]).world_to_camera(torch.zeros(2, 5, 17, 3))
    with pytest.raises(ValueError, match="no cameras"):
        stack_cameras([])
    with pytest.raises(TypeError, match="stack_cameras"):
        camera()[0]


# camera tables


def assert_same_cameras(table, other, subjects):
    for key in ((subject, number) for subject in subjects for number in (1, 2, 3, 4)):
        assert table[key].name == other[key].name == CAMERA_NAMES[key[1] - 1]
        for name in TENSOR_SHAPES:
            torch.testing.assert_close(getattr(table[key], name), getattr(other[key], name), rtol=1e-12, atol=1e-9)


def write_json(path, table):
    """The public form, made from a table: t = −R T, distortion in OpenCV's order."""
    first = {cam.name: cam for cam in table.values()}
    intrinsics = {
        name: {
            "calibration_matrix": torch.cat([torch.cat([cam.f.diag(), cam.c[:, None]], 1), torch.eye(3)[2:]]).tolist(),
            "distortion": [*cam.k[:2].tolist(), *cam.p.tolist(), cam.k[2].item()],
        }
        for name, cam in first.items()
    }  # fmt: skip
    extrinsics = {}
    for (subject, _), cam in table.items():
        subject_cameras = extrinsics.setdefault(f"S{subject}", {})
        subject_cameras[cam.name] = {"R": cam.R.tolist(), "t": (-cam.R @ cam.T)[:, None].tolist()}
    path.write_text(json.dumps({"intrinsics": intrinsics, "extrinsics": extrinsics}))


def small_table():
    return {
        (subject, number): camera(0.1 * number, (subject, 20.0, 30.0), k=[1, 2, 3], p=[4, 5], name=name)
        for subject in (1, 11)
        for number, name in enumerate(CAMERA_NAMES, start=1)
    }


@pytest.mark.parametrize("write", [write_cameras_h5, write_json])
def test_a_written_table_is_read_back(tmp_path, write):
    path = tmp_path / ("cameras.h5" if write is write_cameras_h5 else "camera-parameters.json")
    write(path, small_table())
    table = read_cameras(path)
    assert table.keys() == small_table().keys()
    assert_same_cameras(table, small_table(), (1, 11))
    assert find_camera_table(tmp_path) == path


def test_the_real_tables_hold_the_same_cameras(sample, tmp_path):
    from_h5, from_xml = read_cameras_h5(sample / "cameras.h5"), read_cameras_xml(sample / "metadata.xml")
    assert len(from_h5) == 40
    assert len(from_xml) == 44
    assert_same_cameras(from_xml, from_h5, SUBJECTS)
    write_json(tmp_path / "camera-parameters.json", from_h5)
    assert_same_cameras(read_cameras_json(tmp_path / "camera-parameters.json"), from_h5, SUBJECTS)


def test_the_real_table_agrees_with_published_numbers(sample):
    first = read_cameras_h5(sample / "cameras.h5")[1, 1]
    # What the public JSON gives as R (first row) and t for S1, 54138969.
    assert first.R[0].tolist() == pytest.approx([-0.91536173, 0.40180837, 0.02574754], abs=1e-7)
    assert (-first.R @ first.T).tolist() == pytest.approx([-346.05078, 546.98078, 5474.48109], abs=1e-4)


def test_the_real_camera_sees_the_true_joints(sample):
    table, poses = read_cameras_h5(sample / "cameras.h5"), np.load(sample / "poses.npz")
    keys = [(int(s), CAMERA_NAMES.index(n) + 1) for s, n in zip(poses["subject"], poses["camera"], strict=True)]
    cameras = stack_cameras(table[key] for key in keys)
    in_camera = cameras.world_to_camera(torch.from_numpy(poses["joints_3d_world_mm"]))
    assert (in_camera - torch.from_numpy(poses["joints_3d_camera_mm"])).abs().max() < 1e-6
    # To 1e-4 px; with OpenCV's tangential term (twice as large) it would be 0.2 px.
    assert (cameras.project(in_camera) - torch.from_numpy(poses["joints_2d"])).abs().max() < 1e-3


def test_a_missing_camera_is_named():
    with pytest.raises(UserError, match=r"cameras\.h5: no camera 3 of subject S5") as error:
        get_camera(small_table(), 5, 3, "cameras.h5")
    assert "\n" not in str(error.value)
    assert get_camera(small_table(), 11, 3, "cameras.h5").name == "58860488"


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def drop_a_part(path):
    with h5py.File(path, "a") as file:
        del file["subject1/camera2/k"]


def spoil_a_rotation(path):
    with h5py.File(path, "a") as file:
        file["subject1/camera2/R"][0, 0] += 1


def remove_the_subjects(path):
    with h5py.File(path, "a") as file:
        for subject in list(file):
            del file[subject]


@pytest.mark.parametrize("spoil", [truncate, drop_a_part, spoil_a_rotation, remove_the_subjects, Path.unlink])
def test_a_damaged_h5_table_is_one_line(tmp_path, spoil):
    path = tmp_path / "cameras.h5"
    write_cameras_h5(path, small_table())
    spoil(path)
    with pytest.raises(UserError, match=r"cameras\.h5: ") as error:
        read_cameras(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"extrinsics": {"S1": {"54138969": {}}}, "intrinsics": {}}', '{"extrinsics": {}}',
     '{"extrinsics": {"S1": {"7": {"R": 1}}}, "intrinsics": {"7": {"calibration_matrix": 1, "distortion": 2}}}'],
)  # fmt: skip
def test_a_damaged_json_table_is_one_line(tmp_path, text):
    (tmp_path / "camera-parameters.json").write_text(text)
    with pytest.raises(UserError, match=r"camera-parameters\.json: ") as error:
        read_cameras(tmp_path / "camera-parameters.json")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "<w0>[1 2 3]</w0>", "<w0>[1 two]</w0>", f"<w0>[{'1 ' * 150}", "<w0>[nan]</w0>"])
def test_a_damaged_xml_table_is_one_line(tmp_path, text):
    (tmp_path / "metadata.xml").write_text(text)
    with pytest.raises(UserError, match=r"metadata\.xml: ") as error:
        read_cameras(tmp_path / "metadata.xml")
    assert "\n" not in str(error.value)


def test_an_unknown_kind_of_table_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"one of cameras\.h5"):
        read_cameras(tmp_path / "cameras.pkl")
    assert find_camera_table(tmp_path) is None


# ------------------------------------------------------------------------------------------ arrays
@pytest.mark.parametrize("method", ["world_to_camera", "camera_to_world", "project"])
def test_arrays_in_give_arrays_out(method):
    values = {"R": np.eye(3), "T": [0.0, 0.0, -5000.0], "f": [1100.0, 1200.0], "c": [500.0, 510.0]}
    camera = Camera(**values, k=np.array([-0.2, 0.2, 0.0]), p=np.zeros(2))
    points = np.array([[[10.0, -20.0, 4000.0], [300.0, 200.0, 5000.0]]])
    result = getattr(camera.to(torch.float64), method)(points)
    assert isinstance(result, np.ndarray)
    expected = getattr(camera.to(torch.float64), method)(torch.from_numpy(points))
    assert isinstance(expected, torch.Tensor)
    np.testing.assert_array_equal(result, expected.numpy())
    with pytest.raises(TypeError, match="expected a numeric NumPy array or a tensor, got a list"):
        getattr(camera, method)([[1.0, 2.0, 3.0]])
    with pytest.raises(ValueError, match=r"points have shape \(5, 2\); this camera expects"):
        getattr(camera, method)(np.zeros((5, 2)))
