"""Copies of optimizers: what they say the real one would ask next, and that they do no harm."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starts import (
    DIFFERENCES,
    FREE,
    NEED_GRADIENT,
    NEED_HESSIAN,
    Always,
    Minimization,
    RealRun,
    Ripples,
    Stairs,
    Table,
    minimization,
    step_at,
)

from efaas.optimize.asks import GRADIENT, VALUE, Ask, Asked, Step
from efaas.optimize.mirror import MirrorOracle
from efaas.optimize.mirror_host import can_mirror, mirror_host, stop_mirror_host
from efaas.optimize.oracle import AdaptiveOracle, oracle_for
from efaas.optimize.path_cost import PathCost
from efaas.optimize.reentrant import _Reentrant
from efaas.optimize.replay import ReplayOracle
from efaas.optimize.silence import silence

AMPLE = 20.0
"""Seconds in which everything here fits, on however busy a machine."""

ROUGH = Ripples(noise=1e-3)

needs_fork = pytest.mark.skipif(not can_mirror(), reason="mirrors need os.fork")
reads_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@pytest.fixture(scope="module", autouse=True)
def _no_server_is_left() -> Iterator[None]:
    yield
    stop_mirror_host()


def wait_until(is_so: Callable[[], bool], seconds: float = AMPLE) -> bool:
    """Whether it becomes so; other processes are at work, so there is nothing to wait on."""
    until = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > until:
            return False
        threading.Event().wait(0.002)
    return True


def ready_mirror(start: Any, records: Any = ()) -> MirrorOracle:
    mirror = MirrorOracle(start, records)
    assert wait_until(lambda: mirror.is_ready or bool(mirror.broken))
    assert mirror.broken == ""
    return mirror


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


def map_kind(start: Minimization) -> str:
    return GRADIENT if start.has_gradient else VALUE


def check_against_the_real_run(
    oracle: Any, start: Minimization, answer: Any, *, seed: int, depth: int, often: float
) -> None:
    """At random moments of a run the path under the true answers is what is asked next."""
    alone = RealRun(answer, maps=map_kind(start))
    start(alone)
    rng = random.Random(seed)
    asked = 0

    def before(step: Step) -> None:
        nonlocal asked
        position = len(real.steps)
        if rng.random() < often or position == 1:
            asked += 1
            wrong = Always(rng.choice([0.0, 1e6, -1e6]))
            found = oracle.paths([answer, wrong, answer], depth, seconds=AMPLE)
            assert oracle.broken == ""
            expected = alone.steps[position : position + depth]
            assert found[0] == expected
            assert found[-1] == expected
            assert found[1][0] == step

    real = RealRun(answer, maps=map_kind(start), before=before, record=oracle.record)
    start(real)
    assert real.steps == alone.steps
    assert asked


@pytest.mark.parametrize("method", FREE + DIFFERENCES + NEED_GRADIENT + NEED_HESSIAN)
def test_a_replay_asks_what_the_real_run_asks_next(method: str) -> None:
    start = minimization(method)
    answer = ROUGH if method in FREE else Ripples()
    check_against_the_real_run(ReplayOracle(start), start, answer, seed=1, depth=5, often=0.2)


@needs_fork
@pytest.mark.parametrize("method", FREE + DIFFERENCES + NEED_GRADIENT)
def test_a_mirror_asks_what_the_real_run_asks_next(method: str) -> None:
    start = minimization(method)
    answer = ROUGH if method in FREE else Ripples()
    mirror = ready_mirror(start)
    check_against_the_real_run(mirror, start, answer, seed=2, depth=5, often=0.1)
    mirror.close()


@settings(max_examples=12)
@given(
    method=st.sampled_from(FREE + DIFFERENCES),
    seed=st.integers(0, 2**16),
    depth=st.integers(1, 12),
    parameters=st.integers(1, 5),
    start=st.floats(-2.0, 2.0),
)
def test_no_start_noise_or_depth_leads_a_replay_astray(
    method: str, seed: int, depth: int, parameters: int, start: float
) -> None:
    """For any run, asked at any moments: the path under the true answers is the run's own."""
    run = minimization(method, max(parameters, 2), start)
    answer = Ripples(1e-3 if method in FREE else 0.0, seed)
    check_against_the_real_run(ReplayOracle(run), run, answer, seed=seed, depth=depth, often=0.1)


