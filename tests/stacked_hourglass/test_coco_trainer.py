"""Training on COCO: validation by AP, official results, and the same results from run.py."""

import json

import numpy as np
import pytest
from command_line import call

from stacked_hourglass import Predictor, load_hourglass, train_hourglass
from stacked_hourglass.annotations.coco import load_coco, read_coco, read_truth, scored_people
from stacked_hourglass.coco_run import find_coco_poses
from stacked_hourglass.coco_trainer import CocoValidation
from stacked_hourglass.hourglass import Architecture
from stacked_hourglass.metrics.coco_ap import COCO_METRICS, coco_ap
from stacked_hourglass.metrics.oks import oks
from utils.osutils import UserError
from utils.predictions.keypoint_results import load_keypoint_results
from utils.sample.coco import make_coco
from utils.training.log_files import BETTER
from utils.training.settings import Experiment, Loading, Optimisation
from utils.training_utils import TrainingHooks
from utils.transform import COCO

RESULTS = "person_keypoints_val2017_results.json"
TINY = Architecture(stacks=1, features=8, num_classes=17)


@pytest.fixture(scope="module")
def data_dir(tiny_mpii, tmp_path_factory):
    folder = tmp_path_factory.mktemp("coco") / "coco"
    make_coco(folder, tiny_mpii)
    return folder


@pytest.fixture(scope="module")
def trained(data_dir, tmp_path_factory):
    """The experiment and the averages of a training of one epoch."""
    root = tmp_path_factory.mktemp("trained")
    experiment = Experiment("hourglass_coco", checkpoint_dir=root / "checkpoints", tb_dir=root / "tb")
    averages = train_hourglass(
        *load_coco(data_dir), experiment, architecture=TINY, optimisation=Optimisation(epochs=1), device="cpu",
            loading=Loading(workers=0),
        coco=CocoValidation.read(data_dir),
    )  # fmt: skip
    return experiment, averages


def test_validates_by_ap(trained, data_dir):
    experiment, averages = trained
    results = load_keypoint_results(experiment.directory / RESULTS)
    assert [one["image_id"] for one in results] == [one["image_id"] for one in read_truth(data_dir)["annotations"]]
    expected = coco_ap(read_truth(data_dir), results).values
    assert np.isnan(expected.pop("APM"))  # nobody is of medium size
    assert {name: averages[name] for name in COCO_METRICS if name in averages} == pytest.approx(
        {name: 100 * value for name, value in expected.items()}
    )
    people = scored_people(read_coco(data_dir, "val2017"))
    joints = np.array([one["keypoints"] for one in results]).reshape(-1, 17, 3)[..., :2]
    similar = oks(joints, people.people.joints, people.people.annotated, people.area, COCO.joints)
    assert averages["OKS"] == pytest.approx(100 * similar.mean(), rel=1e-3, abs=1e-6)
    assert "PCKh@0.5" not in averages
    assert not (experiment.directory / "preds_valid.mat").exists()
    options = json.loads((experiment.directory / "options.json").read_text())
    assert options[BETTER]["AP"] == "higher"


def test_given_boxes_give_the_same_results(trained, data_dir):
    experiment, _ = trained
    predictor = Predictor(load_hourglass(experiment.directory))
    assert predictor.skeleton.name == "COCO"
    results, records = find_coco_poses(predictor, data_dir)
    for one, other in zip(records, load_keypoint_results(experiment.directory / RESULTS), strict=True):
        assert one["image_id"] == other["image_id"]
        np.testing.assert_allclose(one["keypoints"], other["keypoints"], atol=1e-2)
    name = f"{records[0]['image_id']:012d}.jpg"
    assert results.metas[name]["image_id"] == records[0]["image_id"]
    assert results.metas[name]["skeleton"] == "COCO"
    assert results.truth[name].shape == results.joints[name].shape


def test_run_on_coco_and_on_photos(trained, data_dir, tmp_path):
    load = ["--load", trained[0].directory, "--workers", 0]
    run = call("run", "hourglass_coco", *load, "--data_dir", data_dir, "--output_dir", tmp_path / "a").succeeded()
    assert f"score them: python eval.py coco_AP --data_dir {data_dir}" in run.out
    assert f"draw them: python viz.py 2d_overlay --img_dir {data_dir / 'val2017'}" in run.out
    assert len(load_keypoint_results(tmp_path / "a" / RESULTS)) == 4
    assert not (tmp_path / "a" / "preds_valid.mat").exists()
    photos = ["--data_dir", data_dir / "val2017", "--output_dir", tmp_path / "b"]
    assert "joints in COCO order" in call("run", "hourglass_coco", *load, *photos).succeeded().out
    assert not (tmp_path / "b" / RESULTS).exists()
    refused = call("run", "hourglass_coco", *load, "--data_dir", data_dir, "--person_box", "hog")
    assert "--person_box" in refused.refusal()


def test_other_validation_people_and_networks_are_refused(data_dir, tmp_path):
    training, validation = load_coco(data_dir)
    experiment = Experiment("x", checkpoint_dir=tmp_path / "c", tb_dir=tmp_path / "t")
    with pytest.raises(ValueError, match=r"4 image ids for 3 validation people"):
        train_hourglass(
            training, validation.select([0, 1, 2]), experiment, architecture=TINY, device="cpu",
            loading=Loading(workers=0),
            coco=CocoValidation.read(data_dir),
        )  # fmt: skip
    with pytest.raises(UserError, match="val2017"):
        CocoValidation.read(tmp_path)
    folders = ["--checkpoint_dir", tmp_path / "c", "--tb_dir", tmp_path / "t", "--data_dir", data_dir]
    refused = call("train", "hourglass_coco", "--num_classes", 5, *folders).refusal()
    assert "--num_classes 5: the network has 5 joints; COCO's AP is of all 17" in refused


def test_at_0_the_latest_is_the_best():
    hooks = TrainingHooks(*[None] * 5, best_metric="AP", higher_is_better=("AP",), uninformative=0.0)
    assert [hooks.is_better(0.0, best) for best in (None, 0.0, 0.1)] == [True, True, False]
    assert [hooks.is_better(0.1, best) for best in (0.0, 0.1)] == [True, False]
    assert not hooks.is_better(float("nan"), 0.0)


@pytest.mark.parametrize("higher", [(), ("loss",)])
def test_0_after_0_is_not_better_for_other_metrics(higher):
    assert not TrainingHooks(*[None] * 5, higher_is_better=higher).is_better(0.0, 0.0)
