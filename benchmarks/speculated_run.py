"""One optimization on the simulated device: through efaas, and through scipy alone, compared.

Both begin a session of their own with the same seed, so that they see the same noise. The runs
are functions of picklable cases, for ``speculation_rounds.py`` to spread over processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.optimize
from problems import PROBLEMS

import efaas
from efaas.clock import VirtualClock
from efaas.optimize.rotosolve import rotosolve
from efaas.optimize.spsa import spsa

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from efaas.testing import FakeBackend

__all__ = ["METHODS", "Case", "Compared", "compared"]

# A default difference of 1e-8 would measure nothing but noise; 0.1 rad balances the noise of a
# difference, 0.02 / 0.1, and its error, which for a sinusoid is 0.05 of its curvature.
NOISY_STEP = 0.1
# Powell's line searches end at 100 xtol of their step. By default that is a hundredth, and most of
# a search compares values that differ by less than the noise: with as many evaluations it ends at
# higher energies. A row with the default is printed beside it.
NOISY_TOLERANCE = 0.01
EVALUATIONS = 200  # of a run, about
WIDTH = 8

_by_scipy: Callable[..., Any] = scipy.optimize.minimize


@dataclass(frozen=True, slots=True)
class Method:
    """A row of the tables.

    Attributes:
        method: What ``minimize`` is given.
        evaluations: The option that bounds the evaluations, or None where only iterations are
            bounded.
        noisy: Options where there is noise.
        maps: Whether scipy's own ``workers`` can evaluate its finite differences together.
        per_iteration: Gradients an iteration takes, about; where iterations are bounded.
        options: Further options.
        mode: Of speculation.
    """

    method: Any
    evaluations: str | None = None
    noisy: tuple[tuple[str, Any], ...] = ()
    maps: bool = False
    per_iteration: float = 1.0
    options: tuple[tuple[str, Any], ...] = ()
    mode: str = "exact"

    def arguments(self, parameters: int, noise: float, seed: int) -> dict[str, Any]:
        """What ``minimize`` is given beside the objective and its start."""
        options: dict[str, Any] = dict(self.options)
        if self.evaluations:
            options[self.evaluations] = EVALUATIONS
        else:
            gradients = EVALUATIONS / (parameters + 1)
            options["maxiter"] = max(3, round(gradients / self.per_iteration))
        if noise:
            options |= dict(self.noisy)
        if self.method is spsa:
            options["rng"] = seed
        return {"method": self.method, "options": options}


_STEP: dict[str, Any] = {"noisy": (("eps", NOISY_STEP),), "maps": True}

METHODS = {
    "Nelder-Mead": Method("Nelder-Mead", "maxfev"),
    "Powell": Method("Powell", "maxfev", noisy=(("xtol", NOISY_TOLERANCE),)),
    "Powell, default": Method("Powell", "maxfev"),
    "COBYLA": Method("COBYLA", "maxiter"),  # where it means evaluations
    "COBYQA": Method("COBYQA", "maxfev"),
    "BFGS": Method("BFGS", per_iteration=1.2, **_STEP),
    "L-BFGS-B": Method("L-BFGS-B", "maxfun", **_STEP),
    "CG": Method("CG", per_iteration=2.0, **_STEP),
    "TNC": Method("TNC", "maxfun", **_STEP),
    "trust-constr": Method(
        "trust-constr", noisy=(("finite_diff_rel_step", NOISY_STEP),), maps=True
    ),
    "SLSQP": Method("SLSQP", **_STEP),
    "SPSA": Method(spsa, "maxfev", options=(("maxiter", 1000),)),
    "Rotosolve": Method(rotosolve, "maxfev", options=(("ftol", None), ("block_size", 1))),
    "Rotosolve, pairs": Method(rotosolve, "maxfev", options=(("ftol", None), ("block_size", 2))),
    "COBYLA, tolerant": Method("COBYLA", "maxiter", mode="tolerant"),
    "COBYQA, tolerant": Method("COBYQA", "maxfev", mode="tolerant"),
}
"""What the tables measure, by their rows' names."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is run.

    Attributes:
        method: One of ``METHODS``.
        problem: One of ``PROBLEMS``.
        noise: Standard deviation of a value's noise.
        seed: Of the start, and of the session.
        round_seconds: What a round takes whatever is in it, on the virtual clock.
        evaluation_seconds: What each of its evaluations adds.
        effort: How the predictor's work is measured, as in ``efaas.Speculation``.
        noise_seed: Of the session, where it is not that of the start.
    """

    method: str
    problem: str
    noise: float
    seed: int
    round_seconds: float
    evaluation_seconds: float
    effort: str = "seconds"
    noise_seed: int | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of a case.

    Attributes:
        case: The case.
        sequential: Evaluations of scipy alone, and its rounds.
        used: Evaluations that the optimizer used; those of scipy alone in exact mode.
        evaluations: Evaluations of efaas, misses included.
        rounds: Rounds of efaas.
        seconds: Time of efaas on the virtual clock, and the real time of its predictor.
        sequential_seconds: Time of scipy alone on the virtual clock.
        mapped_seconds: Time of scipy with its ``workers`` mapped to rounds; None without them.
        energy: The exact energy where efaas ended, over the ground state's.
        sequential_energy: The same where scipy ended.
        differences: What is not as in scipy, though it should be; empty if all is well.
    """

    case: Case
    sequential: int
    used: int
    evaluations: int
    rounds: int
    seconds: float
    predictor_seconds: float
    sequential_seconds: float
    mapped_seconds: float | None
    energy: float
    sequential_energy: float
    differences: tuple[str, ...]

    @property
    def ratio(self) -> float:
        """Rounds over the evaluations that were used."""
        return self.rounds / self.used

    @property
    def waste(self) -> float:
        """Further evaluations over those that were used."""
        return self.evaluations / self.used - 1.0


