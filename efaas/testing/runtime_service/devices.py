"""The devices of a service: fakes of the runtime client, by the JSON they ship with."""

from __future__ import annotations

import copy
import difflib
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qiskit.providers import BackendV2, Options
from qiskit_ibm_runtime import fake_provider
from qiskit_ibm_runtime.utils.backend_converter import convert_to_target
from qiskit_ibm_runtime.utils.backend_decoder import (
    configuration_from_server_data,
    properties_from_server_data,
)

from efaas.backends.aer import AerBackend
from efaas.errors import InputError, UnknownBackendError
from efaas.testing.runtime_service.calibrations import CalibrationState, recalibrated
from efaas.testing.runtime_service.mock_backend import MockBackend

if TYPE_CHECKING:
    from qiskit.transpiler import Target

    from efaas.testing.runtime_service.work import Runner

__all__ = ["CloudDevice"]

_DEFAULT_REP_DELAY_MICROSECONDS = 250.0


class CloudDevice:
    """A device of the service: what it says of itself, and how it runs circuits.

    Attributes:
        name: As the service lists it: "ibm_torino" for "fake_torino".
        num_qubits: Its width.
        max_shots: Shots of a circuit that it takes.
        is_mock: Whether it is the counterpart for dry runs: its jobs are checked and estimated,
            get random results, and cost nothing.
        status_name: "active", or why it runs nothing.
        is_paused: Whether it leaves its queue alone although it says "active".
    """

    def __init__(self, spec: str, seed: int) -> None:
        """Read the device's JSON.

        Args:
            spec: The name of a fake device: "fake_torino", "ibm_torino" or "torino".
            seed: Decides what its recalibrations measure.

        Raises:
            UnknownBackendError: There is no such fake device, or it has no properties.
        """
        fake = _fake_class(spec)
        folder = Path(fake.dirname)
        self.name = "ibm_" + _bare(spec)
        self._configuration: dict[str, Any] = json.loads((folder / fake.conf_filename).read_text())
        self._configuration["backend_name"] = self.name
        properties = json.loads((folder / fake.props_filename).read_text())
        properties["backend_name"] = self.name
        self._seed = f"{seed}/{self.name}"
        self._calibrations = [CalibrationState.of(properties, f"{self._seed}/0")]
        self._backend: tuple[str, AerBackend] | None = None
        self.num_qubits = int(self._configuration["n_qubits"])
        self.max_shots = int(self._configuration.get("max_shots", 100_000))
        self.is_mock = False
        self.status_name = "active"
        self.is_paused = False

    def mock(self) -> CloudDevice:
        """Its counterpart for dry runs, "mock_torino" for "ibm_torino"; calibrations are shared."""
        mock = copy.copy(self)
        mock.name = "mock_" + self.name.removeprefix("ibm_")
        mock._configuration = {**self._configuration, "backend_name": mock.name}
        mock.is_mock = True
        return mock

    @property
    def is_up(self) -> bool:
        """Whether it runs jobs, unless it is paused."""
        return self.status_name == "active"

    @property
    def configuration(self) -> dict[str, Any]:
        """Its configuration as the service tells of it; do not change it."""
        return self._configuration

    @property
    def calibration(self) -> CalibrationState:
        """The calibration in force."""
        return self._calibrations[-1]

    @property
    def rep_delay_seconds(self) -> float:
        """Pause between shots, unless a job asks for another."""
        delay = self._configuration.get("default_rep_delay")
        return float(_DEFAULT_REP_DELAY_MICROSECONDS if delay is None else delay) * 1e-6

    def calibration_of(
        self, calibration_id: str | None, before: datetime | None
    ) -> CalibrationState | None:
        """The calibration of an id, or the last one taken before an instant; None for none."""
        for state in reversed(self._calibrations):
            if calibration_id is not None and state.id != calibration_id:
                continue
            if before is not None and state.taken_at > before:
                continue
            return state
        return None

    def recalibrate(
        self,
        at: datetime,
        spread: float,
        change: Callable[[dict[str, Any]], None] | None,
    ) -> CalibrationState:
        """Put a new calibration in force, dated ``at``; see ``calibrations.recalibrated``."""
        seed = f"{self._seed}/{len(self._calibrations)}"
        state = recalibrated(self.calibration, at, seed=seed, spread=spread, change=change)
        self._calibrations.append(state)
        return state

    def runner(self, calibration_id: str | None) -> Runner:
        """What runs its jobs under a calibration, or under that in force."""
        if self.is_mock:
            return MockBackend()
        return self._simulation(self.calibration_of(calibration_id, None) or self.calibration)

    def target(self) -> Target:
        """What it can run under the calibration in force."""
        return self._simulation(self.calibration).expected_target()

    def _simulation(self, state: CalibrationState) -> AerBackend:
        """Made when another calibration than before is asked for."""
        if self._backend is None or self._backend[0] != state.id:
            described = _DescribedDevice(self.name, self._configuration, state.properties)
            self._backend = (state.id, AerBackend(described, name=self.name))
        return self._backend[1]

    def listed(self, queue_length: int) -> dict[str, Any]:
        """Its entry in the list of devices."""
        reason = "available" if self.is_up else self.status_name
        return {
            "name": self.name,
            **({"class": "mock"} if self.is_mock else {}),
            "status": {"name": "online" if self.is_up else "offline", "reason": reason},
            "qubits": self.num_qubits,
            "physical_qubits": self.num_qubits,
            "is_simulator": False,
            "processor_type": self._configuration.get("processor_type") or {},
            "queue_length": queue_length,
            "clops": {"type": "hardware", "value": self._configuration.get("clops_h")},
            "performance_metrics": {},
            "wait_time_seconds": {"average": 0, "p50": 0, "p95": 0},
        }

    def status(self, queue_length: int) -> dict[str, Any]:
        """What it says of its state."""
        return {
            "state": self.is_up,
            "status": self.status_name,
            "message": "" if self.is_up else f"{self.name} is {self.status_name}",
            "length_queue": queue_length,
            "backend_version": self._configuration["backend_version"],
        }


