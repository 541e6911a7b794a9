"""An objective: parameters in, energy out, and a source of futures."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from efaas.dispatch import Points
from efaas.errors import ParameterError
from efaas.model.confined import Confined
from efaas.model.standing import Standing

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from efaas.backends.experiment import Experiment
    from efaas.backends.parameter_shift import ShiftRule
    from efaas.backends.protocol import Outcome
    from efaas.dispatch import Guess
    from efaas.future import QuantumFuture
    from efaas.model.profile import CircuitProfile
    from efaas.observe.sight import Sight
    from efaas.optimize.asks import Ask
    from efaas.optimize.observers import Observer

__all__ = ["Objective", "SubmitsPoints"]


class SubmitsPoints(Protocol):
    """A loop as its objective sees it."""

    @property
    def id(self) -> str:
        """Unique within the scheduler."""
        ...

    @property
    def profile(self) -> CircuitProfile:
        """The experiment as compiled for the loop's backend."""
        ...

    def submit_round(
        self,
        experiment: Experiment,
        asked: Sequence[Points],
        guessed: Sequence[tuple[Points, Guess | None]] = (),
    ) -> tuple[list[Sequence[QuantumFuture[Any]]], list[Guess]]:
        """Queue points that are asked for, and guesses that would like to share their round."""
        ...

    def is_recorded(self, asked: Iterable[Points]) -> bool:
        """Whether the session's journal has the values of all of these points."""
        ...

    def drawn_seed(self) -> int:
        """A seed for an optimizer's own random numbers; another one at each call."""
        ...


