"""Calls of the rest of ``scipy.optimize``, and everything that their caller can see."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.optimize
from test_exactness import same

import efaas

if TYPE_CHECKING:
    from shuffled import ShuffledObjective

BRIEFLY = efaas.Speculation(predictor_share=5e-4)
"""With rounds of 20 s, the predictor has 10 ms."""

BOX = [(-2.0, 1.5)] * 2
FEW = {"maxiter": 3, "popsize": 3, "rng": 7}
SUM_BELOW_ONE = scipy.optimize.NonlinearConstraint(lambda x: x.sum(), -np.inf, 1.0)

# Name of the function, its parameters, its arguments.
CASES: dict[str, tuple[str, int, dict[str, Any]]] = {
    "brent": ("minimize_scalar", 1, {"bracket": (0, 1)}),
    "golden": ("minimize_scalar", 1, {"bracket": (0.0, 1.0), "method": "golden"}),
    "bounded": ("minimize_scalar", 1, {"bounds": (-1, 2)}),
    "immediate": ("differential_evolution", 2, {"bounds": BOX, **FEW}),
    "deferred": ("differential_evolution", 2, {"bounds": BOX, "updating": "deferred", **FEW}),
    "sobol": (
        "differential_evolution",
        2,
        {"bounds": BOX, "init": "sobol", "seed": 3, "maxiter": 1},
    ),
    "constrained": (
        "differential_evolution",
        2,
        {"bounds": BOX, "constraints": SUM_BELOW_ONE, "updating": "deferred", **FEW},
    ),
    "annealing": ("dual_annealing", 2, {"bounds": BOX, "maxiter": 4, "rng": 5, "maxfun": 90}),
    "annealing with Powell": (
        "dual_annealing",
        2,
        {"bounds": BOX, "maxiter": 2, "seed": 5, "minimizer_kwargs": {"method": "Powell"}},
    ),
    "hopping": ("basinhopping", 2, {"x0": [0.5, -0.2], "niter": 2, "rng": 2}),
    "hopping simplices": (
        "basinhopping",
        2,
        {
            "x0": [0.5, -0.2],
            "niter": 1,
            "seed": 2,
            "minimizer_kwargs": {"method": "Nelder-Mead", "options": {"maxfev": 20}},
        },
    ),
    "simplicial": ("shgo", 2, {"bounds": BOX, "n": 12}),
    "halton": ("shgo", 2, {"bounds": BOX, "n": 9, "iters": 2, "sampling_method": "halton"}),
    "grid of one": ("brute", 1, {"ranges": BOX[:1], "Ns": 7, "full_output": True}),
    "grid": ("brute", 2, {"ranges": (slice(-1, 1, 0.5), (0.0, 1.0)), "Ns": 4, "full_output": True}),
}  # fmt: skip


class Seen:
    """Everything that a caller can see of a run."""

    def __init__(self, function: Callable[..., Any], objective: Any, asked: Any, **arguments: Any):
        self.fields: dict[str, Any] = {}
        self.error = ""
        self.report: efaas.SpeculationReport | None = None
        with warnings.catch_warnings(record=True) as heard, np.errstate(all="ignore"):
            warnings.simplefilter("always")
            try:
                result = function(objective, **arguments)
            except Exception as error:
                self.error = repr(error)
            else:
                if isinstance(result, dict):
                    self.report = result.get("speculation")
                    self.fields = {k: v for k, v in result.items() if k != "speculation"}
                else:
                    self.fields = {"returned": result}
        self.warnings = [(str(w.message), w.category) for w in heard]
        self.asked = list(asked)


def as_point(objective: Any) -> Callable[[Any], Any]:
    """For a function of a number."""
    return lambda x: objective(np.atleast_1d(np.asarray(x)))


def compare(name: str, make: Callable[[], ShuffledObjective], arguments: Any, **ours: Any) -> Seen:
    """Both must agree in all there is to see; ``arguments`` makes them anew."""
    objective = make()
    mine = Seen(getattr(efaas.optimize, name), objective, objective.asked, **arguments(), **ours)
    objective = make()
    function = getattr(scipy.optimize, name)
    plain = as_point(objective) if name == "minimize_scalar" else objective
    theirs = Seen(function, plain, objective.asked, **arguments())
    if theirs.error:  # the rest of its round has begun by then
        assert not Counter(theirs.asked) - Counter(mine.asked)
    elif ours["speculation"] == "off":
        assert mine.asked == theirs.asked
    else:  # of a generation, what was guessed is committed first
        assert Counter(mine.asked) == Counter(theirs.asked)
    assert mine.error == theirs.error
    assert mine.warnings == theirs.warnings
    assert same(mine.fields, theirs.fields)
    return mine


class Plain:
    """A plain function of several parameters."""

    def __call__(self, x: Any, scale: float = 1.0) -> Any:
        return float(scale * np.sum(1 - np.cos(np.asarray(x) - 0.3)))
