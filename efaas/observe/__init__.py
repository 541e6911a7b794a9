"""Seeing what a session did: its trace and the report made of it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from efaas.observe.recorder import Recorder
from efaas.observe.report import SessionReport
from efaas.observe.sight import Sight
from efaas.observe.trace import Trace

if TYPE_CHECKING:
    from efaas.observe.plots import (
        plot_convergence,
        plot_drift,
        plot_shares,
        plot_timeline,
        plot_waterfall,
    )
    from efaas.observe.trace_file import load_trace

__all__ = [
    "Recorder",
    "SessionReport",
    "Sight",
    "Trace",
    "load_trace",
    "plot_convergence",
    "plot_drift",
    "plot_shares",
    "plot_timeline",
    "plot_waterfall",
]

# What only few runs need is imported when it is first used.
_HOMES = {
    "load_trace": "efaas.observe.trace_file",
    "plot_convergence": "efaas.observe.plots",
    "plot_drift": "efaas.observe.plots",
    "plot_shares": "efaas.observe.plots",
    "plot_timeline": "efaas.observe.plots",
    "plot_waterfall": "efaas.observe.plots",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'efaas.observe' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
