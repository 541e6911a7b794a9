"""Scipy's own tests of ``minimize``, with ``efaas.minimize`` in its place and speculation on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import scipy.optimize

HERE = Path(__file__).parent
SCIPY = Path(scipy.optimize.__file__).parents[1]
SHIPPED = SCIPY / "optimize" / "tests"
SECONDS = 1800.0  # two minutes of two cores, and many on a busy machine

# The first half takes about as long as the second, so two processes take half as long as one.
HALVES = (
    ("test_optimize",),
    (
        *("test_minimize_constrained", "test_constraint_conversion", "test_cobyla", "test_cobyqa"),
        *("test_slsqp", "test_tnc", "test_trustregion"),
        *("test_lbfgsb_hessinv", "test_lbfgsb_setulb"),
    ),
)
MODULES = [module for half in HALVES for module in half]

pytestmark = [
    pytest.mark.timeout(2 * SECONDS),
    pytest.mark.skipif(
        not (SHIPPED / "test_optimize.py").exists(),
        reason="this scipy was installed without its tests",
    ),
]


@dataclass
class Suite:
    """What the plugin reported, both processes together."""

    outcomes: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)

    def of(self, module: str, outcome: str) -> list[str]:
        """The tests of a module that ended so."""
        here = f"optimize/tests/{module}.py::"
        return [
            name for name, how in self.outcomes.items() if name.startswith(here) and how == outcome
        ]


def started(modules: tuple[str, ...], folder: Path) -> subprocess.Popen[bytes]:
    """Scipy's tests in a process of their own, with a configuration of their own."""
    config = folder / "pytest.ini"
    config.write_text("[pytest]\n")
    paths = [str(HERE), str(HERE.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    with (folder / "printed").open("wb") as printed:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "pytest", "-q", "-c", str(config), f"--rootdir={SCIPY}"),
                *("-p", "scipy_suite", "-p", "no:cacheprovider", "-W", "error"),
                *[str(SHIPPED / f"{module}.py") for module in modules],
            ],
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(paths),
                "EFAAS_SUITE_REPORT": str(folder / "report.json"),
                "OPENBLAS_NUM_THREADS": "1",  # two processes with two threads each spin in vain
            },
            stdout=printed,
            stderr=subprocess.STDOUT,
        )


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    whole = Suite()
    folders = [tmp_path_factory.mktemp("suite") for _ in HALVES]
    processes = [started(half, folder) for half, folder in zip(HALVES, folders, strict=True)]
    try:
        for process, folder in zip(processes, folders, strict=True):
            process.wait(SECONDS)
            report = folder / "report.json"
            assert report.exists(), (folder / "printed").read_text()[-4000:]
            told = json.loads(report.read_text())
            for name in ("outcomes", "failures", "calls"):
                getattr(whole, name).update(told[name])
            for name, count in told["seen"].items():
                whole.seen[name] = whole.seen.get(name, 0) + count
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return whole


@pytest.mark.parametrize("module", MODULES)
def test_scipys_tests_pass(suite: Suite, module: str) -> None:
    failures = {name: why for name, why in suite.failures.items() if f"/{module}.py::" in name}
    assert not failures, "\n\n".join(f"{name}\n{why}" for name, why in failures.items())
    assert suite.of(module, "passed")


def test_minimize_was_called_by_many_of_them(suite: Suite) -> None:
    callers = [name for name, calls in suite.calls.items() if calls]
    passed = [name for name in callers if suite.outcomes[name] == "passed"]
    assert len(passed) >= 600
    assert suite.seen["calls"] >= 1500


def test_they_were_speculated_on(suite: Suite) -> None:
    """How many guesses fit into the time of functions this quick depends on the machine."""
    assert suite.seen["speculated"] >= 1000
    assert suite.seen["hits"] >= 300
    assert suite.seen["misses"] >= 100
