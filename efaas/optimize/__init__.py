"""Drop-in ``scipy.optimize``: scipy's signature, scipy's result, fewer rounds."""

from __future__ import annotations

from efaas.optimize.minimize import minimize
from efaas.optimize.report import SpeculationReport

__all__ = ["SpeculationReport", "minimize"]
