"""Streams in an asyncio program: each is followed by a task, and the event loop stays free for everything else.

python examples/event_loop.py 0 clip.mp4
"""

import asyncio
import sys

from lmdeploy import Landmarker

SECONDS = 10.0


async def follow(landmarker: Landmarker, source: str) -> None:
    """Count frames and faces of one source until it ends, or this task is cancelled."""
    frames = faces = 0
    stream = await asyncio.to_thread(landmarker.stream, source)  # opening a camera may take seconds
    try:
        async with stream:
            async for seen in stream:
                frames += 1
                faces += len(seen.faces)
    finally:  # the stream is closed by now: its device is free, its threads are gone
        print(f"{source}: {faces} faces in {frames} frames")


async def main(*sources: str) -> None:
    """Follow all sources for ten seconds, or to their ends."""
    with await asyncio.to_thread(Landmarker.load) as landmarker:
        try:
            async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as group:
                for source in sources:
                    group.create_task(follow(landmarker, source))
        except TimeoutError:
            print(f"stopped after {SECONDS:g} s")


if __name__ == "__main__":
    asyncio.run(main(*(sys.argv[1:] or ["0"])))
