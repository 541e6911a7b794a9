"""What ``import efaas`` gives, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import efaas

HEAVY = ("qiskit", "qiskit_aer", "qiskit_ibm_runtime", "scipy", "matplotlib", "pandas")


def test_the_public_names_are_these() -> None:
    assert sorted(efaas.__all__) == [
        "Budget",
        "EFScheduler",
        "EFSession",
        "EfaasError",
        "FairSettings",
        "Journal",
        "LoopEvent",
        "Objective",
        "PlacementWeights",
        "QuantumFuture",
        "RepinSettings",
        "Sentinel",
        "Speculation",
        "SpeculationReport",
        "__version__",
        "backends",
        "errors",
        "minimize",
        "observe",
        "optimize",
        "primitives",
    ]


@pytest.mark.parametrize(
    "package", ["efaas", "efaas.backends", "efaas.observe", "efaas.primitives", "efaas.errors"]
)
def test_every_public_name_is_there(package: str) -> None:
    __import__(package)
    module = sys.modules[package]
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'EFSesion'"):
        efaas.EFSesion  # noqa: B018


@pytest.mark.parametrize("package", ["efaas", "efaas.session", "efaas.observe"])
def test_importing_it_imports_no_heavy_package(package: str) -> None:
    code = f"import sys, {package}; print(*[m for m in {HEAVY} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []
