"""Exports a trained network to files that don't need this project: ONNX, and a `torch.export` program.

python run.py export --load model_checkpoints/hourglass_mpii_default        # or of a 3D baseline, or a stitched one
python run.py export --load_hourglass HOURGLASS --load_2d3d LIFTER --output_dir exported
python docs/onnx_example.py                                                 # how the ONNX file is used
"""

import json
from argparse import Namespace
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.export import ExportedProgram

from stacked_hourglass.demo_weights import weights_to_load
from stacked_hourglass.hourglass import Architecture
from stacked_hourglass.loading import load_hourglass as read_hourglass
from stitched.exported_networks import ExportedLifter, ExportedNetwork, exported_hourglass, exported_stitched
from stitched.loading import load_network, network_kind, require_own_normalisation
from twod_threed.loading import load_lifter, require_normalisation
from utils.doors.option_rules import given_value, refuse_disagreement, refuse_useless
from utils.osutils import UserError, atomic_path, file_digest, warn, write_text
from utils.training.checkpoint_paths import find_checkpoint
from utils.training.checkpoints import read_checkpoint, written_by

# The opset that PyTorch's exporter writes natively; supported by onnxruntime >= 1.14.
OPSET = 18
ONNX_EXPORTER = "onnxscript"  # PyTorch's; `make env` installs it
BATCHES = (1, 3)
TOLERANCE = 1e-4
DEFINITION = f"""\
Checked on random input in batches of {" and ".join(map(str, BATCHES))}. The difference is the largest absolute
difference to PyTorch's output, divided by the largest absolute value of that output; {TOLERANCE:g} is allowed. Scores
and joints are compared with those that PyTorch finds in the exported network's heat maps, and 3D poses with PyTorch's
from the exported network's joints, because rounding decides between two pixels of almost equal height."""

Runner = Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]


class Difference(NamedTuple):
    """Difference between an output and the eager network's: `absolute` in its unit, `relative` see `DEFINITION`."""

    absolute: float
    relative: float


def export(options: Namespace) -> None:
    """`run.py export`."""
    load = weights_to_load(options.load, options.load_hourglass, options.load_2d3d)
    pair = {"load_hourglass": options.load_hourglass, "load_2d3d": options.load_2d3d}
    network = load_exportable(load, **pair, allow_unsafe=options.allow_unsafe_load)
    _refuse_other_shapes(options, network, {"load": load} if load else pair)
    differences = export_network(network, options.output_dir, {"load": load} if load else pair, options.seed)
    print(export_report(network, differences))
    print(f"{options.output_dir}: {', '.join([*differences, f'{network.kind}.json'])}")


def _refuse_other_shapes(options: Namespace, network: ExportedNetwork, paths: Mapping[str, Path]) -> None:
    """Raise UserError for an option that contradicts a checkpoint, or concerns a network that it does not hold."""
    model = network.network
    hourglass, lifter = {
        "hourglass": (model, None),
        "lifter": (None, model),
        "stitched": (getattr(model, "hourglass", None), getattr(model, "lifter", None)),
    }[network.kind]
    kept = f"has no effect: {paths.get('load')} holds only "
    if hourglass:
        refuse_disagreement(options, vars(hourglass.architecture), paths.get("load") or paths["load_hourglass"])
    else:
        refuse_useless(options, [(True, [field.name for field in fields(Architecture)], f"{kept}a 3D baseline")])
    if lifter:
        path = paths.get("load") or paths["load_2d3d"]
        refuse_disagreement(options, lifter.architecture(), path)
        require_normalisation(given_value(options, "dataset_normalization"), model.normalisation.kind, path)
    else:
        names = ["linear_size", "num_stage", "dataset_normalization"]
        refuse_useless(options, [(True, names, f"{kept}an hourglass")])


