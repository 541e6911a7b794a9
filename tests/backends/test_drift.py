"""Fake devices whose calibrations change, by the fitted process or by a record."""

from __future__ import annotations

import gzip
import math
import threading
from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.circuit import QuantumCircuit
from qiskit_aer import AerSimulator

from efaas.backends.aer import AerBackend
from efaas.backends.device import BROKEN, Device, Number
from efaas.backends.drift import Drift, DriftingDevice, RecordedDrift, expected_device
from efaas.backends.experiment import Experiment
from efaas.backends.protocol import Estimates, Evaluation, Outcome
from efaas.backends.specs import device_of
from efaas.backends.warm_cache import WarmCache
from efaas.clock import VirtualClock
from efaas.errors import InputError
from efaas.model.drift import DAY_SECONDS, FLUCTUATIONS, expected

T = TypeVar("T")

RECORDED_JUMPS = {
    "t1": 0.25, "t2": 0.18, "readout_error": 0.05, "one_qubit_gate_error": 0.15,
    "two_qubit_gate_error": 0.11,
}  # fmt: skip
"""How often a number changes by more than 1.5 times from one day to the next."""


@cache
def _shipped(name: str) -> Device:
    return device_of(name)


def _experiment(num_qubits: int = 3) -> Experiment:
    circuit = QuantumCircuit(num_qubits)
    circuit.h(0)
    for qubit in range(1, num_qubits):
        circuit.cx(qubit - 1, qubit)
    return Experiment.estimate(circuit, ["Z" * (num_qubits - 1) + "I", "X" * num_qubits])


def _run(backend: AerBackend, experiment: Experiment, shots: int | None = 1000) -> Outcome:
    points = np.zeros((1, experiment.num_slots))
    [outcome] = backend.execute([Evaluation(experiment, points, shots, seeds=(7,))])
    assert isinstance(outcome, Outcome), outcome
    return outcome


def _values(outcome: Outcome) -> list[float]:
    assert isinstance(outcome.value, Estimates)
    return [float(value) for value in outcome.value.evs[0]]


def _ln_series(drift: Drift, shipped: Device, count: int) -> dict[str, np.ndarray[Any, Any]]:
    """Of each quantity ln(x / vendor's), shape (calibrations, places); NaN where a gate is dead."""
    series = drift.series(shipped)
    start = shipped.numbers()
    chosen = [
        number
        for number, value in start.items()
        if number.field in ("t1", "t2", "error")
        and number.operation in ("", "sx", "cz", "measure")
        and number.qubits == tuple(sorted(number.qubits))
        and 0 < value < (math.inf if number.operation == "" else 0.1)
    ]
    columns: dict[str, list[list[float]]] = defaultdict(list)
    walk = [series.numbers(k) for k in range(100, 100 + count)]
    for number in chosen:
        columns[number.quantity].append(
            [
                math.log(numbers[number] / start[number])
                if number.operation == "" or numbers[number] < 1
                else math.nan
                for numbers in walk
            ]
        )
    return {quantity: np.array(column).T for quantity, column in columns.items()}


def _correlation(deviations: np.ndarray[Any, Any]) -> float:
    both = ~np.isnan(deviations[1:]) & ~np.isnan(deviations[:-1])
    return float(np.corrcoef(deviations[1:][both], deviations[:-1][both])[0, 1])


def test_daily_calibrations_have_the_recorded_statistics() -> None:
    """Over 300 days of 133 qubits: std of ln x and its correlation within 7 % or 0.03, the
    frequency of changes by more than 1.5 times within 12 %, as recorded."""
    walks = _ln_series(Drift(seed=3), _shipped("fake_torino"), 300)
    assert set(walks) == set(FLUCTUATIONS)
    for quantity, fluctuation in FLUCTUATIONS.items():
        deviations = walks[quantity]
        changes = np.abs(np.diff(deviations, axis=0))
        jumps = np.mean(changes[~np.isnan(changes)] > math.log(1.5))
        assert np.nanstd(deviations) == pytest.approx(fluctuation.ln_std, rel=0.07), quantity
        assert np.nanmean(deviations) == pytest.approx(0.0, abs=0.03), quantity
        correlation = _correlation(deviations)
        assert correlation == pytest.approx(fluctuation.day_correlation, abs=0.03), quantity
        assert jumps == pytest.approx(RECORDED_JUMPS[quantity], rel=0.12), quantity
        skewness = np.nanmean(deviations**3) / np.nanstd(deviations) ** 3
        assert skewness * fluctuation.worse > 1.5, f"{quantity} jumps towards the worse"


