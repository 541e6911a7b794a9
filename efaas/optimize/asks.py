"""What an optimizer asks for, and who can say what it would ask next.

A deterministic optimizer is a coroutine: it asks for the value or the gradient at a point, is
given the answer, and asks again. ``Ask`` is one such question. An ``Oracle`` is a copy of the
optimizer that can be given made-up answers, to learn what the real one would ask for then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "GRADIENT",
    "VALUE",
    "Answerer",
    "Ask",
    "AskKey",
    "Asked",
    "EndOfPath",
    "Oracle",
    "Start",
    "Step",
]

VALUE = "value"
GRADIENT = "gradient"


class EndOfPath(BaseException):
    """Raised in a copy of the optimizer where nobody knows the answer; ends that path.

    Not an ``Exception``: optimizers catch those of an objective or a constraint.
    """


class Ask:
    """A point at which an optimizer wants the value, or the gradient. Equal to the bit.

    Attributes:
        x: The point: a number, or an array, copied, that nobody may write to.
        kind: ``"value"`` or ``"gradient"``.
        key: Tells asks apart: the kind, and the point's type, shape and bytes.
    """

    __slots__ = ("key", "kind", "x")

    def __init__(self, x: Any, kind: str = VALUE) -> None:
        self.kind = kind
        if isinstance(x, np.ndarray):
            self.x: Any = x.copy()
            self.x.flags.writeable = False
            self.key: AskKey = (kind, x.dtype.str, x.shape, self.x.tobytes())
        else:
            self.x = x
            self.key = (kind, type(x).__name__, np.shape(x), np.asarray(x).tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ask) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __reduce__(self) -> tuple[type[Ask], tuple[Any, str]]:
        return Ask, (self.x, self.kind)

    def __repr__(self) -> str:
        return f"Ask({self.x!r}, {self.kind!r})"


AskKey: TypeAlias = tuple[str, str, tuple[int, ...], bytes]
"""Kind, type, shape and bytes of an ask."""

Step: TypeAlias = tuple[Ask, ...]
"""What an optimizer asks for at once: one ask, or all points of a finite difference."""

Answerer: TypeAlias = Callable[[Ask], Any]
"""A made-up answer to an ask: a float for a value, an array of ``x``'s shape for a gradient.

It is called for the asks of one path in their order, so it may keep a state, and it can be
pickled.
"""


class Asked(Protocol):
    """The objective as an optimizer sees it."""

    def value(self, x: NDArray[Any], *args: Any) -> Any:
        """The objective's value at ``x``; ``args`` are bound already and ignored."""
        ...

    def gradient(self, x: NDArray[Any], *args: Any) -> Any:
        """The objective's gradient at ``x``; ``args`` are bound already and ignored."""
        ...

    def map(self, fn: Callable[[Any], Any], points: Iterable[Any]) -> Iterable[Any]:
        """``map(fn, points)``, what ``fn`` asks for at all of them evaluated in one round."""
        ...


class Start(Protocol):
    """Runs the optimizer from the beginning, each time in the same way."""

    @property
    def is_data(self) -> bool:
        """Whether it can be pickled and run elsewhere: it holds no function of the user's."""
        ...

    def __call__(self, asked: Asked) -> Any:
        """Run it to its end, on that objective, without callbacks and without printing."""
        ...


class Oracle(Protocol):
    """A copy of the optimizer that says what it would ask for next."""

    @property
    def broken(self) -> str:
        """Why it can say nothing from now on; empty as long as it can."""
        ...

    def record(self, ask: Ask, answer: Any) -> None:
        """Take note that the real optimizer was given this answer, in its order."""
        ...

    def paths(
        self, answerers: Sequence[Answerer], depth: int, *, seconds: float
    ) -> list[list[Step]]:
        """For each answerer what the optimizer would ask for, if answered so from now on.

        Args:
            answerers: One per path.
            depth: Most steps of a path, the pending one included; a path may end sooner where the
                optimizer ends, or time runs out.
            seconds: Real time that all paths together may take; where it does not suffice, the
                last answerers have no path.

        Returns:
            A path for each of the first answerers, in their order; each begins with the step
            that is pending. Empty where the oracle cannot say.
        """
        ...

    def close(self) -> None:
        """End its processes, if it has any."""
        ...
