#!/usr/bin/env bash
# `make demo-weights`: the demo weights anew, from photos and motion capture to stitched/pretrained/demo.pth.tar.
# What they are, how good they are and how long this took: docs/model_card.md.
#
#   PHOTOS   an MPII folder (annotations, detections_our_format.mat, images): here 5,600 photos of LSP-extended
#   MOTION   a Human3.6M folder: here motion capture of the CMU database in that layout
#   WORK     where everything in between goes; what is there already is not done again
#   NETWORK, EPOCHS   the hourglass and its training on the photos; as they stand they are for a CPU core.
#            For a GPU:  NETWORK="--stacks 2 --features 128 --train_batch_size 64 --lr 2e-3 --compile"
#            EPOCHS="--epochs 150 --schedule 100 135"  (2 stacks of 256 would be more than 20 MB with the 3D baseline)
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
PHOTOS=${PHOTOS:-../shared/data/lspet_as_mpii}
MOTION=${MOTION:-../shared/data/cmu_h36m_layout}
WORK=${WORK:-data/demo_weights}
DEVICE=${DEVICE:-auto}  # bf16 below is fp32 on a CPU without bf16 instructions
NETWORK=${NETWORK:---stacks 1 --features 64 --train_batch_size 8 --lr 1e-3}
EPOCHS=${EPOCHS:---epochs 16 --schedule 11 14}
say() { printf '\n== %s\n' "$*"; }
trained() { [ -f "$WORK/model_checkpoints/$1/finished" ]; }
finished() { touch "$WORK/model_checkpoints/$1/finished"; }

for folder in "$PHOTOS" "$MOTION"; do
    [ -d "$folder" ] || { echo "$folder is not there; say where with PHOTOS=… MOTION=… make demo-weights" >&2; exit 2; }
done
mkdir -p "$WORK"
folders="--checkpoint_dir $WORK/model_checkpoints --tb_dir $WORK/tb_logs --device $DEVICE --precision bf16 --seed 0"
hourglass="$folders $NETWORK --test_batch_size 50 --gamma 0.3
    --sigma 2 --sigma_decay 0.75 --location_loss_coeff 0.001 --flip"

say "1/6 render 2,800 people"
[ -d "$WORK/rendered" ] || $python -c "
from pathlib import Path
from utils.sample.sample_data import make_mpii
make_mpii(Path('$WORK/rendered'), training=2800, validation=100, seed=5, workers=2)"

say "2/6 train the hourglass: two epochs of rendered people, then photos"
trained hourglass_mpii_rendered || {
    $python train.py hourglass_mpii --exp rendered --data_dir "$WORK/rendered" $hourglass --epochs 2 --schedule 90
    finished hourglass_mpii_rendered
}
trained hourglass_mpii_photos || {
    $python train.py hourglass_mpii --exp photos --data_dir "$PHOTOS" $hourglass $EPOCHS \
        --load "$WORK/model_checkpoints/hourglass_mpii_rendered/checkpoint.pth.tar"
    finished hourglass_mpii_photos
}

say "3/6 score it on the validation people"
photos="$WORK/model_checkpoints/hourglass_mpii_photos"
$python run.py hourglass_mpii --load "$photos" --data_dir "$PHOTOS" --flip --output_dir "$WORK/run" --device "$DEVICE"
$python eval.py mpii_PCKh --data_dir "$PHOTOS" --prediction_files "$WORK/run/preds_valid.mat" \
    --model_names demo --output_dir "$WORK/pckh"
$python scripts/reliability.py --data_dir "$PHOTOS" --run_dir "$WORK/run" --output_dir "$WORK/reliability"

say "4/6 measure its errors, for the 3D baseline"
$python scripts/measure_detector_errors.py --data_dir "$PHOTOS" --prediction_file "$WORK/run/preds_valid.mat" \
    --output "$WORK/detector_errors.npz"

say "5/6 train the 3D baseline with them"
trained 2d3d_h36m_photos || {
    $python train.py 2d3d_h36m --exp photos --data_dir "$MOTION" $folders --procrustes --epochs 12 --lr 1e-3 \
        --train_batch_size 512 --schedule 5 8 10 --gamma 0.3 --input_places mpii \
        --detector_errors "$WORK/detector_errors.npz" --orthogonal_data_augmentation --z_rotations_only
    finished 2d3d_h36m_photos
}

say "6/6 pack them"
$python scripts/pack_demo_weights.py --load_hourglass "$photos" \
    --load_2d3d "$WORK/model_checkpoints/2d3d_h36m_photos" --reliability "$WORK/reliability/reliability.json"