class Objective(Confined):
    """The expectation value of an observable as a function of a circuit's parameters.

    Made by ``EFSession.objective``. Calling it gives a float, so any optimizer can use it;
    ``submit`` and ``submit_many`` give futures. All evaluations run on one backend and one
    layout, since mixing devices would bias the optimizer, until its calibration changes or it
    fails; ``EFSession.events`` tells what was done then. May be used from several threads.

    Attributes:
        num_parameters: Length of the parameter vector.
        parameter_names: Its entries, in order: the circuit's own parameter order.
        shots: Shots of each measurement setting, or None for exact expectations.
    """

    def __init__(
        self,
        loop: SubmitsPoints,
        experiment: Experiment,
        *,
        shots: int | None,
        sight: Sight | None = None,
    ) -> None:
        self.num_parameters = experiment.num_parameters
        self.parameter_names = experiment.parameter_names
        self.shots = shots
        self._loop = loop
        self._experiment = experiment
        self._sight = sight

    @property
    def profile(self) -> CircuitProfile:
        """The circuit as compiled for its backend; another one after a change of calibration."""
        return self._loop.profile

    @property
    def loop_id(self) -> str:
        """The loop of its evaluations, as in ``EFSession.events`` and ``future.job``."""
        return self._loop.id

    def __call__(self, theta: ArrayLike) -> float:
        """The value at one point, waiting for it.

        Args:
            theta: Parameter values, shape ``(num_parameters,)``, finite, in radians for angles; for
                one parameter a number will do.

        Raises:
            ParameterError: The wrong length, NaN or infinity.
            JobFailedError: Every attempt of the evaluation failed.
        """
        return self.submit(theta).result()

    def submit(self, theta: ArrayLike, *, shots: int | None = None) -> QuantumFuture[float]:
        """The future of the value at one point, shape ``(num_parameters,)``.

        Args:
            theta: Parameter values.
            shots: Shots of each measurement setting, instead of the objective's own.

        Raises:
            ParameterError: The wrong length, NaN or infinity.
            ShotsError: ``shots`` is below 1.
        """
        from efaas.primitives.pubs import checked_shots

        points = self._value_points(self._checked_point(theta))
        if shots is not None:
            points = points._replace(shots=checked_shots(shots))
        return self._submit(points)[0]

    def submit_many(self, thetas: ArrayLike) -> list[QuantumFuture[float]]:
        """One future per row of ``thetas``, shape ``(points, num_parameters)``, in one round.

        The rows are one job; each can still be cancelled while it is queued. They are finished
        from the last to the first, so that waiting for them in order wakes only once.

        Raises:
            ParameterError: The wrong length, NaN or infinity.
        """
        shape = _shape(thetas)
        if len(shape) == 2 and shape[0] == 0:
            return []
        if len(shape) != 2:
            raise ParameterError(
                f"submit_many takes one point per row: expected shape (points, "
                f"{self.num_parameters}), got {shape}; for one point use submit"
            )
        return list(self._submit(self._value_points(self._experiment.check_values(thetas))))

    def gradient(self, theta: ArrayLike) -> QuantumFuture[NDArray[np.float64]]:
        """The future of the parameter-shift gradient, shape ``(num_parameters,)``, in one round.

        The two-term rule is applied to every gate that a parameter enters, and the chain rule
        to the expressions in between. Source: Schuld et al., Phys. Rev. A 99, 032331 (2019).

        Raises:
            ParameterError: The wrong length, NaN or infinity.
            GradientError: A parameter enters a gate that has no two-term rule.
        """
        return self._submit(self._gradient_points(self._checked_point(theta)))[0]

    def submit_round(
        self, asked: Sequence[Ask], guessed: Sequence[tuple[Ask, Guess | None]] = ()
    ) -> tuple[list[QuantumFuture[Any]], list[Guess]]:
        """Evaluations in one round: some that are asked for, and guesses of what may be.

        What ``efaas.minimize`` is built on; see ``efaas.optimize.asks``.

        Args:
            asked: Values or gradients, at least one.
            guessed: What may yet be asked for; for a further evaluation of a guessed point, with
                the guess that comes before it.

        Returns:
            A future for each of ``asked``, and the guesses, each with its future. A guess that
            is not confirmed leaves no trace.

        Raises:
            ParameterError: The wrong length, NaN or infinity.
            GradientError: A parameter enters a gate that has no two-term rule.
        """
        if len(asked) > 1 and all(ask.kind == "value" for ask in asked):
            together = self._experiment.check_values(np.stack([ask.x for ask in asked]))
            wanted = [self._value_points(together)]
        else:
            wanted = [self._points_of(ask) for ask in asked]
        futures, guesses = self._loop.submit_round(
            self._experiment, wanted, [(self._points_of(ask), after) for ask, after in guessed]
        )
        return [future for job in futures for future in job], guesses

    def drawn_seed(self) -> int:
        """A seed for an optimizer's own random numbers, 128 bits; another one at each call.

        It follows from the session's seed and from how many this objective has given before, so a
        script that runs again draws the same ones.
        """
        return self._loop.drawn_seed()

    def is_recorded(self, asks: Sequence[Ask]) -> bool:
        """Whether all of these, asked for now, would be answered from the session's journal."""
        return self._loop.is_recorded(self._points_of(ask) for ask in asks)

    def evaluations_of(self, ask: Ask) -> int:
        """How many points it takes: one for a value, two per shifted angle for a gradient."""
        if ask.kind == "value":
            return 1
        return 2 * len(self._shift_rule().slots)

    def observers(self) -> Sequence[Observer]:
        """Who is to be told of a run of an optimizer that begins now: the trace, and the log."""
        return [] if self._sight is None else self._sight.observers(self.loop_id)

    def now(self) -> float:
        """The present instant of the session's clock, in seconds."""
        return time.monotonic() if self._sight is None else self._sight.tape.now()

    def standing(self) -> Standing:
        """Where its loop is now, and what it has used."""
        if self._sight is None:
            return Standing(self.profile.backend, None, 0.0)
        return self._sight.standing(self.loop_id, self.profile.backend)

    def __repr__(self) -> str:
        shots = "exact" if self.shots is None else f"{self.shots} shots"
        return (
            f"<Objective of {self.num_parameters} parameters on {self.profile.backend}, "
            f"{self.profile.num_qubits} qubits, {shots}>"
        )

    def _checked_point(self, theta: ArrayLike) -> NDArray[np.float64]:
        shape = _shape(theta)
        if len(shape) > 1:
            raise ParameterError(
                f"expected one point of shape ({self.num_parameters},), got shape "
                f"{shape}; for several points use submit_many"
            )
        is_number = not shape and not isinstance(theta, Mapping)
        return self._experiment.check_values(np.atleast_1d(theta) if is_number else theta)

    def _shift_rule(self) -> ShiftRule:
        from efaas.backends.parameter_shift import shift_rule

        return shift_rule(self._experiment)

    def _points_of(self, ask: Ask) -> Points:
        values = self._checked_point(ask.x)
        return self._value_points(values) if ask.kind == "value" else self._gradient_points(values)

    def _value_points(self, values: NDArray[np.float64]) -> Points:
        angles = self._experiment.slot_angles(values)
        return Points(angles, self.shots, _values, len(values), values)

    def _gradient_points(self, values: NDArray[np.float64]) -> Points:
        rule = self._shift_rule()
        angles = self._experiment.slot_angles(values)[0]
        jacobian = self._experiment.angle_map.jacobian(values[0])

        def combined(outcome: Outcome) -> Sequence[NDArray[np.float64]]:
            slot_gradient = rule.combine(outcome.value.evs[:, 0])  # type: ignore[union-attr]
            gradient: NDArray[np.float64] = jacobian.T @ slot_gradient
            return (gradient,)

        return Points(rule.points(angles), self.shots, combined)

    def _submit(self, points: Points) -> Sequence[QuantumFuture[Any]]:
        return self._loop.submit_round(self._experiment, [points])[0][0]


def _shape(values: ArrayLike) -> tuple[int, ...]:
    """The shape of parameter values.

    Raises:
        ParameterError: They have none: rows of several lengths.
    """
    try:
        return np.shape(values)
    except ValueError as error:
        raise ParameterError(
            f"expected an array of real numbers, got rows of several lengths: {values!r}"
        ) from error


def _values(outcome: Outcome) -> list[float]:
    """The one observable at every point."""
    values: list[float] = outcome.value.evs[:, 0].tolist()  # type: ignore[union-attr]
    return values
