"""An objective: parameters in, energy out, and a source of futures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from efaas.errors import ParameterError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from efaas.backends.experiment import Experiment
    from efaas.backends.protocol import Outcome
    from efaas.future import QuantumFuture
    from efaas.model.profile import CircuitProfile

__all__ = ["Objective", "SubmitsPoints"]


class SubmitsPoints(Protocol):
    """A loop as its objective sees it."""

    @property
    def profile(self) -> CircuitProfile:
        """The experiment as compiled for the loop's backend."""
        ...

    def submit(
        self,
        experiment: Experiment,
        angles: NDArray[np.float64],
        *,
        shots: int | None,
        convert: Callable[[Outcome], Sequence[Any]],
        futures: int,
    ) -> Sequence[QuantumFuture[Any]]:
        """Queue points as one job, with one future or one per point."""
        ...


class Objective:
    """The expectation value of an observable as a function of a circuit's parameters.

    Made by ``EFSession.objective``. Calling it gives a float, so any optimizer can use it;
    ``submit`` and ``submit_many`` give futures. All evaluations run on one backend and one
    layout, since mixing devices would bias the optimizer. May be used from several threads.

    Attributes:
        num_parameters: Length of the parameter vector.
        parameter_names: Its entries, in order: the circuit's own parameter order.
        shots: Shots of each measurement setting, or None for exact expectations.
        profile: The circuit as compiled for its backend.
    """

    def __init__(self, loop: SubmitsPoints, experiment: Experiment, *, shots: int | None) -> None:
        self.num_parameters = experiment.num_parameters
        self.parameter_names = experiment.parameter_names
        self.shots = shots
        self.profile = loop.profile
        self._loop = loop
        self._experiment = experiment

    def __call__(self, theta: ArrayLike) -> float:
        """The value at one point, waiting for it.

        Args:
            theta: Parameter values, shape ``(num_parameters,)``, finite, in radians for angles.

        Raises:
            ParameterError: The wrong length, NaN or infinity.
            JobFailedError: Every attempt of the evaluation failed.
        """
        return self.submit(theta).result()

    def submit(self, theta: ArrayLike) -> QuantumFuture[float]:
        """The future of the value at one point, shape ``(num_parameters,)``.

        Raises:
            ParameterError: The wrong length, NaN or infinity.
        """
        return self._submit(self._angles_of_one(theta), _values, 1)[0]

    def submit_many(self, thetas: ArrayLike) -> list[QuantumFuture[float]]:
        """One future per row of ``thetas``, shape ``(points, num_parameters)``, in one round.

        The rows are one job; each can still be cancelled while it is queued. They are finished
        from the last to the first, so that waiting for them in order wakes only once.

        Raises:
            ParameterError: The wrong length, NaN or infinity.
        """
        shape = np.shape(thetas)
        if len(shape) == 2 and shape[0] == 0:
            return []
        if len(shape) != 2:
            raise ParameterError(
                f"submit_many takes one point per row: expected shape (points, "
                f"{self.num_parameters}), got {shape}; for one point use submit"
            )
        angles = self._experiment.slot_angles(self._experiment.check_values(thetas))
        return list(self._submit(angles, _values, len(angles)))

    def gradient(self, theta: ArrayLike) -> QuantumFuture[NDArray[np.float64]]:
        """The future of the parameter-shift gradient, shape ``(num_parameters,)``, in one round.

        The two-term rule is applied to every gate that a parameter enters, and the chain rule
        to the expressions in between. Source: Schuld et al., Phys. Rev. A 99, 032331 (2019).

        Raises:
            ParameterError: The wrong length, NaN or infinity.
            GradientError: A parameter enters a gate that has no two-term rule.
        """
        from efaas.backends.parameter_shift import shift_rule

        rule = shift_rule(self._experiment)
        values = self._checked_point(theta)
        angles = self._experiment.slot_angles(values)[0]
        jacobian = self._experiment.angle_map.jacobian(values[0])

        def combined(outcome: Outcome) -> Sequence[NDArray[np.float64]]:
            slot_gradient = rule.combine(outcome.value.evs[:, 0])  # type: ignore[union-attr]
            gradient: NDArray[np.float64] = jacobian.T @ slot_gradient
            return (gradient,)

        return self._submit(rule.points(angles), combined, 1)[0]

    def __repr__(self) -> str:
        shots = "exact" if self.shots is None else f"{self.shots} shots"
        return (
            f"<Objective of {self.num_parameters} parameters on {self.profile.backend}, "
            f"{self.profile.num_qubits} qubits, {shots}>"
        )

    def _checked_point(self, theta: ArrayLike) -> NDArray[np.float64]:
        if np.ndim(theta) > 1:
            raise ParameterError(
                f"expected one point of shape ({self.num_parameters},), got shape "
                f"{np.shape(theta)}; for several points use submit_many"
            )
        return self._experiment.check_values(theta)

    def _angles_of_one(self, theta: ArrayLike) -> NDArray[np.float64]:
        return self._experiment.slot_angles(self._checked_point(theta))

    def _submit(
        self, angles: NDArray[np.float64], convert: Callable[[Outcome], Sequence[Any]], futures: int
    ) -> Sequence[QuantumFuture[Any]]:
        return self._loop.submit(
            self._experiment, angles, shots=self.shots, convert=convert, futures=futures
        )


def _values(outcome: Outcome) -> list[float]:
    """The one observable at every point."""
    values: list[float] = outcome.value.evs[:, 0].tolist()  # type: ignore[union-attr]
    return values
