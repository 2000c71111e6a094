"""The scripts of the four entry points: which options of `option_groups` each takes, and where defaults or help differ.

Imports no torch, so that `--help` answers at once.
"""

from pathlib import Path

from utils.command_line.declarations import Check, Script
from utils.command_line.option_groups import GROUPS
from utils.command_line.script_kinds import (
    BROWSE,
    CHECKPOINT,
    COCO_FOLDER,
    COCO_OR_PHOTOS,
    COCO_OR_PHOTOS_REPORT,
    COCO_REPORT,
    COCO_TRUTH,
    COCO_TRUTH_REPORT,
    COMPARED_MODELS,
    ESTIMATIONS_2D,
    ESTIMATIONS_3D,
    EVA_FOLDER,
    EVA_REPORT,
    FRAME_OPTIONS,
    H36M_FOLDER,
    H36M_IMAGES_REPORT,
    H36M_IMAGES_TRAINING_REPORT,
    H36M_OR_FILE_REPORT,
    H36M_REPORT,
    H36M_TRAINING_REPORT,
    H36M_TRUTH_REPORT,
    IMG_DIR,
    LIFTER_SHAPE,
    LOAD_TO_TRAIN,
    LSP_FOLDER,
    LSP_REPORT,
    LSP_TRUTH_REPORT,
    MPII_FOLDER,
    MPII_REPORT,
    MPII_TRUTH_REPORT,
    NO_WORKERS,
    PHOTOS,
    PHOTOS_HELP,
    PHOTOS_REPORT,
    PREDICTION_FOLDER,
    PREDICTIONS,
    REPORT,
    RESUME,
    SALIENCY_CHANGES,
    SMOOTHED_FRAMES,
    STEPS,
    STITCHED,
    STITCHED_HELP,
    TRUTH_2D,
    TRUTH_3D,
    UNLOCKED,
    VIEWER,
    WORST,
    evaluation_2d,
    hourglass_run,
    hourglass_training,
    saliency,
)

__all__ = ["GROUPS", "SCRIPTS"]

