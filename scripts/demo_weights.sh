#!/usr/bin/env bash
# `make demo-weights`: the demo weights anew, from photos and motion capture to stitched/pretrained/demo.pth.tar.
# What they are, how good they are and how long this took: docs/model_card.md.
#
#   PHOTOS   an MPII folder (annotations, detections_our_format.mat, images): here 5,600 photos of LSP-extended
#   PEOPLE   further folders to train on after that, in the MPII, LSP or COCO form; one that is named twice counts twice
#   COCO     of these, the one with ordinary photos
#   MOTION   a Human3.6M folder: here motion capture of the CMU database in that layout
#   WORK     where everything in between goes; what is there already is not done again
#   NETWORK, EPOCHS   the hourglass and its training on the photos; as they stand they are for a CPU core.
#            For a GPU:  NETWORK="--stacks 2 --features 128 --train_batch_size 64 --lr 2e-3 --compile" WIDE=
#            EPOCHS="--epochs 150 --schedule 100 135"  (2 stacks of 256 would be more than 20 MB with the 3D baseline)
#   WIDE     features of the wider network that goes on from there; empty: none
#   ROUNDS   of three epochs without its first layers, each at a learning rate that falls to 0
#   PAIRS    epochs:learning-rate of two further trainings side by side, a core each, whose weights are averaged
#   STACKS   of a deeper network that goes on from there for six epochs, for two in which COCO's people count much more,
#            and for six more; empty: none
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
PHOTOS=${PHOTOS:-../shared/data/lspet_as_mpii}
COCO=${COCO:-../shared/data/coco_people}
PEOPLE=${PEOPLE:-../shared/data/lspet_more_as_mpii $COCO $COCO $COCO $COCO $COCO}
MOTION=${MOTION:-../shared/data/cmu_h36m_layout}
WORK=${WORK:-data/demo_weights}
DEVICE=${DEVICE:-auto}  # bf16 below is fp32 on a CPU without bf16 instructions
NETWORK=${NETWORK:---stacks 1 --features 64 --train_batch_size 8 --lr 1e-3}
EPOCHS=${EPOCHS:---epochs 16 --schedule 11 14}
WIDE=${WIDE-128}
ROUNDS=${ROUNDS:-2}
PAIRS=${PAIRS:-7:1e-3 2:6e-4}
STACKS=${STACKS-2}
say() { printf '\n== %s\n' "$*"; }
trained() { [ -f "$WORK/model_checkpoints/$1/finished" ]; }
finished() { touch "$WORK/model_checkpoints/$1/finished"; }
repeated() { for _ in $(seq "$1"); do printf '%s ' "$2"; done; }
weights() { echo "$WORK/model_checkpoints/hourglass_mpii_$1/checkpoint.pth.tar"; }
average() { # FILES: from here on their average is the best
    best="$WORK/averaged_$(basename "$(dirname "${*: -1}")").pth.tar"
    $python scripts/average_weights.py --load "$@" --output "$best"
}
side_by_side() { # SEED OPTIONS: trains with this seed and the next, a core each, from the best
    local seed running=()
    for seed in "$1" $(($1 + 1)); do
        trained "hourglass_mpii_side_by_side_$seed" || {
            OMP_NUM_THREADS=1 $python train.py hourglass_mpii --exp "side_by_side_$seed" "${@:2}" --seed "$seed" \
                --workers 0 --load "$best" && finished "hourglass_mpii_side_by_side_$seed"
        } &
        running+=($!)
    done
    for process in "${running[@]}"; do wait "$process"; done
}
render() { # FOLDER TRAINING VALIDATION SEED
    $python -c "
from pathlib import Path
from utils.sample.sample_data import make_mpii
make_mpii(Path('$WORK/$1'), training=$2, validation=$3, seed=$4, workers=2)"
}

for folder in "$PHOTOS" $PEOPLE "$COCO" "$MOTION"; do
    [ -d "$folder" ] || {
        echo "$folder is not there; say where with PHOTOS=… PEOPLE=… COCO=… MOTION=… make demo-weights" >&2
        exit 2
    }
done
mkdir -p "$WORK"
folders="--checkpoint_dir $WORK/model_checkpoints --tb_dir $WORK/tb_logs --device $DEVICE --precision bf16 --seed 0"
hourglass="$folders $NETWORK --test_batch_size 50 --gamma 0.3
    --sigma 2 --sigma_decay 0.75 --location_loss_coeff 0.001 --flip"
people="$folders $NETWORK --data_dir $PHOTOS $PEOPLE --test_batch_size 50 --schedule_type cosine --ema 0.999
    --sigma 1.5 --location_loss_coeff 0.001 --flip --half_body_prob 0.1 --cut_off_prob 0.2 --box_jitter 0.05
    --erase_prob 0.15 --blur_prob 0.1 --downscale_prob 0.1 --jpeg_prob 0.1"

say "1/6 render 2,800 people"
[ -d "$WORK/rendered" ] || render rendered 2800 100 5

say "2/6 train the hourglass: two epochs of rendered people, then photos, then more people"
trained hourglass_mpii_rendered || {
    $python train.py hourglass_mpii --exp rendered --data_dir "$WORK/rendered" $hourglass --epochs 2 --schedule 90
    finished hourglass_mpii_rendered
}
trained hourglass_mpii_photos || {
    $python train.py hourglass_mpii --exp photos --data_dir "$PHOTOS" $hourglass $EPOCHS \
        --load "$WORK/model_checkpoints/hourglass_mpii_rendered/checkpoint.pth.tar"
    finished hourglass_mpii_photos
}

