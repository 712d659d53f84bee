"""Results into files, kinds told from their names, from a loop of your own.

python examples/write_files.py clip.mp4 points.csv coco.json annotated.mp4
"""

import sys

from lmdeploy import Landmarker, Writers


def main(source: str = "0", *names: str) -> None:
    """Write the frames that have a face."""
    with (
        Landmarker.load() as landmarker,
        landmarker.stream(source) as stream,
        Writers(landmarker, *(names or ["points.csv", "annotated.mp4"])) as writers,
    ):
        for seen in stream:
            if seen.faces:
                writers.write(seen.frame, seen.faces)


if __name__ == "__main__":
    main(*sys.argv[1:])
