"""Pictures of a pose GAN: generated poses beside real ones, an interpolation of latents, nearest real poses.

python viz.py 3d_pose_gan --load model_checkpoints/3d_pose_gan_default
python viz.py 3d_pose_gan --load model_checkpoints/3d_pose_gan_default --interpolate 0 700 --nearest
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from generative_models.fc_gan import PoseGAN
from generative_models.held_out import load_split, name_of
from generative_models.latents import LATENT_STARTS, fit_latents, straight_walk
from generative_models.loading import load_pose_gan
from generative_models.measures import nearest_poses
from generative_models.poses import facing
from utils.doors.option_rules import from_options
from utils.human36m.actions import select_actions
from utils.human36m.files import find_sequences
from utils.human36m_dataset import PoseSet
from utils.imaging.captions import captioned, side_keys, titled, titled_row
from utils.imaging.draw3d import FLOOR_GRID, sketch_pose_3d
from utils.imaging.figures import DARK_STYLE, FigureStyle, save_figure
from utils.imaging.lettering import size_for
from utils.imaging.sketch import Sketch, arranged, stacked
from utils.imaging.view3d import TURNED, describe_views
from utils.osutils import UserError, counted, output_folder
from utils.transform import H36M

PANEL = (240, 280)  # width, height px
COLUMNS = 4  # of generated poses, and of real poses beside them
PAIRS_A_ROW = 8
WALK = 7  # poses per interpolation, including the fitted ends
SEEN = (describe_views(TURNED), FLOOR_GRID)  # sentences of every caption
COMPARED = 500  # generated and held-out poses in the table of nearest distances


def pose_gan(options: Namespace) -> None:
    """`viz.py 3d_pose_gan`: writes `generated.png`, `interpolation_I_J.png` and `nearest.png` into `output_dir`.

    Real poses are held-out frames of the actions that the GAN was trained on; for `nearest` they are training frames.
    Raises UserError if `interpolate` is not two valid frame indices.
    """
    output_dir, style = output_folder(options.output_dir), from_options(FigureStyle, options)
    model = load_pose_gan(options.load, allow_unsafe=options.allow_unsafe_load)
    training, samples = load_split(find_sequences(options.data_dir), select_actions(model.action), model.held_out)
    ends = check_interpolate(options.interpolate, len(samples.world), f"{options.data_dir} ({name_of(model.held_out)})")
    held_out, rng = facing(samples.world), torch.Generator().manual_seed(options.seed)
    generated = model.sample(options.num_pictures, rng)
    chosen = torch.randint(len(held_out), (len(generated),), generator=rng)
    _save(output_dir / "generated.png", draw_beside(generated, held_out[chosen], style), style)
    if ends:
        names = [frame_name(samples, end) for end in ends]
        walk, errors = walk_between(model, held_out[list(ends)], rng)
        figure = draw_walk(walk, held_out[list(ends)], errors, names, style)
        _save(output_dir / f"interpolation_{ends[0]}_{ends[1]}.png", figure, style)
        for name, error in zip(names, errors, strict=True):
            fit = f"{name}: fitted to {error:.1f} mm, mean distance over {len(H36M)} joints"
            print(f"{fit}, best of {LATENT_STARTS} starts")
    if options.nearest:
        known = facing(training.world)
        index, distances = nearest_poses(generated, known)
        _save(output_dir / "nearest.png", draw_nearest(generated, known[index], distances.tolist(), style), style)
        print(nearest_table(model, held_out, known, rng))


def check_interpolate(ends: Sequence[int] | None, frames: int, where: str) -> tuple[int, int] | None:
    """The two frames to interpolate between, or None. Raises UserError unless there are two, both in range."""
    if ends is None:
        return None
    if len(ends) != 2:
        given = " ".join(map(str, ends))
        raise UserError(f"--interpolate {given}: {counted(len(ends), 'pose')}; expected two, e.g. 0 100")
    bad = [end for end in ends if end >= frames]
    if bad:
        raise UserError(
            f"--interpolate {bad[0]}: {where} has {frames} held-out frames of the actions that the GAN was trained on; "
            f"expected 0 to {frames - 1}"
        )
    return ends[0], ends[1]


def walk_between(model: PoseGAN, ends: Tensor, rng: torch.Generator) -> tuple[Tensor, list[float]]:
    """Interpolate between the latents of two poses (2, 17, 3): poses (WALK, 17, 3) and both fit errors, mm."""
    latents, errors = fit_latents(model, ends, rng)
    return model.decode(straight_walk(*latents, count=WALK)), errors.tolist()


def nearest_table(model: PoseGAN, held_out: Tensor, training: Tensor, rng: torch.Generator) -> str:
    """Quartiles of the distance to the nearest training pose, for generated and for held-out real poses.

    A GAN that has memorised its training poses generates poses much nearer to them than held-out poses are.
    """
    others = held_out[torch.randperm(len(held_out), generator=rng)[:COMPARED]]
    rows = {"generated": model.sample(COMPARED, rng), "held out": others}
    lines = [
        "mm to the nearest training pose, mean over 17 joints; a GAN that only repeats training poses is near 0",
        f"{'':<28}{'quarter':>10}{'half':>10}{'3 quarters':>12}   of the poses are nearer",
    ]
    for name, poses in rows.items():
        quartiles = nearest_poses(poses, training)[1].quantile(torch.tensor([0.25, 0.5, 0.75])).tolist()
        lines.append("{:<28}{:>10.1f}{:>10.1f}{:>12.1f}".format(f"{len(poses)} {name}", *quartiles))
    return "\n".join(lines)


def frame_name(samples: PoseSet, frame: int) -> str:
    """E.g. "S9/Walking 1, frame 12"; frames count from 0."""
    sequence = samples.sequences[samples.sequence[frame]]
    return f"S{sequence.subject}/{sequence.name}, frame {samples.row[frame]}"


# ------------------------------------------------------------------------------------------ drawing
def draw_beside(generated: Tensor, real: Tensor, style: FigureStyle = DARK_STYLE) -> Sketch:
    """Generated poses (N, 17, 3) on the left, real ones (N, 17, 3) on the right, at the same scale."""
    limits, palette = torch.cat([generated, real]), style.palette
    grids = [arranged(panels(poses, limits, style), COLUMNS, 4, palette.gap) for poses in (generated, real)]
    figure = titled_row(grids, ("generated", "real, held out"), palette)
    return captioned(figure, side_keys(palette), SEEN, palette)


def draw_walk(
    walk: Tensor, ends: Tensor, errors: Sequence[float], names: Sequence[str], style: FigureStyle = DARK_STYLE
) -> Sketch:
    """Interpolated poses (W, 17, 3) in a row between the two real poses (2, 17, 3) that the ends were fitted to."""
    drawn = panels(torch.cat([ends[:1], walk, ends[1:]]), torch.cat([walk, ends]), style)
    between = [f"walk, {number} / {len(walk) - 1}" for number in range(1, len(walk) - 1)]
    fits = [f"fit, {error:.0f} mm off" for error in errors]
    row = titled_row(drawn, ["real", fits[0], *between, fits[1], "real"], style.palette)
    return captioned(row, side_keys(style.palette), [" to ".join(names), *SEEN], style.palette)


def draw_nearest(
    generated: Tensor, nearest: Tensor, distances: Sequence[float], style: FigureStyle = DARK_STYLE
) -> Sketch:
    """Each generated pose (N, 17, 3) above its nearest training pose (N, 17, 3), `distances` mm away."""
    limits, palette = torch.cat([generated, nearest]), style.palette
    size = size_for(min(len(generated), PAIRS_A_ROW) * PANEL[0])
    columns = [
        stacked(
            [titled(one, "generated", palette, size), titled(other, f"nearest, {distance:.0f} mm", palette, size)],
            palette.gap,
        )
        for one, other, distance in zip(
            panels(generated, limits, style), panels(nearest, limits, style), distances, strict=True
        )
    ]
    figure = arranged(columns, PAIRS_A_ROW, 8, palette.gap)
    return captioned(figure, side_keys(palette), SEEN, palette)


def panels(poses: Tensor, limits: Tensor, style: FigureStyle = DARK_STYLE) -> list[Sketch]:
    """One panel per pose (N, 17, 3), world coordinates, in a common view that contains all of `limits` (..., 3)."""
    return [sketch_pose_3d(pose, H36M, PANEL, frame="world", limits=limits, palette=style.palette) for pose in poses]


def _save(path: Path, figure: Sketch, style: FigureStyle) -> None:
    save_figure(path, figure, style)
    print(path)
