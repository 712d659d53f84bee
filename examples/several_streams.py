"""Several cameras, streams or videos at once: their faces share batches, and none waits for another.

python examples/several_streams.py 0 rtsp://host/door clip.mp4
"""

import sys

from lmdeploy import Landmarker


def main(*sources: str) -> None:
    """Count the faces of each source, then say what could not be read and what took how long."""
    faces = [0] * len(sources)
    with (
        Landmarker.load() as landmarker,
        landmarker.stream(sources, max_faces=4, give_up_s=60, warn=print) as stream,
    ):
        for seen in stream:
            faces[seen.source] += len(seen.faces)
        print(dict(zip(sources, faces, strict=True)))
        for problem in stream.problems:
            print(problem, file=sys.stderr)
        for stage, latency in stream.stages.items():
            print(f"{stage}: {latency.median_ms:.2f} ms median, {latency.p99_ms:.2f} ms 99th percentile")


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["0", "1"]))
