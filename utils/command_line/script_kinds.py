"""What scripts of the entry points share: changed help, early checks, and scripts of one kind on several data sets.

Imports no torch, so that `--help` answers at once.
"""

from pathlib import Path

from utils.command_line.declarations import Check, Script

TRAIN_HOURGLASS = (
    "data_dir", "max_pixels", "load", "experiment", "several processes", "machine", "optimisation", "evaluation",
    "hourglass network", "hourglass training", "augmentation",
)  # fmt: skip
STEPS = (
    "machine", "epochs", "train_batch_size", "lr", "schedule", "gamma", "weight_decay", "use_amsprop", "grad_clip",
    "no_grad_clipping", "tb_log_freq", "deterministic", "max_bad_steps", "test_batch_size", "action",
)  # fmt: skip
FRAME_OPTIONS = ("max_frames", "start", "end", "every")
NO_WORKERS = {"workers": {"help": "ignored: poses are already on the device"}}
SEVERAL_FOLDERS = {
    "data_dir": {
        "many": True,
        "help": "one or more folders of MPII, LSP or COCO, joined for training; the first one also validates and "
        "defines the joints; 'sample' generates a small data set on first use",
    }
}
LOAD_TO_TRAIN = {"load": {"help": "checkpoint file or its folder; training starts from its weights at epoch 0"}}
PHOTOS_HELP = "MPII or LSP folder, folder of photos, photo, video, camera number, or 'sample'"
HOURGLASS_SHAPE, LIFTER_SHAPE = (
    {name: {"default": None, "help": "read from the checkpoint; a different value is an error"} for name in names}
    for names in (
        (
            "stacks", "features", "blocks", "num_classes", "use_layer_norm", "no_batch_norm_affine",
            "batch_norm_momentum", "predict_joint_visibility", "add_attention", "attention_history_length",
            "attention_heads", "attention_levels",
        ),
        ("linear_size", "num_stage", "dataset_normalization"),
    )
)  # fmt: skip
SALIENCY_CHANGES = HOURGLASS_SHAPE | {
    "load": {
        "help": "hourglass or stitched checkpoint, from this project or published; the architecture is read from it; "
        "by default the demo weights"
    },
    "num_pictures": {"help": "number of photos or frames to draw, evenly spaced; by default all"},
}
STITCHED_HELP = (
    HOURGLASS_SHAPE
    | LIFTER_SHAPE
    | {
        "load": {"help": "stitched checkpoint (stitched_fine_tune); overrides --load_hourglass and --load_2d3d"},
    }
)
COMPARED_MODELS = {
    "3d_pose_estimations": {
        "many": True, "help": "3d_pose_estimations.pt from run.py, or several, one per model, drawn side by side"
    },
    "model_names": {"help": "one name per file of 3D poses; by default the folders' names"},
}  # fmt: skip
RUN_PICTURES = {"img_dir": {"help": "folder of photos, one photo, or a video; by default the path stored in metas.pt"}}

# Checks that run before torch is imported, so that these errors appear at once.
CHECKPOINT = Check("utils.training.checkpoint_paths:require_checkpoint", ("load",))
EXPERIMENT = ("script", "exp", "checkpoint_dir")
UNLOCKED = Check("utils.training.experiment_lock:require_unlocked", (*EXPERIMENT, "evaluate"), on_resume=True)
RESUME = Check("utils.training.checkpoint_paths:require_latest", ("resume", *EXPERIMENT), on_resume=True)
STITCHED = Check("stitched.checkpoint_paths:require_checkpoints", ("load", "load_hourglass", "load_2d3d"))
MPII_FOLDER = Check("stacked_hourglass.annotations.joined:require_mpii_first", ("data_dir",))
LSP_FOLDER = Check("stacked_hourglass.annotations.joined:require_lsp_first", ("data_dir",))
COCO_FOLDER = Check("stacked_hourglass.annotations.joined:require_coco_first", ("data_dir",))
COCO_TRUTH = Check("stacked_hourglass.annotations.coco:require_validation_files", ("data_dir",))
H36M_FOLDER = Check("utils.human36m.folder:require_h36m_folder", ("data_dir",))
PHOTOS = Check("stacked_hourglass.annotations.mpii:require_photos", ("data_dir",))
COCO_OR_PHOTOS = Check("stacked_hourglass.annotations.coco:require_coco_or_photos", ("data_dir",))
EVA_FOLDER = Check("stacked_hourglass.annotations.eva:require_eva_folder", ("data_dir",))
TRAINING_FOLDER = Check("stacked_hourglass.data_report:require_training_folder", ("data_set", "data_dir"))
SMOOTHED_FRAMES = Check("utils.imaging.source_paths:require_frames", ("smooth", "data_dir"))
IMG_DIR = Check("utils.imaging.source_paths:require_path", ("img_dir",))
PREDICTION_FOLDER = Check("utils.formats.requirements:require_predictions", ("data_dir", "to"))