def recorded(oracle: Any, steps: int) -> Any:
    """The oracle of ``Stairs`` that has been answered so often."""
    for step in range(steps):
        oracle.record(*step_at(float(step)), 1.0)
    return oracle


def either(kind: str, start: Any) -> Any:
    if kind == "mirror":
        if not can_mirror():
            pytest.skip("mirrors need os.fork")
        return ready_mirror(start)
    return ReplayOracle(start)


both = pytest.mark.parametrize("kind", ["replay", "mirror"])


@both
def test_a_path_ends_where_the_optimizer_does(kind: str) -> None:
    oracle = recorded(either(kind, Stairs(length=5)), 2)
    short, early = oracle.paths([Always(1.0), Always(200.0)], 10, seconds=AMPLE)
    assert short == [step_at(2.0), step_at(3.0), step_at(4.0)]
    assert early == [step_at(2.0)]
    oracle.close()


@both
def test_an_exception_ends_its_own_path_only(kind: str) -> None:
    oracle = recorded(either(kind, Stairs()), 3)
    found = oracle.paths([Always(1.0), Always(-1.0), Always(1.0)], 3, seconds=AMPLE)
    whole = [step_at(3.0), step_at(4.0), step_at(5.0)]
    assert found == [whole, [step_at(3.0)], whole]
    assert oracle.broken == ""
    oracle.close()


@both
def test_nothing_is_told_when_nothing_is_pending(kind: str) -> None:
    oracle = recorded(either(kind, Stairs(length=3)), 3)
    assert oracle.paths([Always(1.0)], 3, seconds=AMPLE) == []
    assert oracle.broken == ""
    oracle.close()


@both
def test_another_run_than_the_recorded_one_breaks_the_oracle(kind: str) -> None:
    oracle = recorded(either(kind, Stairs()), 2)
    oracle.record(Ask(np.array([7.0])), 1.0)
    assert oracle.paths([Always(1.0)], 3, seconds=AMPLE) == []
    assert "2" in oracle.broken
    assert "7" in oracle.broken
    assert oracle.paths([Always(1.0)], 3, seconds=AMPLE) == []
    oracle.close()


@both
def test_a_run_that_ends_before_its_record_breaks_the_oracle(kind: str) -> None:
    oracle = recorded(either(kind, Stairs(length=2)), 4)
    assert oracle.paths([Always(1.0)], 3, seconds=AMPLE) == []
    assert "ended" in oracle.broken
    oracle.close()


class Restless:
    """An optimizer that goes elsewhere each time, as with a random generator of its own."""

    is_data = False

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, asked: Asked) -> None:
        self.runs += 1
        for step in range(10):
            asked.value(np.array([self.runs + 0.1 * step]))


def test_an_optimizer_that_does_not_repeat_itself_is_found_out() -> None:
    start = Restless()
    oracle = ReplayOracle(start)
    runs: list[int] = []

    def before(step: Step) -> None:
        if len(real.steps) in (4, 6):
            assert oracle.paths([Always(0.0)] * 3, 3, seconds=AMPLE) == []
            runs.append(start.runs)

    real = RealRun(Always(0.0), before=before, record=oracle.record)
    start(real)
    assert len(real.steps) == 10
    assert "not deterministic" in oracle.broken
    assert runs == [2, 2]  # it is not run again once it is known to be different


