"""Smoothing the people of a video, with and without 3D poses."""

import pytest
import torch

from utils.predictions.jitter import jitter
from utils.predictions.pose_results import PoseResults
from utils.predictions.smoothed_people import smooth_people
from utils.predictions.smoothing import zero_phase
from utils.transform import MPII

FRAMES, RATE, GONE = 12, 25, 4  # person 7 is missing in frame 4; person 3 comes in frame 6
NAMES = [f"clip/{number:06d}" for number in range(FRAMES)]


def lift(joints):
    """Stands in for a lifter: every coordinate is x of the first 2D joint."""
    return joints[:, :1, :1].expand(-1, 17, 3).clone()


def results(with_3d: bool) -> PoseResults:
    """Person 7 walks to the right with noise; person 3 stands. Frame `GONE` has nobody."""
    generator = torch.Generator().manual_seed(0)
    body = 40 * torch.randn(16, 2, generator=generator)
    found = PoseResults(MPII, image_kind="frame")
    for frame, name in enumerate(NAMES):
        tracks = [track for track in (3, 7) if (track == 3 and frame >= 6) or (track == 7 and frame != GONE)]
        joints = torch.stack(
            [body + (3 * frame if track == 7 else 300) + torch.randn(16, 2, generator=generator) for track in tracks]
            or [torch.empty(16, 2)]
        )[: len(tracks)]
        boxes = torch.cat([joints.amin(1), joints.amax(1)], -1)
        meta = {"time": frame / RATE, "tracks": tracks, "boxes": boxes, "box_scores": torch.ones(len(tracks))}
        more = (lift(joints),) if with_3d else ()
        found.add(name, meta, joints, torch.full((len(tracks), 16), 0.5), *more)
    return found


@pytest.mark.parametrize("with_3d", [False, True])
def test_each_person_is_smoothed_along_their_track(with_3d):
    raw, smooth = results(with_3d), results(with_3d)
    line = smooth_people(smooth, "zero_phase", lift if with_3d else None)
    assert line.startswith("smoothed by zero_phase: 1 pose filled in gaps of up to 0.5 s, ")
    expected = [[7] if frame < 6 else [3, 7] for frame in range(FRAMES)]
    assert [meta["tracks"] for meta in smooth.metas.values()] == expected
    assert bool(smooth.joints_3d) == with_3d
    for frame, name in enumerate(NAMES):
        meta, joints = smooth.metas[name], smooth.joints[name]
        assert joints.dtype == torch.float32
        assert joints.isfinite().all()
        assert meta["filled"] == [frame == GONE and track == 7 for track in expected[frame]]
        assert ("raw_joints_3d" in meta) == with_3d
        assert meta["scores"].equal(smooth.scores[name])
        assert meta["boxes"].shape == (len(joints), 4)
        if frame == GONE:
            assert meta["raw_joints"].isnan().all()
        else:
            assert meta["raw_joints"].equal(raw.joints[name])
            assert not joints.equal(raw.joints[name])

    standing = [torch.stack([found.joints[name][0] for name in NAMES[6:]]) for found in (smooth, raw)]
    assert jitter(standing[:1])[0] < jitter(standing[1:])[0] / 2
    if with_3d:  # the smoothed 2D poses are lifted again, then smoothed in 3D
        times = torch.arange(6, FRAMES).double() / RATE
        found = torch.stack([smooth.joints_3d[name][0] for name in NAMES[6:]])
        torch.testing.assert_close(found, zero_phase(lift(standing[0]).double(), times).float(), rtol=0, atol=1e-3)


def test_a_video_of_nobody():
    found = PoseResults(MPII, image_kind="frame")
    meta = {"time": 0.0, "tracks": [], "boxes": torch.empty(0, 4), "box_scores": torch.empty(0)}
    found.add("clip/000000", meta, torch.empty(0, 16, 2), torch.empty(0, 16))
    assert "0 poses filled" in smooth_people(found, "one_euro")
    assert found.joints["clip/000000"].shape == (0, 16, 2)
    assert found.metas["clip/000000"]["raw_joints"].shape == (0, 16, 2)