trained hourglass_mpii_people || {
    $python train.py hourglass_mpii --exp people $people --epochs 3 --warmup 0.1 --lr 7e-4 \
        --load "$WORK/model_checkpoints/hourglass_mpii_photos/checkpoint.pth.tar"
    finished hourglass_mpii_people
}
best="$WORK/model_checkpoints/hourglass_mpii_people"
if [ -n "$WIDE" ]; then
    wide="$people --features $WIDE --warmup 0.05 --lr 1e-3"
    best="$WORK/model_checkpoints/hourglass_mpii_wide"
    trained hourglass_mpii_wide || {
        $python scripts/grow_hourglass.py --load "$WORK/model_checkpoints/hourglass_mpii_people" \
            --features "$WIDE" --output "$WORK/wide.pth.tar"
        $python train.py hourglass_mpii --exp wide $wide --seed 1 --epochs 2 --load "$WORK/wide.pth.tar"
        finished hourglass_mpii_wide
    }
    for round in $(seq "$ROUNDS"); do
        name=first_layers_frozen_$round
        trained "hourglass_mpii_$name" || {
            $python train.py hourglass_mpii --exp "$name" $wide --seed "$round" --epochs 3 \
                --freeze_modules conv1 bn1 layer1 --load "$best"
            finished "hourglass_mpii_$name"
        }
        best="$WORK/model_checkpoints/hourglass_mpii_$name"
    done

    [ -d "$WORK/rendered_few" ] || render rendered_few 500 8 6
    first=3
    for pair in $PAIRS; do
        side_by_side $first $wide --data_dir $PHOTOS $PEOPLE "$WORK/rendered_few" \
            --epochs "${pair%:*}" --lr "${pair#*:}" --freeze_modules conv1 bn1 layer1
        average "$(weights side_by_side_$first)" "$(weights side_by_side_$((first + 1)))"
        first=$((first + 2))
    done

    if [ -n "$STACKS" ]; then
        deep="$wide --stacks $STACKS --freeze_modules conv1 bn1 layer1"
        trained hourglass_mpii_deep || {
            $python scripts/grow_hourglass.py --load "$best" --stacks "$STACKS" --output "$WORK/deep.pth.tar"
            $python train.py hourglass_mpii --exp deep $deep --data_dir $PHOTOS $PEOPLE "$WORK/rendered_few" \
                --epochs 6 --lr 1e-3 --seed 12 --load "$WORK/deep.pth.tar"
            finished hourglass_mpii_deep
        }
        best=$(weights deep)
        trained hourglass_mpii_ordinary || {
            $python train.py hourglass_mpii --exp ordinary $deep --ema 0.998 --data_dir $PHOTOS \
                $(repeated 25 $COCO) "$WORK/rendered_few" --epochs 1 --lr 4e-4 --seed 22 --load "$best"
            finished hourglass_mpii_ordinary
        }
        average "$best" "$(weights ordinary)"
        side_by_side 23 $deep --ema 0.998 --data_dir $PHOTOS $(repeated 20 $COCO) "$WORK/rendered_few" \
            --epochs 1 --lr 3e-4
        average "$best" "$(weights side_by_side_23)" "$(weights side_by_side_24)"
        trained hourglass_mpii_more || {
            $python train.py hourglass_mpii --exp more $deep \
                --data_dir $PHOTOS $PEOPLE $(repeated 5 $COCO) "$WORK/rendered_few" --epochs 6 --lr 1e-3 --seed 31 \
                --load "$best"
            finished hourglass_mpii_more
        }
        best=$(weights more)
    fi
fi

say "3/6 score it on the validation people"
$python run.py hourglass_mpii --load "$best" --data_dir "$PHOTOS" --flip --output_dir "$WORK/run" --device "$DEVICE"
$python eval.py mpii_PCKh --data_dir "$PHOTOS" --prediction_files "$WORK/run/preds_valid.mat" \
    --model_names demo --output_dir "$WORK/pckh"
$python scripts/reliability.py --data_dir "$PHOTOS" --run_dir "$WORK/run" --output_dir "$WORK/reliability"

say "4/6 measure its errors, for the 3D baseline: with smoothed heat maps, as in the stitched network"
$python run.py hourglass_mpii --load "$best" --data_dir "$PHOTOS" --flip --decoding dark \
    --output_dir "$WORK/run_dark" --device "$DEVICE"
$python scripts/measure_detector_errors.py --data_dir "$PHOTOS" --output "$WORK/detector_errors.npz" \
    --prediction_file "$WORK/run_dark/preds_valid.mat"

say "5/6 train the 3D baseline with them"
trained 2d3d_h36m_photos || {
    $python train.py 2d3d_h36m --exp photos --data_dir "$MOTION" $folders --procrustes --epochs 12 --lr 1e-3 \
        --train_batch_size 512 --schedule 5 8 10 --gamma 0.3 --input_places mpii \
        --detector_errors "$WORK/detector_errors.npz" --orthogonal_data_augmentation --z_rotations_only
    finished 2d3d_h36m_photos
}

say "6/6 pack them"
$python scripts/pack_demo_weights.py --load_hourglass "$best" \
    --load_2d3d "$WORK/model_checkpoints/2d3d_h36m_photos" --reliability "$WORK/reliability/reliability.json"
