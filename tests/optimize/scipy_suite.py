"""A pytest plugin that puts ``efaas.minimize``, speculating, in the place of scipy's.

``test_scipy_suite.py`` loads it (``-p scipy_suite``) in a process that runs scipy's own tests. It
must be loaded before scipy's test modules are, since these import ``minimize`` by name. What it
saw is written as JSON to the file that ``EFAAS_SUITE_REPORT`` names.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.optimize.tests

import efaas
import efaas.optimize

NOT_SPECULATED = {
    "test_respect_maxiter": "asserts how often its function is called at most; guesses call it too",
    "test_initial_step_scaling": "its function remembers where it was called first, guesses or not",
    "TestIterationLimits": "72,000 evaluations, of which it only reads nfev",
    "test_neldermead_adaptive": "6,000 evaluations, of which it compares the last values",
    "test_nan_values[cg]": "9,000 evaluations, nearly all of them NaN",
}
"""Tests in which ``efaas.minimize`` is called without ``speculation``, and why."""

COUNTED = (
    *("test_cg", "test_bfgs", "test_powell_bounded", "test_neldermead", "test_ncg"),
    *("test_neldermead_initial_simplex", "test_ncg_hess", "test_ncg_hessp"),
    *("test_minimize_l_bfgs_b", "test_duplicate_evaluations"),
)
"""Tests whose functions count their calls, or note where, separately in each thread.

Efaas calls a function on other threads, so these would find nothing in theirs. Scipy's own run
comes after ours there, leaves its counts, and has to agree with ours to the bit.
"""

MOST_PER_TEST = 12
"""Calls of ``minimize`` in one test that are speculated on; those that make dozens are alike."""

# Guesses are made although functions here take microseconds: the predictor may take longer than
# they do, and no waste is too much.
SPECULATION = efaas.Speculation(
    width=3, depth=2, workers=2, extra_shots=1e9, predictor_share=2.0, seed=1
)

scipy_minimize = scipy.optimize.minimize
seen: Counter[str] = Counter()
running: list[str] = []


def minimize(*args: Any, **kwargs: Any) -> scipy.optimize.OptimizeResult:
    """``efaas.minimize`` with speculation, called as scipy's."""
    seen["calls"] += 1
    seen["calls in this test"] += 1
    name = running[-1] if running else ""
    is_speculated = seen["calls in this test"] <= MOST_PER_TEST
    is_speculated &= not any(part in name for part in NOT_SPECULATED)
    seen["speculated"] += is_speculated
    chosen = SPECULATION if is_speculated else None
    result = efaas.minimize(*args, **kwargs, speculation=chosen)
    report = result.pop("speculation")
    seen["evaluations"] += report.evaluations
    seen["hits"] += report.hits
    seen["misses"] += report.misses
    if name.partition("[")[0].rpartition("::")[2] in COUNTED and name.count("::TestOptimize"):
        theirs = scipy_minimize(*args, **kwargs)
        assert np.asarray(result.x).tobytes() == np.asarray(theirs.x).tobytes()
        assert (result.nfev, result.get("nit")) == (theirs.nfev, theirs.get("nit"))
    return result


def put_in_place() -> None:
    """Rebind every name that scipy's ``minimize`` goes by, outside efaas."""
    for name, module in list(sys.modules.items()):
        if module is None or name.partition(".")[0] == "efaas" or name == __name__:
            continue
        for bound, value in list(vars(module).items()):
            if value is scipy_minimize:
                setattr(module, bound, minimize)


if "EFAAS_SUITE_REPORT" in os.environ:  # not where this file is merely looked at for doctests
    put_in_place()


class Tests:
    """What became of each test, by its file's and its own name."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}
        self.failures: dict[str, str] = {}
        self.calls: dict[str, int] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Any:
        before = seen["calls"]
        seen["calls in this test"] = 0
        running.append(item.nodeid)
        try:
            return (yield)
        finally:
            running.pop()
            self.calls[item.nodeid] = seen["calls"] - before

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.nodeid] = report.outcome
        if report.failed:
            self.failures[report.nodeid] = report.longreprtext[-2000:]

    def pytest_sessionfinish(self) -> None:
        Path(os.environ["EFAAS_SUITE_REPORT"]).write_text(
            json.dumps(
                {
                    "outcomes": self.outcomes,
                    "failures": self.failures,
                    "calls": self.calls,
                    "seen": seen,
                }
            )
        )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Tests(), "efaas-scipy-suite")
