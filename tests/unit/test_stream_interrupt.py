"""Ctrl-C in an asyncio program that waits for a camera which is gone."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.tiny_bundle import make_tiny_bundle

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import asyncio, sys
from benchmarks.scripted_camera import Lives
from benchmarks.stamped_faces import StampDetector, stamped
from lmdeploy.landmarker import Landmarker
from lmdeploy.model import open_model
from lmdeploy.video.camera import Camera
from lmdeploy.video.retry import Retry

async def main():
    landmarker = Landmarker(open_model(sys.argv[1], threads=1, backend="onnxruntime"), StampDetector)
    gone = Camera(0, Lives([[stamped(0, 0)]], OSError("off")), retry=Retry(first_s=100))
    async for seen in landmarker.stream(gone):
        print("seen", flush=True)

asyncio.run(main())
"""


def test_ctrl_c_while_a_camera_is_gone_ends_the_program(tmp_path: Path) -> None:
    bundle = make_tiny_bundle(tmp_path / "tiny").path
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(bundle)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "seen\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT, errors
    assert errors.strip().endswith("KeyboardInterrupt")