class _DescribedDevice(BackendV2):  # type: ignore[misc]  # Qiskit ships no types
    """A device as the runtime client makes it of a configuration and properties."""

    def __init__(
        self, name: str, configuration: dict[str, Any], properties: dict[str, Any]
    ) -> None:
        super().__init__(name=name)
        decoded = configuration_from_server_data(
            copy.deepcopy(configuration), use_fractional_gates=None
        )
        if decoded is None:
            raise InputError(f"the configuration of {name} cannot be read by the runtime client")
        self._properties = properties_from_server_data(
            copy.deepcopy(properties), use_fractional_gates=None
        )
        self._target = convert_to_target(configuration=decoded, properties=self._properties)

    @property
    def target(self) -> Target:
        return self._target

    @property
    def max_circuits(self) -> None:
        return None

    def properties(self) -> Any:
        return self._properties

    @classmethod
    def _default_options(cls) -> Options:
        return Options()

    def run(self, run_input: Any, **options: Any) -> Any:
        raise InputError(f"{self.name} describes a device; AerBackend runs its circuits")


def _bare(name: str) -> str:
    text = name.strip().lower()
    for prefix in ("fake_", "ibm_"):
        text = text.removeprefix(prefix)
    return text.removesuffix("_v2")


def _fake_class(spec: str) -> Any:
    classes: dict[str, Any] = {}
    for candidate in vars(fake_provider).values():
        name = getattr(candidate, "backend_name", None)
        has_properties = bool(getattr(candidate, "props_filename", None))
        if isinstance(candidate, type) and isinstance(name, str) and has_properties:
            classes[_bare(name)] = candidate
    if not isinstance(spec, str):
        raise InputError(f"devices are names such as 'fake_torino', got {spec!r}")
    if _bare(spec) in classes:
        return classes[_bare(spec)]
    close: Sequence[str] = difflib.get_close_matches(_bare(spec), classes, n=3, cutoff=0.5)
    hint = ", ".join(f"fake_{name}" for name in close) or "fake_torino and others"
    raise UnknownBackendError(
        f"there is no fake device {spec!r} with a calibration; did you mean {hint}?",
        name=spec,
        close_matches=[f"fake_{name}" for name in close],
    )
