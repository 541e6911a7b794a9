"""Speculation on a session: what shares a round, what it costs, and what ends a run."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from qiskit.circuit import ParameterVector, QuantumCircuit

import efaas
import efaas.optimize.drive
from efaas.clock import VirtualClock
from efaas.errors import InputError, OptimizerError, ShotsError
from efaas.optimize.asks import Ask
from efaas.optimize.predictor import Candidate, Predictor
from efaas.testing import FakeBackend


def circuit(parameters: int) -> QuantumCircuit:
    angles = ParameterVector("t", parameters)
    made = QuantumCircuit(2)
    for index, angle in enumerate(angles):
        made.ry(angle, index % 2)
    return made


def bowl(angles: np.ndarray, seed: int) -> float:
    noise = np.random.Generator(np.random.Philox(key=seed)).normal(scale=1e-3)
    return float(np.sum(1.0 - np.cos(angles - 0.3)) + 0.1 * np.sin(angles).prod() + noise)


def smooth(angles: np.ndarray, seed: int) -> float:
    return float(np.sum(1.0 - np.cos(angles - 0.3)) + 0.1 * np.sin(angles).prod())


# Time for its predictions on a busy machine, too: what is tested here is not how quick they are.
PATIENT = efaas.Speculation(predictor_share=0.3, effort="steps")


class Device:
    """A session on a simulated device whose rounds take virtual seconds."""

    def __init__(
        self,
        parameters: int = 4,
        *,
        round_seconds: float = 1.0,
        evaluation_seconds: float = 0.05,
        value: Callable[[np.ndarray, int], float] = bowl,
        shots: int | None = 100,
    ) -> None:
        self.clock = VirtualClock()
        self.backend = FakeBackend(
            value=value,
            clock=self.clock,
            round_seconds=round_seconds,
            evaluation_seconds=evaluation_seconds,
        )
        self.session = efaas.EFSession(self.backend, seed=3, clock=self.clock)
        self.energy = self.session.objective(circuit(parameters), "ZZ", shots=shots)
        self.x0 = np.full(parameters, 0.8)

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def minimize(self, method: str, **arguments: Any) -> scipy.optimize.OptimizeResult:
        arguments.setdefault("options", {"maxiter": 25})
        arguments.setdefault("speculation", PATIENT)
        return efaas.minimize(self.energy, self.x0, method=method, **arguments)


def scipys(method: str, **arguments: Any) -> tuple[scipy.optimize.OptimizeResult, float]:
    """Scipy's result on the same device, and how long it took."""
    with Device(**arguments) as device:
        result = scipy.optimize.minimize(
            device.energy, device.x0, method=method, options={"maxiter": 25}
        )
        return result, device.clock.now()


@pytest.mark.parametrize("method", ["Nelder-Mead", "Powell", "L-BFGS-B"])
def test_the_same_result_is_there_sooner(method: str) -> None:
    expected, seconds = scipys(method)
    with Device() as device:
        result = device.minimize(method)
        assert result.x.tobytes() == expected.x.tobytes()
        assert (result.fun, result.nfev) == (expected.fun, expected.nfev)
        assert device.clock.now() < 0.75 * seconds
        report = result.speculation
        assert report.rounds == len(device.backend.rounds)
        assert report.evaluations + report.misses == sum(device.backend.rounds)
        assert report.hits > 0
        assert report.seconds == pytest.approx(device.clock.now())
        assert report.sequential_seconds == pytest.approx(seconds, rel=0.05)


def test_an_initial_simplex_goes_out_in_one_round() -> None:
    with Device(12) as device:
        device.minimize("Nelder-Mead", options={"maxfev": 13})
        assert device.backend.rounds[0] >= 13


def test_without_overhead_nothing_is_guessed() -> None:
    with Device(round_seconds=0.0, evaluation_seconds=1.0) as device:
        report = device.minimize("Nelder-Mead").speculation
        # The first round is sent before anything is measured, with what is certain.
        assert device.backend.rounds[1:] == [1] * (len(device.backend.rounds) - 1)
        assert report.misses == 0


