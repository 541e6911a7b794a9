"""Whether this runs in a notebook."""

from __future__ import annotations

import sys

__all__ = ["is_notebook"]


def is_notebook() -> bool:
    """Whether this runs in a notebook, where a cell's output can be redrawn."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")
