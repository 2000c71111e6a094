"""Every option of the four entry points, declared once, in groups. `options.SCRIPTS` says which script takes which.

No torch import here: `--help` answers at once.
"""

from pathlib import Path

from utils.command_line.declarations import (
    EVERY_SCRIPT,
    Option,
    count,
    not_negative,
    number,
    positive,
    seed,
    share,
    whole,
)
from utils.files.sizes import MAX_PIXELS
from utils.formats.requirements import FORMATS
from utils.human36m.actions import action_names
from utils.look.names import STYLES, view_names

GROUPS: dict[str, tuple[Option, ...]] = {
    "input and output": (
        Option("data_set", "format of the first data folder", "mpii", choices=("mpii", "lsp", "coco", "eva")),
        Option("data_dir", "data folder; 'sample' generates a small data set on first use", None, Path),
        Option("load", "checkpoint file or its folder, from this project or published", None, Path),
        Option("load_hourglass", "hourglass checkpoint (hourglass_mpii); use with --load_2d3d", None, Path),
        Option("load_2d3d", "3D baseline checkpoint (2d3d_h36m); use with --load_hourglass", None, Path),
        Option("action", "actions to train on and validate: All, or comma-separated names", "All", action_names),
        Option("img_dir", "folder of photos, one photo, or a video", None, Path),
        Option(
            "2d_pose_estimations", "2d_pose_estimations.pt from run.py", None, Path,
            aliases=("2d_pose_estimation",), dest="pose_2d_estimations",
        ),
        Option(
            "3d_pose_ground_truths",
            "3d_pose_ground_truths.pt from run.py; by default the one beside each prediction file",
            None, Path, aliases=("3d_pose_ground_truth",), dest="pose_3d_ground_truths",
        ),
        Option(
            "2d_pose_ground_truths", "2d_pose_ground_truths.pt from run.py", None, Path,
            aliases=("2d_pose_ground_truth",), dest="pose_2d_ground_truths",
        ),
        Option(
            "3d_pose_estimations", "3d_pose_estimations.pt from run.py", None, Path,
            aliases=("3d_pose_estimation",), dest="pose_3d_estimations",
        ),
        Option("prediction_files", "prediction files: .mat, .h5, .npz, .pt or .json", None, Path, many=True),
        Option("predictions", "folders that run.py wrote (its --output_dir), one per model", None, Path, many=True),
        Option("model_names", "one name per prediction file, for tables and curves", None, many=True),
        Option(
            "sync", "CSV table of the video frame at which each chunk begins, see docs/data.md; by default "
            "sync.csv in the data folder if it is there", None, Path,
        ),
        Option("output_dir", "output folder", None, Path),
        Option(
            "max_pixels", "largest photo or video frame to read, in pixels; larger ones count as unreadable",
            MAX_PIXELS, count,
        ),
        Option(
            "min_score", "lowest confidence (0 to 1) of a 2D joint to draw; by default the network's threshold",
            None, share,
        ),
        Option(
            "max_side", "maximum length of the longer side of the video in px; default 1280, with --gif 640",
            None, number(int, 64, 8192, "an integer from 64 to 8192"),
        ),
        Option("gif", "write NAME.gif (without audio) instead of NAME.mp4", False, bool),
        Option("num_pictures", "number of pictures to draw, evenly spaced over all frames", 24, count),
        Option("index", "index of the sample to draw, from 0", 0, whole),
        Option(
            "num_orientations", "number of orientations to draw, including the original", 8,
            number(int, 1, 64, "1 to 64"),
        ),
    ),
    "training curves": (
        Option("by_part", "add panels of metrics that are reported by part, e.g. MPJPE by action", False, bool),
    ),
    "figures": (
        Option(
            "style", "style of figures; paper: white background, and PDF and SVG files besides PNG", "dark",
            choices=STYLES,
        ),
        Option(
            "views",
            "views of 3D poses, one panel each: turned (by 25 degrees), front, side or top, or several separated by "
            "commas, e.g. front,side,top", "turned", view_names,
        ),
        Option(
            "color", "what the colours of predicted 3D limbs show: the person's side, or the error of each joint",
            "side", choices=("side", "error"),
        ),
    ),
    EVERY_SCRIPT: (
        Option("check_data", "report which data are found and what is missing, then exit; writes nothing", False, bool),
    ),
    "experiment": (
        Option("exp", "experiment name; checkpoints and logs go to folders named SCRIPT_EXP", "default"),
        Option("checkpoint_dir", "folder for checkpoints, log.txt and options.json", "model_checkpoints", Path),
        Option("tb_dir", "folder for TensorBoard events", "tb_logs", Path),
        Option("resume", "continue from the latest checkpoint of this experiment", False, bool),
        Option("evaluate", "validate the loaded model and exit", False, bool),
    ),
    "several processes": (
        Option("use_horovod", "use Horovod; required under horovodrun, an error under torchrun", False, bool),
        Option("scale_lr", "multiply the learning rates by the number of processes (see --lr)", False, bool),
        Option(
            "compression", "compression of exchanged gradients; fp16 halves the traffic", "none",
            choices=("none", "fp16"),
        ),
        Option("sync_batch_norm", "compute batch norm statistics over the samples of all processes", False, bool),
    ),
    "machine": (
        Option("device", "device to compute on: auto, cpu, cuda, cuda:N or mps", "auto"),
        Option("precision", "precision of the forward pass", "fp32", choices=("fp32", "bf16", "fp16")),
        Option("compile", "compile the network with torch.compile: slower start, faster steps", False, bool),
        Option(
            "workers",
            "number of processes that decode and crop photos; run.py on a CPU uses threads instead, unless given",
            6, whole,
        ),
        Option("seed", "random seed for Python, NumPy and torch", 0, seed),
        Option("allow_unsafe_load", "load checkpoints that contain pickled objects, which can run code", False, bool),
        Option("debug_traceback", "show the traceback of errors", False, bool),
    ),
    "optimisation": (
        Option("epochs", "number of passes over the training set", 200, count),
        Option("train_batch_size", "samples per training step and process", 6, count),
        Option(
            "lr",
            "learning rate for the global batch of all processes; --scale_lr multiplies it by their number",
            2.5e-4, positive,
        ),
        Option("schedule", "epochs after which the learning rate is multiplied by --gamma", [60, 90], whole, many=True),
        Option("gamma", "factor for the learning rate at each epoch of --schedule", 0.1, positive),
        Option(
            "schedule_type",
            "learning rate decay: in steps (--schedule, --gamma), or half a cosine that ends at 0 after --epochs",
            "steps", choices=("steps", "cosine"),
        ),
        Option("warmup", "epochs, possibly fractional, over which the learning rate rises from 0", 0.0, not_negative),
        Option(
            "ema",
            "decay per step of an exponential moving average of the weights, e.g. 0.999; the average is validated and "
            "saved; 0 disables it",
            0.0, number(float, 0, 0.999999, "a number from 0 to below 1"),
        ),
        Option("weight_decay", "L2 penalty on the weights", 0.0, not_negative),
        Option("use_amsprop", "use Adam with AMSGrad instead of the script's optimizer", False, bool),
        Option("momentum", "momentum of RMSprop", 0.0, share),
        Option("grad_clip", "maximum gradient norm", 10.0, positive),
        Option("no_grad_clipping", "disable gradient clipping", False, bool),
        Option("tb_log_freq", "steps between TensorBoard entries", 50, count),
        Option(
            "deterministic",
            "use deterministic algorithms only: repeated and resumed runs are equal bit for bit, on one machine "
            "with the same number of threads; slower on a GPU",
            False, bool,
        ),
        Option(
            "max_bad_steps", "stop after more consecutive steps than this with a NaN or infinite loss; 0: never stop",
            3, whole,
        ),
    ),
    "evaluation": (
        Option("test_batch_size", "samples per forward pass outside training", 6, count),
        Option("flip", "flip test: average the heat maps of each crop and its mirror image", False, bool),
        Option(
            "decoding",
            "peak of a heat map: quarter (highest pixel, moved a quarter pixel, as for published figures), or dark "
            "(DARK: smoothed first, then the peak of a Gaussian; more accurate)",
            "quarter", choices=("quarter", "dark"),
        ),
        Option("use_train_mode_to_eval", "validate with batch norm in training mode (batch statistics)", False, bool),
        Option("debug", "save pictures of targets and predictions beside the checkpoint every epoch", False, bool),
    ),
    "hourglass network": (
        Option("stacks", "number of stacked hourglasses", 2, count),
        Option("features", "channels between modules; a multiple of 4", 256, count),
        Option("blocks", "residual modules per level of an hourglass", 1, count),
        Option("num_classes", "number of joints to predict, from the start of the joint order", 16, count),
        Option("use_layer_norm", "use layer norm instead of batch norm", False, bool),
        Option("no_batch_norm_affine", "use batch norm without learned scale and bias", False, bool),
        Option("batch_norm_momentum", "weight of a new batch in batch norm's running statistics", 0.1, share),
        Option("predict_joint_visibility", "also train a joint-visibility network on the features", False, bool),
        Option("add_attention", "attention over time: each frame of a clip also uses those before it", False, bool),
        Option("attention_history_length", "number of earlier frames for --add_attention; 0: none", 8, whole),
        Option("attention_heads", "attention heads; a divisor of --features", 4, count),
        Option(
            "attention_levels",
            "resolutions with attention in each hourglass, from the lowest up: 4 x 4, 8 x 8, 16 x 16, 32 x 32, "
            "64 x 64; in the last two a place attends to itself only",
            1, number(int, 1, 5, "a whole number from 1 to 5"),
        ),
    ),
    "hourglass training": (
        Option(
            "pack_data",
            "read training crops from one file in the cache (.cache), made on first use: at most 40 kB per person; "
            "faster than decoding large photos, and almost the same samples",
            False, bool,
        ),
        Option(
            "freeze_modules",
            "modules of the loaded network that are not trained, e.g. conv1 bn1 layer1 for the first layers: their "
            "weights and norm statistics do not change, and steps are faster",
            None, many=True,
        ),
        Option("scale_weight_factor", "factor applied to all weights at initialization", 1.0, positive),
        Option("remove_intermediate_supervision", "apply the loss to the last stack only", False, bool),
        Option("joint_visibility_loss_coeff", "weight of the joint-visibility loss", 1.0, not_negative),
        Option(
            "location_loss_coeff",
            "weight of the cross-entropy between each joint's location and the softmax of its heat map; speeds up "
            "training",
            0.0, not_negative,
        ),
        Option(
            "location_loss_saturation",
            "saturation of the location loss where label and prediction disagree, for noisy labels, e.g. 0.1; "
            "0 disables it",
            0.0, not_negative,
        ),
        Option("sigma", "width of target peaks in heat-map pixels", 1.0, positive),
        Option("sigma_decay", "factor for --sigma at each epoch of --schedule; 0 keeps it", 0.0, not_negative),
        Option("label_type", "shape of target peaks", "Gaussian", choices=("Gaussian", "Cauchy")),
    ),
    "augmentation": (
        Option("augment_training_data", "random scale, rotation, flip and colour", True, bool),
        Option("add_random_masking", "mask a random bar of the crop; independent of the above", False, bool),
        Option("mask_prob", "probability of a mask", 0.5, share),
        Option("orientation_prob", "probability that the mask is vertical rather than horizontal", 0.5, share),
        Option("mean_valued_prob", "probability that the mask has the mean colour rather than noise", 0.5, share),
        Option("max_cover_ratio", "largest fraction of the person's width or height to mask", 0.5, share),
        Option("noise_std", "standard deviation of the mask's noise, for pixel values in [0, 1]", 0.2, not_negative),
        Option("half_body_prob", "probability of a crop around only the upper or only the lower joints", 0.0, share),
        Option("cut_off_prob", "probability that a photo edge cuts off part of the person", 0.0, share),
        Option("box_jitter", "standard deviation of the crop's position and size, relative to its side", 0.0, share),
        Option("erase_prob", "probability of erasing a random rectangle", 0.0, share),
        Option("max_erased_area", "largest fraction of the crop to erase", 0.2, share),
        Option("blur_prob", "probability of a Gaussian blur", 0.0, share),
        Option("max_blur", "largest standard deviation of the blur in crop pixels", 2.0, positive),
        Option("downscale_prob", "probability of downscaling the crop and scaling it back up", 0.0, share),
        Option("max_downscale", "largest downscaling factor", 4.0, number(float, 1, 64, "a number from 1 to 64")),
        Option("jpeg_prob", "probability of JPEG compression", 0.0, share),
        Option("min_jpeg_quality", "lowest JPEG quality", 20.0, number(float, 1, 95, "a number from 1 to 95")),
    ),
    "fully connected network": (
        Option("linear_size", "width of the hidden layers", 1024, count),
        Option("num_stage", "number of residual blocks", 2, count),
    ),
    "3D baseline": (
        Option("dropout", "dropout probability of hidden units", 0.5, share),
        Option("max_norm", "maximum norm of a unit's weights, enforced after every step; 0: none", 1.0, not_negative),
        Option(
            "dataset_normalization", "normalise with statistics of the training set instead of per pose", False, bool
        ),
        Option(
            "orthogonal_data_augmentation", "rotate poses about the hip, mirror some, and project them again",
            False, bool,
        ),
        Option("orthogonal_data_augmentation_prob", "probability of rotating a pose", 1.0, share),
        Option("flip_prob", "probability that the augmentation mirrors a pose", 0.5, share),
        Option("z_rotations_only", "rotate about the vertical axis only", False, bool),
        Option("drop_joint_prob", "probability of setting an input joint to zero in training", 0.0, share),
        Option(
            "use_hg", "take 2D poses from the detections in S*/StackedHourglass instead of projections", False, bool
        ),
        Option(
            "input_places",
            "position of the input's spine and thorax joints: as in Human3.6M, or at MPII's thorax and neck",
            "h36m", choices=("h36m", "mpii"),
        ),
        Option(
            "detector_errors",
            "file of measured 2D errors to add to the input (from scripts/measure_detector_errors.py)",
            None, Path,
        ),
        Option("procrustes", "also validate after Procrustes alignment (Protocol 2)", False, bool),
        Option("lr_decay", "steps over which the learning rate decays by --lr_gamma, continuously", 100000, count),
        Option("lr_gamma", "decay factor of the learning rate per --lr_decay steps", 0.96, share),
    ),
    "cycle GAN": (
        Option("cycle_gan", "train as a cycle GAN, with a 3D-to-2D projection and two critics", False, bool),
        Option("gan_coeff", "weight of the adversarial loss on generated 2D and 3D poses", 0.005, not_negative),
        Option("cycle_coeff", "weight of the cycle losses (2D -> 3D -> 2D and 3D -> 2D -> 3D)", 0.5, not_negative),
        Option("regression_coeff", "weight of the loss on 2D-3D pairs; 0: train unpaired", 1.0, not_negative),
        Option("discr_updates_per_gen_update", "critic updates per generator update, each on new poses", 2, count),
        Option("use_fc_for_projection", "project with a network like the lifter, not weak perspective", False, bool),
        Option("project_lr", "learning rate of the projection", 1e-4, positive),
        Option("discr_2d_lr", "learning rate of the critic of 2D poses", 3e-4, positive),
        Option("discr_3d_lr", "learning rate of the critic of 3D poses", 3e-4, positive),
    ),
    "stitched training": (
        Option("hourglass_lr", "learning rate of the hourglass (default: --lr)", None, positive),
        Option("lifter_lr", "learning rate of the 3D baseline (default: --lr)", None, positive),
        Option(
            "freeze", "network to freeze: no gradients, batch norm and dropout in evaluation mode", "none",
            choices=("none", "hourglass", "lifter"),
        ),
        Option("heatmap_loss_coeff", "weight of the heat-map loss", 100.0, not_negative),
        Option("pose_3d_loss_coeff", "weight of the loss on normalised 3D poses", 1.0, not_negative),
    ),
    "Wasserstein critic": (
        Option(
            "gradient_penalty_coeff", "weight of the critic's gradient penalty; 0: clip its weights instead", 10.0,
            not_negative,
        ),
    ),
    "3D pose GAN": (
        Option("latent_size", "dimensions of the latent vector, each uniform in [-1, 1]", 32, count),
        Option("num_discriminator_steps_per_generator_step", "critic steps per generator step", 3, count),
        Option(
            "held_out",
            "held-out poses for validation: those of S9 and S11 (people), or every fourth sequence of the training "
            "people (clips)",
            "people", choices=("people", "clips"),
        ),
        Option("clip_max", "clip critic weights to +/- this value, without gradient penalty", 0.01, positive),
        Option(
            "interpolate", "indices (from 0) of two held-out poses to interpolate between in latent space", None, whole,
            many=True,
        ),
        Option("nearest", "draw each generated pose with its nearest real pose", False, bool),
    ),
    "what to run on": (
        Option("run_with_train", "run on the training people of an annotated folder", False, bool),
        Option("process_as_video", "treat each entry of the 2D pose file as a sequence of frames", False, bool),
        Option(
            "input_joint_order", "joint order of the 2D pose file; by default as in metas.pt, else H36M_2D", None,
            choices=("H36M_2D", "H36M", "MPII", "COCO", "LSP", "EVA"),
        ),
        Option(
            "person_box",
            "how to find people in photos without annotations: auto (detect if its weights are there, else yolox; the "
            "whole photo if nobody is found), whole (the whole photo), yolox (YOLOX-Nano), detect (torchvision's "
            "detector, downloaded once), hog (OpenCV's detector), or a JSON file of boxes",
            "auto",
        ),
        Option(
            "smooth",
            "filter the people of a video over time: one_euro (causal, for live use) or zero_phase (no lag); also "
            "repairs swapped limbs and fills gaps of up to 0.5 s",
            "none", choices=("none", "one_euro", "zero_phase"),
        ),
        Option(
            "absolute", "3D poses with their position in camera coordinates, instead of the hip at the origin", False,
            bool,
        ),
        Option(
            "focal", "focal length in px, for --absolute; by default from EXIF, else a view of 55 degrees is assumed",
            None, positive,
        ),
        Option("max_frames", "maximum number of frames of a video or camera; by default all", None, count),
        Option("start", "start time in a video, in seconds", 0.0, not_negative),
        Option("end", "end time in a video, in seconds; by default its end", None, positive),
        Option("every", "use every N-th frame of a video", 1, count),
        Option(
            "use_max_for_saliency_map",
            "compute saliency of each heat map's maximum instead of the sum of its pixels, each weighted by its value",
            False, bool,
        ),
        Option("to", "formats to write", None, choices=FORMATS, many=True),
        Option(
            "fps", "frames per second of sequences that run.py 2d3d_h36m lifted; videos have their own", None, positive
        ),
        Option("show", "show a camera's frames and poses live, on a web page for this machine only", False, bool),
        Option("draw", "also draw the poses, into the folder 'pictures' in --output_dir", False, bool),
    ),
}  # fmt: skip
