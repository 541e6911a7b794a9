"""Guesses that were out when their loop moved, or its device was calibrated: none is used."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.circuit.library import efficient_su2

import efaas
from efaas.clock import VirtualClock
from efaas.optimize.asks import Ask
from efaas.testing import FakeBackend

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from efaas.future import QuantumFuture

ANSATZ = efficient_su2(2, reps=1)
ZEROS = np.zeros(ANSATZ.num_parameters)
START = np.linspace(-0.4, 0.6, ANSATZ.num_parameters)


class Offset(FakeBackend):
    """A device whose values tell where, and under which of its calibrations, they come from."""

    def __init__(self, name: str, offset: float, **further: Any) -> None:
        super().__init__(name, value=self._value, **further)
        self.offset = offset

    def _value(self, angles: NDArray[np.float64], seed: int) -> float:
        noise = np.random.Generator(np.random.Philox(key=seed)).normal() if seed else 0.0
        return float(np.square(angles).sum() + 0.01 * noise + self.offset)

    def shift(self, ln_esp: float) -> None:
        """Calibrate it: from now on its values are others."""
        self.recalibrate(ln_esp)
        self.offset += 1.0


def here_and_there(**further: Any) -> list[Offset]:
    return [
        Offset("here", 0.0, ln_esp=-0.1, **further),
        Offset("there", 100.0, ln_esp=-0.2, **further),
    ]


@pytest.mark.parametrize(
    ("ln_esp", "kind"), [(-0.11, "stayed"), (-0.15, "recompiled"), (-3.0, "moved")]
)
def test_a_finished_guess_from_before_is_not_used(ln_esp: float, kind: str) -> None:
    devices = here_and_there()
    with efaas.EFSession(devices, seed=1) as session:
        energy = session.objective(ANSATZ, "ZZ")
        [future], [guess] = energy.submit_round([Ask(START)], [(Ask(ZEROS), None)])
        future.result()
        assert guess.future.result() == pytest.approx(0.0, abs=0.1)
        devices[0].shift(ln_esp)
        assert not guess.confirm()
        assert energy(ZEROS) == pytest.approx({"moved": 100.0}.get(kind, 1.0), abs=0.1)
        assert [event.kind for event in session.events] == [kind]
        assert session._scope.misses == 1


def test_a_guess_that_is_queued_when_its_loop_moves_never_runs() -> None:
    devices = here_and_there(manual=True)
    here, there = devices
    with efaas.EFSession(devices, seed=1) as session:
        energy = session.objective(ANSATZ, "ZZ")
        running = energy.submit(START)
        here.wait_for_round()
        [waits], [guess] = energy.submit_round([Ask(2 * START)], [(Ask(ZEROS), None)])
        devices[0].recalibrate(-3.0)
        moved = energy.submit(3 * START)
        assert guess.future.cancelled()
        assert not guess.confirm()
        here.release(9)
        there.release(9)
        results = [future.result() for future in (running, waits, moved)]
        session._dispatcher.check_invariants()
    assert [value > 50 for value in results] == [False, False, True]
    assert sum(here.rounds) == 2  # what was asked for before the move, and no guess


def test_a_step_on_a_guess_is_done_again_after_a_move() -> None:
    devices = here_and_there(manual=True)
    here, there = devices
    with efaas.EFSession(devices, seed=1) as session:
        energy = session.objective(ANSATZ, "ZZ", shots=None)
        has_submitted = threading.Event()

        def step(_: float) -> QuantumFuture[float]:
            future = energy.submit(START)
            has_submitted.set()
            return future

        first = energy.submit(ZEROS)
        here.wait_for_round()
        second = first.speculate(step, guess=0.0)
        assert has_submitted.wait(30.0)
        devices[0].recalibrate(-3.0)
        third = energy.submit(2 * START)
        here.release(9)
        there.release(9)
        assert first.result() == 0.0
        assert second.result() > 50.0
        assert third.result() > 50.0


@settings(max_examples=4, deadline=None)
@given(
    at=st.lists(st.integers(1, 12), max_size=3, unique=True),
    drops=st.lists(st.sampled_from([-0.11, -0.3, -3.0]), min_size=3, max_size=3),
    method=st.sampled_from(["Nelder-Mead", "COBYLA", "BFGS"]),
)
def test_minimize_is_scipys_across_calibrations(
    at: list[int], drops: list[float], method: str
) -> None:
    """Calibrations change and loops move between iterations: no value of before is used after."""

    def run(minimize: Callable[..., Any], **further: Any) -> tuple[Any, list[str]]:
        clock = VirtualClock()
        devices = here_and_there(clock=clock, round_seconds=1.0, evaluation_seconds=0.01)
        seen = 0

        def callback(*_: Any) -> None:
            nonlocal seen
            seen += 1
            if seen in at:
                devices[0].shift(drops[at.index(seen)])

        with efaas.EFSession(devices, seed=1, clock=clock) as session:
            energy = session.objective(ANSATZ, "ZZ")
            result = minimize(
                energy, START, method=method, callback=callback, options={"maxiter": 14}, **further
            )
            return result, [event.kind for event in session.events]

    theirs, their_kinds = run(scipy.optimize.minimize)
    ours, kinds = run(efaas.minimize, speculation=efaas.Speculation(width=16, extra_shots=8.0))
    assert np.array_equal(ours.x, theirs.x)
    assert (ours.fun, ours.nfev) == (theirs.fun, theirs.nfev)
    assert kinds == their_kinds
    assert ours.speculation.rounds < ours.nfev  # how few depends on time
