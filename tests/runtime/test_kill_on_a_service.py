"""SIGKILL at random instants, over the real client, while the service lives on.

The result is that of an uninterrupted run, to the bit; each evaluation is billed once; no provider
session is left open, but one whose opener was killed before it had the service's answer: nobody
knows its id, so no job ever comes to it, and it is never billed.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from efaas.journal.reading import Reader
from efaas.testing.runtime_service import RuntimeService
from tests.runtime.killed_lives import KINDS, asked_again

ROOT = Path(__file__).parents[2]
MOST_DEATHS = 8  # of one run


@dataclass
class Host:
    """The process that forks."""

    asks: IO[str]
    answers: IO[str]

    def live(self, kind: str, journal: Path | None, seconds: float) -> dict[str, Any] | None:
        """The bits of a life's result, and what was spent; None if it was killed."""
        file = None if journal is None else str(journal)
        asked = {"kind": kind, "journal": file, "seconds": seconds}
        self.asks.write(json.dumps(asked) + "\n")
        self.asks.flush()
        line = self.answers.readline()
        assert line, "the host has died"
        answer: str | None = json.loads(line)
        found: dict[str, Any] | None = None if answer is None else json.loads(answer)
        return found


@contextmanager
def hosted() -> Iterator[Host]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.runtime.killed_lives"],
        cwd=ROOT,
        # Threads of the transpiler's would not be there in a process that has forked.
        env=os.environ | {"QISKIT_IN_PARALLEL": "TRUE", "RAYON_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield Host(process.stdin, process.stdout)
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


@pytest.mark.timeout(7200)
def test_a_run_killed_at_random_instants_ends_as_if_it_had_not_been_and_is_billed_once(
    tmp_path: Path, is_soak: bool
) -> None:
    kills = 1_000 if is_soak else 50
    chance = random.Random(6)
    progress: set[tuple[str, int]] = set()
    killed = lives = unheard = 0
    with (
        RuntimeService(devices=["fake_manila"], seed=1, plan="premium") as service,
        hosted() as host,
    ):
        expected: dict[str, str] = {}
        seconds: dict[str, float] = {}
        for kind in KINDS:
            alone = host.live(kind, None, 600.0)
            begun = time.perf_counter()
            journalled = host.live(kind, tmp_path / f"{kind}.efaas", 600.0)
            assert alone is not None
            assert journalled is not None
            expected[kind] = alone["bits"]
            assert journalled["bits"] == alone["bits"]
            seconds[kind] = time.perf_counter() - begun
        while killed < kills:
            kind = list(KINDS)[lives % len(KINDS)]
            journal, jobs_before = tmp_path / f"{lives}.efaas", len(service.jobs)
            sessions_before = len(service.sessions)
            lives += 1
            result, deaths = None, 0
            while result is None:
                # However slow the machine has become meanwhile, each kind gets its share.
                is_last = killed >= kills or deaths >= MOST_DEATHS
                stretched = 1.1 * seconds[kind] * 1.2**deaths
                begun = time.perf_counter()
                result = host.live(
                    kind, journal, 600.0 if is_last else chance.uniform(0, stretched)
                )
                if result is not None and deaths == 0:
                    seconds[kind] = time.perf_counter() - begun  # as fast as the machine is now
                if result is None:
                    killed, deaths = killed + 1, deaths + 1
                    progress.add((kind, len(service.jobs) - jobs_before))
            assert result["bits"] == expected[kind]
            jobs = service.jobs[jobs_before:]
            assert {job.status for job in jobs} == {"Completed"}
            runs = Counter(digest for job in jobs for digest in job.evaluations)
            sessions = service.sessions[sessions_before:]
            left_open = [session for session in sessions if session.state != "closed"]
            unheard += len(left_open)
            assert {session.state for session in left_open} <= {"open"}, "no job ever came to them"
            assert len(left_open) <= deaths
            used = sum(job.qpu_seconds for job in jobs)
            if KINDS[kind]["mode"] != "session":
                ids = {job.id for job in jobs}
                assert sum(c.seconds for c in service.charges if c.id in ids) == used
            # A budget is held against what all lives have spent: that is known to the second.
            lasted = sum(session.elapsed_seconds(0.0) for session in sessions)
            assert result["set_aside"] == 0.0
            assert result["spent"][0] == len(jobs)
            assert result["spent"][1] == pytest.approx(used)
            if KINDS[kind]["mode"] == "session":
                assert result["spent"][2] == pytest.approx(lasted)
            with Reader(journal) as reader:
                assert reader.faults() == []
                known = {session["id"] for session in reader.provider_sessions()}
                assert known.isdisjoint(session.id for session in left_open)
                again = sum(runs.values()) - len(runs)
                assert again <= asked_again(reader), "each evaluation was run, and billed, once"
                assert reader.spent()[0] == pytest.approx(used)
    print(
        f"{killed} kills of {lives} runs on a service, {len(progress)} stages of progress; "
        f"{unheard} openings of a session whose answer nobody lived to hear"
    )
    assert killed >= kills
    assert lives >= len(KINDS)
    assert len(progress) >= 2 * len(KINDS), "the kills fell all over the runs' lives"
