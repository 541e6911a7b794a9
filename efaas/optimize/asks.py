"""What an optimizer asks for, and who can say what it would ask next.

A deterministic optimizer is a coroutine: it asks for the value or the gradient at a point, is
given the answer, and asks again. ``Ask`` is one such question. An ``Oracle`` is a copy of the
optimizer that can be given made-up answers, to learn what the real one would ask for then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["GRADIENT", "VALUE", "Answerer", "Ask", "Asked", "Oracle", "Start", "Step"]

VALUE = "value"
GRADIENT = "gradient"


@dataclass(frozen=True, slots=True)
class Ask:
    """A point at which an optimizer wants the value, or the gradient. Equal to the bit.

    Attributes:
        x: The point, any shape; a copy that nobody writes to.
        kind: ``"value"`` or ``"gradient"``.
        key: Tells asks apart: the kind, and the point's type, shape and bytes.
    """

    x: NDArray[Any] = field(compare=False)
    kind: str = VALUE
    key: tuple[str, str, tuple[int, ...], bytes] = field(init=False)

    def __post_init__(self) -> None:
        x = np.array(self.x)
        x.flags.writeable = False
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "key", (self.kind, x.dtype.str, x.shape, x.tobytes()))


Step: TypeAlias = tuple[Ask, ...]
"""What an optimizer asks for at once: one ask, or all points of a finite difference."""

Answerer: TypeAlias = Callable[[Ask], Any]
"""A made-up answer to an ask: a float for a value, an array of ``x``'s shape for a gradient.

It is called for the asks of one path in their order, so it may keep a state, and it can be
pickled.
"""


class Asked(Protocol):
    """The objective as an optimizer sees it."""

    def value(self, x: NDArray[Any]) -> Any:
        """The objective's value at ``x``."""
        ...

    def gradient(self, x: NDArray[Any]) -> Any:
        """The objective's gradient at ``x``."""
        ...

    def map(self, fn: Callable[[Any], Any], points: Iterable[Any]) -> list[Any]:
        """``[fn(point) for point in points]``, where ``fn`` asks once, at its point."""
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

    def record(self, ask: Ask, answer: Any) -> None:
        """Take note that the real optimizer was given this answer, in its order."""
        ...

    def paths(
        self, answerers: Sequence[Answerer], depth: int, *, seconds: float
    ) -> list[list[Step]]:
        """For each answerer what the optimizer would ask for, if answered so from now on.

        Args:
            answerers: One per path.
            depth: Most steps of a path, the pending one included; paths that end sooner are the
                optimizer's last.
            seconds: Real time that all paths together may take; where it does not suffice, the
                last answerers have no path.

        Returns:
            At most one path per answerer, in their order; each begins with the step that is
            pending. Empty where the oracle cannot say.
        """
        ...

    def close(self) -> None:
        """End its processes, if it has any."""
        ...