class _Run:
    """One run in a session of its own, and what it left behind."""

    def __init__(self, case: Case, minimize: Callable[..., Any], **arguments: Any) -> None:
        problem = PROBLEMS[case.problem]
        self.clock = VirtualClock()
        self.device: FakeBackend = problem.device(
            case.noise,
            clock=self.clock,
            round_seconds=case.round_seconds,
            evaluation_seconds=case.evaluation_seconds,
        )
        self.points: list[bytes] = []
        self.path: list[bytes] = []
        shots = 4096 if case.noise else None
        seed = case.seed if case.noise_seed is None else case.noise_seed
        with efaas.EFSession(self.device, seed=seed, clock=self.clock) as session:
            energy = session.objective(problem.circuit, problem.observable, shots=shots)
            with np.errstate(all="ignore"):
                self.result = minimize(
                    _Watched(energy, self.points),
                    problem.x0(case.seed),
                    callback=self._called_back,
                    **METHODS[case.method].arguments(problem.num_parameters, case.noise, case.seed),
                    **arguments,
                )
            self.seconds = self.clock.now()  # what is withdrawn at the end delays nobody

    def _called_back(self, xk: NDArray[np.float64], *_: Any) -> None:
        self.path.append(np.asarray(xk).tobytes())


class _Watched:
    """An objective that notes the points whose values its caller was given, in order."""

    def __init__(self, objective: Any, points: list[bytes]) -> None:
        self._objective = objective
        self._points = points
        self._ahead: dict[bytes, Any] = {}
        self.num_parameters = objective.num_parameters
        self.shots = objective.shots

    def __call__(self, x: Any) -> float:
        point = np.asarray(x).tobytes()
        self._points.append(point)
        ahead = self._ahead.pop(point, None)
        return float(self._objective(x) if ahead is None else ahead.result())

    def map(self, fn: Callable[[Any], Any], points: Iterable[Any]) -> list[Any]:
        """``map(fn, points)`` in one round; ``fn`` calls this objective at its point."""
        rows = [np.array(point) for point in points]
        futures = self._objective.submit_many(np.stack(rows))
        self._ahead = {row.tobytes(): future for row, future in zip(rows, futures, strict=True)}
        return [fn(row) for row in rows]

    def evaluations_of(self, ask: Any) -> int:
        return int(self._objective.evaluations_of(ask))

    def submit_round(self, asked: Sequence[Any], guessed: Sequence[Any] = ()) -> tuple[Any, Any]:
        inner = [(ask, None if after is None else after.inner) for ask, after in guessed]
        futures, guesses = self._objective.submit_round(asked, inner)
        watched = [
            _WatchedFuture(future, ask, self._points, is_asked=True)
            for future, ask in zip(futures, asked, strict=True)
        ]
        return watched, [
            _WatchedGuess(guess, ask, self._points)
            for guess, (ask, _) in zip(guesses, guessed, strict=True)
        ]