def test_an_overhead_of_many_evaluations_fills_the_rounds() -> None:
    with Device(evaluation_seconds=0.05) as device:
        device.minimize("Nelder-Mead", speculation=replace(PATIENT, width=5, extra_shots=100.0))
        later = device.backend.rounds[5:]
        assert np.median(later) >= 5  # what is certain does not count


def test_off_means_one_evaluation_a_round() -> None:
    with Device() as device:
        report = device.minimize("COBYLA", speculation="off").speculation
        assert set(device.backend.rounds) == {1}
        assert (report.hits, report.misses, report.mode) == (0, 0, "off")


def test_the_waste_stays_within_its_budget() -> None:
    for extra in (0.0, 0.25):
        with Device() as device:
            speculation = replace(PATIENT, extra_shots=extra, width=4)
            report = device.minimize("Nelder-Mead", speculation=speculation).speculation
            # Expected waste is what is bounded, so a guess or two more may turn out wrong.
            assert report.misses <= extra * (report.evaluations + 8) + 4


def test_waste_is_counted_in_shots_and_qpu_seconds() -> None:
    with Device() as device:
        report = device.minimize("Nelder-Mead").speculation
        assert report.misses > 0
        assert report.wasted_shots == 100 * report.misses
        assert report.wasted_qpu_seconds == pytest.approx(0.05 * report.misses)


def test_guesses_that_were_not_used_leave_no_trace_in_later_evaluations() -> None:
    """The session goes on with the occurrences that it would have without speculation."""
    points = np.random.default_rng(0).normal(size=(5, 4))
    with Device() as device:
        expected_result = scipy.optimize.minimize(
            device.energy, device.x0, method="Nelder-Mead", options={"maxiter": 25}
        )
        again = [device.energy(expected_result.x) for _ in range(3)]
        others = [device.energy(point) for point in points]
    with Device() as device:
        result = device.minimize("Nelder-Mead")
        assert result.speculation.misses > 0
        assert [device.energy(result.x) for _ in range(3)] == again
        assert [device.energy(point) for point in points] == others


def test_two_minimizations_at_once_do_not_disturb_each_other() -> None:
    expected, _ = scipys("Nelder-Mead")
    results: list[Any] = []
    with Device() as device:
        second = device.session.objective(circuit(4), "XX", shots=100)

        def other() -> None:
            options = {"maxiter": 2}
            results.append(efaas.minimize(second, device.x0, method="Powell", options=options))

        thread = threading.Thread(target=other)
        thread.start()
        results.append(device.minimize("Nelder-Mead"))
        thread.join()
    assert any(result.x.tobytes() == expected.x.tobytes() for result in results)


def test_a_round_limit_gives_the_best_so_far() -> None:
    with Device() as device:
        result = device.minimize("Nelder-Mead", max_rounds=6)
        assert len(device.backend.rounds) == 6
        assert not result.success
        assert result.status == 98
        assert "max_rounds = 6" in result.message
        assert result.fun < bowl(device.x0, 1)
        assert result.speculation.rounds == 6


@pytest.mark.parametrize("method", ["Powell", "COBYLA", "COBYQA", "TNC", "L-BFGS-B", "SLSQP"])
def test_every_kind_of_optimizer_can_be_stopped(method: str) -> None:
    with Device() as device:
        result = device.minimize(method, max_seconds=4.0, options={})
        assert "max_seconds = 4" in result.message
        assert device.clock.now() < 7.0
        assert result.x.shape == (4,)


def test_a_limit_of_shots_counts_guesses_too() -> None:
    with Device() as device:
        result = device.minimize("Nelder-Mead", max_shots=3_000)
        assert "max_shots" in result.message
        assert sum(device.backend.rounds) * 100 <= 3_000 + 100 * 8