# What --check_data reports of --data_dir.
REPORTS = "stacked_hourglass.data_report"
MPII_REPORT, LSP_REPORT, COCO_REPORT = (
    Check(f"{REPORTS}:check_joined", ("data_dir",), (name,)) for name in ("mpii", "lsp", "coco")
)
EVA_REPORT = Check(f"{REPORTS}:check_eva", ("data_dir", "sync"))
TRAINING_REPORT = Check(f"{REPORTS}:check_training", ("data_set", "data_dir", "sync"))
PHOTOS_REPORT = Check(f"{REPORTS}:check_photos", ("data_dir", "run_with_train"))
COCO_OR_PHOTOS_REPORT = Check(f"{REPORTS}:check_coco_or_photos", ("data_dir", "run_with_train"))
MPII_TRUTH_REPORT = Check(f"{REPORTS}:check_mpii_truth", ("data_dir",))
LSP_TRUTH_REPORT = Check(f"{REPORTS}:check_lsp", ("data_dir",), (False,))
COCO_TRUTH_REPORT = Check(f"{REPORTS}:check_coco_truth", ("data_dir",))
H36M_TRAINING_REPORT = Check("utils.human36m.data_report:check_poses", ("data_dir",), (True,))
H36M_REPORT = Check("utils.human36m.data_report:check_poses", ("data_dir",))
H36M_OR_FILE_REPORT = Check("utils.human36m.data_report:check_poses_or_file", ("data_dir",))
H36M_IMAGES_TRAINING_REPORT = Check("utils.human36m.data_report:check_images", ("data_dir",), (True,))
H36M_IMAGES_REPORT = Check("utils.human36m.data_report:check_images", ("data_dir",))
H36M_TRUTH_REPORT = Check(
    "utils.human36m.data_report:check_truth", ("data_dir", "prediction_files", "pose_3d_ground_truths")
)

RUNS = Check("utils.formats.requirements:require_runs", ("predictions",))
PICTURES_OF_RUN = Check("utils.formats.requirements:require_pictures", ("img_dir",))
PREDICTIONS, ESTIMATIONS_2D, ESTIMATIONS_3D, TRUTH_2D, TRUTH_3D = (
    Check("utils.imaging.source_paths:require_files", (dest,), (option,))
    for dest, option in (
        ("prediction_files", "--prediction_files"),
        ("pose_2d_estimations", "--2d_pose_estimations"),
        ("pose_3d_estimations", "--3d_pose_estimations"),
        ("pose_2d_ground_truths", "--2d_pose_ground_truths"),
        ("pose_3d_ground_truths", "--3d_pose_ground_truths"),
    )
)


def hourglass_training(
    data_set: str, summary: str, data: str, check: Check, report: Check, *also: str, **defaults: int
) -> Script:
    """A training of an hourglass on data/<data_set>, of which there is a sample; it takes the options `also`, too."""
    one_folder = {
        "data_dir": {"many": True, "help": "folder of HumanEva-I; 'sample' generates a small one on first use"}
    }
    return Script(
        "stacked_hourglass.train", f"hourglass_{data_set}", summary,
        f"{data} in data/{data_set}, or --data_dir sample", (*TRAIN_HOURGLASS, *also),
        {"data_dir": [Path("data", data_set)]} | defaults,
        changes=LOAD_TO_TRAIN | (one_folder if data_set == "eva" else SEVERAL_FOLDERS), sample=data_set,
        several=True, checks=(UNLOCKED, RESUME, CHECKPOINT, check), data=report,
    )  # fmt: skip


def hourglass_run(
    data_set: str, summary: str, needs: str, load: str, check: Check, report: Check, required: tuple[str, ...] = ()
) -> Script:
    """A run of an hourglass on data/<data_set>, photos or a video; `load` is the help of --load."""
    takes = (
        "data_dir", "max_pixels", "load", "output_dir", "run_with_train", "person_box", *FRAME_OPTIONS, "smooth",
        "machine",
        "test_batch_size", "flip", "decoding", "hourglass network",
    )  # fmt: skip
    folders = {"data_dir": Path("data", data_set), "output_dir": Path("data", f"hourglass_{data_set}")}
    sources = PHOTOS_HELP.replace("MPII or LSP", "COCO") if data_set == "coco" else PHOTOS_HELP
    helps = {"data_dir": {"help": sources}, "load": {"help": load}}
    changes = HOURGLASS_SHAPE | helps
    return Script(
        "stacked_hourglass.run", f"hourglass_{data_set}", summary, needs, takes, folders | {"test_batch_size": 16},
        required, changes, sample=data_set, several=True, checks=(CHECKPOINT, check, SMOOTHED_FRAMES), data=report,
    )  # fmt: skip


