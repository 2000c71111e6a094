"""Which script takes which options of `option_groups`, with which defaults and help where they differ.

No torch import here: `--help` answers at once.
"""

from pathlib import Path

from utils.command_line.cli import Check, Script
from utils.command_line.option_groups import GROUPS

__all__ = ["GROUPS", "SCRIPTS"]

_TRAIN_HOURGLASS = (
    "data_dir", "load", "experiment", "several processes", "machine", "optimisation", "evaluation",
    "hourglass network", "hourglass training", "augmentation",
)  # fmt: skip
_NO_WORKERS = {"workers": {"help": "ignored: poses are already on the device"}}
_SEVERAL_FOLDERS = {
    "data_dir": {
        "many": True,
        "help": "folders of MPII, LSP or COCO, joined for training; the first also validates, and says the joints; "
        "'sample' makes a small one on first use",
    }
}
_LOAD_TO_TRAIN = {"load": {"help": "checkpoint (file or its folder) whose weights to start from, at epoch 0"}}
_PHOTOS_HELP = "MPII folder, folder of photos, one photo, a video, or a camera's number; 'sample' too"
_SALIENCY_TAKES = (
    "img_dir", "load", "output_dir", "num_pictures", "hourglass network", "person_box", "use_max_for_saliency_map",
    "device", "allow_unsafe_load", "debug_traceback",
)  # fmt: skip
_SALIENCY_CHANGES = {
    "load": {
        "help": "hourglass or stitched checkpoint, ours or a published one; the architecture is read from it; "
        "by default the demo weights"
    },
    "num_pictures": {"help": "photos or frames to draw, evenly spread over all; by default all of them"},
    "person_box": {"help": "people in the photos: whole, hog, detect, or a JSON file of boxes"},
}
_OF_CHECKPOINT = {
    name: {"default": None, "help": "the checkpoint's own is used; refused where this disagrees"}
    for name in ("linear_size", "num_stage", "dataset_normalization")
}
_STITCHED_HELP = {
    "load": {"help": "stitched checkpoint (stitched_fine_tune); takes precedence over the two others"},
    "dataset_normalization": {"help": "the checkpoint's own is used; refused where this disagrees"},
}

# Made before torch is imported, so that an error of this kind comes at once.
_CHECKPOINT = Check("utils.training.checkpoint_paths:require_checkpoint", ("load",))
_START = Check("utils.training.checkpoint_paths:require_checkpoint", ("load", "resume"))
_RESUME = Check("utils.training.checkpoint_paths:require_latest", ("resume", "script", "exp", "checkpoint_dir"))
_PAIR = ("load", "load_hourglass", "load_2d3d")
_STITCHED = Check("stitched.checkpoint_paths:require_checkpoints", _PAIR)
_MPII = Check("stacked_hourglass.joined_data:require_mpii_first", ("data_dir",))
_LSP = Check("stacked_hourglass.joined_data:require_lsp_first", ("data_dir",))
_H36M = Check("utils.human36m.folder:require_folder", ("data_dir",))
_PHOTOS = Check("stacked_hourglass.annotations:require_photos", ("data_dir",))
_PICTURES = Check("utils.imaging.source_paths:require_path", ("img_dir",))
_PREDICTIONS, _ESTIMATIONS_2D, _ESTIMATIONS_3D, _TRUTH_2D, _TRUTH_3D = (
    Check("utils.imaging.source_paths:require_files", (dest,), (option,))
    for dest, option in (
        ("prediction_files", "--prediction_files"),
        ("pose_2d_estimations", "--2d_pose_estimations"),
        ("pose_3d_estimations", "--3d_pose_estimations"),
        ("pose_2d_ground_truths", "--2d_pose_ground_truths"),
        ("pose_3d_ground_truths", "--3d_pose_ground_truths"),
    )
)