def export_network(
    network: ExportedNetwork,
    output_dir: str | Path,
    checkpoints: Mapping[str, str | Path] | None = None,
    seed: int = 0,
) -> dict[str, dict[str, Difference]]:
    """Write `<kind>.onnx`, `<kind>.pt2` and `<kind>.json`; return the largest differences by file and output.

    The kind is "hourglass", "lifter" or "stitched". The JSON file repeats the metadata of the other two: names, shapes,
    units, frames and joint orders. Without `ONNX_EXPORTER` only the others are written, with a warning.

    Args:
        network: from `load_exportable`.
        output_dir: a new or existing folder.
        checkpoints: name -> file or folder, whose digests are put into the metadata.
        seed: seed of the random input of the check.

    Raises UserError, with nothing written, if the output of an exported file differs from the network's.
    """
    if not (with_onnx := find_spec(ONNX_EXPORTER) is not None):
        warn(f"no ONNX file, since {ONNX_EXPORTER} is missing: pip install {ONNX_EXPORTER}")
    network, facts, folder = network.eval(), export_metadata(network, checkpoints or {}), Path(output_dir)
    with ExitStack() as files:  # both files are renamed at the end, after both checks
        program_path = files.enter_context(atomic_path(folder / f"{network.kind}.pt2"))
        program = make_program(network)
        torch.export.save(program, program_path, extra_files={"metadata.json": json.dumps(facts)})
        differences = {f"{network.kind}.pt2": output_differences(network, load_program(program_path), seed)}
        if with_onnx:
            onnx_path = files.enter_context(atomic_path(folder / f"{network.kind}.onnx"))
            facts |= {"onnx_opset": OPSET}
            write_onnx(network, program, onnx_path, facts)
            differences[f"{network.kind}.onnx"] = output_differences(network, load_onnx(onnx_path), seed)
        require_small_differences(differences)
    write_text(folder / f"{network.kind}.json", json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
    return differences


# ------------------------------------------------------------------------------------------ networks to export
def load_exportable(
    load: str | Path | None = None,
    load_hourglass: str | Path | None = None,
    load_2d3d: str | Path | None = None,
    *,
    allow_unsafe: bool = False,
) -> ExportedNetwork:
    """The network to export: from `load`, of any of the three kinds, or stitched from the other two.

    Raises UserError for a checkpoint of another network, and like `load_network`.
    """
    pair = {"load_hourglass": load_hourglass, "load_2d3d": load_2d3d}
    checkpoint = read_checkpoint(load, allow_unsafe) if load else {}
    kind = network_kind(checkpoint, load) if load else "stitched"
    if kind == "stitched":
        return exported_stitched(load_network(load, **pair, allow_unsafe=allow_unsafe))
    useless = [name for name, path in pair.items() if path]
    if useless:
        raise UserError(f"--{useless[0]} has no effect: --load {load} is not a stitched network")
    if kind == "hourglass":
        return exported_hourglass(read_hourglass(load, allow_unsafe=allow_unsafe))
    if kind == "lifter":
        lifter = load_lifter(load, allow_unsafe=allow_unsafe)
        require_own_normalisation(lifter, f"--load {load}")
        return ExportedLifter(lifter)
    raise UserError(
        f"--load {load}: no hourglass, 3D baseline or stitched network ({written_by(checkpoint)}); give a "
        "checkpoint of train.py hourglass_mpii, 2d3d_h36m or stitched_fine_tune"
    )


def export_metadata(network: ExportedNetwork, checkpoints: Mapping[str, str | Path]) -> dict:
    """The metadata of the files, as plain types; `checkpoints`: option name -> path."""
    files = {name: find_checkpoint(path) for name, path in checkpoints.items()}
    return {
        "network": network.kind,
        "inputs": network.inputs,
        "outputs": network.outputs,
        **network.notes,
        "checkpoints": {
            name: {"file": "/".join(path.parts[-2:]), "sha256": file_digest(path)} for name, path in files.items()
        },
        "pytorch": torch.__version__,
    }


# ------------------------------------------------------------------------------------------ the two formats
def make_program(network: ExportedNetwork) -> ExportedProgram:
    """The network as a `torch.export` program for batches of any size."""
    inputs = network.example(max(BATCHES), torch.Generator().manual_seed(0))
    batch = torch.export.Dim("batch")
    with torch.no_grad():
        return torch.export.export(network, inputs, dynamic_shapes={name: {0: batch} for name in network.inputs})


def load_program(path: Path) -> Runner:
    module = torch.export.load(path).module()
    return lambda inputs: module(*inputs)


def write_onnx(network: ExportedNetwork, program: ExportedProgram, path: Path, facts: dict) -> None:
    """Write the program as one ONNX file including the weights, with `facts` as metadata (strings, else JSON)."""
    # The other inputs have the same batch dimension.
    named = {name: {0: "batch"} if place == 0 else None for place, name in enumerate(network.inputs)}
    onnx = torch.onnx.export(
        program,
        dynamo=True,
        opset_version=OPSET,
        input_names=list(network.inputs),
        output_names=list(network.outputs),
        dynamic_shapes=named,
        verbose=False,
    )
    for name, fact in facts.items():
        onnx.model.metadata_props[name] = fact if isinstance(fact, str) else json.dumps(fact)
    onnx.save(path, external_data=False)


def load_onnx(path: Path) -> Runner:
    import onnxruntime  # noqa: PLC0415 - 0.2 s, which other scripts do without

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [place.name for place in session.get_inputs()]

    def run(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        arrays = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
        return tuple(map(torch.from_numpy, session.run(None, arrays)))

    return run


# ------------------------------------------------------------------------------------------ the check
@torch.no_grad()
def output_differences(network: ExportedNetwork, run: Runner, seed: int) -> dict[str, Difference]:
    """The largest differences between `run` and the eager network, by output; see `DEFINITION`."""
    generator = torch.Generator().manual_seed(seed)
    differences = dict.fromkeys(network.outputs, Difference(0.0, 0.0))
    for batch in BATCHES:
        inputs = network.example(batch, generator)
        found = run(inputs)
        for name, one, other in zip(network.outputs, found, network.stages(*inputs, *found), strict=True):
            difference = _difference(one, other)
            differences[name] = Difference(*map(max, zip(differences[name], difference, strict=True)))
    return differences


def _difference(found: Tensor, expected: Tensor) -> Difference:
    if found.shape != expected.shape or not found.isfinite().all():
        return Difference(torch.inf, torch.inf)
    absolute = (found - expected).abs().max().item()
    return Difference(absolute, absolute / max(expected.abs().max().item(), 1e-12))


def require_small_differences(differences: dict[str, dict[str, Difference]]) -> None:
    """Raise UserError if the output of a file differs from the network's."""
    for file, outputs in differences.items():
        for name, difference in outputs.items():
            if not difference.relative <= TOLERANCE:
                raise UserError(
                    f"{file}: its {name} differ from PyTorch's by {difference.absolute:.2g} ({difference.relative:.2g} "
                    f"of the largest, {TOLERANCE:g} is allowed); nothing was written"
                )


def export_report(network: ExportedNetwork, differences: dict[str, dict[str, Difference]]) -> str:
    """A text that says what was exported and how close it is to PyTorch."""
    lines = [f"{network.kind}: {', '.join(network.inputs)} -> {', '.join(network.outputs)}", DEFINITION]
    for file, outputs in differences.items():
        found = (f"{name} {one.relative:.1e} ({one.absolute:.1e})" for name, one in outputs.items())
        lines.append(f"{file}: largest differences, relative (absolute): {', '.join(found)}")
    return "\n".join(lines)
