"""EFSession and EFScheduler over fake backends: rounds, seeds, speculation, closing."""

from __future__ import annotations

import gc
import itertools
import signal
import subprocess
import sys
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.circuit.library import efficient_su2

import efaas
from efaas.backends.protocol import Estimates
from efaas.errors import (
    CircuitTooWideError,
    ClosedError,
    DeadlockError,
    InputError,
    JobFailedError,
    ShotsError,
)
from efaas.model.job import JobState
from efaas.testing import FakeBackend

ANSATZ = efficient_su2(2, reps=1)
ZEROS = np.zeros(ANSATZ.num_parameters)
POINTS = np.linspace(-1.0, 1.0, 5 * ANSATZ.num_parameters).reshape(5, -1)


def efaas_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("efaas")]


class TestRounds:
    def test_submit_many_is_one_round(self) -> None:
        backend = FakeBackend()
        with efaas.EFSession(backend, seed=1) as session:
            energy = session.objective(ANSATZ, "ZZ")
            values = [future.result() for future in energy.submit_many(POINTS)]
        assert backend.rounds == [5]
        assert len(set(values)) == 5

    def test_jobs_that_wait_for_the_same_device_share_its_next_round(self) -> None:
        backend = FakeBackend(manual=True)
        with efaas.EFSession(backend, seed=1) as session:
            energy = session.objective(ANSATZ, "ZZ")
            first = energy.submit(ZEROS)
            backend.wait_for_round()
            others = [energy.submit(point) for point in POINTS]
            backend.release(2)
            wait([first, *others])
        assert backend.rounds == [1, 5]

    def test_a_gradient_is_one_job_in_one_round(self) -> None:
        backend = FakeBackend(value=lambda angles, seed: float(np.sin(angles).sum()))
        with efaas.EFSession(backend) as session:
            energy = session.objective(ANSATZ, "ZZ")
            gradient = energy.gradient(POINTS[0]).result()
        assert backend.rounds == [2 * ANSATZ.num_parameters]
        np.testing.assert_allclose(gradient, np.cos(POINTS[0]), atol=1e-12)

    def test_no_points_are_no_round(self) -> None:
        backend = FakeBackend()
        with efaas.EFSession(backend) as session:
            assert session.objective(ANSATZ, "ZZ").submit_many(np.empty((0, 8))) == []
        assert backend.rounds == []


class TestSeeds:
    def values(self, seed: int, order: list[int], *, batched: bool) -> dict[int, float]:
        with efaas.EFSession(FakeBackend(), seed=seed) as session:
            energy = session.objective(ANSATZ, "ZZ")
            if batched:
                found = [future.result() for future in energy.submit_many(POINTS[order])]
            else:
                found = [energy(POINTS[i]) for i in order]
        return dict(zip(order, found, strict=True))

    def test_a_value_depends_on_the_point_not_on_its_company(self) -> None:
        alone = self.values(7, [0, 1, 2, 3, 4], batched=False)
        assert self.values(7, [3, 1, 4, 0, 2], batched=True) == alone
        assert self.values(7, [4, 2, 0, 1, 3], batched=False) == alone

    def test_another_seed_gives_other_noise(self) -> None:
        assert self.values(7, [0], batched=False) != self.values(8, [0], batched=False)

    def test_the_nth_evaluation_of_a_point_has_the_nth_value(self) -> None:
        with efaas.EFSession(FakeBackend(), seed=7) as session:
            energy = session.objective(ANSATZ, "ZZ")
            one_by_one = [energy(ZEROS) for _ in range(3)]
        with efaas.EFSession(FakeBackend(), seed=7) as session:
            energy = session.objective(ANSATZ, "ZZ")
            at_once = [f.result() for f in energy.submit_many(np.stack([ZEROS] * 3))]
        assert len(set(one_by_one)) == 3
        assert at_once == one_by_one

    def test_the_two_zeros_are_one_point(self) -> None:
        with efaas.EFSession(FakeBackend(), seed=7) as session:
            first = session.objective(ANSATZ, "ZZ")(ZEROS)
        with efaas.EFSession(FakeBackend(), seed=7) as session:
            assert session.objective(ANSATZ, "ZZ")(-ZEROS) == first

    def test_two_objectives_of_one_circuit_have_noise_of_their_own(self) -> None:
        with efaas.EFSession(FakeBackend(), seed=7) as session:
            first, second = (session.objective(ANSATZ, "ZZ") for _ in range(2))
            assert first(ZEROS) != second(ZEROS)

    def test_a_session_without_a_seed_says_which_it_drew(self) -> None:
        with efaas.EFSession(FakeBackend()) as session:
            drawn, value = session.seed, session.objective(ANSATZ, "ZZ")(ZEROS)
        with efaas.EFSession(FakeBackend(), seed=drawn) as session:
            assert session.objective(ANSATZ, "ZZ")(ZEROS) == value

    @pytest.mark.parametrize("guess_is_right", [True, False])
    def test_speculation_changes_no_value(self, guess_is_right: bool) -> None:
        def run(*, speculate: bool) -> list[float]:
            with efaas.EFSession(FakeBackend(), seed=7) as session:
                energy = session.objective(ANSATZ, "ZZ")

                def step(value: float) -> list[float]:
                    return [value, energy(POINTS[1]), energy(ZEROS)]

                first = energy.submit(ZEROS)
                if not speculate:
                    return step(first.result())
                guess = TestSeeds.first_value if guess_is_right else 0.5
                return first.speculate(step, guess=guess).result()

        with efaas.EFSession(FakeBackend(), seed=7) as session:
            TestSeeds.first_value = session.objective(ANSATZ, "ZZ")(ZEROS)
        assert run(speculate=True) == run(speculate=False)

    first_value: float


