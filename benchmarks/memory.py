"""Peak resident memory of `lmdeploy predict` on real 720p video, and its growth over a long one.

    python -m benchmarks.memory [--quick] [--model BUNDLE]

The demo's portrait is moved into a 720p H.264 file; a process of its own runs the command on it with CSV and MP4 out
and reports its peak. Figures: peak_mb (10 s of video; --quick: 3 s); growth_mb, the peak of a video ten times as long
minus that (full mode only).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.record import print_figures, write_result
from lmdeploy.demo import write_portrait_video

RUN = """
import sys
from lmdeploy.resident import peak_mb
from lmdeploy.cli import main
try:
    main()
finally:
    sys.stderr.write(f"peak {peak_mb()}\\n")
"""


def main() -> None:
    """Measure, print the figures, and in full mode write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under 50 s on 2 cores; writes no record")
    parser.add_argument("--model", default="face68", help="a bundle")
    given = parser.parse_args()
    figures = {"peak_mb": peak_mb(given.model, 3 if given.quick else 10)}
    if not given.quick:
        figures["growth_mb"] = peak_mb(given.model, 100) - figures["peak_mb"]
        write_result("memory", figures, {"video": "1280x720, 30 frames/s, H.264", "seconds": [10, 100]}, [])
    print_figures(figures)


def peak_mb(model: str, seconds: float) -> float:
    """Peak resident memory of one run, MB (10^6 bytes)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_portrait_video(folder / "in.mp4", seconds)
        words = [
            "predict",
            folder / "in.mp4",
            "--model",
            model,
            "--csv",
            folder / "out.csv",
            "--save",
            folder / "o.mp4",
        ]
        done = subprocess.run(
            [sys.executable, "-c", RUN, *map(str, words)], capture_output=True, text=True, check=True
        )
    return float(done.stderr.rpartition("peak ")[2])


if __name__ == "__main__":
    main()
