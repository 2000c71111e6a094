"""`run.py stitched_mpii` on videos and cameras: tracks, absolute and smoothed poses, parts of a video, Ctrl-C."""

import json
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from stitched_runs import poses, write_video
from tiny_checkpoints import SMALL, hourglass_file, stitched_file

from utils.imaging import camera_source
from utils.imaging.image_sources import open_source
from utils.predictions.prediction_files import load_metas

SHOWN_SCRIPTS = [("run", "stitched_mpii"), ("run", "stitched_h36m")]


def test_people_of_a_video_are_followed(run, tmp_path):
    """Two people in changing order; the left one is missing in one frame, and a third one appears."""
    clip = write_video(tmp_path / "clip.avi", 4)
    left, right, new = [20, 20, 60, 150], [200, 20, 60, 150], [120, 20, 60, 150]
    found = [[right, left], [right], [left, new, right], [new, right, left]]
    boxes = {f"clip/{number:06d}": frame for number, frame in enumerate(found)}
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    result = run(clip, "--person_box", tmp_path / "boxes.json").succeeded()
    out = tmp_path / "out"
    metas = load_metas(out / "metas.pt")
    assert list(metas) == list(poses(out)) == [f"clip/{number:06d}" for number in range(4)]
    assert [meta["tracks"] for meta in metas.values()] == [[0, 1], [1], [0, 1, 2], [0, 1, 2]]
    assert [meta["boxes"][:, 0].tolist() for meta in metas.values()] == [
        [19.5, 199.5], [199.5], [19.5, 199.5, 119.5], [19.5, 199.5, 119.5],
    ]  # fmt: skip
    assert all((meta["fps"], meta["size"]) == (12.5, [320, 240]) for meta in metas.values())
    assert [meta["time"] for meta in metas.values()] == pytest.approx([0, 0.08, 0.16, 0.24])
    records = json.loads((out / "predictions.json").read_text())
    assert [(record["image"][-1], record["track"]) for record in records] == [
        (str(number), track) for number, meta in enumerate(metas.values()) for track in meta["tracks"]
    ]
    joints = poses(out, "2d_pose_estimations")
    for name, meta in metas.items():
        assert poses(out)[name].shape == (len(meta["tracks"]), 17, 3)
        middles = (meta["boxes"][:, :2] + meta["boxes"][:, 2:]) / 2
        assert ((joints[name] - middles[:, None]).abs() <= 1.25 * 150 / 2 + 1).all(), "each in its own crop"
    assert f"python viz.py video --img_dir {clip} " in result.out


@pytest.mark.parametrize(  # of one checkpoint as of two
    "script", ["hourglass_mpii", "stitched_mpii", pytest.param("whole", marks=pytest.mark.long)]
)
def test_attention_sees_the_frames_before(run, networks, tmp_path, script):
    """A frame of a video, and the same one as the first of a part: its person's history is empty there."""
    attention = {"add_attention": True, "attention_history_length": 2}
    hourglass = hourglass_file(tmp_path / "hourglass.pth.tar", architecture=replace(SMALL, **attention))
    content = torch.load(hourglass, weights_only=True)
    content["state_dict"]["attention.0.gain"].fill_(5.0)
    torch.save(content, hourglass)
    load = {
        "hourglass_mpii": ("--load", hourglass),
        "stitched_mpii": ("--load_hourglass", hourglass, *networks[2:]),
        "whole": ("--load", stitched_file(tmp_path / "stitched.pth.tar", hourglass, networks[3])),
    }[script]
    clip = write_video(tmp_path / "clip.avi", 3)

    def scores(out: str, *more: object) -> torch.Tensor:
        script_name = "stitched_mpii" if script == "whole" else script
        run(clip, "--person_box", "whole", *more, script=script_name, load=load, out=out).succeeded()
        return load_metas(tmp_path / out / "metas.pt")["clip/000001"]["scores"]

    part, again = scores("part", "--start", 0.08), scores("again", "--start", 0.08, "--max_frames", 1)
    torch.testing.assert_close(part, again)
    assert not torch.allclose(scores("whole"), part, atol=1e-3)


@pytest.mark.shows("absolute", "focal")
def test_absolute_poses_are_relative_poses_plus_the_root(run, tmp_path):
    clip = write_video(tmp_path / "clip.avi", 3)
    run(clip, "--person_box", "whole", out="relative").succeeded()
    result = run(clip, "--person_box", "whole", "--absolute", "--focal", 400).succeeded()
    assert "focal length of 3 frames: 400 px (--focal)" in result.out
    assert "camera at the origin" in result.out
    for name, meta in load_metas(tmp_path / "out/metas.pt").items():
        assert (meta["root"], meta["focal"]) == ("camera", 400)
        moved = poses(tmp_path / "out")[name] - poses(tmp_path / "relative")[name]
        torch.testing.assert_close(moved, meta["root_positions"][:, None].expand_as(moved).float(), rtol=1e-3, atol=0.5)
        assert meta["root_positions"][0, 2] >= 300
    assert "a view of 55 degrees is assumed" in run(clip, "--person_box", "whole", "--absolute").succeeded().out
    assert "--focal has no effect without --absolute" in run(clip, "--focal", 400).refusal()


