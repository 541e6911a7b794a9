"""SIGKILL at random instants: the result is that of an uninterrupted run; nothing runs twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(7200)
def test_a_run_killed_at_random_instants_ends_as_if_it_had_not_been(
    tmp_path: Path, is_soak: bool
) -> None:
    kills = 1_000 if is_soak else 50
    ran = subprocess.run(
        [sys.executable, "-m", "tests.journal.killed_runs", str(tmp_path), str(kills), "20"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=7000,
    )
    counts = json.loads(ran.stdout)
    print({name: counts[name] for name in ("killed", "lives", "wrong", "billed")})
    assert counts["killed"] >= kills
    assert counts["lives"] >= 2
    assert counts["wrong"] == 0
    assert list(counts["billed"]) == ["1"], "each evaluation was run by the device once"
    assert len(counts["progress"]) >= 5, "the kills fell all over the runs' lives"
