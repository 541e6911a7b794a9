"""Seeing what a session did: the recorder and its report."""

from __future__ import annotations

from efaas.observe.recorder import Recorder
from efaas.observe.report import SessionReport

__all__ = ["Recorder", "SessionReport"]
