"""Drop-in ``scipy.optimize``: scipy's signature, scipy's result, fewer rounds."""

from __future__ import annotations

from efaas.optimize.minimize import minimize
from efaas.optimize.report import HitRate, SpeculationReport
from efaas.optimize.speculation import Speculation

__all__ = ["HitRate", "Speculation", "SpeculationReport", "minimize"]