def test_dead_days_give_two_qubit_errors_their_recorded_spread() -> None:
    """With the dead days at error 1 (here over a typical 0.01), the standard deviation of ln x is
    0.65; 1.4 % of gate days are dead, and a failure lasts 15/11 days, as recorded."""
    deviations = _ln_series(Drift(seed=5), _shipped("fake_torino"), 300)["two_qubit_gate_error"]
    dead = np.isnan(deviations)
    assert dead.mean() == pytest.approx(15 / 1086, rel=0.15)
    with_dead = np.where(dead, math.log(1 / 0.01), deviations)
    assert with_dead.std() == pytest.approx(0.65, rel=0.07)
    failures = np.count_nonzero(dead[1:] & ~dead[:-1])
    assert np.count_nonzero(dead[1:]) / failures == pytest.approx(15 / 11, rel=0.1)


def test_statistics_do_not_depend_on_how_often_a_device_is_calibrated() -> None:
    often = _ln_series(Drift(every_seconds=6 * 3600.0), _shipped("fake_torino"), 300)
    for quantity, fluctuation in FLUCTUATIONS.items():
        assert np.nanstd(often[quantity]) == pytest.approx(fluctuation.ln_std, rel=0.12)
        memory = fluctuation.memory(6 * 3600.0)
        assert _correlation(often[quantity]) == pytest.approx(memory, abs=0.03)


@settings(max_examples=25, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 30), min_size=1, max_size=8),
    seed=st.integers(0, 2**64),
    scale=st.floats(0.0, 3.0),
)
def test_a_calibration_is_a_function_of_seed_device_and_number(
    numbers: list[int], seed: int, scale: float
) -> None:
    drift = Drift(seed=seed, scale=scale)
    asked = drift.series(_shipped("fake_manila"))
    for number in numbers:
        alone = drift.series(_shipped("fake_manila")).numbers(number)
        assert asked.numbers(number) == alone


def test_other_seeds_names_and_numbers_give_other_calibrations() -> None:
    device, namesake = _shipped("fake_manila"), device_of("fake_manila", "twin")
    drawn = [
        Drift(seed=1).series(device).numbers(1),
        Drift(seed=1).series(device).numbers(2),
        Drift(seed=2).series(device).numbers(1),
        Drift(seed=1).series(namesake).numbers(1),
    ]
    assert all(a != b for i, a in enumerate(drawn) for b in drawn[:i])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), number=st.integers(0, 12), scale=st.floats(0.0, 8.0))
def test_a_drifted_device_is_physical(seed: int, number: int, scale: float) -> None:
    shipped = _shipped("fake_manila")
    numbers = Drift(seed=seed, scale=scale).series(shipped).numbers(number)
    device = shipped.recalibrated(numbers)
    moved = device.numbers()
    assert set(moved) == set(shipped.numbers())
    for key, value in moved.items():
        if key.quantity in ("t1", "t2"):
            assert value > 0
        else:
            assert 0 <= value <= 1
            assert value < BROKEN or key.quantity == "two_qubit_gate_error"
        if key.quantity == "t2":
            assert value <= 2 * moved[Number("t1", key.qubits, "t1")]


def test_numbers_of_one_kind_on_the_same_qubits_move_as_one() -> None:
    shipped = _shipped("fake_manila").numbers()
    numbers = Drift(seed=2).series(_shipped("fake_manila")).numbers(3)
    factors = defaultdict(set)
    for key, value in shipped.items():
        if value:
            factors[key.quantity, frozenset(key.qubits)].add(round(numbers[key] / value, 9))
    assert all(len(of_one_place) == 1 for of_one_place in factors.values())
    assert len(set().union(*factors.values())) == len(factors) == 5 + 5 + 5 + 5 + 4


