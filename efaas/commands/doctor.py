"""Checks the installation, and says how to mend what is missing or too old.

It looks at versions, runs a circuit on the simulator, and looks for a saved IBM account. It does
not use the network.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal, TypeAlias

import efaas

__all__ = ["Finding", "add_arguments", "findings", "run"]

State: TypeAlias = Literal["ok", "note", "wrong"]

_OPTIONAL = {
    "matplotlib": ("plot", "plots"),
    "opentelemetry-api": ("otel", "spans for OpenTelemetry"),
    "pandas": (None, "session.trace.to_pandas()"),
    "ipython": (None, "notebooks"),
}
_ACCOUNTS = Path.home() / ".qiskit" / "qiskit-ibm.json"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found about one thing.

    Attributes:
        name: Which.
        state: ``"ok"``, ``"note"`` for what is optional, or ``"wrong"``.
        said: What was found.
        remedy: What to do about it, or "".
    """

    name: str
    state: State
    said: str
    remedy: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes nothing."""


def run(given: argparse.Namespace) -> int:
    """Print what was found; 1 if something is wrong."""
    status = 0
    for finding in findings():
        mark = {"ok": "ok  ", "note": "    ", "wrong": "BAD "}[finding.state]
        print(f"{mark} {finding.name:<22} {finding.said}")
        if finding.remedy:
            print(f"{'':<28}{finding.remedy}")
        status |= finding.state == "wrong"
    print("\nall is well" if not status else "\nsomething is wrong: see the lines marked BAD")
    return status


def findings(version_of: Callable[[str], str | None] | None = None) -> Iterator[Finding]:
    """What there is to say about this installation.

    Args:
        version_of: Tells a package's version, or None; by default that of what is installed.
    """
    version_of = version_of or _installed
    yield Finding("efaas", "ok", f"{efaas.__version__}, in {Path(efaas.__file__).parent}")
    is_new = sys.version_info >= (3, 11)
    yield Finding(
        "Python",
        "ok" if is_new else "wrong",
        f"{platform.python_version()} on {platform.platform(terse=True)}",
        "" if is_new else "install Python 3.11 or newer",
    )
    for name, least in _required():
        yield _package(name, least, version_of(name))
    for name, (extra, what) in _OPTIONAL.items():
        version = version_of(name)
        wanted = f"'efaas[{extra}]'" if extra else name
        yield (
            Finding(name, "ok", f"{version}, for {what}")
            if version
            else Finding(name, "note", f"not installed: no {what}", f"pip install {wanted}")
        )
    yield Finding("processors", "ok", f"{os.cpu_count()}; classical steps run on as many slots")
    yield _simulator()
    yield _account(_ACCOUNTS, dict(os.environ))


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _required() -> Iterator[tuple[str, str]]:
    """What efaas says that it needs: names and least versions."""
    try:
        requirements = metadata.requires("efaas") or []
    except metadata.PackageNotFoundError:
        return
    for requirement in requirements:
        if "extra ==" not in requirement:
            name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
            least = re.search(r">=\s*([\d.]+)", requirement)
            yield name, "" if least is None else least[1]


def _package(name: str, least: str, version: str | None) -> Finding:
    wanted = f"{name}>={least}" if least else name
    remedy = f"pip install --upgrade '{wanted}'"
    if version is None:
        return Finding(name, "wrong", "not installed", remedy)
    if _numbers(version) < _numbers(least):
        return Finding(name, "wrong", f"{version}, but {least} or newer is needed", remedy)
    return Finding(name, "ok", version)


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"[\d.]*", version)
    return tuple([int(part) for part in found[0].split(".") if part]) if found else ()


def _simulator() -> Finding:
    try:
        import numpy as np
        from qiskit.circuit.library import efficient_su2

        with efaas.EFSession("aer", seed=1) as session:
            energy = session.objective(efficient_su2(2, reps=1), "ZZ", shots=None)
            value = energy(np.zeros(energy.num_parameters))
    except Exception as error:
        return Finding(
            "simulator",
            "wrong",
            f"{type(error).__name__}: {error}",
            "pip install --force-reinstall qiskit-aer; if it stays, please report it",
        )
    if abs(value - 1.0) > 1e-9:
        said = f"<ZZ> of |00> came out as {value}, not 1"
        return Finding("simulator", "wrong", said, "please report it")
    return Finding("simulator", "ok", "a circuit ran, and its value is right")


def _account(path: Path, environment: dict[str, str]) -> Finding:
    """Whether an IBM account is to be found, without showing anything of it."""
    if environment.get("QISKIT_IBM_TOKEN"):
        return Finding("IBM account", "ok", "in the environment (QISKIT_IBM_TOKEN)")
    remedy = (
        "QiskitRuntimeService.save_account(token=..., instance=...), once, to use IBM's devices"
    )
    if not path.is_file():
        return Finding("IBM account", "note", "none saved; simulated devices need none", remedy)
    try:
        names = sorted(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        said = f"{path} cannot be read: {error}"
        return Finding("IBM account", "wrong", said, f"mend or remove it, then {remedy}")
    if not names:
        return Finding("IBM account", "note", "none saved; simulated devices need none", remedy)
    return Finding("IBM account", "ok", f"saved: {', '.join(names)}")