class Counting:
    """Counts what it answers."""

    def __init__(self) -> None:
        self.asks = 0

    def __call__(self, ask: Ask) -> float:
        self.asks += 1
        return float(np.sum(np.asarray(ask.x) ** 2))


def test_a_finite_difference_is_one_step_and_the_last_step_needs_no_answers() -> None:
    oracle = ReplayOracle(minimization("L-BFGS-B", 6))
    answer = Counting()
    [[first, second]] = oracle.paths([answer], 2, seconds=AMPLE)
    assert (len(first), len(second)) == (1, 6)
    assert answer.asks == 1


class Overwriting:
    """An optimizer that uses the gradient's memory for its own purposes."""

    is_data = False

    def __call__(self, asked: Asked) -> None:
        x = np.zeros(2)
        for _ in range(4):
            gradient = asked.gradient(x)
            x = x - gradient
            gradient[:] = np.nan


def test_an_optimizer_that_overwrites_answers_does_not_spoil_the_record() -> None:
    start = Overwriting()
    oracle = ReplayOracle(start)

    def before(step: Step) -> None:
        for _ in range(2):
            [path] = oracle.paths([lambda ask: np.ones(2)], 2, seconds=AMPLE)
            assert path[0] == step

    start(RealRun(lambda ask: np.ones(2), before=before, record=oracle.record))
    assert oracle.broken == ""


class GlobalDice:
    """An optimizer of the user's with numpy's and Python's global random numbers."""

    is_data = False

    def __call__(self, asked: Asked) -> None:
        for _ in range(3):
            asked.value(np.array([random.random(), np.random.rand()]))  # noqa: NPY002


def test_a_replay_does_not_use_up_the_users_random_numbers() -> None:
    oracle = ReplayOracle(GlobalDice())
    before = (random.getstate(), str(np.random.get_state()))  # noqa: NPY002
    assert len(oracle.paths([Always(0.0)], 3, seconds=AMPLE)[0]) == 3
    assert (random.getstate(), str(np.random.get_state())) == before  # noqa: NPY002


# --- time


def test_without_time_nothing_runs() -> None:
    start = Restless()
    oracle = ReplayOracle(start)
    assert oracle.paths([Always(0.0)], 3, seconds=0.0) == []
    assert start.runs == 0


def test_a_replay_that_takes_too_long_is_given_up_and_not_begun_again() -> None:
    class Slow(Restless):
        def __call__(self, asked: Asked) -> None:
            self.runs += 1
            Stairs(length=400, seconds=2e-3)(asked)

    start = Slow()
    oracle = recorded(ReplayOracle(start), 300)
    began_at = time.perf_counter()
    assert oracle.paths([Always(1.0)], 3, seconds=0.02) == []
    taken = time.perf_counter() - began_at
    assert taken < 0.3  # the whole replay takes 0.6 s at least
    assert oracle.seconds_per_path > 0.3
    assert oracle.paths([Always(1.0)], 3, seconds=0.02) == []
    assert start.runs == 1
    assert oracle.broken == ""


def test_what_was_recorded_since_the_measurement_counts() -> None:
    oracle = recorded(ReplayOracle(Stairs(length=400, seconds=1e-3)), 20)
    oracle.paths([Always(1.0)], 1, seconds=AMPLE)
    measured = oracle.seconds_per_path
    for step in range(20, 60):
        oracle.record(*step_at(float(step)), 1.0)
    assert oracle.seconds_per_path > measured + 0.03


def test_an_old_measurement_is_forgotten_at_last() -> None:
    cost = PathCost(unmeasured_seconds=0.001)
    cost.measured(1.0)
    assert not cost.fits(0.5)
    assert cost.fits(2.0)
    assert not all(cost.fits(0.01) for _ in range(10))
    assert any(cost.fits(0.01) for _ in range(100))


def test_one_hiccup_among_three_does_not_count() -> None:
    cost = PathCost(unmeasured_seconds=0.001)
    for seconds in (0.002, 5.0, 0.004):
        cost.measured(seconds)
    assert cost.seconds == 0.004