class TestSpeculationOnABackend:
    def test_committed_jobs_go_before_speculative_ones(self) -> None:
        backend = FakeBackend(manual=True)
        with efaas.EFSession(backend, seed=1, cpu_slots=2) as session:
            energy = session.objective(ANSATZ, "ZZ")
            first = energy.submit(ZEROS)
            backend.wait_for_round()
            started = threading.Event()

            def step(value: float) -> Any:
                future = energy.submit(POINTS[0])
                started.set()
                return future

            out = first.speculate(step, guess=0.0)
            assert started.wait(30)
            committed = energy.submit(POINTS[1])
            backend.release()
            backend.wait_for_round()
            backend.release(10)
            assert committed.result() is not None
            snapshot = committed.job
            assert snapshot is not None
            assert snapshot.speculative is False
            out.result()
        assert session.report().misses == 1

    def test_a_queued_job_of_a_wrong_guess_never_runs(self) -> None:
        ran: list[float] = []

        def value(angles: np.ndarray, seed: int) -> float:
            ran.append(float(angles[0]))
            return 1.0

        backend = FakeBackend(manual=True, value=value)
        with efaas.EFSession(backend, seed=1, cpu_slots=2) as session:
            energy = session.objective(ANSATZ, "ZZ")
            first = energy.submit(ZEROS)
            backend.wait_for_round()
            started = threading.Event()

            def step(guess: float) -> float:
                future = energy.submit(ZEROS + guess)
                started.set()
                return future.result()

            out = first.speculate(step, guess=5.0)
            assert started.wait(30)
            backend.release(10)
            assert out.result() == 1.0
        assert ran == [0.0, 1.0]

    def test_a_step_may_wait_for_other_steps_with_one_cpu_slot(self) -> None:
        with efaas.EFSession(FakeBackend(), cpu_slots=1) as session:

            def nested(depth: int) -> int:
                return 0 if depth == 0 else 1 + session.call(nested, depth - 1).result()

            assert session.call(nested, 5).result() == 5


