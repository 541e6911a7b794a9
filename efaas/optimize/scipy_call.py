"""A call of one of scipy's functions: the real one, and copies that try out what it will ask."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import scipy.optimize

from efaas.optimize.door import is_parameter_shift
from efaas.optimize.seeding import Seeding
from efaas.optimize.start import holds_function, silent, takes_workers

if TYPE_CHECKING:
    from efaas.optimize.asks import Asked

__all__ = [
    "AsksAhead",
    "CopiedCall",
    "ScipyCall",
    "in_rounds",
    "in_single_pass",
    "local_search",
    "quiet_local_search",
    "scipy_is",
]

_ROUND_POINTS = 1_000
"""Most points of a grid in one round."""


@runtime_checkable
class AsksAhead(Protocol):
    """An objective that takes points before they are asked for: that of a real run."""

    def ahead(self, points: Iterable[Any]) -> None:
        """Evaluate in one round what will be asked for."""
        ...


@dataclass(frozen=True)
class ScipyCall:
    """A call of one of scipy's functions on an objective.

    A subclass for each function says where scipy takes what is known in advance.

    Attributes:
        arguments: The user's, by name, without the objective and the random numbers.
        seeding: The random numbers.
        function: Scipy's.
        seed_position: Where scipy takes ``rng`` by position; None where it takes none.
        one_per_parameter: The argument that has an entry for each parameter; empty without any.
    """

    arguments: Mapping[str, Any]
    seeding: Seeding

    function: ClassVar[Callable[..., Any]]
    seed_position: ClassVar[int | None] = None
    one_per_parameter: ClassVar[str] = ""

    def run(self, asked: Asked) -> Any:
        """Scipy's result."""
        arguments = self.connected(dict(self.arguments), asked)
        return type(self).function(asked.value, **arguments, **self.seeding.given)

    def connected(self, arguments: dict[str, Any], asked: Asked) -> dict[str, Any]:
        """The arguments, such that points known in advance go out in one round."""
        return arguments

    def quiet(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a copy, which prints nothing; the given ones are not written to."""
        return arguments

    def users_functions(self) -> list[str]:
        """The arguments that hold functions of the user's, which a copy may not call."""
        return [
            name
            for name, value in self.arguments.items()
            if name not in ("args", "callback") and holds_function(value)
        ]

    def copied(self) -> CopiedCall:
        """The same call as copies make it, out of everybody's reach; it holds no function."""
        kept = {k: v for k, v in self.arguments.items() if k not in ("args", "callback")}
        seeding = Seeding(self.seeding.fresh(), {}, is_chosen=True)
        return CopiedCall(type(self)(copy.deepcopy(self.quiet(kept)), seeding))


@dataclass(frozen=True)
class CopiedCall:
    """Makes a call from its beginning, each time in the same way.

    Attributes:
        call: It is copied each time: scipy writes to generators and options.
        is_data: It can be pickled and made elsewhere.
    """

    call: ScipyCall
    is_data: ClassVar[bool] = True

    def __call__(self, asked: Asked) -> Any:
        """Make it once more, on that objective."""
        return copy.deepcopy(self.call).run(asked)


def scipy_is(*versions: str) -> bool:
    """Whether the installed scipy is one of these, such as ``"1.17"``.

    Where scipy fills in an argument itself, it is filled in here, with a map, only for versions
    that are known to do it in this way. With others the result is as exact, in more rounds.
    """
    return ".".join(scipy.__version__.split(".")[:2]) in versions


def in_rounds(
    asked: Asked, *, before: Callable[[], None] = lambda: None
) -> Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]:
    """A map whose evaluations go out in rounds of bounded size, each when it is reached.

    Args:
        asked: The objective.
        before: Called before each round.
    """

    def mapped(fn: Callable[[Any], Any], points: Iterable[Any]) -> Iterator[Any]:
        rows = list(points)
        for first in range(0, len(rows), _ROUND_POINTS):
            before()
            yield from asked.map(fn, rows[first : first + _ROUND_POINTS])

    return mapped


def in_single_pass(asked: Asked) -> Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]:
    """A map in one round that calls its function once per point, as its calls are counted.

    It is for points that are asked for as they are.
    """
    if not isinstance(asked, AsksAhead):
        return asked.map
    ahead = asked.ahead

    def mapped(fn: Callable[[Any], Any], points: Iterable[Any]) -> Iterator[Any]:
        rows = list(points)
        ahead(rows)
        return map(fn, rows)

    return mapped


def local_search(
    given: Mapping[str, Any],
    asked: Asked,
    workers: Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]] | None,
) -> dict[str, Any]:
    """A ``minimizer_kwargs`` whose finite differences are evaluated in one round.

    Args:
        given: The user's; not written to.
        asked: The objective, for parameter-shift gradients.
        workers: What to give a method that takes ``workers``; None to give nothing.
    """
    made = dict(given)
    jac, method = made.get("jac"), made.get("method")
    if is_parameter_shift(jac):
        made["jac"] = asked.gradient
    elif workers is not None and jac is not True and not callable(jac) and takes_workers(method):
        made["options"] = {"workers": workers} | dict(made.get("options") or {})
    return made


def quiet_local_search(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A ``minimizer_kwargs`` without callback, printing and arguments of the user's functions."""
    if given is None:
        return None
    made = {name: value for name, value in given.items() if name != "args"}
    if "callback" in made:
        made["callback"] = None
    if isinstance(made.get("options"), dict):
        made["options"] = silent(made["options"])
    return made