@pytest.mark.parametrize("method", ["one_euro", "zero_phase"])
@pytest.mark.shows("smooth")
def test_smoothing_keeps_the_raw_poses_and_fills_short_gaps(run, tmp_path, method):
    clip = write_video(tmp_path / "clip.avi", 5)
    boxes = {f"clip/{number:06d}": [] if number == 2 else [[20 + number, 20, 60, 150]] for number in range(5)}
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    run(clip, "--person_box", tmp_path / "boxes.json", out="raw").succeeded()
    result = run(clip, "--person_box", tmp_path / "boxes.json", "--smooth", method).succeeded()
    assert f"smoothed by {method}: 1 pose filled in gaps of up to 0.5 s" in result.out
    out, metas = tmp_path / "out", load_metas(tmp_path / "out/metas.pt")
    assert [meta["tracks"] for meta in metas.values()] == [[0]] * 5
    assert [meta["filled"] for meta in metas.values()] == [[number == 2] for number in range(5)]
    for kind, key in (("2d_pose_estimations", "raw_joints"), ("3d_pose_estimations", "raw_joints_3d")):
        raw, smooth = poses(tmp_path / "raw", kind), poses(out, kind)
        for number, (name, meta) in enumerate(metas.items()):
            assert smooth[name].isfinite().all()
            if number == 2:
                assert meta[key].isnan().all()
            else:
                torch.testing.assert_close(meta[key], raw[name], rtol=1e-3, atol=0.1)
    assert len(json.loads((out / "predictions.json").read_text())) == 5
    assert "--smooth one_euro: only for a video or a camera" in run(tmp_path, "--smooth", "one_euro").refusal()


@pytest.mark.parametrize(
    ("chosen", "frames"),
    [
        pytest.param(("--max_frames", 2), (0, 1), marks=pytest.mark.shows("max_frames")),
        pytest.param(
            ("--start", 0.16, "--every", 2, "--end", 0.4), (2, 4), marks=pytest.mark.shows("start", "every", "end")
        ),
    ],
)
def test_some_frames_of_a_video(run, tmp_path, chosen, frames):
    result = run(write_video(tmp_path / "clip.avi", 7), *chosen, "--draw", "--person_box", "whole").succeeded()
    assert result.warnings() == []
    assert list(poses(tmp_path / "out")) == [f"clip/{number:06d}" for number in frames]
    source = open_source(tmp_path / "out/pictures/clip.mp4")
    assert source.times == pytest.approx([0, 0.08 * (frames[1] - frames[0])], abs=1e-3)


def test_a_video_with_nobody_is_not_drawn(run, tmp_path):
    result = run(write_video(tmp_path / "clip.avi", 2), "--person_box", "hog", "--draw").succeeded()
    assert "no person was found, so nothing is drawn" in result.out
    assert not (tmp_path / "out/pictures").exists()


def test_a_truncated_video_gives_the_readable_frames(run, tmp_path):
    whole = write_video(tmp_path / "whole.avi", 20).read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) // 2])
    [warning] = run(tmp_path / "cut.avi", "--person_box", "whole").warnings()
    count = len(poses(tmp_path / "out"))
    assert f"cut.avi ends early: it declares 20 frames, {count} were readable" in warning
    assert 0 < count < 20


def test_a_camera_runs_until_ctrl_c(run, tmp_path, monkeypatch):
    class Camera:
        def __init__(self):
            self.pictures = 0

        def read(self):
            self.pictures += 1
            if self.pictures == 3:
                signal.raise_signal(signal.SIGINT)
            return True, np.full((48, 64, 3), self.pictures, np.uint8)

        def isOpened(self):
            return True

        def get(self, _):
            return 30.0

        def release(self):
            pass

    monkeypatch.setattr(camera_source, "_open_capture", lambda index: Camera())
    result = run(0, "--person_box", "whole").succeeded()
    metas = load_metas(tmp_path / "out/metas.pt")
    assert list(metas) == [f"camera_0/{number:06d}" for number in range(3)]
    assert all(meta["tracks"] == [0] and meta["size"] == [64, 48] for meta in metas.values())
    assert len({meta["fps"] for meta in metas.values()}) == 1
    assert "viz.py" not in result.out, "the frames of a camera are not stored"
    run(0, "--max_frames", 2, out="two").succeeded()
    assert len(poses(tmp_path / "two")) == 2
