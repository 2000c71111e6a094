#!/usr/bin/env bash
# `make demo`: from photos to 2D and 3D poses with the weights that come with the project. Says how long it took.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
photos=docs/photos
found=data/demo
out=visualizations/demo
say() { printf '\n== %s\n' "$*"; }

say "1/4 find the poses in the pictures of $photos"
$python run.py stitched_mpii --data_dir $photos --flip --output_dir $found --workers 2

say "2/4 draw the 2D poses on them"
$python viz.py 2d_overlay --img_dir $photos --2d_pose_estimations $found/2d_pose_estimations.pt \
    --output_dir $out/overlay

say "3/4 draw the 3D poses beside them"
$python viz.py 2d_overlay_3d_pred --img_dir $photos --2d_pose_estimations $found/2d_pose_estimations.pt \
    --3d_pose_estimations $found/3d_pose_estimations.pt --output_dir $out/poses_3d

say "4/4 draw the heat maps, joint by joint"
$python viz.py saliency_and_prob_maps --img_dir $photos --output_dir $out/heat_maps

say "done in $SECONDS s; look at"
echo "  $out/overlay/contact_sheet.png     2D poses"
echo "  $out/poses_3d/contact_sheet.png    2D and 3D poses"
echo "  $out/heat_maps/contact_sheet.png   where the network sees each joint"
echo "and then at your own photos, a folder of them, or a video:"
echo "  $python run.py stitched_mpii --data_dir YOUR_PHOTO --draw"