def test_a_gate_that_dies_is_not_routed_over_until_it_heals() -> None:
    shipped = _shipped("fake_manila")
    series = Drift(seed=0).series(shipped)
    dead_at: dict[int, set[tuple[int, ...]]] = {}
    for number in range(1, 120):
        numbers = series.numbers(number)
        dead_at[number] = {key.qubits for key, value in numbers.items() if value == 1.0}
    first = next(number for number, dead in dead_at.items() if dead)
    dead = dead_at[first]
    assert {pair[::-1] for pair in dead} == dead
    couplings = shipped.recalibrated(series.numbers(first)).routing_target["cx"]
    assert dead.isdisjoint(couplings)
    assert any(dead_at[number].isdisjoint(dead) for number in range(first + 1, first + 15))


def test_attributes_that_qiskit_does_not_copy_are_kept_and_moved() -> None:
    shipped = device_of("fake_manila", "asymmetric")
    for properties in shipped.target["measure"].values():
        properties.prob_meas1_prep0, properties.prob_meas0_prep1 = 0.01, 0.04
    numbers = {key: value * 2 for key, value in shipped.numbers().items()}
    moved = shipped.recalibrated(numbers).target["measure"][(2,)]
    assert (moved.prob_meas1_prep0, moved.prob_meas0_prep1) == (0.02, 0.08)
    kept = shipped.recalibrated({}).target["measure"][(2,)]
    assert (kept.prob_meas1_prep0, kept.prob_meas0_prep1) == (0.01, 0.04)


@pytest.mark.parametrize("missing", [None, math.nan, math.inf])
def test_numbers_that_a_device_lacks_do_not_drift(missing: float | None) -> None:
    lacking = device_of("fake_manila", "lacking")
    times = lacking.target.qubit_properties  # a copy
    times[1].t1 = missing
    lacking.target.qubit_properties = times
    lacking.target["cx"][(0, 1)].error = missing
    series = Drift(seed=1).series(lacking)
    assert Number("t1", (1,), "t1") not in series.numbers(1)
    moved = lacking.recalibrated(series.numbers(1))
    assert repr(moved.target.qubit_properties[1].t1) == repr(missing)
    assert repr(moved.target["cx"][(0, 1)].error) == repr(missing)
    assert expected_device(moved, lacking, 3600.0).numbers().keys() == series.numbers(1).keys()


def test_calibrations_come_at_their_times() -> None:
    clock = VirtualClock(50.0)
    backend = AerBackend("fake_manila", drift=Drift(every_seconds=3600.0), clock=clock)
    shipped = AerBackend("fake_manila").calibration()
    assert backend.calibration() == shipped
    clock.advance(3599.0)
    assert backend.calibration() == shipped
    assert backend.calibration_age_seconds() == 3599.0
    clock.advance(1.0)
    first = backend.calibration()
    assert first.id != shipped.id
    assert shipped.taken_at is not None
    assert first.taken_at == shipped.taken_at + timedelta(hours=1)
    clock.advance(10 * 3600.0 + 60)
    later = backend.calibration()
    assert later.taken_at == shipped.taken_at + timedelta(hours=11)
    assert backend.calibration_age_seconds() == pytest.approx(60)


def test_a_forced_calibration_is_the_next_one_and_lasts_its_full_time() -> None:
    drift = Drift(seed=4, every_seconds=100.0)
    clock, other_clock = VirtualClock(), VirtualClock()
    backend = AerBackend("fake_manila", drift=drift, clock=clock)
    clock.advance(60.0)
    forced = backend.recalibrate()
    clock.advance(60.0)
    assert backend.calibration() == forced
    waited = AerBackend("fake_manila", drift=drift, clock=other_clock)
    other_clock.advance(100.0)
    assert waited.calibration().id == forced.id
    clock.advance(40.0)
    other_clock.advance(100.0)
    assert backend.calibration().id == waited.calibration().id != forced.id


def test_energies_follow_the_calibration_and_nothing_else() -> None:
    def energies(order: list[int]) -> dict[int, list[float]]:
        found = {}
        for number in order:
            clock = VirtualClock()
            backend = AerBackend("fake_manila", drift=9, clock=clock)
            clock.advance(number * DAY_SECONDS)
            found[number] = _values(_run(backend, _experiment()))
        return found

    one = energies([0, 1, 2])
    assert one == energies([2, 0, 1])
    assert len({tuple(values) for values in one.values()}) == 3
    assert one[0] == _values(_run(AerBackend("fake_manila"), _experiment()))


