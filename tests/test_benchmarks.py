"""The benchmarks run on tiny sizes and print tables, and what they compare computes the same. Speed is not checked."""

import re
from argparse import Namespace
from contextlib import nullcontext

import cv2
import numpy as np
import pytest
import torch
from command_line import ROOT, call_script, load_script
from PIL import Image

from stacked_hourglass.metrics import pckh
from stitched import SoftArgmax2D
from twod_threed.mpjpe import p_mpjpe
from twod_threed.normalisation import fit
from utils.human36m.actions import ACTIONS, TRAIN_SUBJECTS
from utils.human36m.files import find_sequences
from utils.human36m_dataset import load_pose_set
from utils.imaging.heatmaps import decode_heatmaps, render_heatmaps
from utils.imaging.images import crop_from_file, crop_matrix

QUICK = ("--seconds", 0.01, "--turns", 1)
TINY_NETWORK = ("--stacks", 1, "--features", 8)
takes_seconds = pytest.mark.long  # `make bench` is what runs benchmarks; the quickest three show how they print


@pytest.fixture(scope="module")
def baselines():
    return load_script("benchmarks", "baselines")


@pytest.fixture(scope="module")
def lifting():
    return load_script("benchmarks", "lifting")


@pytest.fixture(autouse=True)
def _threads():
    """Benchmarks of one core set the number of threads of OpenCV and torch."""
    before = cv2.getNumThreads(), torch.get_num_threads()
    yield
    cv2.setNumThreads(before[0])
    torch.set_num_threads(before[1])


def ratios(out: str) -> list[str]:
    return re.findall(r"\d\.\d\d ×", re.sub(r"^\*.*", "", out, flags=re.MULTILINE))


def verdicts(out: str) -> int:
    return len(re.findall(r"^\* .+; asked for: .+; (?:met|MISSED)(?:; bound: .+)?$", out, re.MULTILINE))