class TestFailures:
    def test_a_backend_that_raises_fails_the_job_with_its_attempts_and_cause(self) -> None:
        backend = FakeBackend(round_error=lambda evaluations: OSError("cable cut"))
        with efaas.EFSession(backend) as session:
            energy = session.objective(ANSATZ, "ZZ")
            with pytest.raises(JobFailedError, match="cable cut") as caught:
                energy(ZEROS)
        assert isinstance(caught.value.__cause__, OSError)
        assert [attempt.error for attempt in caught.value.attempts] == ["OSError: cable cut"]

    def test_one_bad_evaluation_does_not_take_its_round_along(self) -> None:
        def round_error(evaluations: Any) -> Exception | None:
            poisoned = any(POINTS[2, 0] in e.angles[:, 0] for e in evaluations)
            return OSError("poison") if poisoned else None

        with efaas.EFSession(FakeBackend(round_error=round_error)) as session:
            futures = session.objective(ANSATZ, "ZZ").submit_many(POINTS)
            failed = [i for i, f in enumerate(futures) if f.exception() is not None]
        assert failed == [2]
        error = futures[2].exception()
        assert isinstance(error, JobFailedError)
        assert len(error.attempts) == 2

    def test_a_steps_own_error_is_passed_on_as_it_is(self) -> None:
        with efaas.EFSession(FakeBackend()) as session, pytest.raises(ZeroDivisionError):
            session.call(lambda: 1 / 0).result()

    def test_a_done_callback_that_waits_is_refused(self) -> None:
        seen: list[BaseException] = []
        backend = FakeBackend(manual=True)
        with efaas.EFSession(backend) as session:
            energy = session.objective(ANSATZ, "ZZ")
            other = energy.submit(ZEROS)

            def callback(_: Any) -> None:
                try:
                    other.result()
                except DeadlockError as error:
                    seen.append(error)

            step = session.call(int)
            step.add_done_callback(callback)
            step.result()
            session.call(int).result()  # the callback has run by now, on the same thread
            backend.release()
        assert len(seen) == 1

    def test_a_done_callback_may_read_a_future_that_is_done(self) -> None:
        seen: list[int] = []
        with efaas.EFSession(FakeBackend()) as session:
            step = session.call(int, "5")
            step.add_done_callback(lambda f: seen.append(f.result()))
            step.then(lambda value: value).result()
        assert seen == [5]

    def test_the_points_of_a_round_that_failed_are_tried_alone_once(self) -> None:
        backend = FakeBackend(round_error=lambda evaluations: OSError("down"))
        with efaas.EFSession(backend) as session:
            futures = session.objective(ANSATZ, "ZZ").submit_many(POINTS)
            errors = [future.exception() for future in futures]
        assert [len(e.attempts) for e in errors if isinstance(e, JobFailedError)] == [2] * 5
        assert backend.rounds == [5, 1, 1, 1, 1, 1]

    def test_a_callback_that_exits_costs_nobody_else_a_result(self) -> None:
        backend = FakeBackend(manual=True)
        with efaas.EFSession(backend) as session:
            futures = session.objective(ANSATZ, "ZZ").submit_many(POINTS)
            futures[2].add_done_callback(lambda _: sys.exit(1))
            backend.release()
            assert len(wait(futures, timeout=30).done) == 5

    @pytest.mark.parametrize("answer", [None, "too few", "no usage"])
    def test_a_backend_that_answers_nonsense_fails_the_job(self, answer: str | None) -> None:
        class Odd(FakeBackend):
            def execute(self, evaluations: Any) -> Any:
                outcomes = list(super().execute(evaluations))
                if answer == "too few":
                    estimates = Estimates(np.zeros((0, 1)), np.zeros((0, 1)))
                    return [replace(outcome, value=estimates) for outcome in outcomes]
                return [replace(o, usage=None) if answer else None for o in outcomes]

        with efaas.EFSession(Odd()) as session:
            futures = session.objective(ANSATZ, "ZZ").submit_many(POINTS)
            assert all(isinstance(f.exception(timeout=30), JobFailedError) for f in futures)


