"""Storms of faults: a loop ends right, or stops cleanly and can be resumed; nothing is left behind.

Whatever hangs is named by a watchdog, with the stack of every thread.
"""

from __future__ import annotations

import faulthandler
import gc
import logging
import threading
from collections import Counter
from pathlib import Path

import pytest

from efaas.backends import RetryPolicy, TimeLimits, WarmCache
from efaas.errors import EfaasError
from efaas.journal.reading import Reader
from tests.runtime.conftest import ServiceClock, opened_service, until
from tests.runtime.killed_lives import KINDS, asked_again, vqe
from tests.runtime.storms import Storm

HANGS_SECONDS = 900.0  # however busy the machine is, a life is a matter of seconds
MOST_LIVES = 3  # in a storm, before it is calm
RETRIES = RetryPolicy(attempts=10, first_seconds=0.1)
CALM = TimeLimits(answer=120.0, connection=600.0)  # a busy machine may take long to answer
LIMITS = TimeLimits(answer=0.5, submission=0.5, connection=30.0, run=60.0, outage=90.0)


def lived(
    clock: ServiceClock, kind: str, journal: Path, cache: WarmCache, limits: TimeLimits = CALM
) -> str | None:
    """The bits of a run's result; None if it stopped with an error of ours: any other is a defect.

    The error is let go of, since it refers to what was on its way.
    """
    faulthandler.dump_traceback_later(HANGS_SECONDS, exit=True)  # a life that hangs ends the suite
    try:
        return vqe(
            kind,
            str(journal),
            clock=clock,
            retries=RETRIES,
            time_limits=limits,
            cache=cache,
        )
    except EfaasError:
        return None
    finally:
        faulthandler.cancel_dump_traceback_later()


def ours() -> list[str]:
    """The threads that are not the service's."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if not name.startswith(("efaas-loopback", "MainThread"))]


def connections() -> int:
    names = [thread.name for thread in threading.enumerate()]
    return names.count("efaas-loopback-connection")


@pytest.mark.filterwarnings("ignore:Unable to:UserWarning")  # the client's, of what went wrong
@pytest.mark.timeout(14_400)
def test_a_loop_in_a_storm_ends_right_or_can_be_resumed_and_leaves_nothing_behind(
    tmp_path: Path, is_soak: bool, caplog: pytest.LogCaptureFixture
) -> None:
    # What is logged is kept here, and in the records of these are errors, and in those connections.
    for name in ("qiskit_ibm_runtime", "urllib3"):
        caplog.set_level(logging.CRITICAL, logger=name)
    loops = 200 if is_soak else 6
    cache = WarmCache()
    came_of: Counter[str] = Counter()
    # Access tokens are asked for in the middle of a run, too.
    with opened_service(token_seconds=2) as service:
        calm = ServiceClock(service)
        expected = {kind: lived(calm, kind, tmp_path / kind, cache) for kind in KINDS}
        before = ours()
        assert None not in expected.values()
        for loop in range(loops):
            kind = list(KINDS)[loop % len(KINDS)]
            journal = tmp_path / f"{loop}.efaas"
            jobs_before, sessions_before = len(service.jobs), len(service.sessions)
            result: str | None = None
            for life in range(MOST_LIVES):
                storm = Storm(service, "ibm_manila", MOST_LIVES * loop + life)
                result = lived(storm.clock(), kind, journal, cache, LIMITS)
                storm.end()
                came_of["struck"] += storm.struck
                came_of.update(storm.happened)
                came_of["finished" if result else "stopped"] += 1
                until(lambda: ours() == before)
                if result:
                    break
            # The calm: what stopped goes on, and what could not be closed is closed.
            found = lived(calm, kind, journal, cache)
            assert found == expected[kind]
            assert result in (None, expected[kind])
            until(lambda: ours() == before)
            gc.collect()
            until(lambda: connections() == 0)
            until(lambda: all(job.is_final for job in service.jobs))
            jobs = service.jobs[jobs_before:]
            tags = Counter(job.tags for job in jobs if job.status == "Completed")
            assert set(tags.values()) <= {1}, "no submission was made twice"
            runs = Counter(
                digest for job in jobs if job.status == "Completed" for digest in job.evaluations
            )
            started = [s for s in service.sessions[sessions_before:] if s.first_started_at]
            assert {session.state for session in started} <= {"closed"}
            with Reader(journal) as reader:
                assert reader.faults() == []
                again = sum(runs.values()) - len(runs)
                assert again <= asked_again(reader), "nothing was computed twice"
    print(f"{loops} loops in storms: {dict(came_of)}")
    assert came_of["struck"] > 5 * loops
    assert came_of["finished"] > 0
    assert came_of["stopped"] > 0
    assert {"down", "closed", "cancelled", "recalibrated"} <= set(came_of)