def test_final_shots_evaluate_the_end_once_more() -> None:
    with Device() as device:
        result = device.minimize("COBYLA", final_shots=10_000, speculation="off")
        plain = device.minimize("COBYLA", speculation="off")
    assert isinstance(result.final_fun, float)
    assert "final_fun" not in plain


@contextmanager
def interrupted(after: int) -> Iterator[Callable[[np.ndarray, int], float]]:
    """A value that sends Ctrl-C to the main thread when it is computed for the n-th time."""
    count = 0

    def value(angles: np.ndarray, seed: int) -> float:
        nonlocal count
        count += 1
        if count == after:
            signal.raise_signal(signal.SIGINT)
        return bowl(angles, seed)

    # A shell may have started us with Ctrl-C ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield value
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_gives_the_best_so_far() -> None:
    with interrupted(40) as value, Device(value=value) as device:
        result = device.minimize("Powell", options={})
        assert not result.success
        assert result.status == 97
        assert "Ctrl-C" in result.message
        assert result.fun <= bowl(device.x0, 1) + 0.1


def test_a_plain_function_can_be_limited_too() -> None:
    calls = []

    def fun(x: np.ndarray) -> float:
        calls.append(threading.get_ident())
        return float(np.sum(x**2))

    result = efaas.minimize(fun, [1.0, 2.0], method="Nelder-Mead", max_rounds=10)
    assert len(calls) == 10
    assert set(calls) == {threading.get_ident()}, "without speculation= it is called as by scipy"
    assert result.nfev == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"speculation": "fast"}, "'off', 'exact', 'tolerant'"),
        ({"speculation": 3}, "efaas.Speculation"),
        ({"max_rounds": 0}, "max_rounds"),
        ({"max_rounds": 2.5}, "max_rounds"),
        ({"max_seconds": -1.0}, "max_seconds"),
        ({"max_shots": True}, "max_shots"),
        ({"final_shots": 0}, "final_shots"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_runs(
    arguments: dict[str, Any], message: str
) -> None:
    with Device() as device:
        with pytest.raises(OptimizerError, match=message):
            device.minimize("COBYLA", **arguments)
        assert device.backend.rounds == []


@pytest.mark.parametrize(
    "fields",
    [
        {"mode": "maybe"},
        {"width": 0},
        {"depth": 1.5},
        {"extra_shots": -0.1},
        {"extra_shots": float("nan")},
        {"predictor_share": "much"},
        {"qpu_seconds": -1.0},
        {"radius": -1.0},
        {"workers": 0},
        {"seed": -1},
    ],
)
def test_a_speculation_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(fields))):
        efaas.Speculation(**fields)


def test_exact_expectations_have_no_shots_to_limit() -> None:
    with Device(shots=None) as device, pytest.raises(OptimizerError, match="without shots"):
        device.minimize("COBYLA", max_shots=100)


def test_a_plain_function_has_no_shots() -> None:
    with pytest.raises(OptimizerError, match="has no shots"):
        efaas.minimize(lambda x: 0.0, [0.0], final_shots=10)


def test_a_submission_may_have_shots_of_its_own() -> None:
    with Device() as device:
        assert isinstance(device.energy.submit(device.x0, shots=7).result(), float)
        with pytest.raises(ShotsError):
            device.energy.submit(device.x0, shots=0)