class TestCancelling:
    def test_one_point_of_a_queued_round_can_be_cancelled(self) -> None:
        backend = FakeBackend(manual=True)
        with efaas.EFSession(backend, seed=1) as session:
            energy = session.objective(ANSATZ, "ZZ")
            first = energy.submit(ZEROS)
            backend.wait_for_round()
            futures = energy.submit_many(POINTS)
            assert futures[1].cancel()
            backend.release(2)
            wait([first, *futures])
        with efaas.EFSession(FakeBackend(), seed=1) as session:
            values = [f.result() for f in session.objective(ANSATZ, "ZZ").submit_many(POINTS)]
        assert backend.rounds == [1, 4]
        assert [f.result() for f in futures if not f.cancelled()] == [values[0], *values[2:]]

    def test_a_round_that_nobody_waits_for_never_runs(self) -> None:
        backend = FakeBackend(manual=True)
        with efaas.EFSession(backend, seed=1) as session:
            energy = session.objective(ANSATZ, "ZZ")
            energy.submit(ZEROS)
            backend.wait_for_round()
            for future in energy.submit_many(POINTS):
                assert future.cancel()
            backend.release(2)
        assert backend.rounds == [1]


class TestClosing:
    def test_leaving_waits_for_committed_work_and_ends_the_threads(self) -> None:
        backend = FakeBackend(manual=True)
        with efaas.EFSession(backend) as session:
            future = session.objective(ANSATZ, "ZZ").submit(ZEROS)
            chained = future.then(lambda value: session.call(lambda: value))
            backend.release()
        assert future.done()
        assert chained.result() == future.result()
        assert efaas_threads() == []

    def test_leaving_by_an_exception_cancels_what_is_queued(self) -> None:
        backend = FakeBackend(manual=True)

        def leave() -> None:
            with efaas.EFSession(backend) as session:
                energy = session.objective(ANSATZ, "ZZ")
                futures.append(energy.submit(ZEROS))
                backend.wait_for_round()
                futures.extend(energy.submit(point) for point in POINTS)
                backend.release()
                raise KeyboardInterrupt

        futures: list[Any] = []
        with pytest.raises(KeyboardInterrupt):
            leave()
        assert all(future.cancelled() for future in futures[1:])
        assert futures[0].done()
        assert backend.rounds == [1]
        assert efaas_threads() == []

    def test_a_closed_session_says_so(self) -> None:
        with efaas.EFSession(FakeBackend()) as session:
            energy = session.objective(ANSATZ, "ZZ")
        attempts = [
            lambda: energy(ZEROS),
            lambda: energy.submit_many(POINTS),
            lambda: energy.gradient(ZEROS),
            lambda: session.objective(ANSATZ, "ZZ"),
            lambda: session.call(int),
            lambda: session.estimate(QuantumCircuit(1), "Z"),
            lambda: session.estimator(),
            lambda: session.sampler(),
        ]
        for attempt in attempts:
            with pytest.raises(ClosedError, match="closed"):
                attempt()

    def test_closing_twice_is_fine(self) -> None:
        session = efaas.EFSession(FakeBackend())
        session.close()
        session.close(cancel=True)

    def test_open_guesses_are_withdrawn_but_the_true_step_still_runs(self) -> None:
        backend = FakeBackend(manual=True, value=lambda angles, seed: 1.0)
        with efaas.EFSession(backend) as session:
            energy = session.objective(ANSATZ, "ZZ")
            out = energy.submit(ZEROS).speculate(lambda value: value + 1, guess=5.0)
            backend.release()
        assert out.result() == 2.0

    def test_a_session_that_nobody_keeps_leaves_no_thread(self) -> None:
        session = efaas.EFSession(FakeBackend())
        session.call(int).result()
        del session
        for thread in threading.enumerate():
            if thread.name.startswith("efaas"):
                thread.join(30)
        assert efaas_threads() == []

    def test_a_session_cannot_be_closed_by_its_own_step(self) -> None:
        with (
            efaas.EFSession(FakeBackend()) as session,
            pytest.raises(DeadlockError, match="where it was opened"),
        ):
            session.call(session.close).result(timeout=30)

    def test_a_step_may_close_another_session(self) -> None:
        with efaas.EFScheduler(FakeBackend(), cpu_slots=1) as scheduler:
            first, second = scheduler.session(), scheduler.session()
            pending = second.call(int, "3")
            first.call(second.close).result(timeout=30)
            assert pending.result() == 3

    def test_work_outlives_a_session_that_nobody_keeps(self) -> None:
        def begin() -> list[Any]:
            session = efaas.EFSession(FakeBackend(), cpu_slots=1)
            return [session.call(int, str(i)) for i in range(20)]

        assert [future.result(timeout=30) for future in begin()] == list(range(20))

    @pytest.mark.parametrize("line", range(1, 260, 7))
    def test_an_interrupt_in_the_middle_of_a_submission_breaks_nothing(self, line: int) -> None:
        """Ctrl-C at the ``line``-th line that submitting executes: later work still runs."""
        countdown = itertools.count(line, -1)

        def trace(frame: Any, event: str, arg: Any) -> Any:
            if "efaas" not in frame.f_code.co_filename:
                return None
            if event == "line" and next(countdown) == 0:
                sys.settrace(None)
                signal.raise_signal(signal.SIGINT)
            return trace

        with efaas.EFSession(FakeBackend(), seed=1) as session:
            energy = session.objective(ANSATZ, "ZZ")
            before = sys.gettrace()
            gc.disable()  # or the line may be one of a finalizer, of a session of another test
            try:
                sys.settrace(trace)
                energy.submit(ZEROS)
                session.call(int)
            except KeyboardInterrupt:
                pass
            finally:
                sys.settrace(before)
                gc.enable()
            assert session.call(int).result(timeout=30) == 0
            assert energy.submit(ZEROS).result(timeout=30)
            session._dispatcher.check_invariants()

    def test_a_program_that_forgets_to_close_ends_quietly(self) -> None:
        code = (
            "import efaas; from efaas.testing import FakeBackend\n"
            "session = efaas.EFSession(FakeBackend(), cpu_slots=1)\n"
            "futures = [session.call(int) for _ in range(1000)]\n"
        )
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert (ran.returncode, ran.stderr) == (0, "")

    def test_a_shared_scheduler_outlives_its_sessions(self) -> None:
        backend = FakeBackend()
        with efaas.EFScheduler(backend) as scheduler:
            with scheduler.session(tenant="ada", seed=1) as first:
                value = first.objective(ANSATZ, "ZZ")(ZEROS)
            with scheduler.session(tenant="bob", weight=2, seed=1) as second:
                assert second.objective(ANSATZ, "ZZ")(ZEROS) == value
        with pytest.raises(ClosedError):
            scheduler.session()
        assert efaas_threads() == []


