"""The threads on which attempts run."""

from __future__ import annotations

import subprocess
import sys
import threading
from queue import SimpleQueue

import pytest

from efaas.dispatch.lane import Lane


def test_tasks_run_side_by_side_and_idle_threads_are_used_again() -> None:
    lane = Lane("lane")
    seen: SimpleQueue[threading.Thread] = SimpleQueue()
    together = threading.Barrier(3)

    def task() -> None:
        seen.put(threading.current_thread())
        together.wait(10.0)

    lane.submit(task)
    lane.submit(task)
    together.wait(10.0)
    first = {seen.get(), seen.get()}
    assert len(first) == 2
    lane.shutdown(wait=True)
    assert not any(thread.is_alive() for thread in first)


def test_a_lane_that_was_shut_down_takes_no_task() -> None:
    lane = Lane("lane")
    lane.submit(int)
    lane.shutdown(wait=True)
    with pytest.raises(RuntimeError, match="runs nothing any more"):
        lane.submit(int)


def test_a_program_that_forgets_to_close_its_session_ends() -> None:
    program = (
        "import efaas\n"
        "session = efaas.EFSession('aer', seed=1)\n"
        "print(session.call(pow, 2, 5).result())\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "32\n", "")