def evaluation_2d(
    module: str, name: str, summary: str, needs: str, report: Check, files: str = "", *checks: Check
) -> Script:
    """An evaluation <data_set>_<metric> of 2D poses; `files` is the help of --prediction_files, where it differs."""
    data_set = name.partition("_")[0]
    return Script(
        f"stacked_hourglass.{module}", name, summary, needs,
        ("data_dir", "prediction_files", "model_names", "output_dir", "debug_traceback"),
        {"data_dir": Path("data", data_set), "output_dir": Path("visualizations", name)}, ("prediction_files",),
        {"prediction_files": {"help": files}} if files else {}, data_set, checks=(PREDICTIONS, *checks), data=report,
    )  # fmt: skip


def saliency(name: str, summary: str) -> Script:
    """A drawing of heat maps and saliency maps."""
    takes = (
        "img_dir", "load", "output_dir", "num_pictures", "hourglass network", "person_box", "use_max_for_saliency_map",
        "max_pixels", "min_score", "style", "device", "allow_unsafe_load", "debug_traceback",
    )  # fmt: skip
    return Script(
        "stitched.saliency_viz", name, summary,
        "photos or a video; an hourglass or stitched checkpoint, or the demo weights", takes,
        {"num_pictures": None, "output_dir": Path("visualizations", name)}, ("img_dir",), SALIENCY_CHANGES,
        checks=(CHECKPOINT, IMG_DIR),
    )  # fmt: skip


# Pages for a browser.
VIEWER = Script(
    "stitched.viewer", "viewer",
    "Write one HTML file with pictures, 2D poses and 3D poses to turn, of one or more models.",
    "folders that run.py wrote, and their photos or video; a browser",
    (
        "predictions", "model_names", "img_dir", "max_pixels", "min_score", "num_pictures", "output_dir",
        "debug_traceback",
    ),
    {"num_pictures": None, "output_dir": Path("visualizations/viewer")}, required=("predictions",),
    changes=RUN_PICTURES | {
        "model_names": {"help": "one name per folder of predictions; by default the folders' names"},
        "num_pictures": {"help": "number of images to show, evenly spaced; by default all"},
        "min_score": {
            "help": "lowest confidence (0 to 1) of 2D joints shown at first; by default the network's threshold"
        },
    },
    checks=(RUNS, PICTURES_OF_RUN),
)  # fmt: skip
WORST = Script(
    "stitched.worst", "worst",
    "Draw the people with the largest errors, the prediction beside the truth.",
    "a folder that run.py wrote on MPII, LSP, COCO or Human3.6M, and the photos",
    ("predictions", "img_dir", "num_pictures", "figures", "output_dir", "debug_traceback"),
    {"num_pictures": 24, "output_dir": Path("visualizations/worst")}, required=("predictions",),
    changes=RUN_PICTURES | {
        "predictions": {"help": "folder that run.py wrote (its --output_dir), with ground truth beside the poses"},
        "num_pictures": {"help": "number of people to draw, largest errors first"},
    },
    checks=(RUNS, PICTURES_OF_RUN),
)  # fmt: skip
BROWSE = Script(
    "stacked_hourglass.browse", "browse",
    "Draw the first training samples as train.py hourglass_* gives them to the network, with their target heat maps.",
    "MPII, LSP, COCO or HumanEva-I, or --data_dir sample",
    (
        "data_set", "data_dir", "sync", "max_pixels", "num_pictures", "num_classes", "add_attention",
        "attention_history_length", "train_batch_size", "workers", "seed", "sigma", "label_type", "augmentation",
        "style", "output_dir", "debug_traceback",
    ),
    {"num_pictures": 24, "num_classes": None, "output_dir": Path("visualizations/browse")}, required=("data_dir",),
    changes={
        "data_dir": {"many": True, "help": SEVERAL_FOLDERS["data_dir"]["help"].replace("validates and ", "")},
        "num_pictures": {"help": "number of samples to draw, in training order"},
        "num_classes": {"help": "number of joints, from the start of the joint order; by default all"},
        "add_attention": {"help": "draw the clips of a training with attention over time, one per row"},
    },
    checks=(TRAINING_FOLDER,), data=TRAINING_REPORT,
)  # fmt: skip
REPORT = Script(
    "stitched.report", "report",
    "Write one HTML file with a table of all people, the least confident first: thumbnails and joint scores.",
    "a folder that run.py wrote, and its photos or video; a browser",
    ("predictions", "img_dir", "max_pixels", "min_score", "num_pictures", "output_dir", "debug_traceback"),
    {"num_pictures": 1000, "output_dir": Path("visualizations/report")}, required=("predictions",),
    changes=RUN_PICTURES | {
        "predictions": {"help": "folder that run.py wrote (its --output_dir)"},
        "num_pictures": {"help": "maximum number of rows; the least confident people are kept"},
        "min_score": {
            "help": "confidence (0 to 1) below which a joint is unsure; by default the network's threshold"
        },
    },
    checks=(RUNS, PICTURES_OF_RUN),
)  # fmt: skip