# --- silence


def test_a_replay_is_silent_and_leaves_the_warning_filters_alone(
    recwarn: pytest.WarningsRecorder,
) -> None:
    oracle = recorded(ReplayOracle(Stairs(is_loud=True)), 2)
    warnings.simplefilter("error")
    before = list(warnings.filters)
    assert len(oracle.paths([Always(1.0)] * 2, 4, seconds=AMPLE)) == 2
    assert warnings.filters == before
    assert not recwarn.list


def test_a_warning_is_still_shown_once_after_it_was_silenced() -> None:
    def warned() -> None:
        warnings.warn("once a place", UserWarning, stacklevel=1)

    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        with silence():
            warned()
        warned()
        with silence():
            warned()
        warned()
    assert len(shown) == 1


def test_other_threads_go_on_warning() -> None:
    inside, outside = threading.Event(), threading.Event()

    def muted() -> None:
        with silence():
            inside.set()
            outside.wait(AMPLE)
            warnings.warn("muted", UserWarning, stacklevel=1)

    thread = threading.Thread(target=muted)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        thread.start()
        inside.wait(AMPLE)
        warnings.warn("heard", UserWarning, stacklevel=1)
        outside.set()
        thread.join()
    assert [str(warning.message) for warning in heard] == ["heard"]


def test_silence_survives_filters_that_come_and_go_around_it() -> None:
    before = list(warnings.filters)
    with silence():
        with warnings.catch_warnings():
            warnings.resetwarnings()
        warnings.warn("muted", UserWarning, stacklevel=1)
    with warnings.catch_warnings(), silence():
        warnings.resetwarnings()
    assert list(warnings.filters) == before


# --- locks


def test_a_lock_that_may_be_taken_again_still_keeps_others_out() -> None:
    lock = _Reentrant(threading.Lock())
    entered = threading.Event()

    def other() -> None:
        with lock:
            entered.set()

    thread = threading.Thread(target=other)
    with lock:
        with lock:
            thread.start()
        assert not entered.wait(0.02)
    assert entered.wait(AMPLE)
    thread.join()


# --- processes


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
def test_a_late_mirror_costs_its_budget_once_and_comes_back() -> None:
    mirror = recorded(ready_mirror(Stairs(length=50, seconds=0.02)), 3)
    began_at = time.monotonic()
    assert mirror.paths([Always(1.0)], 40, seconds=0.1) == []
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


# --- the choice between them


@needs_fork
def test_a_dear_optimizer_changes_over_to_a_mirror_and_back_when_that_dies() -> None:
    start = Stairs(length=100, seconds=1e-4)
    oracle = AdaptiveOracle(start, mirror_above_seconds=1e-9)
    sources = set()
    for step in range(60):
        pending = [step_at(float(step)), step_at(step + 1.0)]
        if step == 30:
            assert wait_until(lambda: oracle._mirror is not None and oracle._mirror.is_ready)
            oracle._mirror_above_seconds = 10.0
            assert oracle.is_mirroring
        if step == 45:
            stop_mirror_host()
        assert oracle.paths([Always(1.0)] * 2, 2, seconds=AMPLE) in ([pending, pending], [])
        sources.add((oracle.is_mirroring, step >= 45))
        oracle.record(*step_at(float(step)), 1.0)
    assert sources >= {(False, False), (True, False), (False, True)}
    assert oracle.broken == ""
    oracle.close()
    assert oracle.paths([Always(1.0)], 2, seconds=AMPLE) == []


@needs_fork
def test_a_cheap_optimizer_never_starts_a_process() -> None:
    stop_mirror_host()
    start = minimization("Nelder-Mead")
    oracle = oracle_for(start)
    check_against_the_real_run(oracle, start, Ripples(), seed=4, depth=3, often=0.5)
    assert not oracle.is_mirroring
    oracle.close()
