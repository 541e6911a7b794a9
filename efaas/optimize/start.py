"""Starting ``scipy.optimize.minimize``: for the real run, and for copies that try it out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import scipy.optimize

from efaas.optimize.asks import Asked, EndOfPath

__all__ = [
    "FROM_ASKED",
    "MinimizeStart",
    "RememberedFunction",
    "holds_function",
    "silent",
    "takes_derivatives",
    "takes_workers",
]

FROM_ASKED = "from asked"
"""A ``jac`` that is asked for like a value: the objective's own, or the user's function."""

# The function itself, whatever the name is bound to later.
_minimize = scipy.optimize.minimize

_NO_DERIVATIVES = ("nelder-mead", "powell", "cobyla", "cobyqa")
_PRINTING = ("disp", "iprint", "verbose")


def silent(options: Mapping[str, Any]) -> dict[str, Any]:
    """A method's options without those that make it print."""
    return {name: value for name, value in options.items() if name not in _PRINTING}


def takes_derivatives(method: Any) -> bool:
    """Whether a method uses gradients."""
    return not isinstance(method, str) or method.lower() not in _NO_DERIVATIVES


def takes_workers(method: Any) -> bool:
    """Whether a method takes a map-like callable as its option ``workers``."""
    if callable(method):
        return bool(getattr(method, "takes_workers", False))
    return (method is None or isinstance(method, str)) and takes_derivatives(method)


class RememberedFunction:
    """A function of the user's that copies of the optimizer may look up.

    The real run calls it as ever, and what it returned is remembered; a copy is given what is
    remembered at the same arguments, and beyond that calls the function only if it may.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        may_call_ahead: bool,
        remembered: dict[Any, Any] | None = None,
    ) -> None:
        self._function = function
        self._may_call_ahead = may_call_ahead
        self._remembered: dict[Any, Any] = {} if remembered is None else remembered
        self._is_copy = remembered is not None

    def __call__(self, *args: Any) -> Any:
        """What it returns at these arguments."""
        key = tuple([_key(arg) for arg in args])
        if not self._is_copy:
            result = self._function(*args)
            self._remembered[key] = copy.deepcopy(result)
            return result
        if key not in self._remembered:
            if not self._may_call_ahead:
                raise EndOfPath
            self._remembered[key] = self._function(*args)
        return copy.deepcopy(self._remembered[key])

    def for_copy(self) -> RememberedFunction:
        """The same function as a copy of the optimizer sees it."""
        return RememberedFunction(
            self._function, may_call_ahead=self._may_call_ahead, remembered=self._remembered
        )


@dataclass(frozen=True)
class MinimizeStart:
    """A call of ``scipy.optimize.minimize``.

    Attributes:
        x0: Where it starts.
        args: Further arguments of the user's functions.
        passed: The other arguments, but for ``callback``. ``jac`` may be ``FROM_ASKED``.
        callback: The user's, called in the real run only.
        gives_map: Whether the method is given ``map`` as its ``workers``.
        may_call_ahead: Whether copies may call functions of the user's at guessed points.
    """

    x0: Any
    args: Any
    passed: Mapping[str, Any]
    callback: Any = None
    gives_map: bool = False
    may_call_ahead: bool = False
    _pristine: tuple[Any, Mapping[str, Any]] | None = field(default=None, repr=False)

    @classmethod
    def prepared(cls, start: MinimizeStart) -> MinimizeStart:
        """The same, with its functions remembered and its arrays out of everybody's reach."""
        passed = {
            name: _with_functions(
                value, lambda f: RememberedFunction(f, may_call_ahead=start.may_call_ahead)
            )
            if name in ("jac", "hess", "hessp", "constraints")
            else value
            for name, value in start.passed.items()
        }
        pristine = {
            name: value if name == "method" else _deep_copied(value)
            for name, value in passed.items()
        }
        return replace(start, passed=passed, _pristine=(_deep_copied(start.x0), pristine))

    @property
    def is_data(self) -> bool:
        """Whether it can be pickled and run elsewhere: it holds no function of the user's."""
        return not holds_function([self.args, *self.passed.values()])

    def run(self, asked: Asked) -> scipy.optimize.OptimizeResult:
        """The real run: the user's own arguments, with callbacks and printing."""
        return _minimize(
            asked.value,
            self.x0,
            self.args,
            callback=self.callback,
            **self._arguments(asked, self.passed),
        )

    def __call__(self, asked: Asked) -> Any:
        """Run a copy, without callbacks and without printing."""
        x0, pristine = self._pristine or (self.x0, self.passed)
        passed = {
            name: _with_functions(_deep_copied(value), _seen_by_copy) if name != "method" else value
            for name, value in pristine.items()
        }
        options = silent(passed.get("options") or {})
        if not self.gives_map:
            options.pop("workers", None)  # somebody's pool: not for copies
        passed["options"] = options
        return _minimize(asked.value, np.copy(x0), self.args, **self._arguments(asked, passed))

    def __reduce__(self) -> tuple[Any, ...]:
        x0, pristine = self._pristine or (self.x0, self.passed)
        return MinimizeStart, (x0, (), dict(pristine), None, self.gives_map)

    def _arguments(self, asked: Asked, passed: Mapping[str, Any]) -> dict[str, Any]:
        arguments = dict(passed)
        if isinstance(arguments.get("jac"), str) and arguments["jac"] == FROM_ASKED:
            arguments["jac"] = asked.gradient
        if self.gives_map:
            arguments["options"] = {"workers": asked.map} | dict(arguments.get("options") or {})
        return arguments


