"""Exported networks: the ONNX file in onnxruntime and the torch.export program, compared with run.py's network.

    python benchmarks/export.py

The demo weights' hourglass on one crop and on 8. Exports are written once, into a temporary folder.
"""

import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER.parent), str(FOLDER)]

import torch
from measuring import Step, machine, parser_of, print_table, take_turns

from stacked_hourglass.demo_weights import DEMO_WEIGHTS
from stacked_hourglass.inference import Predictor
from stacked_hourglass.loading import load_hourglass
from stitched.export import Runner, export_network, load_onnx, load_program
from stitched.exported_networks import exported_hourglass
from utils.compute.allocator import keep_large_blocks
from utils.imaging.images import CROP_SIZE

BATCHES = (1, 8)
OURS = "run.py's network"


def runner_step(run: Runner, inputs: tuple[torch.Tensor, ...], batch: int) -> Step:
    @torch.no_grad()
    def step() -> int:
        run(inputs)
        return batch

    return step


def predictor_step(predictor: Predictor, batch: int) -> Step:
    crops = torch.randint(0, 256, (batch, 3, CROP_SIZE, CROP_SIZE), dtype=torch.uint8)

    def step() -> int:
        predictor.heatmaps(crops)
        return batch

    return step


def main() -> None:
    arguments = parser_of(__doc__, seconds=1, turns=3).parse_args()
    keep_large_blocks()
    print(machine())
    network = exported_hourglass(load_hourglass(DEMO_WEIGHTS))
    predictor = Predictor(load_hourglass(DEMO_WEIGHTS))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = export_network(network, folder, {"load": DEMO_WEIGHTS})
        program = load_program(folder / "hourglass.pt2")
        session = load_onnx(folder / "hourglass.onnx") if "hourglass.onnx" in files else None
        for batch in BATCHES:
            inputs = network.example(batch, torch.Generator().manual_seed(0))
            contenders = {OURS: predictor_step(predictor, batch)}
            contenders["torch.export program"] = runner_step(program, inputs, batch)
            if session:
                contenders["onnxruntime"] = runner_step(session, inputs, batch)
            rates = take_turns(contenders, arguments, warm_up=1)
            print_table(f"Exported hourglass, batch {batch}", rates, [OURS], "crops", dict.fromkeys(rates, batch))
    if session is None:
        print("onnxruntime: not measured, not installed.")


if __name__ == "__main__":
    main()