class TestSeveralThreads:
    def test_threads_may_share_a_session(self) -> None:
        with efaas.EFSession(FakeBackend(), seed=3) as session:
            energy = session.objective(ANSATZ, "ZZ")
            rows = np.random.default_rng(0).normal(size=(200, ANSATZ.num_parameters))
            with ThreadPoolExecutor(8) as pool:
                values = list(pool.map(energy, rows))
        with efaas.EFSession(FakeBackend(), seed=3) as session:
            alone = [f.result() for f in session.objective(ANSATZ, "ZZ").submit_many(rows)]
        assert values == alone


class TestPinning:
    def test_a_loop_stays_on_one_backend_and_loops_spread(self) -> None:
        backends = [FakeBackend("left"), FakeBackend("right")]
        with efaas.EFSession(backends) as session:
            first, second = (session.objective(ANSATZ, "ZZ") for _ in range(2))
            jobs = [energy.submit(point) for point in POINTS for energy in (first, second)]
            wait(jobs)
            places = [job.job.backend for job in jobs if job.job]
        assert set(places[0::2]) == {"left"}
        assert set(places[1::2]) == {"right"}

    def test_a_circuit_goes_where_it_fits(self) -> None:
        backends = [FakeBackend("small", num_qubits=1), FakeBackend("large", num_qubits=5)]
        with efaas.EFSession(backends) as session:
            assert session.objective(ANSATZ, "ZZ").profile.backend == "large"


