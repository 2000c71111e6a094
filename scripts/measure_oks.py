"""Measure an hourglass on COCO's people: OKS in annotated boxes, AP in annotated and in found boxes.

python scripts/measure_oks.py                                                      # the demo weights, data/coco
python scripts/measure_oks.py --load model_checkpoints/hourglass_mpii_default --data_dir data/coco

Included are people who are not crowds, with a box taller than 96 px and at least 10 annotated joints (of COCO's 17),
and the joints shared by the network's skeleton and COCO: for MPII and LSP 12, shoulders to ankles. The crop is around
the box, with side 1.25 × its longer side; flip test.

AP is over all people of the part (`--part`, by default val2017), over the same joints: the other five count as not
annotated. So it cannot be compared with COCO's AP of 17 joints. Once in the annotated boxes, and once for the people
that --person_box finds.
"""

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from stacked_hourglass.annotations.coco import CocoPeople, coco_photos, read_coco, read_truth, scored_people
from stacked_hourglass.demo_weights import DEMO_WEIGHTS
from stacked_hourglass.inference import Predictor
from stacked_hourglass.loading import load_hourglass
from stacked_hourglass.metrics.coco_ap import coco_ap
from stacked_hourglass.metrics.oks import joint_similarities, oks, oks_scores, shared_with_coco
from stacked_hourglass.photos import find_poses
from stacked_hourglass.sample_predictions import PosePredictor, predict_samples
from stacked_hourglass.samples.datasets import PoseCrops
from utils.command_line.cli import Parser
from utils.compute.devices import pick_device
from utils.console.messages import show_messages
from utils.imaging.heatmaps import DECODINGS
from utils.osutils import UserError, write_text
from utils.predictions.keypoint_results import keypoint_results
from utils.transform import COCO

LEAST_HEIGHT, LEAST_JOINTS = 96.0, 10


def is_measured(people: CocoPeople) -> np.ndarray:
    """(N,) bool: people taller than 96 px with at least 10 annotated joints, whose OKS counts."""
    return (people.box[:, 3] > LEAST_HEIGHT) & (people.people.annotated.sum(axis=1) >= LEAST_JOINTS)


def measure(predicted: np.ndarray, joints: tuple[str, ...], people: CocoPeople) -> dict:
    """`oks_scores`, and the mean similarity of each joint, of predictions (N, J, 2) of the named J joints."""
    columns = COCO.indices(joints)
    truth, annotated = people.people.joints[:, columns], people.people.annotated[:, columns]
    scores = oks_scores(oks(predicted, truth, annotated, people.area, joints))
    similar = joint_similarities(predicted, truth, people.area, joints)
    means = np.nanmean(np.where(annotated, similar, np.nan), axis=0).tolist()
    return scores | {"per_joint": dict(zip(joints, means, strict=True))}


