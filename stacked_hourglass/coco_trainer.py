"""The hourglass's hooks on COCO: validation by OKS AP, and official results files."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stacked_hourglass.annotations.coco import read_coco, read_truth, results_file, scored_people
from stacked_hourglass.annotations.people import People
from stacked_hourglass.inference import to_photo
from stacked_hourglass.metrics.coco_ap import COCO_METRICS, coco_ap
from stacked_hourglass.metrics.oks import oks
from stacked_hourglass.trainer import HourglassTrainer
from utils.plotting_utils import Ratio
from utils.predictions.keypoint_results import keypoint_results, save_keypoint_results
from utils.training.log_files import PERCENT
from utils.training_utils import TrainingHooks


@dataclass(frozen=True)
class CocoValidation:
    """What AP needs beside the validation people; arrays are in their order.

    Attributes:
        image_ids: (N,) int64.
        area: (N,) px².
        truth: images and people of the annotation file, see `annotations.coco.read_truth`.
        results_file: name of the file of predictions.
    """

    image_ids: np.ndarray
    area: np.ndarray
    truth: Mapping[str, Sequence[Mapping[str, Any]]]
    results_file: str

    @classmethod
    def read(cls, data_dir: str | Path, part: str = "val2017") -> "CocoValidation":
        """Read it for the validation people of `load_coco`. Raises UserError like `load_coco`."""
        people = scored_people(read_coco(data_dir, part))
        return cls(people.image_ids, people.area, read_truth(data_dir, part), results_file(part))


class CocoTrainer(HourglassTrainer):
    """Validates by AP with annotated boxes: one pose for each person in COCO's scores, from that person's box.

    A pose's score is the mean peak height of its heat maps. People with unreadable photos count as not found.
    """

    definitions = (
        "in %: AP, mean over the OKS thresholds 0.5, 0.55, ..., 0.95, boxes given; OKS, mean over people; PCK@0.2, "
        "annotated joints closer than 0.2 × the torso; definitions: stacked_hourglass/metrics/coco_ap.py and oks.py"
    )

    def __init__(self, coco: CocoValidation, validation: People, *arguments: Any, **settings: Any):
        """Further arguments as for `HourglassTrainer`. Raises ValueError if `coco` has another number of people."""
        super().__init__(validation, *arguments, **settings)
        if len(coco.image_ids) != len(validation):
            raise ValueError(f"{len(coco.image_ids)} image ids for {len(validation)} validation people")
        self.coco, self.area = coco, torch.from_numpy(coco.area)
        self.peaks = np.full(self.predictions.shape[:2], np.nan)

    def hooks(self) -> TrainingHooks:
        rates = (*COCO_METRICS, "OKS", "PCK@0.2", "visibility_accuracy")
        return replace(
            super().hooks(),
            best_metric="AP",
            uninformative=0.0,
            higher_is_better=rates,
            units=dict.fromkeys(rates, PERCENT),
            whole_validation=self.average_precision,
        )

    def keep_predictions(self, joints: Tensor, peaks: Tensor, batch: dict) -> None:
        super().keep_predictions(joints, peaks, batch)
        self.peaks[batch["index"].cpu().numpy()] = peaks.cpu().double().numpy()

    def scores(self, joints: Tensor, batch: dict) -> dict[str, Ratio]:
        """Mean OKS and PCK@0.2, in %; people whose photo can't be read are excluded."""
        points = (to_photo(batch["to_photo"], one).cpu() for one in (joints, batch["joints"]))
        area = self.area[batch["index"].cpu()]
        values = oks(*points, batch["annotated"].cpu(), area, self.skeleton.joints)
        known = ~values.isnan()
        mean = {"OKS": Ratio.percent(values[known].sum()[None], known.sum()[None])}
        return mean | {name: ratio for name, ratio in super().scores(joints, batch).items() if name != "PCKh@0.5"}

    def average_precision(self) -> dict[str, float]:
        """The scores of `coco_ap.COCO_METRICS`, in %, of the last validation. All processes call it.

        APM (APL) is missing if nobody has that size.
        """
        results = self.results()
        values = self.processes.on_main(lambda: coco_ap(self.coco.truth, results).values)
        return {name: 100 * value for name, value in values.items() if not math.isnan(value)}

    def results(self) -> list[dict[str, Any]]:
        """The predictions of the last validation in COCO's official format. All processes call it."""
        joints, peaks = self.of_all_processes(self.predictions), self.of_all_processes(self.peaks)
        return keypoint_results(self.coco.image_ids, joints, peaks)

    def write_predictions(self, directory: Path) -> None:
        """Write the results file, in photo pixels, and warn of unreadable photos. All processes call it."""
        results = self.results()
        if self.processes.is_main:
            save_keypoint_results(Path(directory, self.coco.results_file), results)
        self.unreadable.warn()
