"""Absolute positions of people in photos: the focal length from EXIF, given, or assumed."""

import pytest
import torch
from PIL import Image

from twod_threed.absolute import assumed_focal
from twod_threed.absolute_people import EXIF_IFD, FOCAL_35MM, common_joints, place_people
from utils.predictions.pose_results import PoseResults
from utils.transform import H36M, MPII

SIZE, ROOT = (400, 300), torch.tensor([150.0, -200.0, 4000.0])


def write_photo(folder, name, exif_tags):
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD).update(exif_tags)
    Image.new("RGB", SIZE).save(folder / name, exif=exif)


def found_in(name, focal):
    """A person at `ROOT`, seen by a camera of this focal length in px."""
    pose = 300 * torch.randn(17, 3, generator=torch.Generator().manual_seed(0))
    pose -= pose[0].clone()
    joints, common = torch.full((1, 16, 2), torch.nan), common_joints(MPII)
    points = pose[H36M.indices(common)] + ROOT
    center = (torch.tensor(SIZE) - 1) / 2
    joints[0, MPII.indices(common)] = focal * points[:, :2] / points[:, 2:] + center
    results = PoseResults(MPII)
    results.add(name, {"size": list(SIZE)}, joints, torch.ones(1, 16), pose[None])
    return results


def test_the_focal_length_is_that_of_exif(tmp_path):
    """50 mm on film of 43.27 mm diagonal is 577.8 px on a photo of 500 px diagonal."""
    write_photo(tmp_path, "photo.jpg", {FOCAL_35MM: 50})
    results = found_in("photo.jpg", 50 / 43.27 * 500)
    assert "focal length of 1 photo: EXIF (50 mm on 35 mm film)" in place_people(results, tmp_path, None)
    meta = results.metas["photo.jpg"]
    assert meta["focal"] == pytest.approx(577.8, abs=0.05)
    assert (meta["focal_source"], meta["root"]) == ("EXIF (50 mm on 35 mm film)", "camera")
    torch.testing.assert_close(meta["root_positions"][0], ROOT, rtol=0, atol=1.0)
    torch.testing.assert_close(results.joints_3d["photo.jpg"][0, 0], ROOT, rtol=0, atol=1.0)


def test_a_given_focal_length_wins(tmp_path):
    write_photo(tmp_path, "photo.jpg", {FOCAL_35MM: 50})
    results = found_in("photo.jpg", 900.0)
    assert "1 photo: 900 px (--focal)" in place_people(results, tmp_path / "photo.jpg", 900.0)
    torch.testing.assert_close(results.metas["photo.jpg"]["root_positions"][0], ROOT, rtol=0, atol=1.0)


@pytest.mark.parametrize("tags", [{}, {FOCAL_35MM: 0}, {FOCAL_35MM: "wide"}])
def test_without_a_usable_tag_the_view_is_assumed(tmp_path, tags):
    write_photo(tmp_path, "photo.jpg", tags)
    results = found_in("photo.jpg", assumed_focal(SIZE))
    assert "a view of 55 degrees is assumed" in place_people(results, tmp_path, None)
    torch.testing.assert_close(results.metas["photo.jpg"]["root_positions"][0], ROOT, rtol=0, atol=1.0)


def test_damaged_exif_is_as_none(tmp_path):
    write_photo(tmp_path, "photo.jpg", {FOCAL_35MM: 50})
    content = (tmp_path / "photo.jpg").read_bytes()
    (tmp_path / "photo.jpg").write_bytes(
        content.replace(b"Exif\x00\x00II", b"Exif\x00\x00ZZ").replace(b"MM\x00*", b"ZZ\x00*")
    )
    assert "assumed" in place_people(found_in("photo.jpg", assumed_focal(SIZE)), tmp_path, None)
