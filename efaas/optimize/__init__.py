"""Drop-in ``scipy.optimize``: scipy's signatures, scipy's results, fewer rounds.

What is not here is scipy's own: ``efaas.optimize.Bounds`` is ``scipy.optimize.Bounds``.
"""

from __future__ import annotations

from typing import Any

import scipy.optimize

from efaas.optimize.annealing import dual_annealing
from efaas.optimize.evolution import differential_evolution
from efaas.optimize.grid import brute
from efaas.optimize.homology import shgo
from efaas.optimize.hopping import basinhopping
from efaas.optimize.minimize import minimize
from efaas.optimize.report import HitRate, Origin, SpeculationReport
from efaas.optimize.rotosolve import rotosolve
from efaas.optimize.scalar import minimize_scalar
from efaas.optimize.speculation import Speculation
from efaas.optimize.spsa import spsa

__all__ = [
    "HitRate",
    "Origin",
    "Speculation",
    "SpeculationReport",
    "basinhopping",
    "brute",
    "differential_evolution",
    "dual_annealing",
    "minimize",
    "minimize_scalar",
    "rotosolve",
    "shgo",
    "spsa",
]


def __getattr__(name: str) -> Any:
    if not name.startswith("_") and hasattr(scipy.optimize, name):
        return getattr(scipy.optimize, name)
    raise AttributeError(
        f"module 'efaas.optimize' has no attribute {name!r}, nor has scipy.optimize"
    )


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in dir(scipy.optimize) if name[0] != "_")})