SCRIPTS: dict[str, dict[str, Script]] = {
    "train": {
        "hourglass_mpii": hourglass_training(
            "mpii", "Train a stacked hourglass, RGB to 2D pose, on MPII.", "MPII", MPII_FOLDER, MPII_REPORT
        ),
        "hourglass_lsp": hourglass_training(
            "lsp", "Train a stacked hourglass on Leeds Sports Pose and its extended training set.",
            "LSP, LSP-extended or both", LSP_FOLDER, LSP_REPORT, num_classes=14,
        ),
        "hourglass_coco": hourglass_training(
            "coco", "Train a stacked hourglass on COCO's person keypoints; validate by OKS AP with given boxes.",
            "COCO", COCO_FOLDER, COCO_REPORT, num_classes=17,
        ),
        "hourglass_eva": hourglass_training(
            "eva", "Train a stacked hourglass on the videos of HumanEva-I, with --add_attention on clips.",
            "HumanEva-I", EVA_FOLDER, EVA_REPORT, "sync", num_classes=15,
        ),
        "2d3d_h36m": Script(
            "twod_threed.train", "lifter_h36m",
            "Train the 3D pose baseline, 2D to 3D pose, on Human3.6M.",
            "Human3.6M in data/h36m, or --data_dir sample",
            (
                "data_dir", "load", "experiment", "several processes", *STEPS, "fully connected network",
                "3D baseline", "cycle GAN", "gradient_penalty_coeff",
            ),
            {
                "data_dir": Path("data/h36m"), "lr": 1e-3, "train_batch_size": 64, "test_batch_size": 4096,
                "schedule": [], "workers": 0,
            },
            changes=LOAD_TO_TRAIN | NO_WORKERS | {
                "gradient_penalty_coeff": {"help": "weight of the critics' gradient penalty, for --cycle_gan"},
            },
            sample="h36m", several=True,
            checks=(UNLOCKED, RESUME, CHECKPOINT, H36M_FOLDER), data=H36M_TRAINING_REPORT,
        ),
        "3d_pose_gan": Script(
            "generative_models.train", "pose_gan",
            "Train a Wasserstein GAN over 3D poses, on Human3.6M.",
            "Human3.6M in data/h36m, or --data_dir sample",
            (
                "data_dir", "load", "experiment", "use_horovod", "scale_lr", "compression", *STEPS,
                "fully connected network", "held_out", "latent_size", "num_discriminator_steps_per_generator_step",
                "gradient_penalty_coeff", "clip_max",
            ),
            {
                "data_dir": Path("data/h36m"), "lr": 3e-4, "train_batch_size": 128, "test_batch_size": 4096,
                "schedule": [], "workers": 0, "linear_size": 256,
            },
            changes=LOAD_TO_TRAIN | NO_WORKERS, sample="h36m", several=True,
            checks=(UNLOCKED, RESUME, CHECKPOINT, H36M_FOLDER), data=H36M_TRAINING_REPORT,
        ),
        "stitched_fine_tune": Script(
            "stitched.train", "stitched_fine_tune",
            "Fine-tune hourglass and 3D baseline as one network, RGB to 3D pose, on Human3.6M.",
            "trained networks, and Human3.6M with images in data/h36m, or --data_dir sample",
            (
                "data_dir", "max_pixels", "load", "load_hourglass", "load_2d3d", "experiment", "several processes",
                *STEPS,
                "hourglass network", "remove_intermediate_supervision", "sigma", "label_type", "augment_training_data",
                "linear_size", "num_stage", "dropout", "dataset_normalization", "stitched training",
            ),
            {
                "data_dir": Path("data/h36m"), "lr": 1e-4, "train_batch_size": 16, "test_batch_size": 16, "epochs": 10,
                "schedule": [],
            },
            changes={
                "load": {
                    "help": "stitched checkpoint; training starts from its weights at epoch 0; overrides "
                    "--load_hourglass and --load_2d3d"
                },
                "augment_training_data": {"help": "random scale, shift, rotation, flip and colour of the crops"},
            },
            sample="h36m", several=True,
            checks=(UNLOCKED, RESUME, STITCHED, H36M_FOLDER),
            data=H36M_IMAGES_TRAINING_REPORT,
        ),
    },
    "run": {
        "hourglass_mpii": hourglass_run(
            "mpii", "Estimate 2D poses in photos or a video with a trained hourglass.",
            "an hourglass or stitched checkpoint, or the demo weights; photos, a video or MPII",
            SALIENCY_CHANGES["load"]["help"], PHOTOS, PHOTOS_REPORT,
        ),
        "hourglass_coco": hourglass_run(
            "coco",
            "Estimate 2D poses of COCO's people in given boxes, in COCO's results format, or in photos or a video.",
            "an hourglass with COCO's 17 joints (train.py hourglass_coco); COCO, photos or a video",
            "hourglass checkpoint; the architecture is read from it", COCO_OR_PHOTOS,
            COCO_OR_PHOTOS_REPORT, required=("load",),
        ),
        "2d3d_h36m": Script(
            "twod_threed.run", "lifter_h36m",
            "Estimate 3D poses from 2D poses with a trained 3D baseline.",
            "a 2d3d_h36m checkpoint; Human3.6M or a 2d_pose_estimations.pt",
            (
                "data_dir", "load", "output_dir", "run_with_train", "process_as_video", "input_joint_order",
                "smooth", "absolute", "focal", "machine",
                "test_batch_size", "action", "use_hg", "fully connected network", "dataset_normalization",
            ),
            {
                "data_dir": Path("data/h36m"), "output_dir": Path("data/2d3d_h36m"), "test_batch_size": 4096,
                "workers": 0,
            },
            required=("load",), sample="h36m", several=True,
            changes=NO_WORKERS | LIFTER_SHAPE | {
                "data_dir": {"help": "Human3.6M folder, .pt file of 2D poses, output folder of run.py, or 'sample'"},
                "action": {"help": "actions to run on: All, or comma-separated names"},
            },
            checks=(CHECKPOINT, Check("utils.human36m.folder:require_h36m_folder_or_file", ("data_dir",))),
            data=H36M_OR_FILE_REPORT,
        ),
        "stitched_mpii": Script(
            "stitched.run", "stitched_mpii",
            "Estimate 2D and 3D poses in photos or a video with hourglass, soft-argmax and 3D baseline as one network.",
            "a stitched checkpoint, a pair of checkpoints, or the demo weights; photos, a video, a camera or MPII",
            (
                "data_dir", "max_pixels", "load", "load_hourglass", "load_2d3d", "output_dir", "run_with_train",
                "person_box",
                *FRAME_OPTIONS, "smooth", "absolute", "focal", "show", "draw", "machine", "test_batch_size",
                "flip", "hourglass network", "linear_size", "num_stage", "dataset_normalization",
            ),
            {"data_dir": Path("data/mpii"), "output_dir": Path("data/stitched_mpii"), "test_batch_size": 16},
            sample="mpii", several=True,
            changes=STITCHED_HELP | {"data_dir": {"help": PHOTOS_HELP}},
            checks=(STITCHED, PHOTOS, SMOOTHED_FRAMES), data=PHOTOS_REPORT,
        ),
        "stitched_h36m": Script(
            "stitched.run", "stitched_h36m",
            "Estimate 2D and 3D poses in Human3.6M's images, and write the ground truth beside them.",
            "a stitched checkpoint, a pair of checkpoints, or the demo weights; Human3.6M with images",
            (
                "data_dir", "max_pixels", "load", "load_hourglass", "load_2d3d", "output_dir", "run_with_train",
                "action", "draw",
                "machine", "test_batch_size", "flip", "hourglass network", "linear_size", "num_stage",
                "dataset_normalization",
            ),
            {"data_dir": Path("data/h36m"), "output_dir": Path("data/stitched_h36m"), "test_batch_size": 16},
            sample="h36m", several=True,
            changes=STITCHED_HELP | {
                "data_dir": {"help": "Human3.6M folder with images, folder with a list of frames, or 'sample'"},
                "action": {"help": "actions to run on: All, or comma-separated names"},
            },
            checks=(STITCHED, H36M_FOLDER), data=H36M_IMAGES_REPORT,
        ),
        "convert": Script(
            "utils.formats.convert", "convert",
            "Convert predictions to tables, animation and motion-capture files, and joint angles.",
            "a folder that run.py wrote; for --to c3d: pip install ezc3d",
            ("data_dir", "to", "fps", "output_dir", "debug_traceback"),
            {"data_dir": Path("data/stitched_mpii")}, required=("to",), checks=(PREDICTION_FOLDER,),
            changes={
                "data_dir": {"help": "folder of predictions: the --output_dir of another script"},
                "output_dir": {"help": "output folder; by default the folder 'converted' in --data_dir"},
            },
        ),
        "export": Script(
            "stitched.export", "export",
            "Export a network as ONNX and as a torch.export program, and compare both with the original.",
            "a checkpoint of any network, or the demo weights; for ONNX: pip install onnx onnxscript",
            (
                "load", "load_hourglass", "load_2d3d", "output_dir", "hourglass network", "linear_size", "num_stage",
                "dataset_normalization", "seed", "allow_unsafe_load", "debug_traceback",
            ),
            {"output_dir": Path("data/export")},
            changes=STITCHED_HELP | {
                "load": {"help": "checkpoint of an hourglass, a 3D baseline or a stitched network"},
                "seed": {"help": "random seed of the input that the outputs are compared on"},
            },
            checks=(STITCHED,),
        ),
    },
    "viz": {
        "2d_overlay": Script(
            "stacked_hourglass.viz", "overlay_2d",
            "Draw 2D poses on their photos.",
            "photos, and the 2d_pose_estimations.pt that run.py wrote for them",
            ("img_dir", "max_pixels", "2d_pose_estimations", "min_score", "style", "output_dir", "debug_traceback"),
            {"output_dir": Path("visualizations/2d_overlay")}, required=("img_dir", "2d_pose_estimations"),
            checks=(IMG_DIR, ESTIMATIONS_2D),
        ),
        "2d_gt_3d_gt_3d_pred": Script(
            "twod_threed.viz", "truth_and_prediction",
            "Draw 2D inputs, true and predicted 3D poses of Human3.6M side by side.",
            "the three .pt files that run.py 2d3d_h36m wrote",
            (
                "2d_pose_ground_truths", "3d_pose_ground_truths", "3d_pose_estimations", "model_names", "figures",
                "output_dir", "num_pictures", "debug_traceback",
            ),
            {"output_dir": Path("visualizations/2d_gt_3d_gt_3d_pred")},
            required=("2d_pose_ground_truths", "3d_pose_ground_truths", "3d_pose_estimations"),
            changes=COMPARED_MODELS | {"3d_pose_ground_truths": {"help": "3d_pose_ground_truths.pt of run.py"}},
            checks=(TRUTH_2D, TRUTH_3D, ESTIMATIONS_3D),
        ),
        "2d_overlay_3d_pred": Script(
            "stitched.viz", "overlay_2d_3d_pred",
            "Draw 2D poses on their photos, and 3D poses beside them.",
            "photos, and the two files that run.py stitched_mpii or stitched_h36m wrote for them",
            (
                "img_dir", "2d_pose_estimations", "3d_pose_estimations", "model_names", "min_score", "style", "views",
                "max_pixels", "output_dir", "debug_traceback",
            ),
            {"output_dir": Path("visualizations/2d_overlay_3d_pred")},
            required=("img_dir", "2d_pose_estimations", "3d_pose_estimations"), changes=COMPARED_MODELS,
            checks=(IMG_DIR, ESTIMATIONS_2D, ESTIMATIONS_3D),
        ),
        "2d_overlay_3d_gt_3d_pred": Script(
            "stitched.viz", "overlay_2d_3d_gt_3d_pred",
            "Draw 2D poses on their photos, and true and predicted 3D poses beside them.",
            "images, and the three files that run.py stitched_h36m wrote for them",
            (
                "img_dir", "2d_pose_estimations", "3d_pose_ground_truths", "3d_pose_estimations", "model_names",
                "min_score", "figures", "max_pixels", "output_dir", "debug_traceback",
            ),
            {"output_dir": Path("visualizations/2d_overlay_3d_gt_3d_pred")},
            required=("img_dir", "2d_pose_estimations", "3d_pose_ground_truths", "3d_pose_estimations"),
            changes=COMPARED_MODELS | {"3d_pose_ground_truths": {"help": "3d_pose_ground_truths.pt of run.py"}},
            checks=(IMG_DIR, ESTIMATIONS_2D, TRUTH_3D, ESTIMATIONS_3D),
        ),
        "video": Script(
            "stitched.video", "video",
            "Draw the poses of a video into a new video: 2D on the frames, 3D beside them.",
            "a video, and the files that run.py stitched_mpii wrote for it",
            (
                "img_dir", "max_pixels", "2d_pose_estimations", "3d_pose_estimations", "min_score", "max_side", "gif",
                "style", "output_dir", "debug_traceback",
            ),
            {"output_dir": Path("visualizations/video")},
            required=("img_dir", "2d_pose_estimations", "3d_pose_estimations"),
            changes={
                "img_dir": {"help": "video file"},
                "style": {"help": "colours of panels and caption; paper: white background"},
                "2d_pose_estimations": {
                    "help": "2d_pose_estimations.pt from run.py; tracks are read from metas.pt beside it"
                },
                "output_dir": {"help": "folder for the video NAME.mp4 (H.264, with audio)"},
            },
            checks=(IMG_DIR, ESTIMATIONS_2D, ESTIMATIONS_3D),
        ),
        "viewer": VIEWER,
        "report": REPORT,
        "worst": WORST,
        "browse": BROWSE,
        "saliency_and_prob_maps": saliency(
            "saliency_and_prob_maps", "Draw an hourglass's heat map and saliency map of every joint, one row per joint."
        ),
        "saliency_and_prob_maps_with_skeleton": saliency(
            "saliency_and_prob_maps_with_skeleton",
            "Draw what saliency_and_prob_maps draws, with the predicted skeleton on the photo of every row.",
        ),
        "orthog_augmentation": Script(
            "twod_threed.augmentation_viz", "orthog_augmentation",
            "Draw one pose of Human3.6M in many orientations: 2D truth, 3D truth and 3D prediction.",
            "a 2d3d_h36m checkpoint, and Human3.6M in data/h36m, or --data_dir sample",
            (
                "data_dir", "load", "index", "num_orientations", "z_rotations_only", "fully connected network",
                "dataset_normalization", "seed", "style", "color", "output_dir", "allow_unsafe_load", "debug_traceback",
            ),
            {"data_dir": Path("data/h36m"), "output_dir": Path("visualizations/orthog_augmentation")},
            required=("load",), sample="h36m",
            changes=LIFTER_SHAPE | {
                "index": {
                    "help": "index of the test sample to draw, from 0: frame index // 4 of S9 and S11, camera index % 4"
                },
            },
            checks=(CHECKPOINT, H36M_FOLDER), data=H36M_REPORT,
        ),
        "3d_pose_gan": Script(
            "generative_models.viz", "pose_gan",
            "Draw poses generated by a GAN beside real ones, an interpolation of latents, and nearest real poses.",
            "a 3d_pose_gan checkpoint, and Human3.6M in data/h36m, or --data_dir sample",
            (
                "data_dir", "load", "num_pictures", "interpolate", "nearest", "seed", "style", "output_dir",
                "allow_unsafe_load", "debug_traceback",
            ),
            {
                "data_dir": Path("data/h36m"), "num_pictures": 16, "output_dir": Path("visualizations/3d_pose_gan"),
            },
            required=("load",), sample="h36m",
            changes={"num_pictures": {"help": "number of generated poses to draw, with as many real ones"}},
            checks=(CHECKPOINT, H36M_FOLDER), data=H36M_REPORT,
        ),
        "training_curves": Script(
            "utils.training.training_curves", "training_curves",
            "Draw training curves of one or more experiments.",
            "experiment folders written by train.py",
            ("load", "by_part", "output_dir", "debug_traceback"),
            {"output_dir": Path("visualizations/training_curves")}, required=("load",),
            changes={"load": {"many": True, "help": "experiment folders, or their log.txt files"}},
        ),
    },
    "eval": {
        "mpii_PCKh": evaluation_2d(
            "evaluation", "mpii_PCKh",
            "Compute PCKh of prediction files on MPII's validation people: table and curves.",
            "detections_our_format.mat in data/mpii, and prediction files", MPII_TRUTH_REPORT,
        ),
        "lsp_PCK": evaluation_2d(
            "lsp_evaluation", "lsp_PCK",
            "Compute PCK@0.2 and PCKh@0.5 of prediction files on LSP's validation people (person-, observer-centric).",
            "joints.mat of LSP or LSP-extended in data/lsp, or --data_dir sample; prediction files with 14 joints",
            LSP_TRUTH_REPORT,
            "2D predictions in LSP's joint order: preds_valid.mat from train.py hourglass_lsp; .mat, .h5 or .npz with "
            "the key preds (N × 14 × 2, one-based px, validation order); or .pt or .json by photo",
        ),
        "coco_AP": evaluation_2d(
            "coco_evaluation", "coco_AP",
            "Compute AP, AP50, AP75, APM, APL and AR (OKS) of results on COCO's validation people: table and curves.",
            "person_keypoints_val2017.json in data/coco, or --data_dir sample; results files in COCO's official format",
            COCO_TRUTH_REPORT,
            "person_keypoints_val2017_results.json from train.py or run.py hourglass_coco, or any file in COCO's "
            "official format: [{image_id, category_id: 1, keypoints: [x, y, score] × 17, score}]",
            COCO_TRUTH,
        ),
        "h36m_MPJPE": Script(
            "twod_threed.evaluation", "h36m_MPJPE",
            "Compute errors of 3D predictions on Human3.6M: Protocols 1 and 2, N-MPJPE, velocity, PCK, AUC.",
            "3D prediction files, and their ground truth or Human3.6M in data/h36m",
            ("data_dir", "prediction_files", "3d_pose_ground_truths", "model_names", "output_dir", "debug_traceback"),
            {"data_dir": Path("data/h36m"), "output_dir": Path("visualizations/h36m_MPJPE")},
            required=("prediction_files",), sample="h36m",
            checks=(PREDICTIONS, TRUTH_3D), data=H36M_TRUTH_REPORT,
            changes={
                "data_dir": {
                    "help": "Human3.6M folder to take ground truth from if no ground truth file is given, or 'sample'"
                },
                "prediction_files": {
                    "help": "3D predictions: .pt from run.py; or .mat, .h5 or .npz with the key preds (N × 17 × 3 mm, "
                    "or 16 joints without the hip; camera coordinates; all frames in the order of the ground truth: "
                    "for a folder by subject, action, take, camera)"
                },
            },
        ),
    },
}  # fmt: skip
