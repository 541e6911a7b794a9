"""What a user may name a backend by, and the device that each of those means."""

from __future__ import annotations

import difflib
import re
import sys
from typing import TYPE_CHECKING, Any

from qiskit.providers import BackendV2
from qiskit_aer import AerSimulator
from qiskit_aer.backends.aerbackend import AerBackend as AnyAerBackend

from efaas.backends.device import device_of_backend, device_of_simulator
from efaas.errors import InputError, UnknownBackendError

if TYPE_CHECKING:
    from efaas.backends.device import Device

__all__ = ["ACCEPTED", "device_of", "fake_classes", "fake_device", "fake_device_names", "is_real"]

ACCEPTED = (
    "the name of a fake device such as 'fake_torino', 'aer' for an ideal simulator, an "
    "AerSimulator, or a BackendV2 with a target such as FakeTorino()"
)


def device_of(spec: Any, name: str | None = None) -> Device:
    """The device that a specification means.

    Args:
        spec: See ``ACCEPTED``.
        name: What to call it; None for its own name.

    Raises:
        UnknownBackendError: There is no device of that name.
        InputError: Nothing that stands for a device, or a real one.
    """
    if isinstance(spec, str):
        if spec == "aer":
            return device_of_simulator(AerSimulator(), name or "aer")
        return device_of_backend(fake_device(spec), name)
    if isinstance(spec, AerSimulator):
        return device_of_simulator(spec, name)
    if isinstance(spec, BackendV2) and not isinstance(spec, AnyAerBackend):
        if is_real(spec):
            raise InputError(
                f"{spec.name} is a real device, which is not simulated unasked; to simulate its "
                f"noise pass AerSimulator.from_backend(backend)"
            )
        if spec.target is not None and spec.target.num_qubits:
            return device_of_backend(spec, name)
    raise InputError(f"expected {ACCEPTED}; got {spec!r} ({type(spec).__name__})")


def fake_device_names() -> list[str]:
    """The names of all fake devices of the installed runtime client."""
    return sorted(fake_classes())


def fake_device(name: str) -> BackendV2:
    """The fake device of that name.

    Raises:
        UnknownBackendError: There is none.
    """
    classes = fake_classes()
    wanted = name.strip().lower()
    if wanted in classes:
        return classes[wanted]()
    # "FakeTorino", "torino" and "ibm_torino" are what people try; they are only suggested.
    bare = re.sub(r"^(fake|ibmq?)_?|_?v2$", "", wanted)
    close = difflib.get_close_matches(f"fake_{bare}", classes, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"expected {ACCEPTED}."
    if wanted.startswith("ibm_"):
        hint += f" For the real device pass efaas.backends.RuntimeBackend({wanted!r});"
    raise UnknownBackendError(
        f"there is no backend {name!r}; {hint} efaas.backends.specs.fake_device_names() lists "
        "all fake devices",
        name=name,
        close_matches=close,
    )


def fake_classes() -> dict[str, type[BackendV2]]:
    """The fake devices' classes by device name, none of them constructed."""
    # The runtime client takes a second and more to import.
    from qiskit_ibm_runtime import fake_provider

    classes: dict[str, type[BackendV2]] = {}
    for candidate in vars(fake_provider).values():
        if isinstance(candidate, type) and issubclass(candidate, BackendV2):
            device_name = getattr(candidate, "backend_name", None)
            if isinstance(device_name, str):
                classes[device_name] = candidate
    return classes


def is_real(backend: Any) -> bool:
    """Whether it is a device of the runtime service; those exist only where that is imported."""
    runtime = sys.modules.get("qiskit_ibm_runtime")
    return runtime is not None and isinstance(backend, runtime.IBMBackend)
