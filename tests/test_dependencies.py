"""What is declared to be needed is needed, and what is needed is declared."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import efaas

PACKAGE = Path(efaas.__file__).parent
# Where the name on an index and that of the package differ.
IMPORTED_AS = {
    "opentelemetry-api": "opentelemetry",
    "qiskit-aer": "qiskit_aer",
    "qiskit-ibm-runtime": "qiskit_ibm_runtime",
}
# Used where a user has them: tables, notebooks, the contract suites of efaas.testing.
OF_THE_USER = {"pandas", "IPython", "pytest"}
# Dependencies of qiskit-ibm-runtime, of which what it sends and raises is made.
OF_THE_CLIENT = {"ibm_quantum_schemas", "pydantic", "requests", "samplomatic", "urllib3"}


def required(extra: str | None) -> set[str]:
    """The packages that the metadata names, for an extra or without one."""
    names = set()
    for line in importlib.metadata.requires("efaas") or []:
        requirement, _, marker = line.partition(";")
        of = re.search(r"extra == ['\"]([\w-]+)['\"]", marker)
        if (of[1] if of else None) == extra:
            name = re.split(r"[\s<>=!~\[]", requirement.strip())[0].lower()
            names.add(IMPORTED_AS.get(name, name))
    return names


def imports(tree: ast.AST) -> Iterator[str]:
    """The packages that code imports when it runs, not those that only its annotations name."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]
        else:
            yield from imports(node)


def imported() -> set[str]:
    """All that the package imports, but the standard library and itself."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        found |= set(imports(ast.parse(path.read_text(encoding="utf-8"))))
    return found - set(sys.stdlib_module_names) - {"efaas"}


def test_every_dependency_is_imported() -> None:
    assert required(None) - imported() == set()


def test_every_import_is_a_dependency_or_of_an_extra() -> None:
    optional = required("plot") | required("otel") | required("dask")
    assert imported() - required(None) - optional - OF_THE_USER - OF_THE_CLIENT == set()