class _WatchedFuture:
    """A future that notes its point when its value is taken after it was asked for."""

    def __init__(self, future: Any, ask: Any, points: list[bytes], *, is_asked: bool) -> None:
        self._future = future
        self._point = ask.x.tobytes()
        self._points = points
        self.is_asked = is_asked

    def result(self, timeout: float | None = None) -> Any:
        value = self._future.result(timeout)
        if self.is_asked:
            self._points.append(self._point)
        return value

    def __getattr__(self, name: str) -> Any:
        return getattr(self._future, name)


class _WatchedGuess:
    """A guess whose future is watched from when it is confirmed."""

    def __init__(self, guess: Any, ask: Any, points: list[bytes]) -> None:
        self.inner = guess
        self.future = _WatchedFuture(guess.future, ask, points, is_asked=False)

    def confirm(self) -> bool:
        self.future.is_asked = bool(self.inner.confirm())
        return self.future.is_asked

    def withdraw(self) -> None:
        self.inner.withdraw()

    @property
    def usage(self) -> Any:
        return self.inner.usage


def compared(case: Case) -> Compared:
    """Run a case both ways and hold the one against the other."""
    mode = METHODS[case.method].mode
    speculation = efaas.Speculation(mode=mode, width=WIDTH, effort=case.effort)
    ours = _Run(case, efaas.minimize, speculation=speculation)
    theirs = _Run(case, _by_scipy)
    report = ours.result.speculation
    differences = _differences(ours, theirs) if mode == "exact" else []
    if mode == "exact" and report.evaluations != sum(theirs.device.rounds):
        differences.append(f"{report.evaluations} evaluations, not {sum(theirs.device.rounds)}")
    if report.rounds != len(ours.device.rounds):
        differences.append(
            f"{report.rounds} rounds reported, {len(ours.device.rounds)} on the device"
        )
    if report.evaluations + report.misses != sum(ours.device.rounds):
        differences.append(
            f"{report.evaluations} + {report.misses} evaluations reported, "
            f"{sum(ours.device.rounds)} on the device"
        )
    problem = PROBLEMS[case.problem]
    exact, ground = problem.exact_energy(), problem.ground_energy
    return Compared(
        case,
        sequential=sum(theirs.device.rounds),
        used=report.evaluations,
        evaluations=sum(ours.device.rounds),
        rounds=len(ours.device.rounds),
        seconds=ours.seconds + report.predictor_seconds,
        predictor_seconds=report.predictor_seconds,
        sequential_seconds=theirs.seconds,
        mapped_seconds=_mapped_seconds(case),
        energy=exact(ours.result.x) - ground,
        sequential_energy=exact(theirs.result.x) - ground,
        differences=tuple(differences),
    )


def _differences(ours: _Run, theirs: _Run) -> list[str]:
    """What a caller could tell apart, to the bit."""
    found = []
    if ours.points != theirs.points:
        found.append("evaluated points")
    if ours.path != theirs.path:
        found.append("callbacks")
    if ours.result.nfev != theirs.result.nfev:
        found.append(f"nfev {ours.result.nfev}, not {theirs.result.nfev}")
    left, right = ours.result, theirs.result
    return found + [
        name
        for name in ("x", "fun")
        if np.asarray(left[name]).tobytes() != np.asarray(right[name]).tobytes()
    ]


def _mapped_seconds(case: Case) -> float | None:
    """Time of plain scipy whose finite differences go out in one round by its own ``workers``."""
    if not METHODS[case.method].maps:
        return None

    def minimize(energy: _Watched, x0: Any, *, options: dict[str, Any], **arguments: Any) -> Any:
        options = {**options, "workers": energy.map}
        return _by_scipy(energy, x0, options=options, **arguments)

    return _Run(case, minimize).seconds
