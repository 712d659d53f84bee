"""One writer at a time, across threads and processes, freed by death."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lmdeploy.errors import InputError
from lmdeploy.site.lock import writer

HOLD = "from pathlib import Path; from lmdeploy.site.lock import writer; import sys, time\n\
with writer(Path(sys.argv[1]), 'refresh'): print('held', flush=True); time.sleep(60)"


def test_windows_is_refused_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "site"  # made before: pathlib asks for the system's name, too
    with monkeypatch.context() as patch:
        patch.setattr("lmdeploy.site.lock.os.name", "nt")
        with pytest.raises(InputError, match="needs Linux or macOS"), writer(place, "refresh"):
            pass
    assert not place.exists()


def test_second_writer_is_told_who_holds_it(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    with child:
        assert child.stdout is not None
        child.stdout.readline()
        with (
            pytest.raises(InputError, match=rf"process {child.pid} .*holds the refresh lock"),
            writer(tmp_path, "refresh", wait_s=0.1),
        ):
            pass
        with writer(tmp_path, "collect", wait_s=0.1):
            pass
        child.kill()
    with writer(tmp_path, "refresh", wait_s=1.0) as handle:
        assert os.fstat(handle).st_size > 0


def test_threads_of_one_process_take_turns(tmp_path: Path) -> None:
    inside, most = 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(5):
            with writer(tmp_path, "registry", wait_s=30.0):
                with guard:
                    inside += 1
                    most = max(most, inside)
                with guard:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_lock_is_freed_by_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), writer(tmp_path, "a"):
        raise ValueError("inside")
    with writer(tmp_path, "a", wait_s=0.0):
        pass


def test_unreadable_holder_is_another_process(tmp_path: Path) -> None:
    with writer(tmp_path, "a"):
        (tmp_path / "locks" / "a.lock").write_text("garbage")
        with pytest.raises(InputError, match="another process holds"), writer(tmp_path, "a", wait_s=0.0):
            pass


def test_child_that_inherits_the_lock_keeps_it(tmp_path: Path) -> None:
    with writer(tmp_path, "refresh") as handle:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(handle,))
    with child:
        with pytest.raises(InputError), writer(tmp_path, "refresh", wait_s=0.1):
            pass
        child.communicate(b"\n")
    with writer(tmp_path, "refresh", wait_s=1.0):
        pass
