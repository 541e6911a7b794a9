"""Variational quantum programs that converge in a fraction of the time on the same devices.

Example:
    >>> import efaas
    >>> with efaas.EFSession("aer", seed=7) as session:
    ...     session.call(sum, [1, 2, 3]).result()
    6
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from efaas import backends, errors, observe, optimize, primitives
    from efaas.errors import EfaasError
    from efaas.future import QuantumFuture
    from efaas.journal import Journal
    from efaas.model.events import LoopEvent
    from efaas.objective import Objective
    from efaas.optimize import Speculation, SpeculationReport, minimize
    from efaas.policies.budget import Budget
    from efaas.policies.fair_settings import FairSettings
    from efaas.policies.placement import PlacementWeights
    from efaas.policies.repinning import RepinSettings
    from efaas.policies.sentinel import Sentinel
    from efaas.session import EFScheduler, EFSession

__all__ = [
    "Budget",
    "EFScheduler",
    "EFSession",
    "EfaasError",
    "FairSettings",
    "Journal",
    "LoopEvent",
    "Objective",
    "PlacementWeights",
    "QuantumFuture",
    "RepinSettings",
    "Sentinel",
    "Speculation",
    "SpeculationReport",
    "__version__",
    "backends",
    "errors",
    "minimize",
    "observe",
    "optimize",
    "primitives",
]

__version__ = "0.1.0"

logging.getLogger("efaas").addHandler(logging.NullHandler())  # quiet unless somebody listens

# Where each name lives. It is imported when it is first used, so that `import efaas` stays quick.
_HOMES = {
    "Budget": "efaas.policies.budget",
    "EFScheduler": "efaas.session",
    "EFSession": "efaas.session",
    "EfaasError": "efaas.errors",
    "FairSettings": "efaas.policies.fair_settings",
    "Journal": "efaas.journal",
    "LoopEvent": "efaas.model.events",
    "Objective": "efaas.objective",
    "PlacementWeights": "efaas.policies.placement",
    "QuantumFuture": "efaas.future",
    "RepinSettings": "efaas.policies.repinning",
    "Sentinel": "efaas.policies.sentinel",
    "Speculation": "efaas.optimize",
    "SpeculationReport": "efaas.optimize",
    "minimize": "efaas.optimize",
}
_MODULES = ("backends", "errors", "observe", "optimize", "primitives")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"efaas.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'efaas' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