class TestSnapshots:
    def test_a_job_tells_its_life(self) -> None:
        backend = FakeBackend(manual=True)
        with efaas.EFSession(backend) as session:
            future = session.objective(ANSATZ, "ZZ").submit(ZEROS)
            backend.wait_for_round()
            before = future.job
            assert before is not None
            assert (before.state, before.timeline.finished_at) == (JobState.RUNNING, None)
            backend.release()
            future.result()
            after = future.job
            assert after is not None
        assert before.state is JobState.RUNNING
        assert (after.state, after.backend, after.calibration_id) == (JobState.DONE, "fake", "fake")
        times = after.timeline
        stages = [times.submitted_at, times.queued_at, times.dispatched_at, times.first_shot_at]
        assert [*stages, times.finished_at] == sorted([*stages, times.finished_at])  # type: ignore[type-var]

    def test_the_report_counts_what_ran(self) -> None:
        with efaas.EFSession(FakeBackend()) as session:
            energy = session.objective(ANSATZ, "ZZ")
            energy(ZEROS)
            wait(energy.submit_many(POINTS))
            session.call(int).result()
            report = session.report()
        assert report.backends["fake"].evaluations == 6
        assert report.classical.jobs == 1
        assert "fake" in str(report)


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"backends": []}, "at least one backend"),
            ({"backends": "aer", "seed": -1}, "seed"),
            ({"backends": "aer", "seed": 1.5}, "seed"),
            ({"backends": "aer", "weight": 0}, "weight"),
            ({"backends": "aer", "tenant": ""}, "tenant"),
            ({"backends": "aer", "tenant": None}, "tenant"),
            ({"backends": "aer", "weight": float("nan")}, "weight"),
            ({"backends": "aer", "cpu_slots": 0}, "cpu_slots"),
            ({"backends": ["aer", "aer"]}, "two backends are named"),
        ],
    )
    def test_a_session_is_refused_with_a_reason(
        self, arguments: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(InputError, match=message):
            efaas.EFSession(**arguments)
        assert efaas_threads() == []

    def test_a_backend_and_a_scheduler_contradict_each_other(self) -> None:
        with (
            efaas.EFScheduler(FakeBackend()) as scheduler,
            pytest.raises(InputError, match="scheduler"),
        ):
            efaas.EFSession("aer", scheduler=scheduler)

    @pytest.mark.parametrize("policy", [{"ordering": "lifo"}, {"placement": "nearest"}])
    def test_an_unknown_policy_names_the_known_ones(self, policy: dict[str, str]) -> None:
        with pytest.raises(InputError, match="expected one of"):
            efaas.EFScheduler(FakeBackend(), **policy)  # type: ignore[arg-type]

    @pytest.mark.parametrize("shots", [0, -1, 1.5, True, "many"])
    def test_shots_have_to_be_a_positive_integer(self, shots: Any) -> None:
        with efaas.EFSession(FakeBackend()) as session, pytest.raises(ShotsError, match="shots"):
            session.objective(ANSATZ, "ZZ", shots=shots)

    def test_a_circuit_wider_than_every_device_is_refused(self) -> None:
        with efaas.EFSession([FakeBackend(num_qubits=3)]) as session:
            with pytest.raises(CircuitTooWideError, match="widest backend here has 3"):
                session.objective(QuantumCircuit(4), "ZZZZ")
            assert session.report().backends == {}

    def test_call_takes_a_function(self) -> None:
        with efaas.EFSession(FakeBackend()) as session, pytest.raises(InputError, match="function"):
            session.call(3)  # type: ignore[arg-type]

    def test_several_pubs_are_submitted_one_by_one(self) -> None:
        pub = (QuantumCircuit(1), "Z")
        with efaas.EFSession(FakeBackend()) as session, pytest.raises(InputError, match="one pub"):
            session.estimate(pub, pub)


def test_a_cancelled_evaluation_raises_as_the_standard_library_does() -> None:
    backend = FakeBackend(manual=True)
    with efaas.EFSession(backend) as session:
        energy = session.objective(ANSATZ, "ZZ")
        running = energy.submit(ZEROS)
        backend.wait_for_round()
        queued = energy.submit(ZEROS)
        assert queued.cancel()
        assert not running.cancel()
        backend.release()
        with pytest.raises(CancelledError):
            queued.result()
    assert queued.job is not None
    assert queued.job.state is JobState.CANCELLED
