"""Simultaneous perturbation stochastic approximation (SPSA): a gradient from two values.

It needs no more of them for more parameters, and all are known before the step. So one round holds
the pairs of all resamplings of a step, and the first round all pairs of the calibration.

Cited below: [S92] Spall, IEEE Trans. Autom. Control 37(3), 332 (1992). [S98] Spall, IEEE Trans.
Aerosp. Electron. Syst. 34(3), 817 (1998). [S00] Spall, IEEE Trans. Autom. Control 45(10), 1839
(2000). [K17] Kandala et al., Nature 549, 242 (2017), supplement. [S97] Sadegh, Automatica 33(5),
889 (1997).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from efaas.errors import OptimizerError
from efaas.optimize.box import Box
from efaas.optimize.callable_form import (
    Ending,
    Evaluations,
    Watcher,
    checked_count,
    checked_number,
    checked_start,
    finished,
    generator,
    refuse_constraints,
    warn_of_unused,
)
from efaas.optimize.gains import GainLaw
from efaas.optimize.perturbation import Perturbation

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from scipy.optimize import OptimizeResult

__all__ = ["spsa"]

_QUIET_STEPS = 5
"""So many small steps in a row are convergence; one is small by chance, where the slope along its
direction happens to vanish."""

_FLAT = 0.01
"""Regularization of a Hessian that is given as zero."""

_SMALLEST = float(np.finfo(float).tiny)

_REPEATS = 25
"""Values at ``x0`` from which the noise is told: its spread to some 15 %."""


def spsa(
    fun: Callable[..., Any],
    x0: ArrayLike,
    args: Any = (),
    *,
    jac: Any = None,
    hess: Any = None,
    hessp: Any = None,
    bounds: Any = None,
    constraints: Any = (),
    callback: Callable[..., Any] | None = None,
    maxiter: int = 100,
    maxfev: int | None = None,
    tol: float | None = None,
    learning_rate: float | ArrayLike | None = None,
    perturbation: float | ArrayLike = 0.2,
    alpha: float = 0.602,
    gamma: float = 0.101,
    stability: float = 0.0,
    target_step: float = np.pi / 5,
    calibration_pairs: int = 25,
    max_step: float | None = None,
    resamplings: int = 1,
    averaged_iterates: int = 1,
    second_order: bool = False,
    initial_hessian: ArrayLike | None = None,
    regularization: float | None = None,
    blocking: bool = False,
    allowed_increase: float | None = None,
    workers: Any = None,
    rng: Any = None,
    disp: bool = False,
    return_all: bool = False,
    **unknown_options: Any,
) -> OptimizeResult:
    """The minimum of a noisy function, from two values a step; a ``method`` for ``minimize``.

    Step k perturbs all parameters at once by a random vector of signs D and goes
    ``x -= a_k (f(x + c_k D) - f(x - c_k D)) / (2 c_k) / D`` [S92, eq. 2.1 and 2.2], with gains
    ``a_k = a / (stability + k + 1)**alpha`` and ``c_k = c / (k + 1)**gamma`` [S98, sec. III].
    The defaults suit angles of rotation gates.

    Args:
        fun: The function; its noise is averaged out over the steps.
        x0: Where to start, shape ``(n,)``.
        args: Further arguments of ``fun``.
        jac: Not used; scipy's warning says so.
        hess: Not used, likewise.
        hessp: Not used, likewise.
        bounds: As in scipy. Every point evaluated lies within them [S97].
        constraints: Refused.
        callback: In either of scipy's forms, after every step. ``intermediate_result`` has ``x``,
            ``nit``, ``nfev`` and ``fun``, the mean of the values of the step: that of ``x``
            itself costs an evaluation, and is there only with ``blocking``.
        maxiter: Steps.
        maxfev: Most evaluations; None for no limit. The last one is kept for the final point.
        tol: Ends the run when five steps in a row have moved no parameter by more; None makes
            ``maxiter`` steps.
        learning_rate: The first step's gain ``a_0``, from which the others follow, or all
            ``maxiter`` gains. None calibrates it, such that the first step moves each parameter by
            ``target_step`` on average [K17]. With ``second_order`` None is 1.
        perturbation: The first step's ``c_0``, or all ``maxiter`` of them. About the size of the
            noise of a value, over the slope [S98].
        alpha: Decay of the gains; 0 keeps them constant.
        gamma: Decay of the perturbations; 0 keeps them constant.
        stability: Steps by which the decay of the gains is put off. [S98] has a tenth of
            ``maxiter``, for gains that would be too large at first; calibrated ones are not.
        target_step: What the calibration aims at, in units of the parameters.
        calibration_pairs: Random directions that it averages over, all in the first round.
        max_step: No step moves a parameter by more, but is shortened. None is no limit, and
            ``target_step`` with ``second_order``.
        resamplings: Random directions of which a step averages the gradient, all in one round.
        averaged_iterates: ``x`` is the mean of so many last iterates.
        second_order: Whether to learn the Hessian too, from two more values per direction, and to
            take Newton steps [S00, eq. 2.1 to 2.3].
        initial_hessian: What it is before the first step, shape ``(n, n)``, counted as one
            sample. None calibrates a multiple of the identity, such that the first step without
            any knowledge is that of first order.
        regularization: Added to the eigenvalues of the Hessian, made positive before [S00]. None
            is 0.3 of the mean curvature before the first step.
        blocking: Whether to evaluate each new iterate too and go back where it is worse; one
            more evaluation and one more round a step.
        allowed_increase: By how much it may be worse; None is twice the standard deviation of 25
            values at ``x0``.
        workers: As scipy's, a map: called as ``workers(f, points)`` once a round. None or 1 is one
            after the other.
        rng: As in scipy, a seed or a ``numpy.random.Generator``. None takes fresh entropy; in
            ``efaas.minimize``, for an objective of a session, what follows from the session's seed.
        disp: Whether to print how it ended.
        return_all: Whether the result has all iterates, as ``allvecs``.
        **unknown_options: Scipy's warning names them.

    Returns:
        ``x`` is the last iterate (or their mean), not the best point seen, which under noise is
        the luckiest. ``fun`` is the value there, evaluated once. Also ``nit``, ``nfev``,
        ``status``, ``success``, ``message``, the ``learning_rate`` of the first step, and with
        ``second_order`` the ``hess`` that was learned.

    Raises:
        OptimizerError: An option is out of its range, or there are constraints.
        ParameterError: ``x0`` is no vector of finite numbers.

    Example:
        >>> import numpy as np, scipy.optimize
        >>> found = scipy.optimize.minimize(
        ...     lambda x: -np.cos(x).sum(), [0.5, -0.4], method=spsa, options={"rng": 7}
        ... )
        >>> round(found.fun, 3), found.nfev
        (-2.0, 251)
    """
    warn_of_unused("spsa", jac=jac, hess=hess, hessp=hessp, unknown_options=unknown_options)
    refuse_constraints("spsa", constraints)
    start = checked_start(x0)
    box = Box.of(bounds, len(start))
    start = box.checked_start(start)
    steps = checked_count("maxiter", maxiter, least=0)
    target = checked_number("target_step", target_step, above=0.0)
    delay = checked_number("stability", stability)
    laws = {
        "gains": GainLaw("learning_rate", checked_number("alpha", alpha), delay),
        "perturbations": GainLaw("perturbation", checked_number("gamma", gamma), 0.0),
    }
    if learning_rate is None and second_order:
        learning_rate = 1.0
    if max_step is None:
        max_step = target if second_order else np.inf
    else:
        max_step = checked_number("max_step", max_step, above=0.0)
    run = _Run(
        evaluations=Evaluations(fun, args, workers, maxfev),
        box=box,
        rng=generator(rng),
        watcher=Watcher(callback),
        gains=None if learning_rate is None else laws["gains"].over(steps, learning_rate),
        perturbations=laws["perturbations"].over(steps, perturbation),
        directions=checked_count("resamplings", resamplings, least=1),
        second_order=bool(second_order),
        blocking=bool(blocking),
        allowed_increase=None
        if allowed_increase is None
        else checked_number("allowed_increase", allowed_increase),
        max_step=max_step,
        regularization=None
        if regularization is None
        else checked_number("regularization", regularization, above=0.0),
        hessian=None if initial_hessian is None else _checked_hessian(initial_hessian, len(start)),
        tol=None if tol is None else checked_number("tol", tol),
        x=start,
        allvecs=[start],
        recent=deque(
            [start], maxlen=checked_count("averaged_iterates", averaged_iterates, least=1)
        ),
    )
    pairs = checked_count("calibration_pairs", calibration_pairs, least=1)
    ending = Ending.COMPLETE
    if steps and len(start):
        ending = run.prepare(pairs, target, laws["gains"]) or run.make_steps()
    return run.result(ending, shows=bool(disp), return_all=bool(return_all))


spsa.takes_workers = True  # type: ignore[attr-defined]


@dataclass(slots=True)
class _Run:
    """A run under way: what it was told, and where it stands."""

    evaluations: Evaluations
    box: Box
    rng: np.random.Generator
    watcher: Watcher
    gains: NDArray[np.float64] | None
    perturbations: NDArray[np.float64]
    directions: int
    second_order: bool
    blocking: bool
    allowed_increase: float | None
    max_step: float
    regularization: float | None
    hessian: NDArray[np.float64] | None
    tol: float | None
    x: NDArray[np.float64]
    allvecs: list[NDArray[np.float64]]
    recent: deque[NDArray[np.float64]]
    value: float = np.nan
    """That of the last iterate; known with ``blocking`` only."""
    nit: int = 0

    def prepare(self, pairs: int, target_step: float, law: GainLaw) -> Ending | None:
        """Measure what was not given, slope and noise, in one round; or say why it cannot."""
        if self.gains is not None and not (self.second_order and self.hessian is None):
            pairs = 0
        repeats = 0
        if self.blocking:
            repeats = _REPEATS if self.allowed_increase is None else 1
        if not pairs + repeats:
            return None
        if not self._affords(2 * pairs + repeats):
            return Ending.MAXFEV
        c = float(self.perturbations[0])
        trial = Perturbation.around(self.x, c, self.box, self.rng, directions=pairs)
        values = self.evaluations.round(
            np.concatenate([trial.points, np.repeat(self.x[np.newaxis], repeats, axis=0)])
        )
        if not np.isfinite(values).all():
            return Ending.NOT_FINITE
        if repeats:
            # Measured from the first, so that equal values have that mean, and no spread.
            first = float(values[2 * pairs])
            above = values[2 * pairs :] - first
            self.value = first + float(above.mean())
            if self.allowed_increase is None:
                self.allowed_increase = 2.0 * float(above.std(ddof=1))
        if pairs:
            slope = float(np.abs(trial.differences(values)).mean()) / (2.0 * c)
            # On a plateau, where differences are rounding, no gain is right: the plainest will do.
            is_flat = slope <= max(1e-12 * float(np.abs(values).max()), _SMALLEST)
            gain = target_step if is_flat else target_step / slope
            if self.gains is None:
                self.gains = law.over(len(self.perturbations), gain)
            else:
                self.hessian = np.eye(len(self.x)) / gain
        return None

    def make_steps(self) -> Ending:
        """Step until the gains are used up, or something ends the run."""
        quiet = 0
        floor = self._regularization() if self.second_order else 0.0
        cost = (4 if self.second_order else 2) * self.directions + self.blocking
        for gain, c in zip(np.asarray(self.gains), self.perturbations, strict=True):
            if not self._affords(cost):
                return Ending.MAXFEV
            trial = Perturbation.around(
                self.x,
                float(c),
                self.box,
                self.rng,
                directions=self.directions,
                second_order=self.second_order,
            )
            values = self.evaluations.round(trial.points)
            candidate = self._candidate(float(gain), trial, values, floor)
            if not np.isfinite(candidate).all():
                return Ending.NOT_FINITE
            value = self.evaluations.at(candidate) if self.blocking else 0.0
            if not np.isfinite(value):
                return Ending.NOT_FINITE
            if not self.blocking or value <= self.value + (self.allowed_increase or 0.0):
                moved = float(np.abs(candidate - self.x).max())
                quiet = quiet + 1 if self.tol is not None and moved <= self.tol else 0
                self.x = candidate
                self.recent.append(candidate)
                if self.blocking:
                    self.value = value
            self.nit += 1
            self.allvecs.append(self.x)
            shown = self.value if self.blocking else float(values[: 2 * self.directions].mean())
            if self.watcher.stops(x=self.x, fun=shown, nit=self.nit, nfev=self.evaluations.count):
                return Ending.STOPPED
            if quiet == _QUIET_STEPS:
                return Ending.CONVERGED
        return Ending.COMPLETE if self.tol is None else Ending.MAXITER

    def result(self, ending: Ending, *, shows: bool, return_all: bool) -> OptimizeResult:
        """Scipy's result, with the value at the final point."""
        x = np.mean(self.recent, axis=0)
        is_known = len(self.recent) == 1 and np.isfinite(self.value)
        fields: dict[str, Any] = {
            "x": x,
            "fun": self.value if is_known else self.evaluations.at(x),
            "nit": self.nit,
            "nfev": self.evaluations.count,
        }
        if self.gains is not None and len(self.gains):
            fields["learning_rate"] = float(self.gains[0])
        if self.second_order:
            fields["hess"] = self.hessian
        if return_all:
            fields["allvecs"] = self.allvecs
        return finished(ending, shows=shows, **fields)

    def _affords(self, points: int) -> bool:
        """Whether so many evaluations leave one for the final point."""
        return self.evaluations.affords(points + 1)

    def _regularization(self) -> float:
        if self.regularization is not None:
            return self.regularization
        return 0.3 * float(np.abs(np.diag(np.asarray(self.hessian))).mean()) or _FLAT

    def _candidate(
        self, gain: float, trial: Perturbation, values: NDArray[np.float64], floor: float
    ) -> NDArray[np.float64]:
        """The next iterate; NaN where a value was not finite."""
        if not np.isfinite(values).all():
            return np.full_like(self.x, np.nan)
        with np.errstate(over="ignore", invalid="ignore"):
            step = gain * trial.gradient(values)
            if self.second_order:
                # The Hessian before the first step counts as one sample.
                weight = 1.0 / (self.nit + 2)
                self.hessian = (1.0 - weight) * np.asarray(self.hessian) + weight * trial.hessian(
                    values
                )
                if not (np.isfinite(step).all() and np.isfinite(self.hessian).all()):
                    return np.full_like(self.x, np.nan)
                curvatures, axes = np.linalg.eigh(self.hessian)
                step = axes @ (axes.T @ step / (np.abs(curvatures) + floor))
            longest = float(np.abs(step).max())
            if longest > self.max_step:
                step *= self.max_step / longest
            return self.box.project(self.x - step)


def _checked_hessian(given: ArrayLike, n: int) -> NDArray[np.float64]:
    hessian = np.asarray(given)
    if hessian.dtype.kind not in "fiu" or hessian.shape != (n, n):
        raise OptimizerError(
            f"initial_hessian must be real of shape ({n}, {n}), got shape {hessian.shape} and type "
            f"{hessian.dtype}"
        )
    if not np.isfinite(hessian).all():
        raise OptimizerError("initial_hessian is not finite")
    return np.asarray((hessian + hessian.T) / 2.0)
