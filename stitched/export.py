"""A trained network as files that need nothing of this project: ONNX, and a `torch.export` program.

python run.py export --load model_checkpoints/hourglass_mpii_default        # or of a 3D baseline, or a stitched one
python run.py export --load_hourglass HOURGLASS --load_2d3d LIFTER --output_dir exported
python docs/onnx_example.py                                                 # how the ONNX file is used
"""

import json
from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.export import ExportedProgram

from stacked_hourglass.demo_weights import weights_to_load
from stacked_hourglass.loading import load_hourglass
from stitched.exported_networks import ExportedHourglass, ExportedLifter, ExportedNetwork, ExportedStitched
from stitched.loading import load_stitched, network_kind, require_own_normalisation
from twod_threed.loading import load_lifter
from utils.console.option_rules import refuse_useless
from utils.osutils import UserError, atomic_path, file_digest, warn, write_text
from utils.training.checkpoint_paths import find_checkpoint
from utils.training.checkpoints import read_checkpoint, written_by

# What PyTorch's exporter writes without a conversion afterwards; onnxruntime reads it from 1.14 on.
OPSET = 18
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
BATCHES = (1, 3)
TOLERANCE = 1e-4
DEFINITION = f"""\
Checked on random input in batches of {" and ".join(map(str, BATCHES))}. A difference is the largest absolute one of
an output from PyTorch's, over the largest absolute value of the latter; {TOLERANCE:g} is allowed. Heat maps follow
from the input; scores and joints are compared with those that PyTorch finds in the file's own heat maps, and 3D
poses with PyTorch's from its own joints, since rounding decides between two pixels of all but equal height."""

Run = Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]


class Difference(NamedTuple):
    """How far an output is from the eager network's: `absolute` in its own unit, `relative` as `DEFINITION` says."""

    absolute: float
    relative: float


def export(options: Namespace) -> None:
    """`run.py export`: `<kind>.onnx`, `<kind>.pt2` and `<kind>.json` in `output_dir`.

    The kind is "hourglass", "lifter" or "stitched". The JSON file has what is also in the two others: names, shapes,
    units, frames and joint orders. Without the packages that ONNX needs, the others are written, with a warning.

    Raises UserError, with nothing written, for a checkpoint of no such network, and where a written file gives
    anything else than the network itself.
    """
    network = open_network(options).eval()
    lacking = [name for name in ONNX_PACKAGES if find_spec(name) is None]
    if lacking:
        warn(f"no ONNX file, since {' and '.join(lacking)} is missing: pip install {' '.join(ONNX_PACKAGES)}")
    facts = describe(network, options)
    folder = Path(options.output_dir)
    with ExitStack() as files:  # they take their names at the end, when both have passed
        program_path = files.enter_context(atomic_path(folder / f"{network.kind}.pt2"))
        program = make_program(network)
        torch.export.save(program, program_path, extra_files={"metadata.json": json.dumps(facts)})
        differences = {f"{network.kind}.pt2": compare(network, load_program(program_path), options.seed)}
        if not lacking:
            onnx_path = files.enter_context(atomic_path(folder / f"{network.kind}.onnx"))
            facts |= {"onnx_opset": OPSET}
            write_onnx(network, program, onnx_path, facts)
            differences[f"{network.kind}.onnx"] = compare(network, load_onnx(onnx_path), options.seed)
        print(report(network, differences))
        require_equal(differences)
    write_text(folder / f"{network.kind}.json", json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
    print(f"{folder}: {', '.join([*differences, f'{network.kind}.json'])}")


# ------------------------------------------------------------------------------------------ what is exported
def open_network(options: Namespace) -> ExportedNetwork:
    """The network of `load`, whichever of the three kinds it is, or of `load_hourglass` and `load_2d3d`."""
    options.load = weights_to_load(options.load, options.load_hourglass, options.load_2d3d)
    if not options.load:
        return ExportedStitched(load_stitched(options))
    checkpoint = read_checkpoint(options.load, options.allow_unsafe_load)
    kind = network_kind(checkpoint, options.load)
    if kind == "stitched":
        return ExportedStitched(load_stitched(options))
    others = ["load_hourglass", "load_2d3d", "dataset_normalization"]
    refuse_useless(options, [(True, others, f"has no effect: --load {options.load} is no stitched network")])
    if kind == "hourglass":
        return ExportedHourglass(load_hourglass(options.load, allow_unsafe=options.allow_unsafe_load))
    if kind == "lifter":
        lifter = load_lifter(options.load, allow_unsafe=options.allow_unsafe_load)
        require_own_normalisation(lifter, f"--load {options.load}")
        return ExportedLifter(lifter)
    raise UserError(
        f"--load {options.load}: no hourglass, 3D baseline or stitched network ({written_by(checkpoint)}); give a "
        "checkpoint of train.py hourglass_mpii, 2d3d_h36m or stitched_fine_tune"
    )


def describe(network: ExportedNetwork, options: Namespace) -> dict:
    """What a user of the files has to know, as plain types."""
    given = {name: getattr(options, name) for name in ("load", "load_hourglass", "load_2d3d")}
    used = {"load": given["load"]} if given["load"] else given
    files = {name: find_checkpoint(path) for name, path in used.items() if path}
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


# ------------------------------------------------------------------------------------------ the two forms
def make_program(network: ExportedNetwork) -> ExportedProgram:
    """The network as a `torch.export` program for batches of any size."""
    inputs = network.example(max(BATCHES), torch.Generator().manual_seed(0))
    batch = torch.export.Dim("batch")
    with torch.no_grad():
        return torch.export.export(network, inputs, dynamic_shapes={name: {0: batch} for name in network.inputs})


def load_program(path: Path) -> Run:
    module = torch.export.load(path).module()
    return lambda inputs: module(*inputs)


def write_onnx(network: ExportedNetwork, program: ExportedProgram, path: Path, facts: dict) -> None:
    """The program as one ONNX file, weights inside, `facts` as its metadata (JSON, unless they are words)."""
    # The other inputs have the same batch.
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


def load_onnx(path: Path) -> Run:
    import onnxruntime  # noqa: PLC0415 - optional

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [place.name for place in session.get_inputs()]

    def run(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        arrays = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
        return tuple(map(torch.from_numpy, session.run(None, arrays)))

    return run


# ------------------------------------------------------------------------------------------ the check
@torch.no_grad()
def compare(network: ExportedNetwork, run: Run, seed: int) -> dict[str, Difference]:
    """By output, the largest differences between what `run` and the eager network give; see `DEFINITION`."""
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


def require_equal(differences: dict[str, dict[str, Difference]]) -> None:
    """UserError where a file gives anything else than the network."""
    for file, outputs in differences.items():
        for name, difference in outputs.items():
            if not difference.relative <= TOLERANCE:
                raise UserError(
                    f"{file}: its {name} differ from PyTorch's by {difference.absolute:.2g} ({difference.relative:.2g} "
                    f"of the largest, {TOLERANCE:g} is allowed), so that nothing is written"
                )


def report(network: ExportedNetwork, differences: dict[str, dict[str, Difference]]) -> str:
    """What is exported and how near it is, for people to read."""
    lines = [f"{network.kind}: {', '.join(network.inputs)} -> {', '.join(network.outputs)}", DEFINITION]
    for file, outputs in differences.items():
        found = (f"{name} {one.relative:.1e} ({one.absolute:.1e})" for name, one in outputs.items())
        lines.append(f"{file}: largest differences, relative (absolute): {', '.join(found)}")
    return "\n".join(lines)