# ------------------------------------------------------------------------------------------ baselines
def test_the_common_sample_equals_ours_up_to_resampling_and_colour(baselines, tmp_path):
    ys, xs = np.mgrid[:300, :400]
    photo = np.dstack([127 + 100 * np.sin(xs / 40), 127 + 100 * np.cos(ys / 50), (xs + ys) / 3]).astype(np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    joints, center, side = np.array([[180.0, 140.0], [220.0, 170.0]]), np.array([200.0, 150.0]), 220.0
    for rotation, flip in ((0.0, False), (25.0, False), (-40.0, True)):
        matrix = crop_matrix(center, side, 256, rotation, flip)
        image, maps = baselines.common_sample(path, joints, center, side, 1.0, rotation, flip)
        ours = crop_from_file(path, matrix).astype(np.float32).transpose(2, 0, 1) / 255
        gains = np.median(image / np.maximum(ours, 0.05), axis=(1, 2), keepdims=True)
        assert np.all((gains > 0.75) & (gains < 1.25))
        inner = (slice(None), slice(8, -8), slice(8, -8))
        assert np.abs(np.minimum(ours * gains, 1) - image)[inner].mean() < 0.02
        peaks = np.array([np.unravel_index(one.argmax(), one.shape)[::-1] for one in maps])
        expected = ((joints @ matrix[:, :2].T + matrix[:, 2]) - 1.5) / 4
        np.testing.assert_allclose(peaks, expected, atol=1.0)


def test_baselines_of_heat_maps_compute_the_same(baselines):
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(2, 3, 64, 64, generator=generator, dtype=torch.float64)
    points = 8 + 48 * torch.rand(2, 3, 2, generator=generator)
    torch.testing.assert_close(baselines.render_one_by_one(points), render_heatmaps(points), atol=1e-6, rtol=0)
    torch.testing.assert_close(baselines.render_full_grid(points), render_heatmaps(points), atol=1e-6, rtol=0)
    inner = torch.zeros_like(maps)
    inner[..., 1:-1, 1:-1] = maps[..., 1:-1, 1:-1]  # on a border the loops shift along neither axis
    torch.testing.assert_close(baselines.decode_one_by_one(inner), decode_heatmaps(inner)[0])
    for window in ("Parzen", "Uniform"):
        ours = SoftArgmax2D(window_fn=window, window_width=10, softmax_temp=0.05)
        full = baselines.full_map_soft_argmax(maps, window, 10, 0.05)
        torch.testing.assert_close(ours(maps), full, atol=1e-6, rtol=0)


def test_baselines_of_metrics_compute_the_same(baselines):
    random = np.random.default_rng(0)
    truth = random.uniform(0, 100, (9, 16, 2))
    pred, sizes, missing = truth + random.normal(0, 5, truth.shape), np.full(9, 20.0), random.random((9, 16)) < 0.2
    loops = baselines.pckh_one_by_one(pred, truth, sizes, missing, (0.1, 0.5))
    ours = pckh.pckh_per_joint(pckh.normalised_errors(pred, truth, sizes), missing, (0.1, 0.5))
    np.testing.assert_allclose(loops, ours)
    poses = random.normal(0, 300, (2, 8, 17, 3))
    np.testing.assert_allclose(baselines.p_mpjpe_one_by_one(*poses), p_mpjpe(*poses))


# ------------------------------------------------------------------------------------------ scripts
@takes_seconds
def test_input(tmp_path):
    done = call_script(load_script("benchmarks", "input"), *QUICK, "--people", 2, cwd=tmp_path).succeeded()
    assert len(ratios(done.out)) >= 8
    assert verdicts(done.out) == 3
    assert re.search(r"crop pack: .+; bound: [\d.]+ ×, decoding and one warp$", done.out, re.MULTILINE)
    assert "threads, torch" in done.out


def here(step):
    """In place of `other_process`, whose start takes seconds: the step in this process."""
    return lambda *arguments, **more: nullcontext(step)


@takes_seconds
def test_network(monkeypatch):
    script = load_script("benchmarks", "network")
    options = Namespace(stacks=1, features=8)
    monkeypatch.setattr(script, "other_process", here(script.eager_step(options, 1)))
    done = call_script(script, *QUICK, *TINY_NETWORK, "--batches", 1).succeeded()
    assert len(ratios(done.out)) == 5
    assert verdicts(done.out) == 2
    assert re.search(r"bound: \d+ %, the convolutions alone$", done.out, re.MULTILINE)


@takes_seconds
def test_training_step(tmp_path, monkeypatch):
    script = load_script("benchmarks", "training_step")
    options = Namespace(stacks=1, features=8, batch=1)
    monkeypatch.setattr(script, "other_process", here(script.common_step(options)))
    done = call_script(script, *QUICK, *TINY_NETWORK, "--batch", 1, cwd=tmp_path).succeeded()
    assert len(ratios(done.out)) >= 3
    assert verdicts(done.out) >= 1


def test_another_process_does_a_step_per_call(tmp_path):
    measuring = load_script("benchmarks", "measuring")
    script = tmp_path / "script.py"
    code = "import os\nfrom measuring import serve\nserve(lambda: int(os.environ['STEP']))\n"
    script.write_text(f"import sys\nsys.path.insert(0, {str(ROOT / 'benchmarks')!r})\n{code}")
    with measuring.other_process(script, environment={"STEP": "3"}) as step:
        assert [step(), step()] == [3, 3]
    with measuring.other_process(script, environment={"STEP": "x"}) as step, pytest.raises(RuntimeError, match="ended"):
        step()


def test_a_verdict_and_its_bound(capsys):
    verdict = load_script("benchmarks", "measuring").verdict
    verdict("samples", 16.8, 35, bound=(31.24, "decoding alone"))
    verdict("memory", 305, 1000, "MB", at_most=True, digits=0)
    assert capsys.readouterr().out.splitlines() == [
        "* samples: 16.80 ×; asked for: ≥ 35 ×; MISSED; bound: 31.24 ×, decoding alone",
        "* memory: 305 MB; asked for: ≤ 1000 MB; met",
    ]


def test_the_bound_of_convolutions_runs_each_of_them_once(monkeypatch):
    script = load_script("benchmarks", "network")
    model = script.make_network(Namespace(stacks=2, features=8))
    called = []
    run = torch.nn.Conv2d.forward
    monkeypatch.setattr(torch.nn.Conv2d, "forward", lambda conv, x: called.append(x.shape) or run(conv, x))
    step = script.convolutions_step(model, 2)
    in_the_network = called.copy()
    called.clear()
    assert step() == 2
    assert called == in_the_network
    assert len(called) > 50


def test_heat_maps():
    done = call_script(load_script("benchmarks", "heat_maps"), *QUICK, "--batches", 1).succeeded()
    assert len(ratios(done.out)) == 11
    assert verdicts(done.out) == 3


def test_metrics():
    script = load_script("benchmarks", "metrics")
    done = call_script(script, *QUICK, "--people", 30, "--poses", 500).succeeded()
    assert len(ratios(done.out)) == 5
    assert verdicts(done.out) == 2


def test_drawing():
    done = call_script(load_script("benchmarks", "drawing"), *QUICK).succeeded()
    assert verdicts(done.out) == 2


@takes_seconds
def test_end_to_end():
    done = call_script(load_script("benchmarks", "end_to_end"), *QUICK, "--photos", 2).succeeded()
    assert len(ratios(done.out)) >= 5
    assert verdicts(done.out) == 1
    bound = re.search(r"; bound: (\d+) %, decoding and the network on \d+ cores$", done.out, re.MULTILINE)
    assert 0 < int(bound[1]) < 100


def test_the_page_has_a_row_per_verdict_and_says_what_failed(tmp_path, monkeypatch):
    script = load_script("benchmarks", "run_all")
    monkeypatch.setattr(script, "FOLDER", tmp_path)
    monkeypatch.setattr(script, "SUBJECTS", {"good": "Good", "bad": "Bad"})
    verdicts = (
        "* speed: 3.00 ×; asked for: ≥ 2 ×; met",
        "* rate: 70 %; asked for: ≥ 85 %; MISSED; bound: 78 %, the CPU time of two cores",
    )
    printed = "### Table\n\n| a |\n" + "\n".join(verdicts)
    (tmp_path / "good.py").write_text(f"print({printed!r})")
    (tmp_path / "bad.py").write_text("print('begun', flush=True)\nraise SystemExit(3)")
    done = call_script(script, "--output", tmp_path / "results.md")
    assert done.status == 1
    page = (tmp_path / "results.md").read_text()
    assert "| speed | 3.00 × | ≥ 2 × | met |  |" in page
    assert "| rate | 70 % | ≥ 85 % | MISSED | 78 %, the CPU time of two cores |" in page
    assert "### Table\n\n| a |\n" in page
    assert "**Incomplete: ended with status 3.**\nbegun" in page
    assert call_script(script, "nothing").status == 2


def test_every_benchmark_is_run():
    subjects = load_script("benchmarks", "run_all").SUBJECTS
    shared = {"baselines", "measuring", "run_all"}
    assert {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - shared == set(subjects)


# ------------------------------------------------------------------------------------------ lifting
def test_the_common_way_computes_the_same(lifting, tiny_h36m, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    poses = load_pose_set(find_sequences(tiny_h36m), TRAIN_SUBJECTS, ACTIONS)
    normalisation = fit(poses, "instance")
    common = lifting.OnePoseDataset(poses, normalisation, augment=False)
    index = torch.arange(0, len(poses), 11)
    poses_2d, poses_3d = poses.poses(index)
    inputs, targets = (torch.from_numpy(np.stack(part)) for part in zip(*map(common.__getitem__, index), strict=True))
    torch.testing.assert_close(inputs, normalisation.input(poses_2d), atol=1e-4, rtol=0)
    torch.testing.assert_close(targets, normalisation.target(poses_3d), atol=1e-4, rtol=0)


def test_the_common_way_turns_about_the_hip(lifting, tiny_h36m):
    poses = load_pose_set(find_sequences(tiny_h36m), TRAIN_SUBJECTS, ACTIONS)
    common = lifting.OnePoseDataset(poses, fit(poses, "instance"))
    world = poses.world[0].numpy()
    turned = common.turned(world)
    assert np.abs(turned - world).max() > 1
    np.testing.assert_allclose(turned[0], world[0], atol=1e-3)
    reach = [np.sort(np.linalg.norm(pose - pose[0], axis=1)) for pose in (world, turned)]
    np.testing.assert_allclose(*reach, rtol=1e-4)


def test_endless_indices_cover_epochs(lifting):
    stream = lifting.IndexStream(length=10, batch_size=5)
    assert torch.equal(torch.cat([stream(), stream()]).sort()[0], torch.arange(10))
    assert len(lifting.IndexStream(length=10, batch_size=25)()) == 25


@takes_seconds
def test_lifting(lifting, tiny_h36m, tmp_path):
    argv = ["--data_dir", tiny_h36m, *QUICK, "--large_batch", "128", "--frames", "200"]
    done = call_script(lifting, *argv, cwd=tmp_path).succeeded()
    assert len(ratios(done.out)) == 9
    assert verdicts(done.out) == 4
    assert "threads, torch" in done.out
