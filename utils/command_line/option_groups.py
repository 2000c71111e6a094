"""Every option of the four entry points, declared once, in groups. `options.SCRIPTS` says which script takes which.

No torch import here: `--help` answers at once.
"""

from pathlib import Path

from utils.command_line.cli import Option, count, not_negative, number, positive, seed, share, whole
from utils.human36m.actions import action_names

GROUPS: dict[str, tuple[Option, ...]] = {
    "input and output": (
        Option("data_dir", "folder of the data; 'sample' makes a small one on first use", None, Path),
        Option("load", "checkpoint: a file or the folder that holds one; ours or a published one", None, Path),
        Option("load_hourglass", "hourglass checkpoint (hourglass_mpii), beside --load_2d3d", None, Path),
        Option("load_2d3d", "3D baseline checkpoint (2d3d_h36m), beside --load_hourglass", None, Path),
        Option("action", "actions to train on and validate: All, or names with commas between", "All", action_names),
        Option("img_dir", "folder of photos, one photo, or a video", None, Path),
        Option(
            "2d_pose_estimations", "2d_pose_estimations.pt of run.py", None, Path,
            aliases=("2d_pose_estimation",), dest="pose_2d_estimations",
        ),
        Option(
            "3d_pose_ground_truths", "3d_pose_ground_truths.pt of run.py; by default beside each prediction file",
            None, Path, aliases=("3d_pose_ground_truth",), dest="pose_3d_ground_truths",
        ),
        Option(
            "2d_pose_ground_truths", "2d_pose_ground_truths.pt of run.py", None, Path,
            aliases=("2d_pose_ground_truth",), dest="pose_2d_ground_truths",
        ),
        Option(
            "3d_pose_estimations", "3d_pose_estimations.pt of run.py", None, Path,
            aliases=("3d_pose_estimation",), dest="pose_3d_estimations",
        ),
        Option("prediction_files", "predictions: .mat, .h5, .npz, .pt or .json", None, Path, many=True),
        Option("model_names", "a name a prediction file, for table and curves", None, many=True),
        Option("output_dir", "folder for what the script writes", None, Path),
        Option("min_score", "confidence of the least sure 2D joint to draw; by default the network's own", None, share),
        Option("num_pictures", "pictures to draw, evenly spread over all frames", 24, count),
        Option("index", "the sample to draw, from 0", 0, whole),
        Option("num_orientations", "orientations to draw, the original among them", 8, number(int, 1, 64, "1 to 64")),
    ),
    "experiment": (
        Option("exp", "experiment id; checkpoints and logs go to folders named SCRIPT_EXP", "default"),
        Option("checkpoint_dir", "folder for checkpoints, log.txt and options.json", "model_checkpoints", Path),
        Option("tb_dir", "folder for TensorBoard events", "tb_logs", Path),
        Option("resume", "go on from the latest checkpoint of this experiment", False, bool),
        Option("evaluate", "validate a loaded model and stop", False, bool),
    ),
    "several processes": (
        Option("use_horovod", "as horovodrun started them; under torchrun leave it out", False, bool),
        Option("scale_lr", "multiply the learning rates by the number of processes (see --lr)", False, bool),
        Option("compression", "of the exchanged gradients: fp16 halves them", "none", choices=("none", "fp16")),
        Option("sync_batch_norm", "batch norm over all processes' samples, not each one's own", False, bool),
    ),
    "machine": (
        Option("device", "auto, cpu, cuda, cuda:N or mps", "auto"),
        Option("precision", "of the network's arithmetic", "fp32", choices=("fp32", "bf16", "fp16")),
        Option("compile", "compile the network (torch.compile): slower start, faster steps", False, bool),
        Option("workers", "processes that decode and crop photos", 6, whole),
        Option("seed", "seed of Python's, NumPy's and torch's random numbers", 0, seed),
        Option("allow_unsafe_load", "open old checkpoints that hold pickles, which can run code", False, bool),
        Option("debug_traceback", "show the traceback of an error", False, bool),
    ),
    "optimisation": (
        Option("epochs", "passes over the training set", 200, count),
        Option("train_batch_size", "samples a training step and process", 6, count),
        Option(
            "lr",
            "learning rate, for the global batch (of all processes) unless --scale_lr multiplies it by their number",
            2.5e-4, positive,
        ),
        Option("schedule", "epochs after which the rate is multiplied by --gamma", [60, 90], whole, many=True),
        Option("gamma", "factor of the learning rate at each epoch of --schedule", 0.1, positive),
        Option("weight_decay", "L2 penalty on the weights", 0.0, not_negative),
        Option("use_amsprop", "Adam with AMSGrad in place of the script's optimizer", False, bool),
        Option("momentum", "momentum of RMSprop", 0.0, share),
        Option("grad_clip", "largest norm of the gradient", 10.0, positive),
        Option("no_grad_clipping", "leave gradients as they are", False, bool),
        Option("tb_log_freq", "steps between two entries in TensorBoard", 50, count),
        Option("max_bad_steps", "end when the loss is NaN or infinite in more steps in a row; 0: never", 3, whole),
    ),
    "evaluation": (
        Option("test_batch_size", "samples a forward pass outside training", 6, count),
        Option("flip", "flip test: mean of the heat maps of each crop and of its mirror image", False, bool),
        Option("use_train_mode_to_eval", "validate with each batch's own statistics in batch norm", False, bool),
        Option("debug", "save pictures of targets and predictions beside the checkpoint, every epoch", False, bool),
    ),
    "hourglass network": (
        Option("stacks", "hourglasses in a row", 2, count),
        Option("features", "channels between the modules; a multiple of 4", 256, count),
        Option("blocks", "residual modules at every place that has them", 1, count),
        Option("num_classes", "joints to predict: the first so many of the joint order", 16, count),
        Option("use_layer_norm", "layer norm in place of batch norm", False, bool),
        Option("no_batch_norm_affine", "batch norm without gain and bias", False, bool),
        Option("batch_norm_momentum", "share of a new batch in batch norm's running statistics", 0.1, share),
        Option("predict_joint_visibility", "train a joint-visibility network on the features besides", False, bool),
    ),
    "hourglass training": (
        Option("scale_weight_factor", "factor of all weights at initialization", 1.0, positive),
        Option("remove_intermediate_supervision", "put the loss on the last stack alone", False, bool),
        Option("joint_visibility_loss_coeff", "weight of the joint-visibility loss", 1.0, not_negative),
        Option(
            "location_loss_coeff",
            "weight of the cross-entropy of where each joint is, as a softmax of its map; speeds training up",
            0.0, not_negative,
        ),
        Option("sigma", "width of the target peaks in heat-map pixels", 1.0, positive),
        Option("sigma_decay", "factor of sigma at each epoch of --schedule; 0 keeps it", 0.0, not_negative),
        Option("label_type", "shape of the target peaks", "Gaussian", choices=("Gaussian", "Cauchy")),
    ),
    "augmentation": (
        Option("augment_training_data", "random scale, rotation, flip and colour", True, bool),
        Option("add_random_masking", "cover a random bar of the picture, with or without the above", False, bool),
        Option("mask_prob", "probability that a picture gets a mask", 0.5, share),
        Option("orientation_prob", "probability that the bar is vertical rather than horizontal", 0.5, share),
        Option("mean_valued_prob", "probability that it has the mean pixel value rather than noise", 0.5, share),
        Option("max_cover_ratio", "largest share of the person's width or height that it covers", 0.5, share),
        Option("noise_std", "deviation of the mask's noise, of a pixel range from 0 to 1", 0.2, not_negative),
    ),
    "fully connected network": (
        Option("linear_size", "width of the hidden layers", 1024, count),
        Option("num_stage", "residual stages", 2, count),
    ),
    "3D baseline": (
        Option("dropout", "probability that a hidden unit is dropped", 0.5, share),
        Option("max_norm", "largest norm of a unit's weights, kept after every step; 0 for none", 1.0, not_negative),
        Option("dataset_normalization", "normalise by the training set's statistics, not pose by pose", False, bool),
        Option("orthogonal_data_augmentation", "turn poses about the hip, mirror some, project them anew", False, bool),
        Option("orthogonal_data_augmentation_prob", "probability that a pose is turned", 1.0, share),
        Option("flip_prob", "probability that the augmentation mirrors a pose", 0.5, share),
        Option("z_rotations_only", "turn about the vertical alone", False, bool),
        Option("drop_joint_prob", "probability that a joint of the input is set to zero in training", 0.0, share),
        Option("use_hg", "2D poses are the detections in S*/StackedHourglass, not projections", False, bool),
        Option(
            "input_places", "where the input's spine and thorax lie: h36m, or at MPII's thorax and neck",
            "h36m", choices=("h36m", "mpii"),
        ),
        Option(
            "detector_errors", "2D errors of a network to add to the input, by scripts/measure_detector_errors.py",
            None, Path,
        ),
        Option("procrustes", "validate also after Procrustes alignment (Protocol 2)", False, bool),
        Option("lr_decay", "steps in which the learning rate falls by --lr_gamma, continuously", 100000, count),
        Option("lr_gamma", "factor of the learning rate every --lr_decay steps", 0.96, share),
    ),
    "cycle GAN": (
        Option("cycle_gan", "train in a cycle GAN, with a projection from 3D to 2D and two critics", False, bool),
        Option("gan_coeff", "weight of the critics' judgement of generated 2D and 3D poses", 0.005, not_negative),
        Option("cycle_coeff", "weight of the errors after 2D -> 3D -> 2D and 3D -> 2D -> 3D", 0.5, not_negative),
        Option("regression_coeff", "weight of the errors on pairs of 2D and 3D; 0 uses no pairs", 1.0, not_negative),
        Option("discr_updates_per_gen_update", "critic updates, each on fresh poses, before each other step", 2, count),
        Option("use_fc_for_projection", "a network like the lifter in the weak perspective's place", False, bool),
        Option("project_lr", "learning rate of the projection", 1e-4, positive),
        Option("discr_2d_lr", "learning rate of the critic of 2D poses", 3e-4, positive),
        Option("discr_3d_lr", "learning rate of the critic of 3D poses", 3e-4, positive),
    ),
    "stitched training": (
        Option("hourglass_lr", "learning rate of the hourglass; by default --lr", None, positive),
        Option("lifter_lr", "learning rate of the 3D baseline; by default --lr", None, positive),
        Option(
            "freeze", "network that stays as it is: no gradient, batch norm and dropout as in evaluation", "none",
            choices=("none", "hourglass", "lifter"),
        ),
        Option("heatmap_loss_coeff", "weight of the heat-map loss, small for nearly empty maps", 100.0, not_negative),
        Option("pose_3d_loss_coeff", "weight of the loss of the normalised 3D pose", 1.0, not_negative),
    ),
    "Wasserstein critic": (
        Option("gradient_penalty_coeff", "weight of the critic's gradient penalty; 0 clips", 10.0, not_negative),
    ),
    "3D pose GAN": (
        Option("latent_size", "numbers that the generator makes a pose of, each uniform in [-1, 1]", 32, count),
        Option("num_discriminator_steps_per_generator_step", "critic steps before each generator step", 3, count),
        Option(
            "held_out", "poses to measure against: of S9 and S11, or every fourth sequence of the training people",
            "people", choices=("people", "clips"),
        ),
        Option("clip_max", "largest size of a critic's weight, without gradient penalty", 0.01, positive),
        Option("interpolate", "two held-out poses, from 0, to walk between in the latents", None, whole, many=True),
        Option("nearest", "draw generated poses with the real one that is nearest to each", False, bool),
    ),
    "what to run on": (
        Option("run_with_train", "run on the training people of an annotated folder instead", False, bool),
        Option("process_as_video", "each entry of a file of 2D poses is a sequence of frames, not people", False, bool),
        Option(
            "input_joint_order", "joint order of a file of 2D poses; by default as metas.pt says, else H36M_2D", None,
            choices=("H36M_2D", "H36M", "MPII"),
        ),
        Option("person_box", "people in other photos: whole, hog, detect, or a JSON file of boxes", "whole"),
        Option("max_frames", "the first so many frames of a video or a camera; by default all", None, count),
        Option(
            "use_max_for_saliency_map",
            "saliency of the highest pixel of a joint's heat map, not of the sum of all, each weighted by itself",
            False, bool,
        ),
        Option("draw", "draw the poses at once, into the folder 'pictures' in --output_dir", False, bool),
    ),
}  # fmt: skip
