"""The command-line surface of the four entry points, pinned: a change here is a change for every user."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from options import GROUPS, SCRIPTS

ROOT = Path(__file__).parents[1]
EVERY_SCRIPT = [(entry, name) for entry, scripts in SCRIPTS.items() for name in scripts]


def words(text):
    return set(text.split())


# What the project promises to take, script by script.
GENERAL = words(
    "workers use_amsprop lr exp tb_dir seed load checkpoint_dir data_dir epochs train_batch_size test_batch_size "
    "weight_decay grad_clip no_grad_clipping tb_log_freq deterministic max_bad_steps schedule gamma use_horovod resume "
    "precision compile device scale_lr compression"
)
HOURGLASS = words(
    "stacks features blocks num_classes remove_intermediate_supervision scale_weight_factor use_layer_norm "
    "no_batch_norm_affine batch_norm_momentum predict_joint_visibility joint_visibility_loss_coeff location_loss_coeff "
    "augment_training_data add_random_masking mask_prob orientation_prob mean_valued_prob max_cover_ratio noise_std "
    "sigma sigma_decay label_type momentum flip decoding use_train_mode_to_eval debug "
    "schedule_type warmup ema location_loss_saturation half_body_prob cut_off_prob box_jitter erase_prob "
    "max_erased_area blur_prob max_blur downscale_prob max_downscale jpeg_prob min_jpeg_quality "
    "add_attention attention_history_length attention_heads attention_levels pack_data freeze_modules"
)
TRAIN_HOURGLASS = GENERAL | HOURGLASS | {"sync_batch_norm", "evaluate", "allow_unsafe_load", "debug_traceback"}
LIFTER = GENERAL | words(
    "sync_batch_norm evaluate allow_unsafe_load debug_traceback linear_size num_stage dropout max_norm "
    "orthogonal_data_augmentation "
    "orthogonal_data_augmentation_prob flip_prob z_rotations_only dataset_normalization drop_joint_prob use_hg action "
    "procrustes lr_decay lr_gamma cycle_gan gan_coeff cycle_coeff regression_coeff gradient_penalty_coeff "
    "discr_updates_per_gen_update use_fc_for_projection project_lr discr_2d_lr discr_3d_lr "
    "input_places detector_errors"
)
NETWORK = words(
    "stacks features blocks num_classes use_layer_norm no_batch_norm_affine batch_norm_momentum "
    "predict_joint_visibility add_attention attention_history_length attention_heads attention_levels"
)
FRAMES = words("max_frames start end every smooth")
RUN_STITCHED = NETWORK | words(
    "load load_hourglass load_2d3d data_dir output_dir run_with_train test_batch_size flip dataset_normalization "
    "linear_size num_stage draw device precision compile workers seed allow_unsafe_load debug_traceback"
)
SALIENCY = NETWORK | words(
    "img_dir load output_dir num_pictures min_score style person_box use_max_for_saliency_map device "
    "allow_unsafe_load debug_traceback"
)
FINE_TUNING = words(
    "sync_batch_norm load_hourglass load_2d3d evaluate allow_unsafe_load debug_traceback "
    "remove_intermediate_supervision sigma "
    "label_type augment_training_data linear_size num_stage dropout dataset_normalization action hourglass_lr "
    "lifter_lr freeze heatmap_loss_coeff pose_3d_loss_coeff"
)
SURFACE = {
    ("train", "hourglass_mpii"): TRAIN_HOURGLASS,
    ("train", "hourglass_lsp"): TRAIN_HOURGLASS,
    ("train", "hourglass_coco"): TRAIN_HOURGLASS,
    ("train", "hourglass_eva"): TRAIN_HOURGLASS | {"sync"},
    ("train", "2d3d_h36m"): LIFTER,
    ("train", "stitched_fine_tune"): GENERAL | NETWORK | FINE_TUNING,
    ("train", "3d_pose_gan"): GENERAL
    | words("evaluate allow_unsafe_load debug_traceback linear_size num_stage action latent_size")
    | words("num_discriminator_steps_per_generator_step gradient_penalty_coeff clip_max held_out"),
    ("run", "2d3d_h36m"): words(
        "load data_dir output_dir test_batch_size run_with_train process_as_video input_joint_order action use_hg "
        "smooth absolute focal "
        "linear_size num_stage dataset_normalization "
        "device precision compile workers seed allow_unsafe_load debug_traceback"
    ),
    ("run", "hourglass_mpii"): NETWORK
    | {"load", "data_dir", "output_dir", "test_batch_size", "flip", "decoding", "run_with_train", "person_box"}
    | FRAMES
    | {"device", "precision", "compile", "workers", "seed", "allow_unsafe_load", "debug_traceback"},
    ("run", "hourglass_coco"): NETWORK
    | {"load", "data_dir", "output_dir", "test_batch_size", "flip", "decoding", "run_with_train", "person_box"}
    | FRAMES
    | {"device", "precision", "compile", "workers", "seed", "allow_unsafe_load", "debug_traceback"},
    ("run", "stitched_mpii"): RUN_STITCHED | FRAMES | {"person_box", "absolute", "focal", "show"},
    ("run", "stitched_h36m"): RUN_STITCHED | {"action"},
    ("run", "convert"): words("data_dir to fps output_dir debug_traceback"),
    ("run", "export"): NETWORK
    | words(
        "linear_size num_stage "
        "load load_hourglass load_2d3d output_dir dataset_normalization seed allow_unsafe_load debug_traceback"
    ),
    ("viz", "2d_overlay"): words("img_dir 2d_pose_estimations min_score style output_dir debug_traceback"),
    ("viz", "2d_overlay_3d_pred"): words(
        "img_dir 2d_pose_estimations 3d_pose_estimations model_names min_score style views output_dir debug_traceback"
    ),
    ("viz", "2d_overlay_3d_gt_3d_pred"): words(
        "img_dir 2d_pose_estimations 3d_pose_estimations 3d_pose_ground_truths model_names min_score style views color "
        "output_dir debug_traceback"
    ),
    ("viz", "video"): words(
        "img_dir 2d_pose_estimations 3d_pose_estimations min_score max_side gif style output_dir debug_traceback"
    ),
    ("viz", "viewer"): words("predictions model_names img_dir min_score num_pictures output_dir debug_traceback"),
    ("viz", "worst"): words("predictions img_dir num_pictures style views color output_dir debug_traceback"),
    ("viz", "browse"): words(
        "data_set data_dir sync num_pictures num_classes add_attention attention_history_length train_batch_size "
        "workers seed sigma label_type style output_dir debug_traceback augment_training_data add_random_masking "
        "mask_prob orientation_prob mean_valued_prob max_cover_ratio noise_std half_body_prob cut_off_prob box_jitter "
        "erase_prob max_erased_area blur_prob max_blur downscale_prob max_downscale jpeg_prob min_jpeg_quality"
    ),
    ("viz", "report"): words("predictions img_dir min_score num_pictures output_dir debug_traceback"),
    ("viz", "2d_gt_3d_gt_3d_pred"): words(
        "2d_pose_ground_truths 3d_pose_ground_truths 3d_pose_estimations model_names style views color output_dir "
        "num_pictures debug_traceback"
    ),
    ("viz", "saliency_and_prob_maps"): SALIENCY,
    ("viz", "saliency_and_prob_maps_with_skeleton"): SALIENCY,
    ("viz", "orthog_augmentation"): words(
        "data_dir load index num_orientations z_rotations_only dataset_normalization seed output_dir allow_unsafe_load "
        "linear_size num_stage style color debug_traceback"
    ),
    ("viz", "3d_pose_gan"): words(
        "data_dir load num_pictures interpolate nearest seed style output_dir allow_unsafe_load debug_traceback"
    ),
    ("viz", "training_curves"): {"load", "by_part", "output_dir", "debug_traceback"},
    ("eval", "mpii_PCKh"): {"data_dir", "prediction_files", "model_names", "output_dir", "debug_traceback"},
    ("eval", "lsp_PCK"): {"data_dir", "prediction_files", "model_names", "output_dir", "debug_traceback"},
    ("eval", "coco_AP"): {"data_dir", "prediction_files", "model_names", "output_dir", "debug_traceback"},
    ("eval", "h36m_MPJPE"): {
        "data_dir",
        "prediction_files",
        "3d_pose_ground_truths",
        "model_names",
        "output_dir",
        "debug_traceback",
    },
}
READ_PHOTOS = {
    *(("train", f"hourglass_{name}") for name in ("mpii", "lsp", "coco", "eva")), ("train", "stitched_fine_tune"),
    *(("run", name) for name in ("hourglass_mpii", "hourglass_coco", "stitched_mpii", "stitched_h36m")),
    *(("viz", name) for name in ("2d_overlay", "2d_overlay_3d_pred", "2d_overlay_3d_gt_3d_pred", "video", "viewer")),
    *(("viz", f"saliency_and_prob_maps{end}") for end in ("", "_with_skeleton")), ("viz", "report"), ("viz", "browse"),
}  # fmt: skip
SURFACE = {
    script: taken | {"check_data"} | ({"max_pixels"} if script in READ_PHOTOS else set())
    for script, taken in SURFACE.items()
}
each_script = pytest.mark.parametrize(("entry", "name"), EVERY_SCRIPT, ids=[f"{e}-{n}" for e, n in EVERY_SCRIPT])


# ------------------------------------------------------------------------------------------ declarations
def test_every_option_is_declared_once():
    names = [name for members in GROUPS.values() for option in members for name in (option.name, *option.aliases)]
    assert len(names) == len(set(names))
    places = [option.dest or option.name for members in GROUPS.values() for option in members]
    assert len(places) == len(set(places))
    assert all(place.isidentifier() for place in places)


def test_every_option_is_used_and_explained():
    used = {option.name for scripts in SCRIPTS.values() for s in scripts.values() for _, option in s.options(GROUPS)}
    for option in (option for members in GROUPS.values() for option in members):
        assert option.name in used
        assert option.help


def test_the_surface():
    assert set(EVERY_SCRIPT) == set(SURFACE)
    for (entry, name), expected in SURFACE.items():
        taken = [option.name for _, option in SCRIPTS[entry][name].options(GROUPS)]
        assert len(taken) == len(set(taken))
        assert set(taken) == expected, f"{entry}.py {name}"


@each_script
def test_scripts_refer_to_what_exists(entry, name):
    script = SCRIPTS[entry][name]
    options = {option.name for _, option in script.options(GROUPS)}
    titles_and_names = set(GROUPS) | {option.name for members in GROUPS.values() for option in members}
    assert set(script.takes) <= titles_and_names
    for mentioned in (script.defaults, script.required, script.changes):
        assert set(mentioned) <= options
    assert find_spec(script.module)


def test_defaults_of_training(parse_options):
    options = parse_options()
    assert options.data_dir == [Path("data/mpii")]
    assert (options.lr, options.train_batch_size, options.test_batch_size, options.epochs) == (2.5e-4, 6, 6, 200)
    assert (options.workers, options.exp, options.device, options.precision) == (6, "default", "auto", "fp32")
    assert (options.checkpoint_dir, options.tb_dir) == (Path("model_checkpoints"), Path("tb_logs"))
    assert (options.num_classes, options.sigma, options.label_type) == (16, 1.0, "Gaussian")
    assert options.augment_training_data is True
    assert (options.compression, options.decoding) == ("none", "quarter")
    for off in (
        "resume", "evaluate", "use_horovod", "scale_lr", "sync_batch_norm", "compile", "use_amsprop",
        "no_grad_clipping", "allow_unsafe_load", "flip",
        "add_random_masking", "use_layer_norm", "no_batch_norm_affine", "predict_joint_visibility", "debug",
        "add_attention", "remove_intermediate_supervision", "pack_data", "use_train_mode_to_eval",
    ):  # fmt: skip
        assert getattr(options, off) is False, off


def test_defaults_of_the_3d_baseline(parse_options):
    options = parse_options(script="2d3d_h36m")
    assert options.data_dir == Path("data/h36m")
    assert (options.lr, options.train_batch_size, options.schedule, options.epochs) == (1e-3, 64, [], 200)
    assert (options.linear_size, options.num_stage, options.dropout, options.max_norm) == (1024, 2, 0.5, 1.0)
    assert (options.orthogonal_data_augmentation_prob, options.flip_prob, options.drop_joint_prob) == (1.0, 0.5, 0.0)
    assert (options.action, options.lr_decay, options.lr_gamma) == ("All", 100000, 0.96)
    for off in (
        "orthogonal_data_augmentation", "z_rotations_only", "dataset_normalization", "use_hg", "procrustes",
    ):  # fmt: skip
        assert getattr(options, off) is False, off
    assert (options.gan_coeff, options.cycle_coeff, options.regression_coeff) == (0.005, 0.5, 1.0)
    assert (options.gradient_penalty_coeff, options.discr_updates_per_gen_update) == (10.0, 2)
    assert (options.project_lr, options.discr_2d_lr, options.discr_3d_lr) == (1e-4, 3e-4, 3e-4)
    assert (options.cycle_gan, options.use_fc_for_projection) == (False, False)
    run = parse_options("--load", "x", entry="run", script="2d3d_h36m")
    assert (run.data_dir, run.output_dir) == (Path("data/h36m"), Path("data/2d3d_h36m"))
    assert (run.input_joint_order, run.process_as_video, run.action) == (None, False, "All")


def test_defaults_of_the_pose_gan(parse_options):
    options = parse_options(script="3d_pose_gan")
    assert options.data_dir == Path("data/h36m")
    assert (options.gradient_penalty_coeff, options.clip_max, options.latent_size) == (10.0, 0.01, 32)
    assert (options.num_discriminator_steps_per_generator_step, options.action) == (3, "All")
    assert (options.lr, options.train_batch_size, options.linear_size) == (3e-4, 128, 256)
    drawn = parse_options("--load", "x", "--interpolate", 3, 70, entry="viz", script="3d_pose_gan")
    assert (drawn.interpolate, drawn.nearest, drawn.num_pictures) == ([3, 70], False, 16)


def test_defaults_of_fine_tuning(parse_options):
    options = parse_options(script="stitched_fine_tune")
    assert options.data_dir == Path("data/h36m")
    assert (options.lr, options.hourglass_lr, options.lifter_lr, options.freeze) == (1e-4, None, None, "none")
    assert (options.train_batch_size, options.epochs, options.schedule, options.dropout) == (16, 10, [], 0.5)
    assert (options.heatmap_loss_coeff, options.pose_3d_loss_coeff, options.sigma) == (100, 1, 1)
    assert (options.load, options.load_hourglass, options.load_2d3d) == (None, None, None)


def test_defaults_of_the_other_scripts(parse_options):
    lsp = parse_options(script="hourglass_lsp")
    assert (lsp.data_dir, lsp.num_classes, lsp.lr) == ([Path("data/lsp")], 14, 2.5e-4)
    coco = parse_options(script="hourglass_coco")
    assert (coco.data_dir, coco.num_classes, coco.lr) == ([Path("data/coco")], 17, 2.5e-4)
    eva = parse_options(script="hourglass_eva")
    assert (eva.data_dir, eva.num_classes, eva.sync, eva.add_attention) == ([Path("data/eva")], 15, None, False)
    run = parse_options("--load", "x", entry="run", script="hourglass_coco")
    assert (run.data_dir, run.output_dir) == (Path("data/coco"), Path("data/hourglass_coco"))
    run = parse_options("--load", "x", entry="run")
    assert (run.data_dir, run.output_dir, run.person_box) == (Path("data/mpii"), Path("data/hourglass_mpii"), "auto")
    for name in ("mpii", "h36m"):
        run = parse_options(entry="run", script=f"stitched_{name}")
        assert (run.data_dir, run.output_dir) == (Path(f"data/{name}"), Path(f"data/stitched_{name}"))
        assert (run.load, run.load_hourglass, run.load_2d3d, run.test_batch_size) == (None, None, None, 16)
        assert run.draw is False
    for name in ("saliency_and_prob_maps", "saliency_and_prob_maps_with_skeleton"):
        drawn = parse_options("--img_dir", "photos", entry="viz", script=name)
        assert (drawn.load, drawn.num_pictures, drawn.person_box) == (None, None, "auto")
        assert (drawn.use_max_for_saliency_map, drawn.output_dir) == (False, Path("visualizations") / name)
    exported = parse_options(entry="run", script="export")
    assert (exported.load, exported.load_hourglass, exported.load_2d3d) == (None, None, None)
    assert (exported.output_dir, exported.seed) == (Path("data/export"), 0)
    assert parse_options(entry="run", script="stitched_mpii").max_frames is None
    pckh = parse_options("--prediction_files", "a.mat", "b.h5", entry="eval", script="mpii_PCKh")
    assert (pckh.data_dir, pckh.prediction_files) == (Path("data/mpii"), [Path("a.mat"), Path("b.h5")])
    curves = parse_options("--load", "a", "b", entry="viz", script="training_curves")
    assert curves.load == [Path("a"), Path("b")]


@pytest.mark.parametrize("flag", ["--2d_pose_estimations", "--2d_pose_estimation", "--2d-pose-estimations"])
def test_the_singular_spelling_works(parse_options, flag):
    options = parse_options("--img_dir", "photos", flag, "p.pt", entry="viz", script="2d_overlay")
    assert options.pose_2d_estimations == Path("p.pt")


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("lr", ["0", "-1", "nan", "fast"]),
        ("train_batch_size", ["0", "2.5"]),
        ("epochs", ["0"]),
        ("workers", ["-1"]),
        ("seed", ["-1", "4294967296"]),
        ("mask_prob", ["1.1", "-0.1"]),
        ("max_cover_ratio", ["2"]),
        ("batch_norm_momentum", ["1.5"]),
        ("weight_decay", ["-1e-4", "-0.5"]),
        ("sigma", ["0"]),
        ("label_type", ["gaussian"]),
        ("precision", ["fp8"]),
        ("stacks", ["0", "two"]),
        ("flip", ["maybe"]),
        ("schedule", ["x"]),
    ],
)
def test_values_out_of_range_are_refused(parse_options, capsys, option, values):
    for value in values:
        with pytest.raises(SystemExit) as ended:
            parse_options(f"--{option}={value}")
        assert ended.value.code == 2
        err = capsys.readouterr().err
        assert len(err.splitlines()) == 1
        assert f"--{option}" in err
        assert value in err