class NowherePredictor:
    """Guesses points where a circuit has no value."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def observe(self, ask: Ask, answer: Any) -> None: ...

    def absorb(self, seconds: float) -> None: ...

    def settle(self, candidate: Candidate, is_hit: bool) -> None: ...

    def candidates(self, pending: Any, **_: Any) -> list[Candidate]:
        return [Candidate((Ask(np.full(4, np.nan)),), 1.0, 1, "nowhere")]


def test_guesses_without_a_value_cost_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    expected, _ = scipys("Nelder-Mead")
    monkeypatch.setattr(efaas.optimize.drive, "Predictor", NowherePredictor)
    with Device() as device:
        assert device.minimize("Nelder-Mead").x.tobytes() == expected.x.tobytes()


class ShortSightedPredictor(Predictor):
    """Has no time to look further than eight steps ahead."""

    def candidates(self, pending: Any, *, depth: int, **arguments: Any) -> list[Candidate]:
        return [] if depth > 8 else super().candidates(pending, depth=depth, **arguments)


def test_what_is_certain_goes_out_even_if_there_is_no_time_to_see_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(efaas.optimize.drive, "Predictor", ShortSightedPredictor)
    with Device(12) as device:
        result = device.minimize("COBYQA", options={"maxfev": 25})  # 2 * 12 + 1 are certain
        assert result.speculation.rounds <= 5


def test_workers_of_the_users_may_ask_from_threads() -> None:
    expected, _ = scipys("L-BFGS-B", value=smooth)
    with Device(value=smooth) as device, ThreadPoolExecutor(4) as pool:
        options = {"maxiter": 25, "workers": pool.map}
        result = device.minimize("L-BFGS-B", options=options)
    assert result.x.tobytes() == expected.x.tobytes()
    assert result.speculation.evaluations == expected.nfev
    assert "workers" in result.speculation.notes[0]


class TestGuesses:
    """``Objective.submit_round``, which minimize is built on."""

    def test_a_confirmed_guess_is_committed_and_counts(self) -> None:
        x = np.full(4, 0.2)
        with Device() as device:
            first, second = device.energy(x), device.energy(x)
        with Device() as device:
            _, guesses = device.energy.submit_round([Ask(np.zeros(4))], [(Ask(x), None)])
            assert guesses[0].confirm()
            assert guesses[0].future.result() == first
            assert device.energy(x) == second
            assert device.backend.rounds == [2, 1]

    def test_a_withdrawn_guess_never_counts(self) -> None:
        x = np.full(4, 0.2)
        with Device() as device:
            first = device.energy(x)
        with Device() as device:
            futures, guesses = device.energy.submit_round([Ask(np.zeros(4))], [(Ask(x), None)])
            futures[0].result()
            guesses[0].withdraw()
            assert not guesses[0].confirm()
            assert device.energy(x) == first

    def test_a_guess_overtaken_by_the_real_thing_cannot_be_confirmed(self) -> None:
        x = np.full(4, 0.2)
        with Device() as device:
            _, guesses = device.energy.submit_round([Ask(np.zeros(4))], [(Ask(x), None)])
            device.energy(x)
            assert not guesses[0].confirm()

    def test_further_guesses_of_one_point_are_its_further_occurrences(self) -> None:
        x = np.full(4, 0.2)
        with Device() as device:
            expected = [device.energy(x) for _ in range(3)]
        with Device() as device:
            _, first = device.energy.submit_round([Ask(np.zeros(4))], [(Ask(x), None)])
            _, second = device.energy.submit_round([Ask(np.ones(4))], [(Ask(x), first[0])])
            assert first[0].confirm()
            assert second[0].confirm()
            values = [first[0].future.result(), second[0].future.result(), device.energy(x)]
        assert values == expected

    def test_a_guess_is_speculative_until_it_is_confirmed(self) -> None:
        backend = FakeBackend(manual=True)
        with efaas.EFSession(backend, seed=1) as session:
            energy = session.objective(circuit(4), "ZZ")
            _, guesses = energy.submit_round([Ask(np.zeros(4))], [(Ask(np.ones(4)), None)])
            assert guesses[0].future.job.speculative
            guesses[0].confirm()
            assert not guesses[0].future.job.speculative
            backend.release()


def test_a_report_can_be_read() -> None:
    with Device() as device:
        report = device.minimize("Nelder-Mead").speculation
    text = repr(report)
    assert "rounds" in text
    assert "guesses used" in text
    assert f"{report.evaluations} evaluations in {report.rounds} rounds" in str(report)
    table = report._repr_html_()
    assert table.count("<tr>") == len(report.rows())
    assert "<script" not in table
