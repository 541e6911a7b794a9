"""The citation file, the metadata and the package agree on what this is."""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path
from typing import Any

import pytest

import efaas

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parent.parent


@pytest.fixture
def citation() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    return read


def test_it_has_what_the_format_requires(citation: dict[str, Any]) -> None:
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert str(citation["cff-version"]) == "1.2.0"
    assert all(set(author) == {"name"} for author in citation["authors"])


def test_all_say_the_same_version(citation: dict[str, Any]) -> None:
    assert citation["version"] == efaas.__version__ == importlib.metadata.version("efaas")


def test_it_says_what_the_project_says(citation: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["license"] == project["license"]
    assert citation["title"] == f"efaas: {project['description'].lower()}"
    assert [author["name"] for author in citation["authors"]] == [
        author["name"] for author in project["authors"]
    ]
