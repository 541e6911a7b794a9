"""What is remembered of a run, and the files that it is saved to."""

from __future__ import annotations

import json
import sys
from collections import Counter
from concurrent.futures import wait
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from observed_run import observed_run
from qiskit.circuit.library import efficient_su2

import efaas
from efaas.clock import VirtualClock
from efaas.errors import InputError, MissingPackageError
from efaas.model.job import JobState
from efaas.observe import Trace, load_trace
from efaas.observe.chrome import chrome_events, rows_of
from efaas.observe.summary import tables
from efaas.observe.tape import Tape
from efaas.optimize.asks import Ask
from efaas.testing import FakeBackend

ANSATZ = efficient_su2(2, reps=1)
ZEROS = np.zeros(ANSATZ.num_parameters)


@pytest.fixture
def trace() -> Trace:
    return observed_run()[0]


class TestAttempts:
    def test_every_evaluation_of_the_report_is_in_an_attempt(self) -> None:
        trace, report = observed_run()
        assert sum(a.evaluations for a in trace.attempts) == report.backends["lab"].evaluations

    def test_the_instants_of_an_attempt_are_in_order(self, trace: Trace) -> None:
        for a in trace.attempts:
            assert a.first_shot_at is not None
            instants = [a.submitted_at, a.queued_at, a.dispatched_at, a.first_shot_at]
            assert instants == sorted(instants)
            assert a.finished_at >= a.first_shot_at

    def test_a_guess_is_a_hit_if_it_was_asked_for_and_a_miss_if_not(self, trace: Trace) -> None:
        fates = Counter(a.fate for a in trace.attempts if a.is_guess)
        assert fates == {"hit": 1, "miss": 1}

    def test_a_guess_that_nobody_knows_of_yet_is_pending(self) -> None:
        with efaas.EFSession(FakeBackend(), seed=1) as session:
            energy = session.objective(ANSATZ, "ZZ")
            _, (guess,) = energy.submit_round([Ask(ZEROS)], [(Ask(ZEROS + 1.0), None)])
            guess.future.result()
            assert [a.fate for a in session.trace.attempts] == ["asked for", "pending"]

    def test_the_optimizers_answers_from_guesses_are_the_hits(self) -> None:
        clock = VirtualClock()
        device = FakeBackend(clock=clock, round_seconds=1.0)
        patient = efaas.Speculation(predictor_share=0.3)
        with efaas.EFSession(device, seed=5, clock=clock) as session:
            energy = session.objective(ANSATZ, "ZZ")
            start = np.full(energy.num_parameters, 0.4)
            efaas.minimize(
                energy, start, method="Nelder-Mead", options={"maxfev": 50}, speculation=patient
            )
            trace = session.trace
        used = Counter(step.how for step in trace.steps)
        fates = Counter(a.fate for a in trace.attempts)
        assert used["guess"] > 0
        assert fates["hit"] == used["guess"]
        assert fates["pending"] == 0

    def test_a_retry_is_an_attempt_of_its_own(self) -> None:
        backend = FakeBackend(
            manual=True, round_error=lambda batch: OSError("cut") if len(batch) > 1 else None
        )
        with efaas.EFSession(backend, seed=1) as session:
            energy = session.objective(ANSATZ, "ZZ")
            futures = [energy.submit(ZEROS)]
            backend.wait_for_round()
            futures += [energy.submit(ZEROS), energy.submit(ZEROS)]  # they share a round
            backend.release(4)
            wait(futures)
            attempts = session.trace.attempts
        told = sorted((a.job_id, a.number, a.state, a.error) for a in attempts if a.job_id > 1)
        failed = (1, "failed", "OSError: cut")
        assert told == [(2, *failed), (2, 2, "done", None), (3, *failed), (3, 2, "done", None)]
        assert all(bool(a.values) == (a.state == "done") for a in attempts)

    def test_the_points_of_a_failed_round_do_not_count_its_attempt_again(self) -> None:
        bad = ZEROS + 1.0
        backend = FakeBackend(
            round_error=lambda batch: (
                ValueError("no") if any(np.any(e.angles == 1.0) for e in batch) else None
            )
        )
        with efaas.EFSession(backend, seed=1) as session:
            futures = session.objective(ANSATZ, "ZZ").submit_many([ZEROS, bad])
            futures[0].result()
            assert futures[1].exception() is not None
            trace = session.trace
        assert len(trace.attempts) == len(backend.rounds)

    def test_a_classical_step_is_an_attempt_on_the_cpu(self, trace: Trace) -> None:
        (step,) = [a for a in trace.attempts if a.place == "cpu"]
        assert (step.state, step.loop_id, step.evaluations) == ("done", None, 0)

    def test_a_future_knows_the_standard_error_of_its_value(self) -> None:
        backend = FakeBackend()
        with efaas.EFSession(backend, seed=1) as session:
            energy = session.objective(ANSATZ, "XX")
            futures = [energy.submit(ZEROS), *energy.submit_many([ZEROS, ZEROS])]
            gradient = energy.gradient(ZEROS)
            wait([*futures, gradient])
            stds = [a.stds[0] for a in session.trace.attempts if a.stds]
            assert [future.std_error for future in futures] == [stds[0]] * 3
            assert gradient.std_error is None