def test_forms_are_dropped_with_their_calibration() -> None:
    cache = WarmCache()
    backend = AerBackend("fake_manila", drift=True, clock=VirtualClock(), cache=cache)
    other = AerBackend("fake_quito", cache=cache)
    for experiment in (_experiment(2), _experiment(3)):
        backend.profile(experiment)
        other.profile(experiment)
    assert cache.info().entries == 4
    backend.recalibrate()
    info = cache.info()
    assert (info.entries, info.evictions) == (2, 2)
    assert other.profile(_experiment(2)).is_warm
    assert not backend.profile(_experiment(2)).is_warm
    assert backend.profile(_experiment(2)).is_warm


def test_a_form_finished_after_its_calibration_ended_is_not_kept() -> None:
    class Interrupted(WarmCache):
        def get_or_build(
            self, key: Hashable, build: Callable[[], T], size: Callable[[T], int]
        ) -> tuple[T, bool]:
            def interrupted() -> T:
                backend.recalibrate()
                return build()

            return super().get_or_build(key, interrupted, size)

    cache = Interrupted()
    backend = AerBackend("fake_manila", drift=2, clock=VirtualClock(), cache=cache)
    before = backend.calibration()
    outcome = _run(backend, _experiment())
    assert outcome.calibration_id == before.id != backend.calibration().id
    assert _values(outcome) == _values(_run(AerBackend("fake_manila"), _experiment()))
    assert cache.info().entries == 0


def test_a_calibration_with_the_same_numbers_leaves_the_forms_warm() -> None:
    drift = Drift(scale=0.0, dead_gates=False)
    backend = AerBackend("fake_manila", drift=drift, clock=VirtualClock())
    backend.recalibrate()
    backend.profile(_experiment())
    backend.recalibrate()
    assert backend.profile(_experiment()).is_warm


def test_a_round_is_run_under_one_calibration() -> None:
    class Running:
        """A clock that a day passes on whenever it is looked at."""

        def __init__(self) -> None:
            self.days = 0

        def now(self) -> float:
            self.days += 1
            return self.days * DAY_SECONDS

    backend = AerBackend("fake_manila", drift=True, clock=Running())
    evaluations = [
        Evaluation(_experiment(n), np.zeros((1, _experiment(n).num_slots)), 100, seeds=(1,))
        for n in (2, 3, 2)
    ]
    rounds = [
        {outcome.calibration_id for outcome in backend.execute(evaluations)}  # type: ignore[union-attr]
        for _ in range(2)
    ]
    assert [len(ids) for ids in rounds] == [1, 1]
    assert rounds[0] != rounds[1]


