"""3D poses from 2D poses, by a trained 3D baseline.

python run.py 2d3d_h36m --load CHECKPOINT                                    # Human3.6M's S9 and S11 in data/h36m
python run.py 2d3d_h36m --load CHECKPOINT --data_dir data/hourglass_mpii/2d_pose_estimations.pt
"""

import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from twod_threed.loading import ensure_normalisation, load_lifter
from twod_threed.model import OUTPUT_JOINTS, LinearModel, with_hip
from utils.compute.batch_parts import shard
from utils.compute.devices import autocast, pick_device
from utils.compute.distributed import Processes
from utils.compute.launched import processes_of
from utils.console.option_rules import refuse_useless, say_if_workers_are_of_no_use
from utils.human36m.actions import TEST_SUBJECTS, TRAIN_SUBJECTS, select_actions
from utils.human36m.files import find_sequences
from utils.human36m_dataset import CAMERAS, load_pose_set
from utils.osutils import UserError
from utils.predictions.coco_results import save_coco_results
from utils.predictions.prediction_files import load_metas, load_predictions, save_metas, save_predictions
from utils.transform import H36M, H36M_2D, SKELETONS, joint_map

# In the lifter's order the hip is the middle of the two hips; farther away (of the body's size), the order is another.
HIP_OFF_MIDDLE = 0.15


def lifter_h36m(options: Namespace) -> None:
    """`run.py 2d3d_h36m`."""
    say_if_workers_are_of_no_use(options)
    device = pick_device(options.device, processes_of(options))
    model = load_lifter(options.load, device, options.allow_unsafe_load)
    if options.compile:
        model.compile()
    start = time.monotonic()
    run = run_file if Path(options.data_dir).is_file() else run_human36m
    count = run(model, options)
    seconds = time.monotonic() - start
    print(
        f"{count} poses, {seconds:.1f} s, {count / seconds:.0f} poses/s\n"
        f"3D poses: mm, camera coordinates (x right, y down, z forward), hip at the origin: {options.output_dir}"
    )