def _with_functions(value: Any, wrap: Callable[[Any], Any]) -> Any:
    """The value with every function of the user's in it wrapped: a constraint, or several."""
    if isinstance(value, RememberedFunction) or _is_plain_function(value):
        return wrap(value)
    if isinstance(value, dict):
        return {name: _with_functions(item, wrap) for name, item in value.items()}
    if isinstance(value, list | tuple):
        wrapped = [_with_functions(item, wrap) for item in value]
        return wrapped if isinstance(value, list) else tuple(wrapped)
    if isinstance(value, scipy.optimize.NonlinearConstraint):
        constraint: Any = copy.copy(cast("Any", value))
        for name in ("fun", "jac", "hess"):
            setattr(constraint, name, _with_functions(getattr(value, name), wrap))
        return constraint
    return value


def _is_plain_function(value: Any) -> bool:
    """Whether it is there to be called; scipy's own objects that can be called are not meant."""
    return callable(value) and not isinstance(
        value, scipy.optimize.HessianUpdateStrategy | type | np.ndarray
    )


def _seen_by_copy(function: Any) -> Any:
    return function.for_copy() if isinstance(function, RememberedFunction) else function


def holds_function(value: Any) -> bool:
    """Whether it is, or holds, a function that is not one of scipy's optimizers."""
    if isinstance(value, dict):
        return any(holds_function(v) for k, v in value.items() if k not in ("args", "callback"))
    if isinstance(value, list | tuple):
        return any(map(holds_function, value))
    if isinstance(value, scipy.optimize.NonlinearConstraint):
        return True
    if isinstance(value, scipy.optimize.HessianUpdateStrategy | type | np.ndarray):
        return False
    return callable(value) and not str(getattr(value, "__module__", "")).startswith(
        "scipy.optimize"
    )


def _deep_copied(value: Any) -> Any:
    """The value out of everybody's reach; functions are what they are."""
    if isinstance(value, RememberedFunction) or _is_plain_function(value):
        return value
    if isinstance(value, dict):
        return {name: _deep_copied(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        copies = [_deep_copied(item) for item in value]
        return copies if isinstance(value, list) else tuple(copies)
    if isinstance(value, scipy.optimize.NonlinearConstraint):
        return copy.copy(cast("Any", value))
    try:
        return copy.deepcopy(value)
    except Exception:  # what cannot be copied is handed on as it is
        return value


def _key(value: Any) -> Any:
    """A key of an argument: arrays by their bytes."""
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, list | tuple):
        return tuple([_key(item) for item in value])
    return value if value.__hash__ is not None else repr(value)
