"""Angle maps: the gate angles of a circuit as a function of its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qiskit.circuit import Parameter, ParameterExpression
from qiskit.exceptions import QiskitError

from efaas.errors import GradientError, ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["AngleMap"]

_PROBE = (0.7390851332151607, 0.4812118250596035)
"""Where a claim that an expression is affine is checked: base and step of a generic point."""


class AngleMap:
    """The function from parameter values to angles, for many points at once.

    An affine angle is ``offset + scale_1 * value_1 + ...``, summed in the order of the parameters
    and elementwise over the points; any other expression is evaluated by Qiskit, one point at a
    time. Either way the bits of a row depend on that row alone. Immutable and picklable.

    Attributes:
        num_angles: Number of angles.
        num_parameters: Number of parameters.

    Example:
        >>> from qiskit.circuit import Parameter
        >>> a, b = Parameter("a"), Parameter("b")
        >>> angles = AngleMap.of([2 * a + 1, a - b, 0.5], [a, b])
        >>> angles(np.array([[1.0, 2.0]])).tolist()
        [[3.0, -1.0, 0.5]]
    """

    __slots__ = (
        "_curved",
        "_derivatives",
        "_indices",
        "_is_identity",
        "_offsets",
        "_scales",
        "num_angles",
        "num_parameters",
    )

    def __init__(
        self,
        offsets: Sequence[float],
        terms: Sequence[Sequence[tuple[int, float]]],
        curved: Sequence[tuple[int, ParameterExpression, tuple[tuple[Parameter, int], ...]]],
        num_parameters: int,
    ) -> None:
        """Assemble a map; ``AngleMap.of`` finds the pieces.

        Args:
            offsets: The constant of each angle.
            terms: For each angle its ``(parameter index, scale)`` pairs.
            curved: The angles that are not affine: their index, their expression, and where each
                of its parameters stands among the parameters.
            num_parameters: Number of parameters.
        """
        self.num_angles = len(offsets)
        self.num_parameters = num_parameters
        self._offsets: NDArray[np.float64] = np.array(offsets, dtype=np.float64)
        width = max((len(pairs) for pairs in terms), default=0)
        # One row per summand, so that a map of plain parameters is one gather. Angles with fewer
        # summands are padded with 0 * value, which adds nothing to a finite sum.
        self._indices: NDArray[np.intp] = np.zeros((width, self.num_angles), dtype=np.intp)
        self._scales: NDArray[np.float64] = np.zeros((width, self.num_angles))
        for angle, pairs in enumerate(terms):
            for summand, (index, scale) in enumerate(pairs):
                self._indices[summand, angle] = index
                self._scales[summand, angle] = scale
        self._is_identity = bool(
            width == 1 and not curved and np.all(self._scales == 1.0) and not self._offsets.any()
        )
        self._curved = tuple(curved)
        self._derivatives: tuple[tuple[ParameterExpression | float, ...], ...] | None = None

    @classmethod
    def of(
        cls,
        expressions: Sequence[ParameterExpression | float],
        parameters: Sequence[Parameter],
    ) -> AngleMap:
        """The map of the given expressions.

        Args:
            expressions: One per angle: a number, a parameter or an expression of parameters.
            parameters: The parameters, in the order of the values' columns.

        Raises:
            ParameterError: An expression has a parameter that is not among ``parameters``.
        """
        columns = {parameter: index for index, parameter in enumerate(parameters)}
        offsets: list[float] = []
        terms: list[list[tuple[int, float]]] = []
        curved = []
        for angle, expression in enumerate(expressions):
            offset = 0.0
            pairs: list[tuple[int, float]] = []
            if not isinstance(expression, ParameterExpression):
                offset = float(expression)
            elif isinstance(expression, Parameter) and expression in columns:
                pairs.append((columns[expression], 1.0))
            else:
                places = _places(expression, columns)
                affine = _affine(expression, places)
                if affine is None:
                    curved.append((angle, expression, places))
                else:
                    offset, pairs = affine
            offsets.append(offset)
            terms.append(pairs)
        return cls(offsets, terms, curved, len(columns))

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The angles, shape ``(points, angles)``, of values of shape ``(points, parameters)``.

        Raises:
            ParameterError: An expression has no finite real value at one of the points.
        """
        if self._is_identity:
            gathered: NDArray[np.float64] = values.take(self._indices[0], axis=1)
            return gathered
        angles = np.empty((len(values), self.num_angles))
        angles[:] = self._offsets
        for indices, scales in zip(self._indices, self._scales, strict=True):
            angles += values.take(indices, axis=1) * scales
        for angle, expression, places in self._curved:
            for point, row in enumerate(values):
                angles[point, angle] = _value(expression, _bindings(places, row))
        return angles

    def jacobian(self, row: NDArray[np.float64]) -> NDArray[np.float64]:
        """The derivative of each angle by each parameter at one point.

        Args:
            row: One point, shape ``(parameters,)``.

        Returns:
            Shape ``(angles, parameters)``.

        Raises:
            GradientError: An expression cannot be differentiated there.
        """
        jacobian = np.zeros((self.num_angles, self.num_parameters))
        every = np.arange(self.num_angles)
        for indices, scales in zip(self._indices, self._scales, strict=True):
            used = scales != 0
            jacobian[every[used], indices[used]] += scales[used]
        for (angle, expression, places), derivatives in zip(
            self._curved, self.derivatives(), strict=True
        ):
            for (_, index), derivative in zip(places, derivatives, strict=True):
                if isinstance(derivative, ParameterExpression):
                    wanted = derivative.parameters
                    here = _bindings(tuple(place for place in places if place[0] in wanted), row)
                    try:
                        jacobian[angle, index] = _value(derivative, here)
                    except ParameterError as error:
                        raise GradientError(
                            f"the angle {expression} has no finite derivative at {here}; "
                            "move the point, or use jac='2-point'"
                        ) from error
                else:
                    jacobian[angle, index] = derivative
        return jacobian

    def derivatives(self) -> tuple[tuple[ParameterExpression | float, ...], ...]:
        """The derivatives of each angle that is not affine, one for each of its parameters.

        Raises:
            GradientError: An expression has no derivative.
        """
        if self._derivatives is None:
            self._derivatives = tuple(
                tuple(_derivative(expression, parameter) for parameter, _ in places)
                for _, expression, places in self._curved
            )
        return self._derivatives

    @property
    def is_variable(self) -> NDArray[np.bool_]:
        """For each angle whether it depends on a parameter at all, shape ``(angles,)``."""
        variable: NDArray[np.bool_] = (self._scales != 0).any(axis=0)
        for angle, _, _ in self._curved:
            variable[angle] = True
        return variable


