"""Mirrors as processes: they end when they should, and harm nobody when they do not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from copying import (
    AMPLE,
    ROUGH,
    check_against_the_real_run,
    needs_fork,
    ready_mirror,
    recorded,
    wait_until,
)
from starts import Always, Minimization, Stairs, Table, minimization, step_at

from efaas.optimize.mirror import MirrorOracle
from efaas.optimize.mirror_host import mirror_host, stop_mirror_host
from efaas.optimize.oracle import AdaptiveOracle
from efaas.optimize.replay import ReplayOracle

reads_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@pytest.fixture(scope="module", autouse=True)
def _no_server_is_left() -> Iterator[None]:
    yield
    stop_mirror_host()


def children(pid: int) -> set[int]:
    """Processes whose parent it is, without those that are only waiting to be reaped."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found.add(int(stat.parent.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@needs_fork
def test_a_mirror_catches_up_with_a_long_record() -> None:
    replay = recorded(ReplayOracle(Stairs(length=3000)), 2000)
    mirror = ready_mirror(Stairs(length=3000), replay.records)
    [path] = mirror.paths([Always(1.0)], 2, seconds=AMPLE)
    assert path == [step_at(2000.0), step_at(2001.0)]
    mirror.close()


@needs_fork
def test_a_large_answerer_reaches_the_mirror() -> None:
    start = Minimization("Nelder-Mead", (0.1, 0.2))
    answerers = [Table(np.arange(200_000.0))] * 3  # more than a socket holds
    mirror = ready_mirror(start)
    found = mirror.paths(answerers, 60, seconds=AMPLE)
    assert found == ReplayOracle(start).paths(answerers, 60, seconds=AMPLE)
    assert len(found[0]) == 60
    mirror.close()


@needs_fork
def test_a_late_mirror_costs_its_budget_once_tells_what_it_has_and_comes_back() -> None:
    mirror = recorded(ready_mirror(Stairs(length=50, seconds=0.02)), 3)
    began_at = time.monotonic()
    for path in mirror.paths([Always(1.0)], 40, seconds=0.1):  # none, if it is very late
        assert path == [step_at(3.0 + step) for step in range(len(path))]
        assert 0 < len(path) < 40
    assert time.monotonic() - began_at < 1.0
    assert wait_until(lambda: mirror.is_ready)
    assert mirror.paths([Always(1.0)], 2, seconds=AMPLE) == [[step_at(3.0), step_at(4.0)]]
    mirror.close()


@needs_fork
def test_what_cannot_be_sent_breaks_the_mirror_and_nothing_else() -> None:
    mirror = recorded(ready_mirror(Stairs()), 1)
    assert mirror.paths([lambda ask: 1.0], 2, seconds=AMPLE) == []
    assert "answerers" in mirror.broken
    assert MirrorOracle(Minimization("Powell", (0.0,), more={"hess": lambda x: x})).broken


def test_functions_of_the_users_stay_in_this_process() -> None:
    start = Stairs(is_data=False)
    assert "functions" in MirrorOracle(start).broken
    oracle = recorded(AdaptiveOracle(start, mirror_above_seconds=0.0), 2)
    for _ in range(3):
        assert len(oracle.paths([Always(1.0)], 2, seconds=AMPLE)) == 1
        assert not oracle.is_mirroring
    oracle.close()


@needs_fork
@reads_proc
def test_closing_a_mirror_ends_its_process_and_stopping_ends_the_server() -> None:
    mirror = recorded(ready_mirror(Stairs()), 1)
    assert mirror.paths([Always(1.0)] * 4, 2, seconds=AMPLE)
    server = mirror_host().pid
    assert server in children(os.getpid())
    assert len(children(server)) == 1
    mirror.close()
    mirror.close()
    assert wait_until(lambda: not children(server))
    stop_mirror_host()
    assert not is_alive(server)
    assert server not in children(os.getpid())


