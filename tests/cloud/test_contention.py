"""Loops that compete: their recordings, what they are judged by, and the tables."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.circuit.library import qaoa_ansatz
from qiskit.quantum_info import SparsePauliOp, Statevector

from efaas.cloud.contended import bill_of, contended, dollars_of, fairness, held_seconds
from efaas.cloud.contention import ContentionTask, Recordings, run_contention_task
from efaas.cloud.contention_tables import contention_tables
from efaas.cloud.figures import contention_figures
from efaas.cloud.kernel import random_stream
from efaas.cloud.measures import Convergence, converged_at
from efaas.cloud.mixed_loops import KINDS, LoopKind, drawn_kinds, recorded, small_problem
from efaas.cloud.outcome import Busy, LoopOutcome, RanStep
from efaas.cloud.policies import POLICIES
from efaas.cloud.prices import JOBS, SESSION, Bill, published_prices
from efaas.cloud.qaoa import Qaoa, cut_energy, ring_with_chords
from efaas.cloud.reporting import report
from efaas.cloud.scenario import Background, Scenario
from efaas.cloud.trace import LoopTrace, TraceStep
from efaas.cloud.traced_loop import TracedLoop
from efaas.cloud.twin import Twin

PLAIN = LoopTrace("plain", "", 0, 0, 0.0, (TraceStep(gap=0.0),) * 12, circuits=2, shots=100)


def test_qaoa_s_states_and_costs_are_those_of_qiskit_s_circuit() -> None:
    edges = ring_with_chords(6, random_stream(1, "graph"))
    energy = cut_energy(6, edges)
    operator = SparsePauliOp.from_list(list(energy.terms.items()))
    circuit = qaoa_ansatz(operator, reps=2)
    gamma, beta = np.array([0.3, 0.7]), np.array([0.4, 0.2])
    by_name = {"\N{GREEK SMALL LETTER GAMMA}": gamma, "\N{GREEK SMALL LETTER BETA}": beta}
    values = {p: by_name[p.name[0]][p.index] for p in circuit.parameters}
    state = Statevector(circuit.assign_parameters(values))
    mine = energy.of(Qaoa(6, edges, 2).state(np.concatenate([gamma, beta])))
    assert mine == pytest.approx(state.expectation_value(operator).real, abs=1e-12)


def test_a_ring_with_chords_has_each_edge_once_and_at_most_three_a_node() -> None:
    for seed in range(20):
        edges = ring_with_chords(8, random_stream(seed, "graph"))
        assert len({frozenset(edge) for edge in edges}) == len(edges)
        ends = [node for edge in edges for node in edge]
        assert all(2 <= ends.count(node) <= 3 for node in range(8))


def test_every_kind_of_loop_is_drawn_as_often_as_any_other() -> None:
    kinds = drawn_kinds(2 * len(KINDS), 4, seed=3)
    assert sorted((kind.problem, kind.method) for kind in kinds) == sorted(2 * KINDS)
    assert kinds == drawn_kinds(2 * len(KINDS), 4, seed=3)
    assert kinds != drawn_kinds(2 * len(KINDS), 4, seed=4)


def test_a_recording_is_a_real_optimizer_s_run_and_the_same_every_time() -> None:
    kind = LoopKind("qaoa", "nelder-mead", 1)
    trace = recorded(kind, 40)
    assert trace == recorded(kind, 40)
    assert trace.circuits == 1
    gaps = [step.gap or 0.0 for step in trace.steps]
    energy = small_problem("qaoa", 1).energy
    assert gaps[0] == pytest.approx(energy.gap(small_problem("qaoa", 1).x0))
    assert gaps[-1] < gaps[0]


@given(st.lists(st.floats(0.1, 1e3), min_size=1, max_size=20))
def test_fairness_lies_between_one_over_n_and_one(slowdowns: list[float]) -> None:
    found = fairness(slowdowns)
    assert found is not None
    assert 1.0 / len(slowdowns) - 1e-9 <= found <= 1.0 + 1e-9


def test_a_device_is_held_between_two_jobs_of_a_loop_unless_somebody_else_ran() -> None:
    mine = [Busy(0.0, 2.0, "loop", "a", 1), Busy(3.0, 5.0, "loop", "a", 1)]
    assert held_seconds(mine) == 5.0
    assert held_seconds([*mine, Busy(2.0, 2.5, "background", "a")]) == 4.0
    assert held_seconds([*mine, Busy(2.0, 2.5, "background", "b")]) == 5.0


def test_a_bill_counts_what_ran_and_its_circuits_guesses_that_missed_included() -> None:
    busy = [Busy(0.0, 2.0, "loop", "a", 1, 3), Busy(2.0, 3.0, "waste", "a", 1, 1)]
    busy += [Busy(9.0, 10.0, "background", "a")]
    assert bill_of(busy, [PLAIN]) == Bill(3.0, 3.0, 8.0, 100)
    assert bill_of(busy, [replace(PLAIN, circuits=0)]).circuits is None


def test_prices_have_a_date_a_source_and_something_to_pay() -> None:
    for price in published_prices():
        assert price.source.startswith("https://")
        assert price.as_of.year >= 2026
        assert price.mode in (JOBS, SESSION)
        assert (price.dollars(Bill(1.0, 1.0, 1.0, 1)) or 0.0) > 0.0


def test_money_is_what_the_mode_bills() -> None:
    found = dollars_of(Bill(10.0, 25.0, 4.0, 1000), (JOBS, SESSION))
    assert found["IBM, Pay-As-You-Go, jobs"] == pytest.approx(16.0)
    assert found["IBM, Pay-As-You-Go, session"] == pytest.approx(40.0)
    assert found["Braket, IQM Garnet, jobs"] == pytest.approx(4 * (0.30 + 1.45))
    assert set(dollars_of(Bill(1.0, 1.0), (JOBS,))) == {
        price.key for price in published_prices() if price.mode == JOBS and price.dollars_per_second
    }


def test_a_loop_that_ends_where_it_is_good_has_converged_if_its_end_counts() -> None:
    steps = [RanStep(0, 0, 0, at, 0, "", False, 0.0) for at in (3.0, 4.0)]
    loop = LoopOutcome("", "", 1.0, 4.0, steps)
    assert converged_at(loop, 0.0, Convergence()) is None
    assert converged_at(loop, 0.0, Convergence(), counts_end=True) == 2.0
    still = replace(loop, ended_at=math.inf)
    assert converged_at(still, 0.0, Convergence(), counts_end=True) is None


def test_whoever_has_not_converged_when_time_is_up_counts_with_all_of_it() -> None:
    scenario = Scenario(horizon_seconds=1.0, background=Background(jobs_per_second=0.0))
    twin = Twin(scenario, POLICIES["qonductor"], [TracedLoop(PLAIN)] * 1, seed=1)
    row = contended(twin.run(until=100.0), scenario, [PLAIN], [0.0], (JOBS,))
    assert (row["converged"], row["unconverged"]) == (100.0, 1)
    assert row["dollars"] == {}


RECORDINGS = Recordings(
    {LoopKind(*kind, 0): replace(PLAIN, name=" ".join(kind)) for kind in KINDS}, 1
)


def rows_of(policies: tuple[str, ...]) -> list[dict[str, object]]:
    tasks = [ContentionTask("grid", 0, 8, 3, load, policies, RECORDINGS) for load in (0.0, 0.5)]
    tasks.append(
        ContentionTask("sensitivity", 0, 8, 3, 0.5, policies, RECORDINGS, "hit rate", "0.9")
    )
    return [row for task in tasks for row in run_contention_task(task)]


def test_a_crowd_has_the_same_load_and_the_same_work_under_every_policy() -> None:
    rows = rows_of(("sr", "session", "efaas-no-speculation"))
    used = {(row["part"], row["load"]): row["qpu_seconds"] for row in rows}
    for row in rows:
        assert row["loops_ended"] == 8
        assert row["qpu_seconds"] == pytest.approx(used[row["part"], row["load"]])


def test_guesses_that_hit_make_a_crowd_s_steps_wait_less() -> None:
    rows = {(row["part"], row["load"]): row for row in rows_of(("efaas",))}
    assert rows["sensitivity", 0.5]["hit_rate"] == pytest.approx(0.9, abs=0.1)
    assert rows["grid", 0.5]["hit_rate"] == 0.0


def test_tables_figures_and_the_page_are_made_of_what_was_finished(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rows = rows_of(("sbq", "efaas", "efaas-no-pinning"))
    titles = [table.title for table in contention_tables(rows)]
    assert titles[0] == "8 loops on 3 devices, batch load 0.5"
    assert any(title.startswith("Dollars a converged loop") for title in titles)
    assert titles[-1].startswith("Sensitivity to hit rate")
    assert contention_tables([]) == []
    report(
        "contention", "Loops", contention_tables(rows), rows, tmp_path, figures=contention_figures
    )
    page = (tmp_path / "contention.html").read_text()
    assert page.count("<svg") >= 2
    for outside in ("<script src", "<link rel='stylesheet'", "url(http", "<img"):
        assert outside not in page
    names = {path.name for path in tmp_path.iterdir()}
    assert {"contention.json", "contention.md", "contention.png", "batch_waits.svg"} <= names