SCRIPTS: dict[str, dict[str, Script]] = {
    "train": {
        "hourglass_mpii": Script(
            "stacked_hourglass.train", "hourglass_mpii",
            "Train a stacked hourglass, RGB to 2D pose, on MPII.",
            "MPII in data/mpii, or --data_dir sample",
            _TRAIN_HOURGLASS, {"data_dir": [Path("data/mpii")]}, changes=_LOAD_TO_TRAIN | _SEVERAL_FOLDERS,
            sample="mpii", several=True,
            checks=(_RESUME, _START, _MPII),
        ),
        "hourglass_lsp": Script(
            "stacked_hourglass.train", "hourglass_lsp",
            "Train a stacked hourglass on Leeds Sports Pose and its extended training set.",
            "LSP, LSP-extended or both in data/lsp, or --data_dir sample",
            _TRAIN_HOURGLASS, {"data_dir": [Path("data/lsp")], "num_classes": 14},
            changes=_LOAD_TO_TRAIN | _SEVERAL_FOLDERS, sample="lsp", several=True,
            checks=(_RESUME, _START, _LSP),
        ),
        "2d3d_h36m": Script(
            "twod_threed.train", "lifter_h36m",
            "Train the 3D pose baseline, 2D to 3D pose, on Human3.6M.",
            "Human3.6M in data/h36m, or --data_dir sample",
            (
                "data_dir", "load", "experiment", "several processes", "machine", "epochs", "train_batch_size", "lr",
                "schedule", "gamma", "weight_decay", "use_amsprop", "grad_clip", "no_grad_clipping", "tb_log_freq",
                "max_bad_steps", "test_batch_size", "action", "fully connected network", "3D baseline", "cycle GAN",
                "gradient_penalty_coeff",
            ),
            {
                "data_dir": Path("data/h36m"), "lr": 1e-3, "train_batch_size": 64, "test_batch_size": 4096,
                "schedule": [], "workers": 0,
            },
            changes=_LOAD_TO_TRAIN | _NO_WORKERS | {
                "gradient_penalty_coeff": {"help": "weight of the critics' gradient penalty, of --cycle_gan"},
            },
            sample="h36m", several=True,
            checks=(_RESUME, _START, _H36M),
        ),
        "3d_pose_gan": Script(
            "generative_models.train", "pose_gan",
            "Train a Wasserstein GAN over 3D poses, on Human3.6M.",
            "Human3.6M in data/h36m, or --data_dir sample",
            (
                "data_dir", "load", "experiment", "use_horovod", "scale_lr", "compression", "machine", "epochs",
                "train_batch_size", "lr", "schedule", "gamma", "weight_decay", "use_amsprop", "grad_clip",
                "no_grad_clipping", "tb_log_freq", "max_bad_steps", "test_batch_size", "action",
                "fully connected network", "held_out", "latent_size", "num_discriminator_steps_per_generator_step",
                "gradient_penalty_coeff", "clip_max",
            ),
            {
                "data_dir": Path("data/h36m"), "lr": 3e-4, "train_batch_size": 128, "test_batch_size": 4096,
                "schedule": [], "workers": 0, "linear_size": 256,
            },
            changes=_LOAD_TO_TRAIN | _NO_WORKERS, sample="h36m", several=True,
            checks=(_RESUME, _START, _H36M),
        ),
        "stitched_fine_tune": Script(
            "stitched.train", "stitched_fine_tune",
            "Fine-tune hourglass and 3D baseline as one network, RGB to 3D pose, on Human3.6M.",
            "trained networks, and Human3.6M with images in data/h36m, or --data_dir sample",
            (
                "data_dir", "load", "load_hourglass", "load_2d3d", "experiment", "several processes", "machine",
                "epochs", "train_batch_size", "lr", "schedule", "gamma", "weight_decay", "use_amsprop", "grad_clip",
                "no_grad_clipping", "tb_log_freq", "max_bad_steps", "test_batch_size", "hourglass network",
                "remove_intermediate_supervision", "sigma", "label_type", "augment_training_data", "linear_size",
                "num_stage", "dropout", "dataset_normalization", "action", "stitched training",
            ),
            {
                "data_dir": Path("data/h36m"), "lr": 1e-4, "train_batch_size": 16, "test_batch_size": 16, "epochs": 10,
                "schedule": [],
            },
            changes={
                "load": {"help": "stitched checkpoint whose weights to start from, at epoch 0; wins over the two"},
                "augment_training_data": {"help": "random scale, shift, rotation, flip and colour of the crops"},
            },
            sample="h36m", several=True,
            checks=(_RESUME, Check("stitched.checkpoint_paths:require_checkpoints", (*_PAIR, "resume")), _H36M),
        ),
    },
    "run": {
        "hourglass_mpii": Script(
            "stacked_hourglass.run", "hourglass_mpii",
            "2D poses in photos or a video, from a trained hourglass.",
            "an hourglass or stitched checkpoint, or the demo weights; and photos, a video or MPII",
            (
                "data_dir", "load", "output_dir", "run_with_train", "person_box", "max_frames", "machine",
                "test_batch_size", "flip", "hourglass network",
            ),
            {"data_dir": Path("data/mpii"), "output_dir": Path("data/hourglass_mpii"), "test_batch_size": 16},
            sample="mpii", several=True,
            changes={"data_dir": {"help": _PHOTOS_HELP}, "load": _SALIENCY_CHANGES["load"]},
            checks=(_CHECKPOINT, _PHOTOS),
        ),
        "2d3d_h36m": Script(
            "twod_threed.run", "lifter_h36m",
            "3D poses from 2D poses, by a trained 3D baseline.",
            "a 2d3d_h36m checkpoint, and Human3.6M or a 2d_pose_estimations.pt",
            (
                "data_dir", "load", "output_dir", "run_with_train", "process_as_video", "input_joint_order", "machine",
                "test_batch_size", "action", "use_hg", "fully connected network", "dataset_normalization",
            ),
            {
                "data_dir": Path("data/h36m"), "output_dir": Path("data/2d3d_h36m"), "test_batch_size": 4096,
                "workers": 0,
            },
            required=("load",), sample="h36m", several=True,
            changes=_NO_WORKERS | _OF_CHECKPOINT | {
                "data_dir": {"help": "Human3.6M folder, a .pt of 2D poses, or a run's folder with one; 'sample' too"},
                "action": {"help": "actions to run on: All, or names with commas between"},
            },
            checks=(_CHECKPOINT, Check("utils.human36m.folder:require_folder_or_file", ("data_dir",))),
        ),
        "stitched_mpii": Script(
            "stitched.run", "stitched_mpii",
            "2D and 3D poses in photos or a video, by hourglass, soft-argmax and 3D baseline as one network.",
            "a checkpoint, a pair of them, or the demo weights; and photos, a video, a camera or MPII",
            (
                "data_dir", "load", "load_hourglass", "load_2d3d", "output_dir", "run_with_train", "person_box",
                "max_frames", "draw", "machine", "test_batch_size", "flip", "hourglass network", "linear_size",
                "num_stage", "dataset_normalization",
            ),
            {"data_dir": Path("data/mpii"), "output_dir": Path("data/stitched_mpii"), "test_batch_size": 16},
            sample="mpii", several=True,
            changes=_STITCHED_HELP | {"data_dir": {"help": _PHOTOS_HELP}},
            checks=(_STITCHED, _PHOTOS),
        ),
        "stitched_h36m": Script(
            "stitched.run", "stitched_h36m",
            "2D and 3D poses in Human3.6M's images, with the truth beside them.",
            "a checkpoint, a pair of them, or the demo weights; and Human3.6M with images",
            (
                "data_dir", "load", "load_hourglass", "load_2d3d", "output_dir", "run_with_train", "action", "draw",
                "machine", "test_batch_size", "flip", "hourglass network", "linear_size", "num_stage",
                "dataset_normalization",
            ),
            {"data_dir": Path("data/h36m"), "output_dir": Path("data/stitched_h36m"), "test_batch_size": 16},
            sample="h36m", several=True,
            changes=_STITCHED_HELP | {
                "data_dir": {"help": "Human3.6M folder with images, or one that lists frames; 'sample' too"},
                "action": {"help": "actions to run on: All, or names with commas between"},
            },
            checks=(_STITCHED, _H36M),
        ),
        "export": Script(
            "stitched.export", "export",
            "Write a network as ONNX and as a torch.export program, and check both against it.",
            "a checkpoint of any of them, or the demo weights; for ONNX: pip install onnx onnxscript onnxruntime",
            (
                "load", "load_hourglass", "load_2d3d", "output_dir", "hourglass network", "linear_size", "num_stage",
                "dataset_normalization", "seed", "allow_unsafe_load", "debug_traceback",
            ),
            {"output_dir": Path("data/export")},
            changes=_STITCHED_HELP | {
                "load": {"help": "checkpoint of an hourglass, a 3D baseline or a stitched network"},
                "seed": {"help": "seed of the random input of the check"},
            },
            checks=(_STITCHED,),
        ),
    },
    "viz": {
        "2d_overlay": Script(
            "stacked_hourglass.viz", "overlay_2d",
            "Draw 2D poses on their photos.",
            "photos, and the 2d_pose_estimations.pt that run.py made of them",
            ("img_dir", "2d_pose_estimations", "min_score", "output_dir", "debug_traceback"),
            {"output_dir": Path("visualizations/2d_overlay")}, required=("img_dir", "2d_pose_estimations"),
            checks=(_PICTURES, _ESTIMATIONS_2D),
        ),
        "2d_gt_3d_gt_3d_pred": Script(
            "twod_threed.viz", "truth_and_prediction",
            "Draw 2D inputs, true and predicted 3D poses of Human3.6M side by side.",
            "the three .pt files that run.py 2d3d_h36m made",
            (
                "2d_pose_ground_truths", "3d_pose_ground_truths", "3d_pose_estimations", "output_dir", "num_pictures",
                "debug_traceback",
            ),
            {"output_dir": Path("visualizations/2d_gt_3d_gt_3d_pred")},
            required=("2d_pose_ground_truths", "3d_pose_ground_truths", "3d_pose_estimations"),
            changes={"3d_pose_ground_truths": {"help": "3d_pose_ground_truths.pt of run.py"}},
            checks=(_TRUTH_2D, _TRUTH_3D, _ESTIMATIONS_3D),
        ),
        "2d_overlay_3d_pred": Script(
            "stitched.viz", "overlay_2d_3d_pred",
            "Draw 2D poses on their photos, and the 3D poses beside them.",
            "photos, and the two files that run.py stitched_mpii or stitched_h36m made of them",
            ("img_dir", "2d_pose_estimations", "3d_pose_estimations", "min_score", "output_dir", "debug_traceback"),
            {"output_dir": Path("visualizations/2d_overlay_3d_pred")},
            required=("img_dir", "2d_pose_estimations", "3d_pose_estimations"),
            checks=(_PICTURES, _ESTIMATIONS_2D, _ESTIMATIONS_3D),
        ),
        "2d_overlay_3d_gt_3d_pred": Script(
            "stitched.viz", "overlay_2d_3d_gt_3d_pred",
            "Draw 2D poses on their photos, and the true and the predicted 3D poses beside them.",
            "images, and the three files that run.py stitched_h36m made of them",
            (
                "img_dir", "2d_pose_estimations", "3d_pose_ground_truths", "3d_pose_estimations", "min_score",
                "output_dir", "debug_traceback",
            ),
            {"output_dir": Path("visualizations/2d_overlay_3d_gt_3d_pred")},
            required=("img_dir", "2d_pose_estimations", "3d_pose_ground_truths", "3d_pose_estimations"),
            changes={"3d_pose_ground_truths": {"help": "3d_pose_ground_truths.pt of run.py"}},
            checks=(_PICTURES, _ESTIMATIONS_2D, _TRUTH_3D, _ESTIMATIONS_3D),
        ),
        "video": Script(
            "stitched.video", "video",
            "Draw a video's poses into a new video: 2D on the frames, 3D beside them.",
            "a video, and the files that run.py stitched_mpii made of it",
            ("img_dir", "2d_pose_estimations", "3d_pose_estimations", "min_score", "output_dir", "debug_traceback"),
            {"output_dir": Path("visualizations/video")},
            required=("img_dir", "2d_pose_estimations", "3d_pose_estimations"),
            changes={
                "img_dir": {"help": "the video"},
                "2d_pose_estimations": {"help": "2d_pose_estimations.pt of run.py; metas.pt beside it has the tracks"},
                "output_dir": {"help": "folder for the result, NAME.webm: VP8 without sound, plays in browsers"},
            },
            checks=(_PICTURES, _ESTIMATIONS_2D, _ESTIMATIONS_3D),
        ),
        "saliency_and_prob_maps": Script(
            "stitched.saliency_viz", "saliency_and_prob_maps",
            "Draw an hourglass's heat map and saliency map of every joint, one row per joint.",
            "photos or a video; an hourglass or stitched checkpoint, or the demo weights",
            _SALIENCY_TAKES,
            {"num_pictures": None, "output_dir": Path("visualizations/saliency_and_prob_maps")},
            required=("img_dir",), changes=_SALIENCY_CHANGES,
            checks=(_CHECKPOINT, _PICTURES),
        ),
        "saliency_and_prob_maps_with_skeleton": Script(
            "stitched.saliency_viz", "saliency_and_prob_maps_with_skeleton",
            "Draw what saliency_and_prob_maps draws, with the predicted skeleton on the photo of every row.",
            "photos or a video; an hourglass or stitched checkpoint, or the demo weights",
            _SALIENCY_TAKES,
            {"num_pictures": None, "output_dir": Path("visualizations/saliency_and_prob_maps_with_skeleton")},
            required=("img_dir",), changes=_SALIENCY_CHANGES,
            checks=(_CHECKPOINT, _PICTURES),
        ),
        "orthog_augmentation": Script(
            "twod_threed.augmentation_viz", "orthog_augmentation",
            "Draw one pose of Human3.6M in many orientations: 2D truth, 3D truth and 3D prediction.",
            "a 2d3d_h36m checkpoint, and Human3.6M in data/h36m, or --data_dir sample",
            (
                "data_dir", "load", "index", "num_orientations", "z_rotations_only", "fully connected network",
                "dataset_normalization", "seed", "output_dir", "allow_unsafe_load", "debug_traceback",
            ),
            {"data_dir": Path("data/h36m"), "output_dir": Path("visualizations/orthog_augmentation")},
            required=("load",), sample="h36m",
            changes=_OF_CHECKPOINT | {
                "index": {"help": "the test sample to draw, from 0: frame index // 4 of S9 and S11, camera index % 4"},
            },
            checks=(_CHECKPOINT, _H36M),
        ),
        "3d_pose_gan": Script(
            "generative_models.viz", "pose_gan",
            "Draw poses that a GAN generated beside real ones, a walk through its latents, and the nearest real poses.",
            "a 3d_pose_gan checkpoint, and Human3.6M in data/h36m, or --data_dir sample",
            (
                "data_dir", "load", "num_pictures", "interpolate", "nearest", "seed", "output_dir",
                "allow_unsafe_load", "debug_traceback",
            ),
            {
                "data_dir": Path("data/h36m"), "num_pictures": 16, "output_dir": Path("visualizations/3d_pose_gan"),
            },
            required=("load",), sample="h36m",
            changes={"num_pictures": {"help": "generated poses to draw, and as many real ones"}},
            checks=(_CHECKPOINT, _H36M),
        ),
        "training_curves": Script(
            "utils.training.training_curves", "training_curves",
            "Draw the curves of one or several trainings.",
            "experiment folders that train.py wrote",
            ("load", "output_dir", "debug_traceback"),
            {"output_dir": Path("visualizations/training_curves")}, required=("load",),
            changes={"load": {"many": True, "help": "experiment folders, or their log.txt files"}},
        ),
    },
    "eval": {
        "mpii_PCKh": Script(
            "stacked_hourglass.evaluation", "mpii_PCKh",
            "PCKh of prediction files against MPII's validation people: table and curves.",
            "detections_our_format.mat in data/mpii, and prediction files",
            ("data_dir", "prediction_files", "model_names", "output_dir", "debug_traceback"),
            {"data_dir": Path("data/mpii"), "output_dir": Path("visualizations/mpii_PCKh")},
            required=("prediction_files",), sample="mpii",
            checks=(_PREDICTIONS,),
        ),
        "lsp_PCK": Script(
            "stacked_hourglass.lsp_evaluation", "lsp_PCK",
            "PCK@0.2 and PCKh@0.5 of prediction files against LSP's validation people, person- and observer-centric.",
            "joints.mat of LSP or LSP-extended in data/lsp, or --data_dir sample; and prediction files of 14 joints",
            ("data_dir", "prediction_files", "model_names", "output_dir", "debug_traceback"),
            {"data_dir": Path("data/lsp"), "output_dir": Path("visualizations/lsp_PCK")},
            required=("prediction_files",), sample="lsp",
            checks=(_PREDICTIONS,),
            changes={
                "prediction_files": {
                    "help": "2D predictions in LSP's order: preds_valid.mat of train.py hourglass_lsp, .mat, .h5 or "
                    ".npz like it (key preds, N × 14 × 2, one-based px, validation order), .pt or .json by photo"
                },
            },
        ),
        "h36m_MPJPE": Script(
            "twod_threed.evaluation", "h36m_MPJPE",
            "Errors of 3D predictions against Human3.6M: Protocols 1 and 2, N-MPJPE, velocity, PCK, AUC.",
            "3D prediction files, and their ground truth or Human3.6M in data/h36m",
            ("data_dir", "prediction_files", "3d_pose_ground_truths", "model_names", "output_dir", "debug_traceback"),
            {"data_dir": Path("data/h36m"), "output_dir": Path("visualizations/h36m_MPJPE")},
            required=("prediction_files",), sample="h36m",
            checks=(_PREDICTIONS, _TRUTH_3D),
            changes={
                "data_dir": {
                    "help": "Human3.6M folder: the ground truth where no ground truth file is given; 'sample' too"
                },
                "prediction_files": {
                    "help": "3D predictions: .pt of run.py; or .mat, .h5, .npz with the key preds, N × 17 × 3 mm (16 "
                    "without the hip), camera coordinates, all frames in the order of the truth (from a folder: by "
                    "subject, action, take, camera)"
                },
            },
        ),
    },
}  # fmt: skip