class TestSteps:
    def test_the_steps_are_the_optimizers_evaluations_in_order(self, trace: Trace) -> None:
        for loop_id in trace.loop_ids:
            mine = [s for s in trace.steps if s.loop_id == loop_id]
            assert [s.number for s in mine] == list(range(1, len(mine) + 1))
            values = [s.value for s in mine if s.value is not None]
            assert [s.best for s in mine] == list(np.minimum.accumulate(values))

    def test_each_round_names_jobs_that_ran(self, trace: Trace) -> None:
        ran = {a.job_id: a for a in trace.attempts}
        for begun in trace.rounds:
            assert sum(ran[job_id].evaluations for job_id in begun.job_ids) == begun.asked
            riders = [a for a in trace.attempts if a.rides_with in begun.job_ids]
            assert sum(a.evaluations for a in riders) <= begun.guessed

    def test_only_what_waited_for_a_round_took_time(self, trace: Trace) -> None:
        for step in trace.steps:
            assert (step.wait_seconds > 0) == (step.how == "round")

    def test_a_plain_functions_run_is_in_no_trace(self) -> None:
        with efaas.EFSession(FakeBackend(), seed=1) as session:
            efaas.minimize(lambda x: float(x @ x), [1.0], speculation="exact")
            assert session.trace.steps == ()


def test_the_tape_keeps_the_latest_and_says_how_many_it_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("efaas.observe.recorder.Tape", partial(Tape, most=3))
    with efaas.EFSession(FakeBackend(), seed=1) as session:
        for number in range(5):
            session.call(abs, number).result()
        trace = session.trace
    assert len(trace.attempts) == 3
    assert trace.dropped == 2
    assert [a.job_id for a in trace.attempts] == [3, 4, 5]


def test_a_job_that_never_ran_is_no_attempt() -> None:
    backend = FakeBackend(manual=True)
    with efaas.EFSession(backend, seed=1) as session:
        energy = session.objective(ANSATZ, "ZZ")
        running = energy.submit(ZEROS)
        backend.wait_for_round()
        assert energy.submit(ZEROS).cancel()
        backend.release(1)
        running.result()
        assert [a.state for a in session.trace.attempts] == [JobState.DONE]


class TestRecalled:
    """A run that a journal answers again from the start."""

    @pytest.fixture
    def runs(self, tmp_path: Path) -> list[Trace]:
        traces = []
        for evaluations in (10, 14):
            with efaas.EFSession(FakeBackend(), seed=4, journal=tmp_path / "run.efaas") as session:
                energy = session.objective(ANSATZ, "ZZ")
                efaas.minimize(
                    energy, ZEROS, method="COBYLA", options={"maxiter": evaluations}, progress=False
                )
                traces.append(session.trace)
        return traces

    def test_what_the_journal_answers_is_no_attempt_but_a_recall(self, runs: list[Trace]) -> None:
        first, second = runs
        assert first.recalled == ()
        assert sum(it.evaluations for it in second.recalled) == len(first.attempts) == 10
        assert len(second.attempts) == 14 - 10

    def test_a_recall_has_the_values_and_errors_that_were_measured(self, runs: list[Trace]) -> None:
        first, second = runs
        measured = [(*a.values, *a.stds, a.calibration_id, a.shots) for a in first.attempts]
        recalled = [(*r.values, *r.stds, r.calibration_id, r.shots) for r in second.recalled]
        assert recalled == measured

    def test_an_optimizer_is_told_the_same_errors_as_before(self, runs: list[Trace]) -> None:
        told = [[(s.value, s.std) for s in trace.steps] for trace in runs]
        assert told[1][:10] == told[0]

    def test_it_is_in_the_file_in_the_tables_and_in_chromes_events(
        self, runs: list[Trace], tmp_path: Path
    ) -> None:
        _, second = runs
        second.save(tmp_path / "run.jsonl")
        assert load_trace(tmp_path / "run.jsonl") == second
        [table] = [table for table in tables(second) if table.name == "recalled"]
        assert table.rows == (("loop 1", 10, 10 * 4096, "fake"),)
        marks = [event for event in chrome_events(second) if event.get("cat") == "recall"]
        assert len(marks) == 10

    def test_a_loop_that_ran_nothing_new_has_its_name_and_its_place(self, tmp_path: Path) -> None:
        for _ in range(2):
            with efaas.EFSession(FakeBackend(), seed=4, journal=tmp_path / "run.efaas") as session:
                session.objective(ANSATZ, "ZZ")(ZEROS)
                trace = session.trace
        assert trace.attempts == ()
        assert list(trace.loop_names.values()) == ["loop 1"]
        assert [loop.backend for loop in trace.loops] == ["fake"]