def in_given_boxes(predictor: PosePredictor, people: CocoPeople) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the J joints shared with COCO: joints (N, J, 2) px, NaN if unreadable, scores (N, J), and image ids (N,)."""
    own = predictor.skeleton.indices(shared_with_coco(predictor.skeleton))
    (joints, scores, *_), _ = predict_samples(predictor, PoseCrops(people.people), "people")
    return joints[:, own].numpy(), scores[:, own].numpy(), people.image_ids


def average_precision(
    predictor: PosePredictor,
    given: tuple[np.ndarray, np.ndarray, np.ndarray],
    data_dir: Path,
    person_box: str,
    part: str = "val2017",
) -> dict[str, dict[str, float]]:
    """AP and its relatives over the shared joints, of everybody in a part: {"given": ..., "found": ...}.

    `given`: joints (N, J, 2) px, scores (N, J) and image ids (N,) in the annotated boxes, of the J shared joints.
    """
    joints = shared_with_coco(predictor.skeleton)
    columns, own = COCO.indices(joints), predictor.skeleton.indices(joints)
    truth = read_truth(data_dir, part)
    for person in truth["annotations"]:
        keep_joints(person, columns)
    numbers = {image["file_name"]: image["id"] for image in truth["images"]}
    poses = find_poses(predictor, coco_photos(data_dir, part), person_box=person_box)
    names = [name for name in poses.joints if name in numbers]
    found = (
        np.concatenate([poses.joints[name][:, own].numpy() for name in names]),
        np.concatenate([poses.scores[name][:, own].numpy() for name in names]),
        np.repeat([numbers[name] for name in names], [len(poses.joints[name]) for name in names]),
    )
    return {
        name: coco_ap(truth, keypoint_results(ids, *in_coco_order(places, scores, columns))).values
        for name, (places, scores, ids) in (("given", given), ("found", found))
    }


def keep_joints(person: dict, columns: list[int]) -> None:
    """Let all joints of a person of `read_truth` but these columns count as not annotated."""
    keypoints = np.array(person["keypoints"]).reshape(-1, 3)
    keypoints[np.setdiff1d(np.arange(len(keypoints)), columns)] = 0
    person |= {"keypoints": keypoints.ravel().tolist(), "num_keypoints": int((keypoints[:, 2] > 0).sum())}


def in_coco_order(places: np.ndarray, scores: np.ndarray, columns: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Joints (N, C, 2) and scores (N, C) among COCO's 17; the others are 0."""
    joints, heights = np.zeros((len(places), len(COCO), 2)), np.zeros((len(places), len(COCO)))
    joints[:, columns], heights[:, columns] = places, scores
    return joints, heights


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--load",
        type=Path,
        nargs="+",
        default=[DEMO_WEIGHTS],
        help="checkpoints of an hourglass or a stitched network, or folders that hold one (default: the demo weights)",
    )
    parser.add_argument("--data_dir", type=Path, default=Path("data/coco"), help="COCO folder (default: data/coco)")
    parser.add_argument(
        "--part",
        default="val2017",
        choices=["val2017", "train2017"],
        help="people to measure; train2017 only for weights that were not trained on them (default: val2017)",
    )
    parser.add_argument("--person_box", default="auto", help="finder of people, as for run.py (default: auto)")
    parser.add_argument(
        "--decoding", default="quarter", choices=list(DECODINGS), help="of heat maps, as for run.py (default: quarter)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    parser.add_argument("--output", type=Path, help="JSON file to write, checkpoint -> scores")
    options = parser.parse_args()
    show_messages()
    with parser.one_line_errors():
        people = scored_people(read_coco(options.data_dir, options.part))
        measured, device, results = is_measured(people), pick_device(options.device), {}
        if not measured.any():
            raise UserError(f"--data_dir {options.data_dir}: nobody is taller than 96 px with 10 annotated joints")
        for path in options.load:
            predictor = Predictor(load_hourglass(path, device), flip=True, decoding=options.decoding)
            given, joints = in_given_boxes(predictor, people), shared_with_coco(predictor.skeleton)
            precision = average_precision(predictor, given, options.data_dir, options.person_box, options.part)
            scores = measure(given[0][measured], joints, people.select(measured))
            results[str(path)] = scores | {"ap": precision}
            print(table_of(path, results[str(path)]))
        if options.output:
            write_text(options.output, json.dumps(results, indent=1))
            print(f"wrote {options.output}")


def table_of(path: Path, scores: dict) -> str:
    per_joint = ", ".join(f"{joint} {value:.2f}" for joint, value in scores["per_joint"].items())
    return (
        f"{path}: {scores['people']} people, {len(scores['per_joint'])} joints, boxes given, flip test\n"
        f"  mean OKS {scores['mean']:.3f}; OKS >= 0.5 in {scores['above_0.5']:.1%}, >= 0.75 in "
        f"{scores['above_0.75']:.1%}; mean of the shares at 0.5, 0.55, ..., 0.95: {scores['above_0.5:0.95']:.1%}\n"
        f"  per joint: {per_joint}\n" + "\n".join(ap_lines(scores["ap"]))
    )


def ap_lines(ap: dict[str, dict[str, float]]) -> list[str]:
    return [
        f"  boxes {boxes}, all people: " + ", ".join(f"{name} {100 * value:.1f} %" for name, value in values.items())
        for boxes, values in ap.items()
    ]


if __name__ == "__main__":
    main()