def test_threads_get_the_value_of_the_calibration_that_they_are_told() -> None:
    backend = AerBackend("fake_manila", drift=6, clock=VirtualClock())
    seen: list[tuple[str | None, tuple[float, ...]]] = []

    def evaluate() -> None:
        for _ in range(8):
            outcome = _run(backend, _experiment(2))
            seen.append((outcome.calibration_id, tuple(_values(outcome))))

    threads = [threading.Thread(target=evaluate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(6):
        backend.recalibrate()
        evaluate_once = _run(backend, _experiment(2))
        seen.append((evaluate_once.calibration_id, tuple(_values(evaluate_once))))
    for thread in threads:
        thread.join()
    assert len(seen) == 30
    assert len(set(seen)) == len({calibration for calibration, _ in seen}) > 3


def test_the_expected_target_goes_from_the_measured_to_the_vendors_numbers() -> None:
    clock = VirtualClock()
    drift = Drift(seed=1, every_seconds=1e9)
    backend = AerBackend("fake_manila", drift=drift, clock=clock)
    backend.recalibrate()
    shipped = _shipped("fake_manila").target["sx"][(0,)].error
    measured = drift.series(_shipped("fake_manila")).numbers(1)[
        Number("one_qubit_gate_error", (0,), "error", "sx")
    ]
    assert backend.expected_target()["sx"][(0,)].error == pytest.approx(measured)
    clock.advance(DAY_SECONDS)
    wanted = expected(measured, shipped, DAY_SECONDS, "one_qubit_gate_error").value
    assert backend.expected_target()["sx"][(0,)].error == pytest.approx(wanted)
    clock.advance(1e8)
    assert backend.expected_target()["sx"][(0,)].error == pytest.approx(shipped)


def test_without_drift_a_device_is_expected_to_stay() -> None:
    backend = AerBackend("fake_manila")
    expected_device = replace(_shipped("fake_manila"), target=backend.expected_target())
    assert expected_device.numbers() == _shipped("fake_manila").numbers()
    assert backend.calibration_age_seconds() == 0.0


def test_shrunk_values_predict_the_next_calibration_better_than_the_last_ones() -> None:
    """The mean squared error of ln x a day later is smaller than that of the last value."""
    shipped = _shipped("fake_torino")
    series = Drift(seed=8, dead_gates=False).series(shipped)
    errors: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for k in range(10, 90, 10):
        present, following = shipped.recalibrated(series.numbers(k)), series.numbers(k + 1)
        shrunk = expected_device(present, shipped, DAY_SECONDS).numbers()
        for number, last in present.numbers().items():
            if 0 < last < BROKEN:
                truth = math.log(following[number])
                errors[number.quantity].append(
                    ((math.log(last) - truth) ** 2, (math.log(shrunk[number]) - truth) ** 2)
                )
    for quantity, pairs in errors.items():
        of_last, of_shrunk = np.mean(pairs, axis=0)
        assert of_shrunk < of_last, quantity


HEADER = "snapshot_at,quantity,qubits,value,unit,measured_at\n"


def _record(path: Path, *rows: str, header: str = HEADER) -> Path:
    text = header + "".join(f"{row}\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def _three_days(path: Path) -> Path:
    rows = []
    for day, (t1, sx, cx) in enumerate([(50, 1e-4, 0.02), (100, 3e-4, 1.0), (200, 2e-4, 0.01)]):
        date = f"2023-01-0{day + 1}T10:00:00Z"
        rows += [
            f"{date},T1,0,{t1},us,",
            f"{date},sx_gate_error,0,{sx},,",
            f"{date},cx_gate_error,1-0,{cx},,",
            f"{date},cx_gate_error,0-1,{cx},,",
            f"{date},sx_gate_length,0,35,ns,",
        ]
        if day != 1:
            rows += [f"{date},T1,1,{100 * (day + 1)},us,"]
    return _record(path, *rows)


@pytest.mark.parametrize("name", ["days.csv", "days.csv.gz"])
def test_a_recorded_series_is_replayed_as_ratios_to_its_medians(tmp_path: Path, name: str) -> None:
    shipped = _shipped("fake_manila")
    start = shipped.numbers()
    series = RecordedDrift(_three_days(tmp_path / name)).series(shipped)
    assert series.numbers(0) == start

    def ratios(quantity: str, qubits: tuple[int, ...], operation: str = "") -> list[float]:
        [key] = [
            key
            for key in start
            if (key.quantity, key.qubits, key.operation) == (quantity, qubits, operation)
        ]
        return [round(series.numbers(k)[key] / start[key], 9) for k in (1, 2, 3, 4)]

    assert ratios("t1", (0,)) == [0.5, 1.0, 2.0, 0.5]
    assert ratios("t1", (2,)) == ratios("t1", (0,))
    # Qubit 1 lacks the second snapshot: 100, (100), 300.
    assert ratios("t1", (3,)) == ratios("t1", (1,)) == [1.0, 1.0, 3.0, 1.0]
    assert ratios("one_qubit_gate_error", (4,), "x") == [0.5, 1.5, 1.0, 0.5]
    assert ratios("t2", (0,)) == [1.0] * 4
    assert ratios("readout_error", (0,), "measure") == [1.0] * 4
    dead = [key for key, value in series.numbers(2).items() if value == 1.0]
    assert {key.operation for key in dead} == {"cx"}
    assert len(dead) == 8
    alive = ratios("two_qubit_gate_error", (2, 3), "cx")
    assert alive[0] == pytest.approx(4 / 3)
    assert alive[2] == pytest.approx(2 / 3)


def test_a_recorded_series_keeps_its_own_times_unless_told(tmp_path: Path) -> None:
    path = _record(
        tmp_path / "times.csv",
        "2023-01-01T00:00:00Z,T1,0,50,us,",
        "2023-01-01T06:00:00+01:00,T1,0,60,us,",
        "2023-01-02T05:00:00,T1,0,70,us,",
    )
    series = RecordedDrift(path).series(_shipped("fake_manila"))
    hours = [series.seconds(number) / 3600 for number in range(5)]
    assert hours == [5.0, 5.0, 24.0, 14.5, 5.0]
    assert RecordedDrift(path, every_seconds=9.0).series(_shipped("fake_manila")).seconds(1) == 9.0
    clock = VirtualClock()
    drifting = DriftingDevice(_shipped("fake_manila"), RecordedDrift(path), clock)
    ids = []
    for _ in range(4):
        ids.append(drifting.present().calibration.id)
        clock.advance(5 * 3600.0)
    # The second snapshot is the median, so it leaves the device as shipped; it lasts a day.
    assert ids[0] == ids[2] == ids[3] != ids[1]


def test_a_backend_replays_the_series_of_a_path(tmp_path: Path) -> None:
    path = _three_days(tmp_path / "days.csv.gz")
    clock = VirtualClock()
    backend = AerBackend("fake_manila", drift=str(path), clock=clock)
    energies = []
    for _ in range(5):
        energies.append(tuple(_values(_run(backend, _experiment(), None))))
        clock.advance(DAY_SECONDS)
    assert len(set(energies)) == 4
    assert energies[1] == energies[4]


FIRST = "2023-01-02T00:00:00Z,T1,0,50,us,"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([FIRST, "2023-01-01T00:00:00Z,T1,0,50,us,"], "line 3: expected snapshots in increasing"),
        ([], "holds no quantity that a device can follow"),
        (["2023-01-01T00:00:00Z,T1_echo,0,50,us,"], "holds no quantity"),
        (["yesterday,T1,0,50,us,"], "line 2: Invalid isoformat string: 'yesterday'"),
        (["2023-01-01T00:00:00Z,T1,0,,us,"], "line 2: could not convert string to float"),
        (["2023-01-01T00:00:00Z,T1,q0,50,us,"], "line 2: invalid literal for int"),
        (["2023-01-01T00:00:00Z,T1"], "line 2"),
        (["2023-01-01T00:00:00Z,T1,0,-5,us,"], "line 2: expected a time of 0 or more as T1, got"),
        (["2023-01-01T00:00:00Z,T1,0,nan,us,"], "line 2: expected a time of 0 or more as T1"),
        (["2023-01-01T00:00:00Z,readout_error,0,1.5,,"], r"expected a rate in \[0, 1\] as readout"),
    ],
)
def test_a_recorded_series_that_cannot_be_replayed_is_refused(
    tmp_path: Path, rows: list[str], message: str
) -> None:
    path = _record(tmp_path / "series.csv", *rows)
    with pytest.raises(InputError, match=message):
        AerBackend("fake_manila", drift=path)


def test_files_that_are_no_series_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a CSV file at .*missing.csv"):
        AerBackend("fake_manila", drift=tmp_path / "missing.csv")
    path = _record(tmp_path / "short.csv", header="snapshot_at,value\n")
    with pytest.raises(InputError, match="lacks the columns quantity, qubits"):
        AerBackend("fake_manila", drift=path)
    (tmp_path / "plain.csv.gz").write_text(HEADER)
    with pytest.raises(InputError, match=r"expected a CSV file at .*plain.csv.gz"):
        AerBackend("fake_manila", drift=tmp_path / "plain.csv.gz")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Drift(seed=-1), "seed must be an integer, 0 or more, got -1"),
        (lambda: Drift(seed=0.5), "seed must be an integer, 0 or more, got 0.5"),  # type: ignore[arg-type]
        (lambda: Drift(every_seconds=0.0), "every_seconds must be finite and at least 0.01"),
        (lambda: Drift(every_seconds=math.nan), "every_seconds must be finite"),
        (lambda: Drift(scale=-1.0), "scale must be finite and 0 or more, got -1.0"),
        (lambda: Drift(scale=math.inf), "scale must be finite"),
        (lambda: RecordedDrift("x.csv", every_seconds=-1.0), "every_seconds must be finite"),
        (lambda: AerBackend("fake_manila", drift=1.5), r"drift must be True, .*got 1.5 \(float\)"),
        (lambda: AerBackend("fake_manila", drift=Drift), "drift must be True"),
        (lambda: AerBackend("fake_manila", drift=-3), "seed must be an integer"),
        (lambda: AerBackend("aer", drift=True), "aer has none that its noise is made of"),
        (lambda: AerBackend(AerSimulator(), drift=True), "drift moves the numbers of a device's"),
        (lambda: AerBackend("fake_manila").recalibrate(), "fake_manila does not drift"),
    ],
)
def test_settings_that_mean_nothing_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
