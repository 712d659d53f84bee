"""A camera in three lines; Ctrl-C ends it. A video file or an rtsp:// address will do as well.

python examples/camera.py 0
"""

import sys

from lmdeploy import Landmarker

for seen in Landmarker.load().stream(sys.argv[1] if len(sys.argv) > 1 else 0):
    print(seen.frame.time_ms, seen.age_ms, [face.points.mean(axis=0).tolist() for face in seen.faces])
