"""The content of an instruction's parameters and conditions, whatever objects hold it."""

from __future__ import annotations

import enum
import pickle
import uuid
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
from qiskit.circuit import (
    CASE_DEFAULT,
    ClassicalRegister,
    Clbit,
    ControlFlowOp,
    ForLoopOp,
    IfElseOp,
    ParameterExpression,
    SwitchCaseOp,
    WhileLoopOp,
)
from qiskit.circuit.classical import expr

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ContentReader"]

_FIELDS = (
    *("op", "operand", "left", "right", "value", "target"),
    *("index", "start", "stop", "step", "implicit"),
)
"""What the nodes of classical expressions consist of."""


class ContentReader:
    """Turns values into plain ones whose ``repr`` is equal exactly for equal content.

    Classical variables are told apart by the order in which they first come, so that two builds
    of one circuit read the same.
    """

    def __init__(self) -> None:
        self._variables: dict[Any, int] = {}

    def read(self, value: Any, clbit_at: Mapping[Clbit, int]) -> Any:
        """The plain value.

        Args:
            value: A parameter, duration, condition or classical expression.
            clbit_at: Where each classical bit stands.
        """
        if isinstance(value, enum.Enum):
            return value.name
        if value is None or isinstance(value, (bool, str, bytes)):
            return value
        if isinstance(value, (int, np.integer)):
            return int(value)
        if isinstance(value, (float, np.floating)):
            return float(value)
        if isinstance(value, (complex, np.complexfloating)):
            return complex(value)
        if isinstance(value, (list, tuple)):
            return tuple(self.read(item, clbit_at) for item in value)
        if isinstance(value, np.ndarray) and value.dtype != object:
            array = np.ascontiguousarray(value)
            return ("array", value.shape, value.dtype.str, _digest(array.tobytes()))
        if isinstance(value, Clbit):
            return ("clbit", clbit_at[value])
        if isinstance(value, ClassicalRegister):
            return ("register", tuple(clbit_at[bit] for bit in value))
        if isinstance(value, expr.Expr):
            return self._read_expression(value, clbit_at)
        if isinstance(value, ParameterExpression) and not value.parameters:
            return complex(value.numeric())
        return _opaque(value)

    def read_control(self, operation: ControlFlowOp, clbit_at: Mapping[Clbit, int]) -> Any:
        """What steers a control-flow operation: all of it but its blocks."""
        if isinstance(operation, (IfElseOp, WhileLoopOp)):
            return self.read(operation.condition, clbit_at)
        if isinstance(operation, SwitchCaseOp):
            cases = tuple(
                tuple("default" if label is CASE_DEFAULT else int(label) for label in labels)
                for labels, _ in operation.cases_specifier()
            )
            return (self.read(operation.target, clbit_at), cases)
        if isinstance(operation, ForLoopOp):
            indices, counter, _ = operation.params
            values = indices if isinstance(indices, expr.Expr) else tuple(indices)
            return (self.read(values, clbit_at), counter is not None)
        box = (getattr(operation, "duration", None), getattr(operation, "unit", None))
        return self.read(box, clbit_at)

    def _read_expression(self, node: expr.Expr, clbit_at: Mapping[Clbit, int]) -> Any:
        if isinstance(node, expr.Var) and isinstance(node.var, (Clbit, ClassicalRegister)):
            return self.read(node.var, clbit_at)
        if isinstance(node, expr.Var) or hasattr(node, "name"):  # a variable or a stretch
            rank = self._variables.setdefault(node, len(self._variables))
            return ("variable", rank, repr(node.type))
        fields = [name for name in _FIELDS if hasattr(node, name)]
        if not fields:
            return _opaque(node)
        parts = tuple(self.read(getattr(node, name), clbit_at) for name in fields)
        return (type(node).__name__, repr(node.type), parts)


def _digest(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()


def _opaque(value: Any) -> Any:
    try:
        return ("pickle", _digest(pickle.dumps(value)))
    except Exception:
        # A foreign class may raise anything here. Unknown content equals no other content: the
        # circuit is compiled anew, which is slow but right.
        return ("unknown", uuid.uuid4().hex)