def run_human36m(model: LinearModel, options: Namespace) -> int:
    """Human3.6M's test (or training) subjects, with the truth beside the predictions; gives the number of poses."""
    for_files = f"is for a file of 2D poses; {options.data_dir} is a Human3.6M folder"
    refuse_useless(options, [(True, ["input_joint_order", "process_as_video"], for_files)])
    files = find_sequences(options.data_dir)
    actions = select_actions(options.action)
    device = next(model.parameters()).device
    ensure_normalisation(model, files, actions, options.load)
    subjects = TRAIN_SUBJECTS if options.run_with_train else TEST_SUBJECTS
    poses = load_pose_set(files, subjects, actions, options.use_hg, model.input_places).to(device)
    processes = processes_of(options)
    inputs, truth, lifted, metas = {}, {}, {}, {}
    for name, index in shard(list(poses.clips()), processes):
        poses_2d, poses_3d = poses.poses(index)
        lifted[name] = lift(model, poses_2d, options)
        inputs[name], truth[name] = poses_2d.cpu(), poses_3d.cpu()
        metas[name] = {"frames": poses.row[index // CAMERAS].cpu(), "skeleton": H36M_2D.name}
    inputs, truth, lifted, metas = (_of_all_ranks(part, processes) for part in (inputs, truth, lifted, metas))
    if processes.is_main:
        _save(options.output_dir, lifted, metas, inputs)
        save_predictions(options.output_dir / "2d_pose_ground_truths.pt", inputs)
        save_predictions(options.output_dir / "3d_pose_ground_truths.pt", truth)
    print(
        f"score them: python eval.py h36m_MPJPE --prediction_files {options.output_dir / '3d_pose_estimations.pt'}\n"
        f"draw them: python viz.py 2d_gt_3d_gt_3d_pred --2d_pose_ground_truths "
        f"{options.output_dir / '2d_pose_ground_truths.pt'} --3d_pose_ground_truths "
        f"{options.output_dir / '3d_pose_ground_truths.pt'} --3d_pose_estimations "
        f"{options.output_dir / '3d_pose_estimations.pt'}"
    )
    return sum(map(len, lifted.values()))


def run_file(model: LinearModel, options: Namespace) -> int:
    """A `.pt` of 2D poses: each entry people × joints × 2 px, or with --process_as_video frames × joints × 2."""
    path = Path(options.data_dir)
    for_folders = f"is for a Human3.6M folder; {path} is a file of 2D poses"
    refuse_useless(options, [(True, ["run_with_train", "use_hg", "action"], for_folders)])
    if model.normalisation is None:
        raise UserError(
            f"{options.load}: a published checkpoint holds no normalisation, so it can't lift poses of a file; "
            "give a checkpoint of train.py 2d3d_h36m"
        )
    poses = load_predictions(path)
    order = input_order(path, poses, options)
    inputs = {name: people[:, order].float() for name, people in poses.items()}
    require_hip_first(inputs, path)
    processes = processes_of(options)
    own = {name: lift(model, people, options) for name, people in shard(list(inputs.items()), processes)}
    lifted = _of_all_ranks(own, processes)
    kind = "frames" if options.process_as_video else "people"
    metas = {name: {"skeleton": H36M_2D.name, "entry": kind} for name in inputs}
    if processes.is_main:
        _save(options.output_dir, lifted, metas, inputs)
    return sum(map(len, lifted.values()))


def input_order(path: Path, poses: dict[str, Tensor], options: Namespace) -> list[int]:
    """For every input joint of the lifter its index in the file's poses.

    The file's order is --input_joint_order, or what `metas.pt` beside the file says, or the lifter's own.
    Raises UserError where the poses have another number of joints than that order.
    """
    name = options.input_joint_order or _order_in_metas(path) or H36M_2D.name
    skeleton = SKELETONS[name]
    wrong = next((key for key, people in poses.items() if people.shape[1:] != (len(skeleton), 2)), None)
    if wrong is not None:
        shape = " × ".join(map(str, poses[wrong].shape))
        raise UserError(f"{path}: {wrong!r} is {shape}; poses in {name} order are people × {len(skeleton)} × 2")
    try:
        return joint_map(skeleton, H36M_2D)
    except KeyError as error:
        raise UserError(f"--input_joint_order {name}: lacks a joint that the lifter needs ({error.args[0]})") from None


def require_hip_first(poses: dict[str, Tensor], path: Path) -> None:
    """UserError where the first joint is not the middle of the hips: then the joints are in another order."""
    everybody = torch.cat([people for people in poses.values() if len(people)] or [torch.empty(0, len(H36M_2D), 2)])
    everybody = everybody[everybody.isfinite().all(-1).all(-1)]
    if not len(everybody):
        raise UserError(f"{path}: holds no pose without NaN")
    right, left = (everybody[:, H36M_2D.index(name)] for name in ("r_hip", "l_hip"))
    off = (everybody[:, 0] - (right + left) / 2).norm(dim=-1)
    size = (everybody.amax(1) - everybody.amin(1)).norm(dim=-1).clamp(min=1e-6)
    if (off / size).median() > HIP_OFF_MIDDLE:
        raise UserError(
            f"{path}: its joints are not in Human3.6M's order (the first is not the middle of the hips); "
            "say which with --input_joint_order, e.g. MPII for the hourglass's poses"
        )


@torch.inference_mode()
def lift(model: LinearModel, poses: Tensor, options: Namespace) -> Tensor:
    """(N, 16, 2) px -> (N, 17, 3) mm, hip at the origin, on the CPU. A pose with NaN gives NaN."""
    device = next(model.parameters()).device
    parts = []
    for part in poses.to(device).split(options.test_batch_size):
        with autocast(device, options.precision):
            output = with_hip(model(model.normalisation.input(part))).float()
        mm = model.normalisation.to_mm(output)
        parts.append((mm - mm[:, :1]).cpu())
    return torch.cat(parts) if parts else torch.empty(0, OUTPUT_JOINTS, 3)


def _order_in_metas(path: Path) -> str | None:
    metas_path = path.with_name("metas.pt")
    if not metas_path.is_file():
        return None
    entries = [entry for entry in load_metas(metas_path).values() if isinstance(entry, dict)]
    name = entries[0].get("skeleton") if entries else None
    return name if name in SKELETONS else None


def _of_all_ranks(part: dict[str, Any], processes: Processes) -> dict[str, Any]:
    """The entries of all processes, in order; each has made a part of them."""
    return {name: value for one in processes.gather_objects(part) for name, value in one.items()}


def _save(directory: Path, lifted: dict[str, Tensor], metas: dict[str, dict], inputs: dict[str, Tensor]) -> None:
    metas = {name: meta | {"skeleton_3d": H36M.name, "unit": "mm", "root": "hip"} for name, meta in metas.items()}
    save_predictions(directory / "3d_pose_estimations.pt", lifted)
    save_metas(directory / "metas.pt", metas)
    save_coco_results(directory / "predictions.json", {k: v.cpu() for k, v in inputs.items()}, keypoints_3d=lifted)
