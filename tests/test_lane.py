"""The threads on which attempts run."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from queue import SimpleQueue

import pytest

from efaas.dispatch.dispatcher import Dispatcher
from efaas.dispatch.lane import Lane
from efaas.dispatch.scope import SessionScope
from efaas.testing import FakeBackend


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
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "32\n", "")


def test_a_program_ends_though_a_thread_of_its_own_goes_on_submitting() -> None:
    program = (
        "import threading, efaas\n"
        "session = efaas.EFSession('aer', seed=1)\n"
        "def work():\n"
        "    try:\n"
        "        while True:\n"
        "            session.call(int).result()\n"
        "    except (efaas.EfaasError, RuntimeError) as error:\n"
        "        print('refused')\n"
        "threading.Thread(target=work).start()\n"
        "session.call(int).result()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "refused\n"), ended.stderr


def test_a_program_ends_though_a_step_of_it_waits_for_a_job_that_no_thread_can_be_had_for() -> None:
    program = (
        "import threading, time, efaas\n"
        "session = efaas.EFSession('aer', seed=1, cpu_slots=1)\n"
        "def step():\n"
        "    threading.main_thread().join()\n"
        "    while True:\n"  # the first may still be had, by how soon threads are refused
        "        session.call(int).result()\n"  # waits for the slot that it has itself
        "def work():\n"
        "    try:\n"
        "        session.call(step).result()\n"
        "    except (efaas.EfaasError, RuntimeError) as error:\n"
        "        print('refused')\n"
        "threading.Thread(target=work).start()\n"
        "time.sleep(0.3)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "refused\n"), ended.stderr


def test_threads_of_a_scheduler_that_was_dropped_end() -> None:
    before = set(threading.enumerate())
    dispatcher = Dispatcher({"qpu": FakeBackend("qpu")}, cpu_slots=1)
    scope = SessionScope(dispatcher, session_id=1, tenant="ada")
    assert scope.call(int, ()).result(10.0) == 0
    started = set(threading.enumerate()) - before
    dropped = weakref.ref(dispatcher)
    del dispatcher, scope
    gc.collect()
    assert dropped() is None
    for thread in started:
        if not thread.daemon:
            thread.join(10.0)
            assert not thread.is_alive()
