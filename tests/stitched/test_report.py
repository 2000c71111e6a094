"""The page of `viz.py report`."""

import json

import cv2
import numpy as np
import pytest
import torch
from browser import CHROMIUM, WHY_NO_BROWSER, browser
from command_line import call
from predictions_folder import clip_folder, photo_folder
from standing_people import write_photo

from stitched.report import write_report
from utils.look.palette import contrast, luminance
from utils.predictions.prediction_files import load_metas, save_metas
from utils.transform import MPII


@pytest.fixture
def photos(tmp_path):
    """Three people, of whom the second has the lowest confidence; one photo without people."""
    photo_folder(tmp_path / "run")
    metas = load_metas(tmp_path / "run/metas.pt")
    metas["two.jpg"]["scores"] = torch.tensor([[0.5], [0.1]]).repeat(1, len(MPII))
    metas["sub/one.jpg"]["scores"][0, :4] = 0.0
    save_metas(tmp_path / "run/metas.pt", metas)
    for name in metas:
        write_photo(tmp_path / "my photos" / name)
    return tmp_path


def report(folder, *argv):
    return call("viz", "report", "--predictions", folder / "run", *argv, "--output_dir", folder / "page")


def content(folder):
    text = (folder / "page/report.html").read_text()
    return json.loads(text.partition('<script id="data" type="application/json">')[2].partition("</script>")[0])


def test_rows(photos):
    result = report(photos, "--img_dir", photos / "my photos", "--min_score", 0.2).succeeded()
    assert "3 rows" in result.out
    found = content(photos)
    assert found["joints"] == list(MPII.joints)
    assert sorted((row["image"], row["person"], row["unsure"]) for row in found["rows"]) == [
        ("sub/one.jpg", 0, 4), ("two.jpg", 0, 0), ("two.jpg", 1, 16),
    ]  # fmt: skip
    assert "3 poses; mean confidence 0.33; " in found["summary"]
    assert "unsure: below 0.20" in found["summary"]
    by_name = {(row["image"], row["person"]): row for row in found["rows"]}
    one = by_name["sub/one.jpg", 0]
    assert one["link"] == "../my%20photos/sub/one.jpg"
    assert one["scores"] == [0.0] * 4 + [0.5] * 12
    assert one["score"] == pytest.approx(0.375)


def test_scores_can_be_read_on_their_colours(photos):
    report(photos, "--img_dir", photos / "my photos").succeeded()
    pairs = [[tuple(bytes.fromhex(color[1:])) for color in pair] for pair in content(photos)["ramp"]]
    assert min(contrast(*pair) for pair in pairs) > 4
    grounds = [luminance(ground) for ground, _ in pairs]
    assert grounds == sorted(grounds)  # also in greyscale
    assert "COLORS" not in (photos / "page/report.html").read_text()  # the template's placeholder is filled in


def test_num_pictures_keeps_the_least_sure(photos):
    report(photos, "--img_dir", photos / "my photos", "--num_pictures", 1).succeeded()
    [row] = content(photos)["rows"]
    assert (row["image"], row["person"]) == ("two.jpg", 1)
    assert "the 1 least sure of them are here" in content(photos)["summary"]


def test_frames_link_to_their_time(tmp_path):
    clip_folder(tmp_path / "run")
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (320, 240))
    for _ in range(4):
        writer.write(np.zeros((240, 320, 3), np.uint8))
    writer.release()
    write_report(tmp_path / "run", tmp_path / "page", img_dir=tmp_path / "clip.avi")
    links = {row["image"]: row["link"] for row in content(tmp_path)["rows"]}
    assert links["clip/000003"] == "../clip.avi#t=0.120"


@pytest.mark.skipif(CHROMIUM is None, reason=WHY_NO_BROWSER)
def test_the_table_is_sorted_by_a_click(photos):
    report(photos, "--img_dir", photos / "my photos").succeeded()
    column = "[...$('rows').rows].map(row => row.cells[{}].textContent)"
    with browser() as page:
        page.open((photos / "page/report.html").as_uri())
        assert page.value(column.format(3)) == ["0.10", "0.38", "0.50"]
        page.value("$('head').cells[3].click()")
        assert page.value(column.format(3)) == ["0.50", "0.38", "0.10"]
        page.value("$('head').cells[1].click()")
        assert page.value(column.format(1)) == ["sub/one.jpg", "two.jpg", "two.jpg"]
        assert page.value("$('rows').rows[0].cells.length") == 5 + len(MPII)
        page.wait_for("[...document.images].every(one => one.complete && one.naturalWidth > 0)")
        assert page.errors == []
        assert not [address for address in page.requests if not address.startswith(("file:", "data:"))]


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (["--predictions", "{}/run", "{}/run"], "2 folders; expected one"),
        (["--predictions", "{}/runn"], "did you mean"),
        (["--img_dir", "{}/others"], "no pose is of an image in it"),
        ([], "--img_dir is required"),
    ],
)
def test_bad_input(photos, argv, part):
    write_photo(photos / "others/z.png")
    assert part in report(photos, *(text.format(photos) for text in argv)).refusal()
    assert not (photos / "page").exists()


def test_a_run_without_2d_poses_is_refused(photos):
    (photos / "run/2d_pose_estimations.pt").unlink()
    assert "no 2d_pose_estimations.pt" in report(photos, "--img_dir", photos / "my photos").refusal()
