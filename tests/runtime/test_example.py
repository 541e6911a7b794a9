"""The example for IBM hardware, unchanged, against the loopback service."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from efaas.testing.runtime_service import RuntimeService

ROOT = Path(__file__).parents[2]


def test_it_finds_the_ground_state_within_its_budget(service: RuntimeService) -> None:
    ran = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "ibm_session.py"), "ibm_manila"],
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    [(found, exact)] = re.findall(r"energy (-\d\.\d+) hartree, exact (-\d\.\d+)", ran.stdout)
    assert float(exact) == -1.1373
    assert abs(float(found) - float(exact)) < 0.2
    assert "mode 'session'" in ran.stdout
    assert f"ibm_manila was sent {len(service.jobs)} jobs" in ran.stdout
    assert "closed: the session" in ran.stdout
    assert service.billed_seconds <= 600
