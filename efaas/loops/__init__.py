"""A session's loops: where each is pinned, and what becomes of it when its device changes."""

from __future__ import annotations

from efaas.loops.loop import Loop, Pin
from efaas.loops.registry import Loops

__all__ = ["Loop", "Loops", "Pin"]
