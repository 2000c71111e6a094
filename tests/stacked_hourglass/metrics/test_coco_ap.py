"""COCO's AP of the truth moved by known amounts, against values computed by hand."""

import numpy as np
import pytest

from stacked_hourglass.metrics.coco_ap import COCO_METRICS, coco_ap
from stacked_hourglass.metrics.oks import SIGMAS, oks
from utils.predictions.keypoint_results import keypoint_results
from utils.transform import COCO

OKS = (1.0, 0.82, 0.62, 0.3)  # of four people, each alone in a photo
SIDES = (50.0, 100.0, 50.0, 100.0)  # square roots of their areas: medium, large, medium, large


def truth_of(sides=SIDES, joints=17, **changes):
    """People with their first `joints` joints at (100 + 10 j, 200 + 5 j), in photos 1, 2, ..."""
    points = [[100.0 + 10 * j, 200.0 + 5 * j, 2] if j < joints else [0, 0, 0] for j in range(17)]
    people = [
        {
            "id": number, "image_id": number, "category_id": 1, "iscrowd": 0, "area": side**2, "num_keypoints": joints,
            "bbox": [90.0, 190.0, 200.0, 150.0], "keypoints": np.ravel(points).tolist(),
        } | changes
        for number, side in enumerate(sides, start=1)
    ]  # fmt: skip
    images = [{"id": number, "file_name": f"{number}.jpg"} for number in range(1, len(sides) + 1)]
    return {"images": images, "annotations": people, "categories": [{"id": 1, "name": "person"}]}


def moved(truth, values=OKS, scores=(0.9, 0.8, 0.7, 0.6)):
    """The truth with the nose moved so that a person with no other annotated joint has the given OKS."""
    joints = np.array([one["keypoints"] for one in truth["annotations"]]).reshape(-1, 17, 3)[..., :2]
    sides = np.sqrt([one["area"] for one in truth["annotations"]])
    joints[:, 0, 0] += 2 * SIGMAS["nose"] * sides * np.sqrt(-2 * np.log(values))
    ids = [one["image_id"] for one in truth["annotations"]]
    return keypoint_results(ids, joints, np.repeat(np.array(scores)[:, None], 17, axis=1))


def test_moved_poses_by_hand():
    """Better poses have higher scores, so precision is 1 up to the recall of the correct ones."""
    truth = truth_of(joints=1)
    scores = coco_ap(truth, moved(truth))
    # Right are 3 of 4 at OKS 0.5 to 0.6, 2 at 0.65 to 0.8, 1 at 0.85 to 0.95. Recalls 0 to 0.75 are 76 of 101.
    assert scores.by_threshold == pytest.approx(np.array([76] * 3 + [51] * 4 + [26] * 3) / 101)
    assert scores.values == pytest.approx({
        "AP": (3 * 76 + 4 * 51 + 3 * 26) / 1010,
        "AP50": 76 / 101,
        "AP75": 51 / 101,
        "APM": (3 * 101 + 7 * 51) / 1010,  # OKS 1 and 0.62
        "APL": (7 * 51) / 1010,  # OKS 0.82 and 0.3
        "AR": (3 * 0.75 + 4 * 0.5 + 3 * 0.25) / 10,
    })  # fmt: skip
    assert tuple(scores.values) == COCO_METRICS


def test_wrong_poses_with_high_scores_cost_precision():
    truth = truth_of(joints=1)
    scores = coco_ap(truth, moved(truth, scores=(0.6, 0.7, 0.8, 0.9)))
    # At OKS 0.5 the first is wrong and three follow: precision rises to 3/4, which counts at all recalls up to 0.75.
    assert scores.values["AP50"] == pytest.approx(0.75 * 76 / 101)
    assert scores.values["AP75"] == pytest.approx(0.5 * 51 / 101)
    assert scores.values["AR"] == pytest.approx(0.5)


def test_whole_poses_have_the_oks_of_this_project():
    """Every person moved so that OKS is 0.72: correct at thresholds up to 0.7."""
    truth, area = truth_of(), np.square(SIDES)
    joints = np.array([one["keypoints"] for one in truth["annotations"]]).reshape(-1, 17, 3)[..., :2]
    step = np.array([1.0, 0.0]) * np.sqrt(area)[:, None, None]

    def value(share):
        return oks(joints + share * step, joints, np.ones((4, 17), bool), area, COCO.joints)[0]

    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if value(middle) > 0.72 else (low, middle)
    scores = coco_ap(truth, keypoint_results([1, 2, 3, 4], joints + low * step, np.ones((4, 17))))
    assert scores.by_threshold.tolist() == [1] * 5 + [0] * 5


def test_people_who_do_not_count():
    """A pose on a crowd or on a person without joints is no error; one in an empty photo is."""
    truth, other = truth_of(), truth_of()["annotations"][0]
    perfect = moved(truth, [1.0] * 4)
    truth["images"].append({"id": 5, "file_name": "5.jpg"})
    extra = [perfect[0] | {"image_id": 5, "score": 1.0}]
    assert coco_ap(truth, perfect + extra).values["AP"] == pytest.approx(0.8)  # 4 of 5 poses, at every recall
    for changes in ({"iscrowd": 1}, {"keypoints": [0] * 51, "num_keypoints": 0}):
        ignored = truth["annotations"] + [other | {"id": 5, "image_id": 5} | changes]
        assert coco_ap(truth | {"annotations": ignored}, perfect + extra).values["AP"] == 1


def test_nothing_found_and_nobody_to_find():
    truth = truth_of()
    assert set(coco_ap(truth, []).values.values()) == {0.0}
    nobody = coco_ap(truth | {"annotations": []}, moved(truth))
    assert np.isnan([*nobody.values.values()]).all()


def test_arguments_are_unchanged_and_results_of_unknown_photos_refused():
    truth = truth_of()
    results = moved(truth)
    before = repr((truth, results))
    coco_ap(truth, results)
    assert repr((truth, results)) == before
    with pytest.raises(ValueError, match=r"1 results are of images that the annotations lack, e\.g\. 0"):
        coco_ap(truth, [*results, results[0] | {"image_id": 0}])
