"""COCO's keypoint scores: average precision (AP) and recall (AR) over object keypoint similarity (OKS).

    scores = coco_ap(read_truth("data/coco"), load_keypoint_results("person_keypoints_val2017_results.json"))
    scores.values["AP"]                                     # in [0, 1]

Computed by faster-coco-eval, a maintained C++ rewrite of COCO's own pycocotools with the same results. `oks` defines
OKS. No torch import here.

For an OKS threshold, each pose of an image (at most 20, best score first) is matched to the unmatched person with the
highest OKS, if that reaches the threshold. Crowds and people without annotated joints are ignored, and so are poses
matched to them. Over all images, in the order of scores, this gives precision and recall; precision is made
non-increasing and averaged at the recalls 0, 0.01, ..., 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from utils.predictions.keypoint_results import PERSON

# The order of the library's summary. A person's area is the segment's, px².
COCO_METRICS = ("AP", "AP50", "AP75", "APM", "APL", "AR")
# A person counts at a threshold where OKS >= threshold.
OKS_THRESHOLDS = np.arange(50, 100, 5) / 100
RECALLS = np.arange(101) / 100

COCO_DEFINITIONS = """\
  AP: average precision, mean over the OKS thresholds 0.5, 0.55, ..., 0.95; AP50, AP75: at OKS 0.5 and 0.75 alone
  APM, APL: AP of people of medium (32² to 96² px²) and of large area; smaller people count in the others
  AR: recall, mean over the same thresholds; at most 20 poses per photo
  OKS: mean over a person's annotated joints of exp(-d² / (2 s² k²)), d: error in px, s²: their area, k: per joint
  crowds and people without annotated joints are ignored; a pose that matches nobody lowers the precision"""


@dataclass(frozen=True)
class CocoScores:
    """Scores of one model, in [0, 1]; NaN if nobody is counted.

    Attributes:
        values: by name, those of `COCO_METRICS`.
        precision: (10, 101) at `OKS_THRESHOLDS` and `RECALLS`, people of all areas.
    """

    values: dict[str, float]
    precision: np.ndarray

    @property
    def by_threshold(self) -> np.ndarray:
        """(10,) AP at each of `OKS_THRESHOLDS`."""
        return self.precision.mean(axis=1)


def coco_ap(truth: Mapping[str, Sequence[Mapping[str, Any]]], results: Sequence[Mapping[str, Any]]) -> CocoScores:
    """Score keypoint results.

    Args:
        truth: images, people and categories from `annotations.coco.read_truth`.
        results: records in the official format from `keypoint_results`. In an image without records nobody was found.

    Raises ValueError for a result of an image that is not in the ground truth.
    """
    from faster_coco_eval import COCO, COCOeval_faster  # noqa: PLC0415 - only scores need it

    known = {image["id"] for image in truth["images"]}
    foreign = [one["image_id"] for one in results if one["image_id"] not in known]
    if foreign:
        raise ValueError(f"{len(foreign)} results are of images that the annotations lack, e.g. {foreign[0]}")
    # Copies: the library adds fields to the records.
    people = COCO({key: [dict(one) for one in records] for key, records in truth.items()})
    found = people.loadRes([dict(one) for one in results])
    evaluation = COCOeval_faster(people, found, "keypoints", print_function=_silent)
    evaluation.params.catIds = [PERSON]  # by default those of the people, of whom there may be none
    evaluation.run()
    values = [float(value) if value > -1 else np.nan for value in evaluation.stats[: len(COCO_METRICS)]]
    precision = np.asarray(evaluation.eval["precision"])[:, :, 0, 0, 0]  # (thresholds, recalls) of all areas
    return CocoScores(dict(zip(COCO_METRICS, values, strict=True)), np.where(precision > -1, precision, np.nan))


def _silent(*_: Any, **__: Any) -> None:
    """Replaces the library's printing."""
