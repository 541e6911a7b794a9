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

import pytest
import scipy.optimize
import scipy.optimize.tests

import efaas
import efaas.optimize

MODULES = (
    *("test_optimize", "test_minimize_constrained", "test_constraint_conversion"),
    *("test_cobyla", "test_cobyqa", "test_slsqp", "test_tnc", "test_trustregion"),
    *("test_lbfgsb_hessinv", "test_lbfgsb_setulb"),
)
"""Those of scipy's test modules that are about ``minimize``."""

NOT_RUN: dict[str, str] = {}
"""Tests that are left out, by the end of their name, and why."""

# Guesses are made at every ask, although functions here take microseconds: the predictor may take
# far longer than they do, and no waste is too much.
SPECULATION = efaas.Speculation(
    width=4, depth=3, workers=2, extra_shots=1e9, predictor_share=50.0, seed=1
)

scipy_minimize = scipy.optimize.minimize
seen: Counter[str] = Counter()


def minimize(*args: Any, **kwargs: Any) -> scipy.optimize.OptimizeResult:
    """``efaas.minimize`` with speculation, called as scipy's."""
    seen["calls"] += 1
    result = efaas.minimize(*args, **kwargs, speculation=SPECULATION)
    report = result.pop("speculation")
    seen["evaluations"] += report.evaluations
    seen["hits"] += report.hits
    seen["misses"] += report.misses
    return result


def put_in_place() -> None:
    """Rebind every name that scipy's ``minimize`` goes by, outside efaas."""
    for name, module in list(sys.modules.items()):
        if module is None or name.partition(".")[0] == "efaas" or name == __name__:
            continue
        for bound, value in list(vars(module).items()):
            if value is scipy_minimize:
                setattr(module, bound, minimize)


put_in_place()


class Tests:
    """What became of each test, by its file's and its own name."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}
        self.failures: dict[str, str] = {}
        self.calls: dict[str, int] = {}
        self.left_out: list[str] = []

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        left_out = [item for item in items if any(item.nodeid.endswith(name) for name in NOT_RUN)]
        self.left_out = [item.nodeid for item in left_out]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Any:
        before = seen["calls"]
        try:
            return (yield)
        finally:
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
                    "left_out": self.left_out,
                    "seen": seen,
                }
            )
        )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Tests(), "efaas-scipy-suite")
