"""``session.watch``: what it shows, and when a notebook's view ends."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from qiskit.circuit.library import efficient_su2

import efaas
from efaas.errors import InputError
from efaas.optimize.asks import Ask
from efaas.testing import FakeBackend

ANSATZ = efficient_su2(2, reps=1)
ZEROS = np.zeros(ANSATZ.num_parameters)


def rows(view: Any) -> dict[str, list[tuple[Any, ...]]]:
    return {table.name: list(table.rows) for table in view.tables()}


def test_it_shows_what_runs_and_what_waits() -> None:
    device = FakeBackend("lab", manual=True)
    with efaas.EFSession(device, seed=1, tenant="ada") as session:
        view = session.watch()
        energy = session.objective(ANSATZ, "ZZ")
        running = energy.submit(ZEROS)
        device.wait_for_round()
        futures, guesses = energy.submit_round([Ask(ZEROS)], [(Ask(ZEROS + 1.0), None)])
        (lab, *_) = rows(view)["devices"]
        assert lab[:4] == ("lab", 1, 1, 1)
        device.release(2)
        for future in (running, *futures, guesses[0].future):
            future.result()
        session.close()
        (lab, *_) = rows(view)["devices"]
        assert lab == ("lab", 0, 0, 0, None)
        ((name, where, *_),) = rows(view)["loops"]
        assert (name, where) == ("loop 1", "lab")


def test_it_shows_every_tenants_share_and_what_it_is_entitled_to() -> None:
    with efaas.EFScheduler(FakeBackend("lab")) as scheduler:
        ada = scheduler.session(tenant="ada", weight=3, seed=1)
        bo = scheduler.session(tenant="bo", weight=1, seed=1)
        view = ada.watch()
        for session in (ada, bo):
            session.objective(ANSATZ, "ZZ")(ZEROS)
        shares = rows(view)["shares"]
    assert [(tenant, entitled) for tenant, _, _, entitled in shares] == [
        ("ada", 0.75),
        ("bo", 0.25),
    ]


def test_it_follows_an_optimizer() -> None:
    with efaas.EFSession(FakeBackend("lab"), seed=1) as session:
        energy = session.objective(ANSATZ, "ZZ")
        result = efaas.minimize(energy, ZEROS, method="COBYLA", max_rounds=3, speculation="off")
        (loop,) = rows(session.watch())["loops"]
    assert loop[:5] == ("loop 1", "lab", 3, 3, result.fun)


def test_it_is_text_and_html_and_neither_needs_a_notebook() -> None:
    with efaas.EFSession(FakeBackend("<lab>"), seed=1) as session:
        view = session.watch()
        assert "Devices and queues" in str(view)
        assert "&lt;lab&gt;" in view._repr_html_()
        assert repr(view) == str(view)


def test_a_live_view_ends_with_its_session() -> None:
    shown = threading.Semaphore(0)

    class Handle:
        def update(self, shown_now: dict[str, str], *, raw: bool) -> None:
            assert raw
            assert "lab" in shown_now["text/html"]
            shown.release()

    session = efaas.EFSession(FakeBackend("lab"), seed=1)
    thread = session.watch(0.001).refresh(Handle())
    assert shown.acquire(timeout=30)
    session.close()
    thread.join(30)
    assert not thread.is_alive()


def test_a_live_view_can_be_stopped_and_does_not_keep_its_session() -> None:
    class Handle:
        def update(self, shown: dict[str, str], *, raw: bool) -> None:
            pass

    session = efaas.EFSession(FakeBackend("lab"), seed=1)
    stopped = session.watch(0.001).refresh(Handle())
    forever = session.watch(1e6)
    thread = forever.refresh(Handle())
    forever.stop()
    thread.join(30)
    del session, forever
    stopped.join(30)
    assert not stopped.is_alive()
    assert not thread.is_alive()


_CELLS = (
    """
import time
from qiskit.circuit.library import efficient_su2
import efaas
from efaas.testing import FakeBackend
session = efaas.EFSession(FakeBackend("lab"), seed=1)
session.watch(0.01)
""",
    """
energy = session.objective(efficient_su2(2, reps=1), "ZZ")
energy([0.1] * 8)
time.sleep(0.5)
session.close()
""",
)


def test_a_notebook_shows_it_once_and_keeps_it_fresh() -> None:
    nbformat = pytest.importorskip("nbformat").v4
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.new_notebook(cells=[*map(nbformat.new_code_cell, _CELLS)])
    nbclient.NotebookClient(notebook, timeout=120).execute()
    [shown] = notebook.cells[0].outputs
    assert "Devices and queues" in shown["data"]["text/html"]
    assert "Loops of this session" in shown["data"]["text/html"], "the loop came later"


@pytest.mark.parametrize("every", [0, -1, float("inf"), "often"])
def test_a_refresh_that_cannot_be_is_refused(every: Any) -> None:
    with (
        efaas.EFSession(FakeBackend(), seed=1) as session,
        pytest.raises(InputError, match="every_seconds"),
    ):
        session.watch(every)