@needs_fork
@reads_proc
@pytest.mark.parametrize("victim", ["server", "mirror"])
def test_a_killed_process_breaks_its_oracle_and_the_next_one_works(victim: str) -> None:
    mirror = recorded(ready_mirror(Stairs()), 1)
    server = mirror_host().pid
    [pid] = children(server)
    os.kill(server if victim == "server" else pid, signal.SIGKILL)
    assert wait_until(lambda: not mirror.is_ready)
    assert mirror.paths([Always(1.0)], 2, seconds=AMPLE) == []
    assert mirror.broken
    mirror.record(*step_at(1.0), 1.0)
    assert wait_until(lambda: not is_alive(pid))
    again = recorded(ready_mirror(Stairs()), 1)
    assert again.paths([Always(1.0)], 1, seconds=AMPLE) == [[step_at(1.0)]]
    again.close()


@needs_fork
@reads_proc
def test_a_mirror_that_hangs_is_not_waited_for_and_can_be_closed() -> None:
    mirror = recorded(ready_mirror(Stairs()), 1)
    [pid] = children(mirror_host().pid)
    os.kill(pid, signal.SIGSTOP)
    began_at = time.monotonic()
    for _ in range(20):
        assert mirror.paths([Always(1.0)], 2, seconds=0.05) == []
    assert time.monotonic() - began_at < 0.5  # one budget, and not twenty
    mirror.close()
    assert wait_until(lambda: not is_alive(pid))


@needs_fork
@reads_proc
def test_ctrl_c_is_not_the_servers_to_handle() -> None:
    mirror = recorded(ready_mirror(Stairs()), 1)
    server = mirror_host().pid
    assert os.getsid(server) == server  # a terminal's Ctrl-C goes to its own session only
    for pid in (server, *children(server)):
        os.kill(pid, signal.SIGINT)
    assert mirror.paths([Always(1.0)], 1, seconds=AMPLE) == [[step_at(1.0)]]
    mirror.close()


@needs_fork
def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    mirror = recorded(ready_mirror(Stairs(is_loud=True)), 1)
    assert len(mirror.paths([Always(1.0)] * 2, 3, seconds=AMPLE)) == 2
    mirror.close()
    assert capfd.readouterr() == ("", "")


_ORPHAN = """
import os, sys
sys.path[:0] = [{tests!r}]
from starts import Stairs
from efaas.optimize.mirror import MirrorOracle
from efaas.optimize.mirror_host import mirror_host
mirror = MirrorOracle(Stairs())
while not mirror.is_ready:
    pass
print(mirror_host().pid, flush=True)
{ending}
"""


@needs_fork
@reads_proc
@pytest.mark.parametrize("ending", ["", "os.kill(os.getpid(), 9)", "os.fork() or input()"])
def test_the_server_ends_with_its_parent_however_that_ends(ending: str) -> None:
    code = _ORPHAN.format(tests=str(Path(__file__).parent), ending=ending)
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    ) as program:
        assert program.stdout is not None
        server = int(program.stdout.readline())
        program.wait(AMPLE)
        mirrors = children(server)
        assert wait_until(lambda: not is_alive(server))
        assert wait_until(lambda: not any(map(is_alive, mirrors)))
        program.stdin.close()  # type: ignore[union-attr]
        assert program.stderr is not None
        assert "Warning" not in program.stderr.read()


@needs_fork
def test_a_fork_of_this_process_has_no_part_in_the_mirrors() -> None:
    mirror = recorded(ready_mirror(Stairs()), 1)
    pid = os.fork()
    if pid == 0:
        silent = mirror.paths([Always(1.0)], 1, seconds=AMPLE) == [] and bool(mirror.broken)
        os._exit(0 if silent else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert mirror.paths([Always(1.0)], 1, seconds=AMPLE) == [[step_at(1.0)]]
    mirror.close()


@needs_fork
def test_two_threads_have_two_oracles() -> None:
    failures: list[BaseException] = []

    def run(method: str) -> None:
        try:
            start = minimization(method)
            mirror = ready_mirror(start)
            check_against_the_real_run(mirror, start, ROUGH, seed=3, depth=3, often=0.2)
            check_against_the_real_run(
                ReplayOracle(start), start, ROUGH, seed=3, depth=3, often=0.2
            )
            mirror.close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(method,)) for method in ("COBYLA", "COBYQA")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
