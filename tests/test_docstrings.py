"""Every public name says what it gives, and a value explains each of its fields.

That a list of arguments lists all of them is ruff's rule D417.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

PACKAGES = (
    "efaas",
    "efaas.backends",
    "efaas.errors",
    "efaas.observe",
    "efaas.optimize",
    "efaas.primitives",
)


def public_names() -> dict[str, Any]:
    """The classes and functions of ours that a user may import, each once."""
    found: dict[int, tuple[str, Any]] = {}
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            value = getattr(module, name)
            is_ours = getattr(value, "__module__", "").startswith("efaas")
            if is_ours and (inspect.isclass(value) or inspect.isfunction(value)):
                found.setdefault(id(value), (f"{package}.{name}", value))
    return dict(found.values())


def explained(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """A function, or a class with its public methods and properties, and the texts about them."""
    yield name, value.__doc__ or ""
    if inspect.isclass(value):
        for attribute, member in vars(value).items():
            function = getattr(member, "__func__", member)
            if attribute[0] != "_" and (
                inspect.isfunction(function) or isinstance(function, property)
            ):
                yield f"{name}.{attribute}", function.__doc__ or ""


NAMES = public_names()


def test_there_are_many() -> None:
    assert len(NAMES) > 60


@pytest.mark.parametrize("name", NAMES)
def test_it_and_its_methods_say_in_a_sentence_what_they_give(name: str) -> None:
    texts = explained(name, NAMES[name])
    assert [of for of, text in texts if not re.match(r"\S.*?[.:](\s|$)", text, re.DOTALL)] == []


@pytest.mark.parametrize(
    "name", [name for name, value in NAMES.items() if dataclasses.is_dataclass(value)]
)
def test_every_field_of_a_value_is_explained(name: str) -> None:
    text = NAMES[name].__doc__ or ""
    fields = [f.name for f in dataclasses.fields(NAMES[name]) if not f.name.startswith("_")]
    assert [field for field in fields if not re.search(rf"\b{field}\b", text)] == []
