"""A pose with stitched.onnx alone: of photo.jpg, one person who fills it.

python run.py export --load_hourglass HOURGLASS --load_2d3d LIFTER --output_dir .      # writes stitched.onnx
pip install onnxruntime opencv-python-headless && python onnx_example.py               # anywhere
"""

import cv2
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("stitched.onnx")
photo = cv2.cvtColor(cv2.imread("photo.jpg"), cv2.COLOR_BGR2RGB)
height, width = photo.shape[:2]
scale = max(height, width) / 256  # photo px a crop px; the middles of both coincide
to_photo = np.float32([[scale, 0, (width - 1) / 2 - 127.5 * scale], [0, scale, (height - 1) / 2 - 127.5 * scale]])
crop = cv2.warpAffine(photo, to_photo, (256, 256), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
inputs = {"images": np.float32(crop.transpose(2, 0, 1)[None] / 255), "to_photo": to_photo[None]}
heatmaps, joints_2d, scores, joints_3d = session.run(None, inputs)  # px of the photo; 0 to 1; mm
for x, y, score in np.column_stack([joints_2d[0], scores[0]]):
    print(f"{x:.1f} {y:.1f} {score:.2f}")
