"""2D poses of COCO's people in their annotated boxes, and official results records.

predictor = Predictor(load_hourglass("CHECKPOINT"))
results, records = find_coco_poses(predictor, "data/coco")
save_keypoint_results("person_keypoints_val2017_results.json", records)
"""

from pathlib import Path
from typing import Any

from stacked_hourglass.annotations.coco import coco_photos, read_coco, scored_people
from stacked_hourglass.photos import poses_of_people
from stacked_hourglass.sample_predictions import PosePredictor
from utils.compute.distributed import ALONE, Processes
from utils.osutils import UserError
from utils.predictions.keypoint_results import keypoint_results
from utils.predictions.pose_results import PoseResults


def find_coco_poses(
    predictor: PosePredictor,
    data_dir: str | Path,
    part: str = "val2017",
    *,
    batch_size: int = 16,
    workers: int = 0,
    processes: Processes = ALONE,
) -> tuple[PoseResults, list[dict[str, Any]]]:
    """Predict the people in COCO's scores (not crowds, at least one annotated joint), in their annotated boxes.

    Args:
        predictor: a predictor of COCO's 17 joints.
        data_dir: folder with `annotations/` and the photos in `<part>/`.
        part: "val2017" or "train2017".
        batch_size, workers, processes: as for `photos.find_poses`.

    Returns the poses by photo, whose `metas` have `image_id` and `annotation_ids`, and the records of an official
    results file. Raises UserError for another network, missing or broken annotations, and if no photo can be read.
    """
    people = scored_people(read_coco(data_dir, part))
    if not len(people):
        raise UserError(f"--data_dir {data_dir}: {part} has no person with annotated joints except crowds")
    folder, source = coco_photos(data_dir, part), f"--data_dir {data_dir}"
    results, found = poses_of_people(predictor, people.people, folder, source, batch_size, workers, processes)
    for meta in results.metas.values():
        group = meta["annotation_index"]
        ids = people.annotation_ids[group].tolist()
        meta |= {"image_id": int(people.image_ids[group[0]]), "annotation_ids": ids, "img_dir": str(folder.absolute())}
    joints, scores = (part.double().numpy() for part in found[:2])
    return results, keypoint_results(people.image_ids, joints, scores)
