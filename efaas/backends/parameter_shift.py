"""The parameter-shift rule: exact derivatives of expectation values from shifted circuits.

For a gate ``exp(-i x G)`` whose generator ``G`` has just two eigenvalues that differ by 1, the
expectation value is a sinusoid of period 2 pi in ``x``, so that

    f'(x) = [f(x + pi/2) - f(x - pi/2)] / 2

(Mitarai, Negoro, Kitagawa, Fujii, Phys. Rev. A 98, 032309 (2018), eq. 4; Schuld, Bergholm,
Gogolin, Izaac, Killoran, Phys. Rev. A 99, 032331 (2019), theorem 1; decompositions as in Crooks,
arXiv:1905.13311). Angles of the circuit's parameters follow by the chain rule.

The rule is exact for the circuit as written. On a noisy device it holds for gates that compile to
one rotation; a gate that compiles to several (such as ``cp``), with noise between them, has a
small bias.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import TYPE_CHECKING

import numpy as np

from efaas.errors import GradientError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from efaas.backends.angles import AngleMap
    from efaas.backends.experiment import Experiment
    from efaas.backends.lifting import SlotUse

__all__ = ["TWO_TERM_ANGLES", "ShiftRule", "shift_rule"]

TWO_TERM_ANGLES: dict[str, tuple[int, ...]] = {
    # A Pauli, or a product of two, over 2: eigenvalues -1/2 and +1/2 (Mitarai 2018, eq. 1).
    **dict.fromkeys(["rx", "ry", "rz", "rxx", "ryy", "rzz", "rzx"], (0,)),
    # cos(phi) X + sin(phi) Y over 2; its phi conjugates the gate, so it comes in twice.
    "r": (0,),
    # Projector onto |1> or |1...1>: eigenvalues 0 and 1 (Schuld 2019, section III).
    **dict.fromkeys(["p", "u1", "cp", "cu1", "mcphase"], (0,)),
    # u(theta, phi, lambda) = p(phi) ry(theta) p(lambda), and u2, u3 alike (Crooks 2019, section 3).
    "u": (0, 1, 2),
    "u2": (0, 1),
    "u3": (0, 1, 2),
    # Controlled, that is cp(phi) cry(theta) cp(lambda), and for cu p(gamma) on the control: all
    # but theta are projectors; the generator of cry has the three eigenvalues 0, -1/2 and +1/2.
    "cu": (1, 2, 3),
    "cu3": (1, 2),
}
"""For each gate its angles that the rule holds for, with the reason beside them."""


@dataclass(frozen=True, slots=True)
class ShiftRule:
    """The shifted points of an experiment, and how their values make a gradient.

    Attributes:
        slots: The slots that depend on a parameter, ascending; each takes two points.
        angle_map: The experiment's, for the chain rule.

    Example:
        >>> from qiskit import QuantumCircuit
        >>> from qiskit.circuit import Parameter
        >>> from efaas.backends.experiment import Experiment
        >>> circuit = QuantumCircuit(1)
        >>> _ = circuit.rx(2 * Parameter("theta"), 0)
        >>> experiment = Experiment.estimate(circuit, ["Z"])
        >>> rule = shift_rule(experiment)
        >>> row = np.array([0.4])
        >>> points = rule.points(experiment.slot_angles(row[None])[0])
        >>> evs = np.cos(points[:, 0])  # what a backend would give
        >>> bool(np.isclose(rule.gradient(row, evs)[0], -2 * np.sin(0.8)))
        True
    """

    slots: tuple[int, ...]
    angle_map: AngleMap

    def points(self, angles: NDArray[np.float64]) -> NDArray[np.float64]:
        """The shifted slot angles: for each of ``slots`` one row above, then one below.

        Args:
            angles: Slot angles of the point, shape ``(slots,)``.

        Returns:
            Shape ``(2 * len(self.slots), slots)``.
        """
        shifted = np.tile(angles, (2 * len(self.slots), 1))
        rows = 2 * np.arange(len(self.slots))
        shifted[rows, self.slots] += pi / 2
        shifted[rows + 1, self.slots] -= pi / 2
        return shifted

    def combine(self, evs: NDArray[np.float64]) -> NDArray[np.float64]:
        """The derivative by each slot angle, shape ``(slots,)``; 0 for slots that are constant.

        Args:
            evs: Expectation values at the rows of ``points``, shape ``(2 * len(self.slots),)``.
        """
        derivatives = np.zeros(self.angle_map.num_angles)
        derivatives[list(self.slots)] = (evs[0::2] - evs[1::2]) / 2
        return derivatives

    def gradient(
        self, values: NDArray[np.float64], evs: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The derivative by each parameter, shape ``(parameters,)``.

        Args:
            values: The point in the user's parameters, shape ``(parameters,)``.
            evs: Expectation values at the rows of ``points``.

        Raises:
            GradientError: An angle's expression has no finite derivative at the point.
        """
        gradient: NDArray[np.float64] = self.angle_map.jacobian(values).T @ self.combine(evs)
        return gradient


def shift_rule(experiment: Experiment) -> ShiftRule:
    """The rule for all the experiment's parameters.

    Raises:
        GradientError: A parameter stands in a gate, a loop or an expression without the rule; the
            message names it.
    """
    slots = tuple(int(slot) for slot in np.flatnonzero(experiment.angle_map.is_variable))
    for slot in slots:
        _check(experiment.uses[slot])
    experiment.angle_map.derivatives()
    return ShiftRule(slots, experiment.angle_map)


def _check(use: SlotUse) -> None:
    if use.is_repeated:
        raise GradientError(
            f"the two-term parameter-shift rule needs every parameterised gate to run once, but "
            f"{use.gate!r} stands in a loop; unroll the loop, or use jac='2-point'",
            gate=use.gate,
        )
    if use.position not in TWO_TERM_ANGLES.get(use.gate, ()):
        which = "" if use.position == 0 else f" (its angle number {use.position})"
        raise GradientError(
            f"the two-term parameter-shift rule does not hold for the gate {use.gate!r}{which}, "
            "whose generator is not known to have two eigenvalues; decompose it into rx, ry, rz, "
            "p, rxx, ryy, rzz or rzx, or use jac='2-point'",
            gate=use.gate,
        )
