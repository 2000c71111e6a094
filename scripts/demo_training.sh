#!/usr/bin/env bash
# `make demo-train`: the whole 2D path on the embedded sample. Train, score, predict, draw. Says how long it took.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
out=visualizations/demo_training
data=data/demo_training
say() { printf '\n== %s\n' "$*"; }

say "1/5 make the sample (rendered people, once) and train a small hourglass on it"
$python train.py hourglass_mpii --data_dir sample --exp demo --stacks 1 --features 64 --epochs 5 \
    --train_batch_size 6 --test_batch_size 32 --lr 1e-3 --schedule 4 --gamma 0.3 --sigma 2 --augment_training_data False

say "2/5 score it: PCKh on the sample's validation people"
$python eval.py mpii_PCKh --data_dir sample --model_names demo --output_dir $out/pckh \
    --prediction_files model_checkpoints/hourglass_mpii_demo/preds_valid.mat

say "3/5 predict the validation people"
$python run.py hourglass_mpii --data_dir sample --load model_checkpoints/hourglass_mpii_demo --output_dir $data

say "4/5 draw the poses on their photos"
$python viz.py 2d_overlay --img_dir data/sample/mpii/images --2d_pose_estimations $data/2d_pose_estimations.pt \
    --output_dir $out/overlay

say "5/5 draw the training curves"
$python viz.py training_curves --load model_checkpoints/hourglass_mpii_demo --output_dir $out/curves

say "done in $SECONDS s; look at"
echo "  $out/overlay/contact_sheet.png      predicted poses on photos the network has not seen"
echo "  $out/curves/training_curves.png     loss and PCKh, epoch by epoch"
echo "  $out/pckh/pckh_all.png              PCKh curves by joint"
echo "  model_checkpoints/hourglass_mpii_demo   the trained network; try it on your own photos:"
echo "  $python run.py hourglass_mpii --load model_checkpoints/hourglass_mpii_demo --data_dir YOUR_PHOTOS"
