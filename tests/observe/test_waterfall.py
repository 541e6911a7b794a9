"""Where the time of iterations went: nothing is lost, nothing counts twice."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from observed_run import ANSATZ, START, observed_run

import efaas
from efaas.clock import VirtualClock
from efaas.cloud.what_if import what_if
from efaas.model.trace import TracedAttempt, TracedRound, TracedStep
from efaas.observe import SessionReport, Trace
from efaas.observe.spent import spent_table
from efaas.observe.summary import Column, Table, tables
from efaas.observe.waterfall import PHASES, Phases, iterations, median_ttns, total
from efaas.policies.budget import Budget, Spending
from efaas.testing import FakeBackend


@pytest.fixture
def trace() -> Trace:
    return observed_run()[0]


@pytest.fixture
def report() -> SessionReport:
    return observed_run()[1]


class TestIterations:
    def test_the_phases_add_up_to_the_cycle(self, trace: Trace) -> None:
        for it in iterations(trace):
            assert it.phases.seconds == pytest.approx(it.cycle_seconds)
            assert min(getattr(it.phases, name) for name in (*PHASES, "masked")) >= 0

    def test_every_round_of_an_optimizer_is_an_iteration(self, trace: Trace) -> None:
        found = [(it.loop_id, it.run, it.number) for it in iterations(trace) if it.run]
        assert sorted(found) == sorted((b.loop_id, b.run, b.number) for b in trace.rounds)

    def test_iterations_of_a_loop_follow_one_another(self, trace: Trace) -> None:
        for loop_id in trace.loop_ids:
            mine = [it for it in iterations(trace) if it.loop_id == loop_id and it.run]
            for before, after in itertools.pairwise(mine):
                assert after.began_at == before.ended_at

    def test_the_qpu_phases_hold_all_the_qpu_seconds(self, trace: Trace) -> None:
        spent = sum(a.qpu_seconds for a in trace.attempts)
        assert total(iterations(trace)).qpu == pytest.approx(spent)

    def test_hits_are_counted_after_the_round_that_they_followed(self, trace: Trace) -> None:
        hits = sum(step.how == "guess" for step in trace.steps)
        assert sum(it.hits for it in iterations(trace)) == hits

    def test_a_value_that_was_guessed_waits_for_no_shot(self) -> None:
        """Three values, two of them guessed: one round, and the median wait is that of a guess."""
        job = TracedAttempt(
            1, 1, "ada", "a", "lab", "c", "done", "asked for", None, 1, 100, 1, 1, 1, 1.25, 3.5,
            qpu_seconds=0.5,
        )  # fmt: skip
        rider = replace(job, job_id=2, fate="hit", rides_with=1)
        waited = TracedStep("a", 1, 1, "value", "round", 1, 0.75, 4.0, 0.75, 1, 0.5)
        guessed = replace(waited, number=2, how="guess", asked_at=4.0)
        (it,) = found = iterations(
            Trace(
                attempts=(job, rider, replace(rider, job_id=3)),
                rounds=(TracedRound("a", 1, 1, 1.0, (1,), 1, 2),),
                steps=(waited, guessed, replace(guessed, number=3)),
            )
        )
        assert (it.hits, it.ttns, it.cycle_seconds) == (2, 0.5, 4.0)
        assert median_ttns(found) == 0.0
        assert it.phases == Phases(
            classical=0.75, guessing=0.25, queue=0.25, qpu=1.5, transfer=1.25, masked=2 * 2.0
        )

    def test_waiting_for_a_guess_under_way_is_told_from_thinking(self) -> None:
        """Round 1 ends at 4. Its guess is asked for at 5 and comes at 7; round 2 begins at 8."""
        job = TracedAttempt(
            1, 1, "ada", "a", "lab", "c", "done", "asked for", None, 1, 100, 1, 1, 1, 1, 4,
            qpu_seconds=3.0,
        )  # fmt: skip
        late = replace(
            job, job_id=3, submitted_at=8.0, queued_at=8.0, dispatched_at=8.0, first_shot_at=8.0,
            finished_at=11.0,
        )  # fmt: skip
        first = TracedStep("a", 1, 1, "value", "round", 1, 1.0, 4.0, 0.0, 1, 0.5)
        under_way = replace(
            first, number=2, how="guess", asked_at=5.0, answered_at=7.0, think_seconds=1.0
        )
        second = replace(first, number=3, round=2, asked_at=8.0, answered_at=11.0)
        found = iterations(
            Trace(
                attempts=(job, late),
                rounds=(
                    TracedRound("a", 1, 1, 1.0, (1,), 1, 1),
                    TracedRound("a", 1, 2, 8.0, (3,), 1, 0),
                ),
                steps=(first, under_way, second),
            )
        )
        assert found[0].phases == Phases(qpu=3.0, masked=3.0)
        assert found[1].phases == Phases(classical=2.0, awaiting=2.0, qpu=3.0)
        assert found[1].cycle_seconds == 7.0

    def test_a_finite_difference_is_one_iteration(self) -> None:
        with efaas.EFSession(FakeBackend(), seed=1) as session:
            energy = session.objective(ANSATZ, "ZZ")
            efaas.minimize(energy, START, method="BFGS", speculation="off", max_rounds=3)
            trace = session.trace
        assert len(iterations(trace)) == len(trace.rounds) == 3

    def test_evaluations_without_an_optimizer_are_iterations_too(self) -> None:
        clock = VirtualClock()
        device = FakeBackend(clock=clock, round_seconds=2.0, evaluation_seconds=0.5)
        with efaas.EFSession(device, seed=1, clock=clock) as session:
            energy = session.objective(ANSATZ, "ZZ")
            energy(START)
            clock.advance(3.0)
            energy(START)
            found = iterations(session.trace)
        assert [it.cycle_seconds for it in found] == [2.5, 5.5]
        phases = found[1].phases
        assert (phases.classical, phases.qpu, phases.transfer) == (3.0, 0.5, 2.0)

    def test_compiling_in_an_attempt_is_told_from_running(self) -> None:
        with efaas.EFSession("aer", seed=1) as session:
            energy = session.objective(ANSATZ, "ZZ")
            session._scheduler._backends["aer"].cache.drop(lambda _: True)
            energy(START)
            energy(START)
            first, second = iterations(session.trace)
        assert first.phases.compile > 0
        assert second.phases.compile == 0


class TestReport:
    def test_it_keeps_the_table_of_places(self, report: SessionReport) -> None:
        text = str(report)
        assert text.splitlines()[1].split()[:3] == ["where", "jobs", "evaluations"]
        assert "guesses: " in text

    def test_it_has_a_table_for_each_question(self, report: SessionReport) -> None:
        text = str(report)
        for words in ("Where the time went", "Guesses", "What it took", "Devices", "and why"):
            assert words in text

    def test_an_empty_session_has_a_report(self) -> None:
        with efaas.EFSession(FakeBackend(), seed=1) as session:
            assert str(session.report()).startswith("session open for")
            assert tables(session.trace) == []

    def test_a_notebook_gets_the_same_tables_and_that_of_other_modes(
        self, report: SessionReport
    ) -> None:
        assert report._repr_html_().count("<table") == len(tables(observed_run()[0])) + 1

    def test_it_says_what_other_modes_would_have_taken(self, report: SessionReport) -> None:
        trace, _ = observed_run()
        played = report.what_if()
        assert str(played) == str(what_if(trace))
        assert str(report).endswith(str(played))
        first_words = {line.split(" ")[0] for line in str(played).splitlines()}
        assert {"sbq", "session", "efaas"} <= first_words

    def test_nothing_is_played_where_no_loop_has_run(self) -> None:
        with efaas.EFSession(FakeBackend(), seed=1) as session:
            assert session.report().what_if() is None
            session.call(sum, [1, 2]).result()
            report = session.report()
        assert report.what_if() is None
        assert "other modes" not in str(report)

    def test_what_was_spent_at_providers_stands_against_the_budget(self) -> None:
        spent = Spending(
            jobs=3, qpu_seconds=30.0, expected_seconds=24.0, budget=Budget(qpu_seconds=120, jobs=60)
        )
        report = SessionReport(1.0, spending={"ibm_torino": spent})
        assert spent_table(report.spending).rows == (
            ("ibm_torino", "jobs", 3, None, 60, 3 / 60),
            ("ibm_torino", "QPU s", 30.0, 24.0, 120, 0.25),
        )
        assert "Spent at providers:" in str(report)
        assert "25%" in report._repr_html_()

    def test_large_numbers_are_written_out_and_long_tables_are_cut_in_text(self) -> None:
        columns = (Column("loop"), Column("seconds", ".3g"), Column("spent", ",.6g"))
        rows = tuple([(f"loop {k}", 1219.7 + k, 2.5e7) for k in range(34)])
        table = Table("long", "A long one", columns, rows)
        lines = str(table).splitlines()
        assert lines[2].split() == ["loop", "0", "1,220", "25,000,000"]
        assert len(lines) == 33
        assert lines[-1] == "  and 4 more, which a saved page has"
        assert table.html().count("<tr>") == 35

    def test_what_is_not_ours_is_escaped(self) -> None:
        backend = FakeBackend("<b>lab</b>")
        with efaas.EFSession(backend, seed=1, tenant="<i>") as session:
            session.objective(ANSATZ, "ZZ")(np.asarray(START))
            html = session.report()._repr_html_()
        assert "<b>lab" not in html
        assert "&lt;b&gt;lab" in html