class TestJsonLines:
    def test_a_saved_trace_is_loaded_the_same(self, trace: Trace, tmp_path: Path) -> None:
        trace.save(tmp_path / "run.jsonl")
        assert load_trace(tmp_path / "run.jsonl") == trace

    def test_records_and_fields_of_later_minor_versions_are_skipped(
        self, trace: Trace, tmp_path: Path
    ) -> None:
        path = tmp_path / "run.jsonl"
        trace.save(path)
        lines = path.read_text().splitlines()
        lines[1] = lines[1][:-1] + ', "colour": "red"}'
        path.write_text("\n".join([*lines, '{"record": "weather"}']))
        assert load_trace(path) == trace

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "is empty"),
            ("no json", "line 1"),
            ('{"format": "other"}', "expected a trace"),
            ('{"format": "efaas-trace", "version": 99}', "version 1, got 99"),
            ('{"format": "efaas-trace", "version": 1}\n{"record": "step"}', "line 2"),
            ('{"format": "efaas-trace", "version": 1}\n[]', "line 2"),
        ],
    )
    def test_another_file_is_refused_by_line(self, text: str, words: str, tmp_path: Path) -> None:
        path = tmp_path / "other.jsonl"
        path.write_text(text)
        with pytest.raises(InputError, match=words):
            load_trace(path)

    def test_a_file_that_is_not_there_is_an_input_error(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="there is no file"):
            load_trace(tmp_path / "none.jsonl")

    def test_another_ending_is_refused(self, trace: Trace, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"run\.txt"):
            trace.save(tmp_path / "run.txt")


class TestChrome:
    def test_there_is_one_slice_for_each_attempt(self, trace: Trace, tmp_path: Path) -> None:
        trace.save(tmp_path / "run.json")
        events = json.loads((tmp_path / "run.json").read_text())["traceEvents"]
        slices = [e for e in events if e.get("cat") in ("attempt", "step")]
        assert len(slices) == len(trace.attempts)

    def test_slices_of_a_track_do_not_overlap(self, trace: Trace) -> None:
        tracks: dict[tuple[int, int], float] = {}
        slices = [e for e in chrome_events(trace) if e["ph"] == "X"]
        for event in sorted(slices, key=lambda e: (e["ts"], e["dur"])):
            key = (event["pid"], event["tid"])
            assert event["ts"] >= tracks.get(key, 0.0) - 1e-3
            tracks[key] = event["ts"] + event["dur"]

    def test_every_device_and_every_loop_has_a_track_of_its_name(self, trace: Trace) -> None:
        names = {e["args"]["name"] for e in chrome_events(trace) if e["ph"] == "M"}
        assert {"lab", "cpu", "loop 1", "loop 2"} <= names

    @given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 5)), max_size=30))
    def test_rows_are_as_few_as_the_most_that_overlap(
        self, spans: list[tuple[float, float]]
    ) -> None:
        """Interval graphs are perfect: their colours are as many as their largest clique."""
        ends = [(began, began + long) for began, long in spans]
        rows = rows_of([(began, ended, (began, ended)) for began, ended in ends])
        last: dict[int, float] = {}
        for row, (began, ended) in rows:
            assert last.get(row, 0.0) <= began
            last[row] = ended
        most = max((sum(b <= at < e for b, e in ends) for at, _ in ends), default=0)
        instants = sum(began == ended for began, ended in ends)
        assert len(last) <= max(most, 1) + instants


class TestOthers:
    def test_pandas_has_a_row_for_each_attempt(self, trace: Trace) -> None:
        pytest.importorskip("pandas")
        frame = trace.to_pandas()
        assert len(frame) == len(trace.attempts)
        assert frame["evaluations"].sum() == sum(a.evaluations for a in trace.attempts)
        assert set(frame["loop"]) == {"loop 1", "loop 2", ""}

    def test_spans_are_nested_and_as_long_as_the_attempts(self, trace: Trace) -> None:
        pytest.importorskip("opentelemetry.sdk")
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        made = trace.export_spans(provider)
        spans = {span.context.span_id: span for span in exporter.get_finished_spans()}
        assert made == len(spans)
        runs = [span for span in spans.values() if span.name == "efaas.run"]
        seconds = sum((span.end_time or 0) - (span.start_time or 0) for span in runs) / 1e9
        assert len(runs) == len(trace.attempts)
        assert seconds == pytest.approx(sum(a.seconds for a in trace.attempts))
        for span in runs:
            assert span.parent is not None
            attempt = spans[span.parent.span_id]
            assert attempt.parent is not None
            assert spans[attempt.parent.span_id].name in {
                "efaas.loop 1",
                "efaas.loop 2",
                "efaas.session",
            }

    @pytest.mark.parametrize(
        ("package", "call"), [("pandas", "to_pandas"), ("opentelemetry.trace", "export_spans")]
    )
    def test_without_the_package_the_error_says_what_to_install(
        self, package: str, call: str, trace: Trace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MissingPackageError, match="pip install"):
            getattr(trace, call)()


def test_taking_a_trace_of_a_closed_session_is_possible() -> None:
    clock = VirtualClock()
    device = FakeBackend(clock=clock, round_seconds=1.0)
    with efaas.EFSession(device, seed=1, clock=clock) as session:
        session.objective(ANSATZ, "ZZ")(ZEROS)
    assert session.trace.attempts[0].seconds == 1.0