def _places(
    expression: ParameterExpression, columns: dict[Parameter, int]
) -> tuple[tuple[Parameter, int], ...]:
    """Each parameter of the expression with its column, in the order of the columns."""
    missing = [parameter.name for parameter in expression.parameters if parameter not in columns]
    if missing:
        raise ParameterError(
            f"the angle {expression} needs values for {', '.join(sorted(missing))}, "
            "which are not among the parameters given"
        )
    return tuple(
        sorted(((p, columns[p]) for p in expression.parameters), key=lambda place: place[1])
    )


def _affine(
    expression: ParameterExpression, places: tuple[tuple[Parameter, int], ...]
) -> tuple[float, list[tuple[int, float]]] | None:
    """Offset and ``(column, scale)`` pairs of an affine expression; None if it is not affine."""
    try:
        slopes = [expression.gradient(parameter) for parameter, _ in places]
    except (QiskitError, RuntimeError):
        return None
    if not all(isinstance(slope, (int, float)) for slope in slopes):
        return None
    probe = {parameter: _PROBE[0] + _PROBE[1] * rank for rank, (parameter, _) in enumerate(places)}
    try:
        offset = _value(expression, dict.fromkeys(probe, 0.0))
        expected = _value(expression, probe)
    except ParameterError:
        return None
    # The library's derivative is taken at its word only where the values agree with it.
    found = offset + sum(slope * value for slope, value in zip(slopes, probe.values(), strict=True))
    size = abs(offset) + sum(abs(slope) for slope in slopes) + 1.0
    if not abs(found - expected) <= 1e-12 * size:
        return None
    pairs = [
        (column, float(slope))
        for (_, column), slope in zip(places, slopes, strict=True)
        if slope != 0
    ]
    return offset, pairs


def _bindings(
    places: tuple[tuple[Parameter, int], ...], row: NDArray[np.float64]
) -> dict[Parameter, float]:
    return {parameter: float(row[column]) for parameter, column in places}


def _value(expression: ParameterExpression, bindings: dict[Parameter, float]) -> float:
    try:
        value = complex(expression.bind(bindings).numeric())
    except (QiskitError, ArithmeticError, TypeError, RuntimeError) as error:
        raise ParameterError(f"the angle {expression} has no value at {bindings}") from error
    if value.imag != 0 or not np.isfinite(value.real):
        raise ParameterError(
            f"the angle {expression} has to be real and finite, got {value} at {bindings}"
        )
    return value.real


def _derivative(
    expression: ParameterExpression, parameter: Parameter
) -> ParameterExpression | float:
    try:
        derivative: ParameterExpression | float = expression.gradient(parameter)
    except (QiskitError, RuntimeError) as error:
        raise GradientError(
            f"the angle {expression} cannot be differentiated by {parameter.name}; "
            "rewrite it, or use jac='2-point'"
        ) from error
    return derivative
