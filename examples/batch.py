"""A folder of pictures into one array and one table; what cannot be read is named, the rest is done.

python examples/batch.py images/     (the table needs the extra `pandas`)
"""

import sys
from pathlib import Path

from lmdeploy import InputError, Landmarker, read_image, to_numpy, to_pandas

PORTION = 64  # pictures in memory at once


def main(folder: str = "images", table: str = "landmarks.csv") -> None:
    """Find the faces of all pictures, a portion at a time."""
    paths = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in (".jpg", ".png"))
    names, results = [], []
    with Landmarker.load() as landmarker:
        for start in range(0, len(paths), PORTION):
            images = []
            for path in paths[start : start + PORTION]:
                try:
                    images.append(read_image(path))
                    names.append(path.name)
                except InputError as error:
                    print(f"left out: {error}", file=sys.stderr)
            results += landmarker.predict_batch(images)  # one list of faces a picture, in order
        schema = landmarker.spec.landmarks
    points = to_numpy(results)  # f32[N,68,2], all N faces in order
    print(f"{len(points)} faces in {len(results)} pictures")
    to_pandas(results, "long", images=names, schema=schema).to_csv(table, index=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
