"""A stream under asyncio: the event loop stays free, streams go on side by side, and a cancelled one is closed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from benchmarks.stamped_faces import StampDetector, stamp_of, stamped, truth
from lmdeploy.landmarker import Landmarker
from lmdeploy.model import Model, open_model
from lmdeploy.video.stream import Seen
from tests.counting_backend import Counting
from tests.recorded_source import Recorded
from tests.tiny_bundle import make_tiny_bundle


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return open_model(make_tiny_bundle(tmp_path_factory.mktemp("b") / "tiny").path, threads=1)


@pytest.fixture
def landmarker(model: Model) -> Landmarker:
    return Landmarker(model, StampDetector)


def must(event: threading.Event) -> None:
    assert event.wait(20), "nobody else came forward meanwhile"


def left_over(before: set[threading.Thread]) -> set[str]:
    """Threads that were not there before, after those that are about to end had the time to."""
    end = time.monotonic() + 5
    while (left := {t.name for t in set(threading.enumerate()) - before}) and time.monotonic() < end:
        time.sleep(0.01)
    return left


def run(main: Coroutine[Any, Any, object]) -> None:
    """asyncio.run, and no thread stays behind but those of the event loop's own executor, which ends with it."""
    before = set(threading.enumerate())
    asyncio.run(main)
    assert left_over(before) == set()


def test_it_gives_the_same_as_a_plain_loop(landmarker: Landmarker) -> None:
    source, seen = Recorded(1, 8), []

    async def main() -> None:
        async with landmarker.stream(source) as stream:
            seen.extend([one async for one in stream])
            assert [one async for one in stream] == []  # and stays at its end

    run(main())
    plain = list(landmarker.stream(Recorded(1, 8)))
    assert [one.frame.index for one in seen] == list(range(8))
    for one, other in zip(seen, plain, strict=True):
        np.testing.assert_array_equal(one.faces[0].points, other.faces[0].points)
    assert source.closed >= 1


def test_streams_wait_side_by_side_and_the_event_loop_is_free(landmarker: Landmarker) -> None:
    """Each source gives its next picture only after the other one's results are there: one by one none would end."""
    gates = [threading.Event() for _ in range(6)]
    found: dict[int, list[int]] = {0: [], 1: []}
    ticks = 0

    def wait_for_other(place: int) -> Callable[[int], object]:
        return lambda number: number == 0 or must(gates[2 * (number - 1) + 1 - place])

    async def follow(place: int) -> None:
        async with landmarker.stream(Recorded(place, 4, before=wait_for_other(place))) as stream:
            async for seen in stream:
                source, number, _ = stamp_of(seen.frame.image)
                wanted = truth(source, number, *seen.frame.image.shape[:2])
                np.testing.assert_allclose(seen.faces[0].points_raw, wanted, atol=0.7)
                found[source].append(number)
                if number < 3:
                    gates[2 * number + place].set()

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    async def main() -> None:
        ticking = asyncio.create_task(tick())
        await asyncio.gather(follow(0), follow(1))
        ticking.cancel()

    run(main())
    assert found == {0: [0, 1, 2, 3], 1: [0, 1, 2, 3]}
    assert ticks > 0


def test_more_streams_than_the_loop_has_threads_and_its_own_calls_still_run(landmarker: Landmarker) -> None:
    """The shared executor has cores + 4 threads; here more streams than that wait for a picture."""
    asked, opened = threading.Event(), 0

    async def first(place: int) -> Seen:
        nonlocal opened
        async with landmarker.stream(Recorded(place, 1, before=lambda _: must(asked))) as stream:
            opened += 1
            return await anext(stream)

    async def main() -> None:
        tasks = [asyncio.create_task(first(place)) for place in range(40)]
        while opened < 40:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(asked.set)
        assert [stamp_of(seen.frame.image)[0] for seen in await asyncio.gather(*tasks)] == list(range(40))

    run(main())


def test_cancelling_a_wait_closes_the_stream(landmarker: Landmarker) -> None:
    hold, waits = threading.Event(), asyncio.Event()
    source = Recorded(0, 9, before=lambda number: number < 2 or must(hold))

    async def follow() -> None:
        async for seen in landmarker.stream(source):
            if seen.frame.index == 1:
                waits.set()

    async def main() -> None:
        task = asyncio.create_task(follow())
        await waits.wait()
        await asyncio.sleep(0.05)
        asyncio.get_running_loop().call_later(0.1, hold.set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert source.closed >= 1  # before the cancelled task is over

    run(main())


def test_each_stream_counts_its_own_stages_and_an_observer_stays(model: Model) -> None:
    slow = Counting(model.backend, pause_s=0.003)  # so that the other stream's turn comes in between
    landmarker = Landmarker(Model(model.spec, slow, model.digest), StampDetector)
    heard: list[str] = []
    landmarker.observe = lambda stage, _: heard.append(stage)

    async def calls(place: int, frames: int) -> int:
        async with landmarker.stream(Recorded(place, frames)) as stream:
            assert len([seen async for seen in stream]) == frames
            return stream.stages["back_map"].calls

    async def main() -> None:
        first, second = await asyncio.gather(calls(0, 40), calls(1, 25))
        assert (first, second) == (41, 26)  # the first frame is looked at twice, see Tracker

    run(main())
    assert heard == []
    landmarker.detect(np.ascontiguousarray(stamped(0, 0)[..., ::-1]))
    assert heard == ["detect"]


def test_opening_that_is_cancelled_leaves_nothing_open(landmarker: Landmarker) -> None:
    source, slow = Recorded(0, 10**6), threading.Event()

    def open_slowly() -> object:
        must(slow)
        return landmarker.stream(source)

    async def main() -> None:
        task = asyncio.create_task(asyncio.to_thread(open_slowly))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        slow.set()

    run(main())
    assert source.closed >= 1


def test_timeout_between_frames_closes_the_stream_at_the_end_of_with(landmarker: Landmarker) -> None:
    source = Recorded(0, 10**6)

    async def slow() -> None:
        async with landmarker.stream(source) as stream:
            async for _ in stream:
                await asyncio.sleep(10)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(slow(), 0.3)
        assert source.closed >= 1

    run(main())


def test_leaving_early_closes_and_may_be_taken_up_before(landmarker: Landmarker) -> None:
    source = Recorded(0, 10**6)

    async def main() -> None:
        async with landmarker.stream(source) as stream:
            async for seen in stream:
                if seen.frame.index == 2:
                    break
            assert (await anext(stream)).frame.index == 3
        await stream.aclose()
        stream.close()
        assert source.closed >= 1

    run(main())


def test_mistake_in_a_source_reaches_the_coroutine(landmarker: Landmarker) -> None:
    async def main() -> None:
        async with landmarker.stream(Recorded(0, 3, before=lambda number: 1 // (2 - number))) as stream:
            with pytest.raises(ZeroDivisionError):
                [seen async for seen in stream]

    run(main())
