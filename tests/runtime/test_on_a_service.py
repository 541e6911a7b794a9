"""A runtime backend and the real client, over HTTP, against the loopback service."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

import efaas
from efaas.backends import Evaluation, Experiment, Limits, RuntimeBackend
from efaas.errors import (
    InputError,
    JobFailedError,
    ProviderError,
    ProviderSessionError,
    UnknownBackendError,
)
from efaas.optimize.limits import BUDGET_REACHED, INTERRUPTED, PROVIDER_SESSION_ENDED
from efaas.testing.runtime_service import PLANS, Hang, JobNeverEnds, RuntimeService
from tests.runtime.conftest import (
    FAST,
    ServiceClock,
    ansatz,
    endpoints,
    evaluation,
    kinds,
    objective,
    until,
)

if TYPE_CHECKING:
    Make = Callable[..., RuntimeBackend]

START = np.array([0.4, -0.3])


class TestALoop:
    def test_a_script_for_a_fake_device_runs_with_the_backend_changed_only(
        self, service: RuntimeService, make: Make
    ) -> None:
        results = []
        backend = make()
        for where in ("fake_manila", backend):
            with efaas.EFSession(where, seed=7) as session:
                energy = objective(session, shots=512)
                results.append(
                    efaas.minimize(energy, START, method="COBYLA", options={"maxiter": 8})
                )
        assert [result.nfev for result in results] == [8, 8]
        assert abs(results[0].fun - results[1].fun) < 0.4
        # One job a round, all in one session, which is closed.
        assert {job.status for job in service.jobs} == {"Completed"}
        assert len(service.jobs) == results[1].speculation.rounds
        [opened] = service.sessions
        assert (opened.mode, opened.state) == ("dedicated", "closed")
        assert {job.session_id for job in service.jobs} == {opened.id}
        assert kinds(backend) == ["opened", "closed"]

    def test_backend_objects_of_the_service_are_taken_as_they_are(
        self, service: RuntimeService
    ) -> None:
        device = service.client().backend("ibm_manila")
        with efaas.EFSession([device, "fake_manila"], seed=7) as session:
            energy = session.objective(ansatz(), "ZZ", shots=64)
            where = session.explain(energy).backend
            assert -1 <= energy(START) <= 1
        assert where in {"ibm_manila", "fake_manila"}

    def test_so_is_a_list_of_them(self) -> None:
        devices = ["fake_manila", "fake_quito"]
        with RuntimeService(devices=devices, poll_seconds=0.02) as service:
            made = [service.client().backend(f"ibm_{name}") for name in ("manila", "quito")]
            with efaas.EFSession(made, seed=7) as session:
                energies = [objective(session) for _ in range(4)]
                futures = [energy.submit(START) for energy in energies]
                assert np.isfinite([future.result() for future in futures]).all()
                where = {session.explain(energy).backend for energy in energies}
            assert {job.device for job in service.jobs} == where == {"ibm_manila", "ibm_quito"}
            assert {opened.state for opened in service.sessions} == {"closed"}

    def test_the_report_says_what_was_expected_and_what_was_measured(
        self, service: RuntimeService, make: Make
    ) -> None:
        backend = make(budget=efaas.Budget(qpu_seconds=100, money=500, price_per_second=1.6))
        with efaas.EFSession(backend, seed=7) as session:
            objective(session)(START)
            spent = session.report().spending["ibm_manila"]
            printed = str(session.report())
        [job] = service.jobs
        assert spent.jobs == 1
        assert spent.qpu_seconds == pytest.approx(job.qpu_seconds)
        assert 0.3 * job.qpu_seconds < spent.expected_seconds < 3 * job.qpu_seconds
        assert "ibm_manila was sent 1 jobs" in printed
        assert "budget: qpu_seconds 100, money 500" in printed
        after = backend.spending()
        assert after.session_seconds == pytest.approx(service.billed_seconds)
        assert after.money == pytest.approx(1.6 * service.billed_seconds)

    def test_the_attempts_first_shot_is_when_the_provider_ran_it(
        self, service: RuntimeService, make: Make
    ) -> None:
        clock = ServiceClock(service)
        service.pause("ibm_manila")
        with efaas.EFSession(make(clock=clock), seed=7, clock=clock) as session:
            future = objective(session).submit(START)
            until(lambda: service.jobs)
            service.advance(100.0)
            service.resume("ibm_manila")
            future.result()
            times = future.job.timeline
        assert 100.0 <= times.first_shot_at - times.dispatched_at <= times.finished_at

    def test_rounds_of_several_loops_are_sent_ahead(
        self, service: RuntimeService, make: Make
    ) -> None:
        service.pause("ibm_manila")
        with efaas.EFSession(make(rounds_ahead=2), seed=7) as session:
            energies = [objective(session), session.objective(ansatz(), "ZI", shots=64)]
            futures = [energy.submit(START) for energy in energies]
            until(lambda: len(service.jobs) == 2)
            service.resume("ibm_manila")
            assert all(np.isfinite(future.result()) for future in futures)

    def test_a_round_may_end_before_an_equal_one_that_was_sent_before_it(
        self, service: RuntimeService, make: Make
    ) -> None:
        """Two loops ask for the same: what is on its way is told apart all the same."""
        service.pause("ibm_manila")
        slow = service.inject(
            Hang(), "results", when=lambda asked: service.jobs[0].id in asked.path
        )
        with efaas.EFSession(make(rounds_ahead=2), seed=7) as session:
            first, second = [objective(session).submit(START) for _ in range(2)]
            until(lambda: len(service.jobs) == 2)
            service.resume("ibm_manila")
            until(lambda: first.done() or second.done())
            slow.release()
            assert np.isfinite([first.result(), second.result()]).all()

    def test_a_new_loop_goes_where_fewer_wait(self) -> None:
        devices = ["fake_manila", "fake_quito"]
        with RuntimeService(devices=devices, poll_seconds=0.02) as service:
            account, clock = service.client(), ServiceClock(service)
            made = [
                RuntimeBackend(account.backend(f"ibm_{name}"), options=FAST, clock=clock)
                for name in ("manila", "quito")
            ]
            service.take_down("ibm_manila", "maintenance")
            with efaas.EFSession(made, seed=7) as session:
                assert session.explain(objective(session)).backend == "ibm_quito"
            for backend in made:
                backend.close()

    def test_samples_come_as_they_do_from_the_vendor(
        self, service: RuntimeService, make: Make
    ) -> None:
        circuit = ansatz()
        circuit.measure_all()
        with efaas.EFSession(make(), seed=7) as session:
            result = session.sample(circuit, [START, 2 * START], shots=50).result()
        assert result.data.meas.array.shape == (2, 50, 1)
        assert sum(result.data.meas.get_counts(0).values()) == 50


class TestModes:
    @pytest.mark.parametrize("mode", ["session", "batch", "job"])
    def test_each_mode_can_be_asked_for(
        self, service: RuntimeService, make: Make, mode: str
    ) -> None:
        backend = make(mode=mode)
        with efaas.EFSession(backend, seed=7) as session:
            objective(session)(START)
            assert backend.mode == mode
            assert f"mode {mode}" in str(backend.status())
        names = {"session": ["dedicated"], "batch": ["batch"], "job": []}[mode]
        assert [opened.mode for opened in service.sessions] == names
        assert {opened.state for opened in service.sessions} <= {"closed"}

    def test_the_open_plan_gets_batches_by_default(self) -> None:
        with RuntimeService(devices=["fake_manila"], plan="open") as service:
            backend = RuntimeBackend("ibm_manila", options=FAST, clock=ServiceClock(service))
            with efaas.EFSession(backend, seed=7) as session:
                objective(session)(START)
            assert (backend.plan, backend.mode) == ("open", "batch")
            assert [opened.mode for opened in service.sessions] == ["batch"]

    def test_what_the_account_turns_out_not_to_be_allowed_is_replaced_and_reported(self) -> None:
        rules = replace(PLANS["premium"], may_open_sessions=False)
        with RuntimeService(devices=["fake_manila"], plan=rules) as service:
            backend = RuntimeBackend("ibm_manila", options=FAST, clock=ServiceClock(service))
            assert backend.mode == "session"
            with efaas.EFSession(backend, seed=7) as session:
                objective(session)(START)
            assert backend.mode == "batch"
            assert kinds(backend) == ["mode", "opened", "closed"]

    def test_a_session_that_was_asked_for_is_not_replaced(self) -> None:
        with RuntimeService(devices=["fake_manila"], plan="open") as service:
            clock = ServiceClock(service)
            backend = RuntimeBackend("ibm_manila", mode="session", options=FAST, clock=clock)
            [error] = backend.execute([evaluation()])
            assert isinstance(error, ProviderSessionError)
            assert "leave mode= out" in str(error)
            assert service.jobs == ()
            backend.close()

    def test_an_unknown_device_is_refused_with_those_there_are(
        self, service: RuntimeService
    ) -> None:
        with pytest.raises(UnknownBackendError, match="ibm_manila"):
            RuntimeBackend("ibm_manilla")

    def test_more_shots_than_the_device_takes_are_refused_before_anything_is_sent(
        self, service: RuntimeService, make: Make
    ) -> None:
        with efaas.EFSession(make(), seed=7) as session:
            energy = session.objective(ansatz(), {"ZZ": 1.0}, shots=100_001)
            with pytest.raises(JobFailedError, match="at most 100000 shots"):
                energy(START)
        assert service.jobs == ()
        assert service.sessions == ()

    def test_options_that_the_vendor_does_not_know_are_refused_at_the_door(self) -> None:
        with pytest.raises(InputError, match="resilience_levels"):
            RuntimeBackend("fake_manila", options={"resilience_levels": 1})
        with pytest.raises(InputError, match="shots"):
            RuntimeBackend("fake_manila", options={"default_shots": 100})

    @pytest.mark.parametrize("mode", ["batch", "job"])
    def test_without_the_providers_sessions_ours_keeps_pins_cache_packing_and_metrics(
        self, mode: str
    ) -> None:
        devices = ["fake_manila", "fake_quito"]
        with RuntimeService(devices=devices, plan="open", poll_seconds=0.02) as service:
            clock = ServiceClock(service)
            made = [
                RuntimeBackend(f"ibm_{name}", mode=mode, options=FAST, clock=clock)
                for name in ("manila", "quito")
            ]
            with efaas.EFSession(made, seed=7) as session:
                energy = objective(session)
                where = session.explain(energy).backend
                result = efaas.minimize(
                    energy,
                    START,
                    method="BFGS",
                    jac="parameter-shift",
                    options={"maxiter": 3},
                    speculation="off",
                )
                cache, report = session.cache_info(), session.report()
            assert {job.device for job in service.jobs} == {where}, "it is pinned"
            assert cache.misses <= 2, "compiled once where it was looked at"
            assert cache.hits >= len(service.jobs)
            gradients = [job for job in service.jobs if job.num_circuits > 2]
            assert len(gradients) == result.njev, "the points of a gradient go together"
            assert report.spending[where].jobs == len(service.jobs) == result.speculation.rounds
            for backend in made:
                backend.close()


class TestOptions:
    def test_a_calibration_that_is_stayed_with_is_that_of_every_job(
        self, service: RuntimeService, make: Make
    ) -> None:
        first = service.recalibrate("ibm_manila")
        service.advance(3600.0)
        service.recalibrate("ibm_manila", spread=0.5)
        stays, follows = make(calibration_id=first), make()
        for backend in (stays, follows):
            with efaas.EFSession(backend, seed=7) as session:
                objective(session)(START)
        assert [job.calibration_id for job in service.jobs] == [
            first,
            service.calibration_id("ibm_manila"),
        ]
        assert stays.calibration().taken_at < follows.calibration().taken_at

    def test_a_calibration_that_is_not_there_is_refused(self, make: Make) -> None:
        with pytest.raises(ProviderError, match="never-taken"):
            make(calibration_id="never-taken")

    def test_fractional_gates_are_used_where_they_are_asked_for(self) -> None:
        theta = ParameterVector("t", 2)
        circuit = QuantumCircuit(2)
        circuit.h([0, 1])
        circuit.rzz(theta[0], 0, 1)
        circuit.rx(theta[1], 0)
        points = np.array([[0.4, -0.3], [2.9, 1.0], [-7.0, 0.2]])
        with RuntimeService(devices=["fake_fractional"], seed=1, poll_seconds=0.02) as service:
            found, depths = [], []
            for fractional in (False, True):
                backend = RuntimeBackend(
                    "ibm_fractional",
                    options=FAST,
                    clock=ServiceClock(service),
                    use_fractional_gates=fractional,
                )
                experiment = Experiment.estimate(circuit, [{"ZY": 1.0, "XI": 0.5}])
                depths.append(backend.profile(experiment).two_qubit_gates)
                with efaas.EFSession(backend, seed=7) as session:
                    energy = session.objective(circuit, {"ZY": 1.0, "XI": 0.5}, shots=8_000)
                    found.append([future.result() for future in energy.submit_many(points)])
                backend.close()
            [shared, own] = service.jobs
        assert np.allclose(found[0], found[1], atol=0.1)
        assert depths == [2, 1], "the circuit is shorter"
        assert (shared.num_pubs, own.num_pubs) == (1, 3), "a circuit for each point, as is stated"


class TestTheProviderSessionsLife:
    def test_it_is_closed_when_the_loop_fails(self, service: RuntimeService, make: Make) -> None:
        backend = make()

        def run() -> None:
            with efaas.EFSession(backend, seed=7) as session:
                objective(session)(START)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            run()
        assert [opened.state for opened in service.sessions] == ["closed"]

    def test_it_is_closed_at_the_interpreters_exit_and_what_is_queued_is_cancelled(
        self, service: RuntimeService
    ) -> None:
        script = textwrap.dedent("""
            import efaas
            from efaas.backends import RuntimeBackend
            from tests.runtime.conftest import FAST, objective
            session = efaas.EFSession(RuntimeBackend("ibm_manila", options=FAST), seed=7)
            energy = objective(session)
            energy([0.4, -0.3])
            print("ready", flush=True)
            input()
            energy.submit([0.2, 0.1])
            input()
        """)
        child = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        service.pause("ibm_manila")
        child.stdin.write("submit\n")
        child.stdin.flush()
        until(lambda: len(service.jobs) == 2)
        child.communicate("exit\n", timeout=100)
        assert child.returncode == 0
        assert [job.status for job in service.jobs] == ["Completed", "Cancelled"]
        assert [opened.state for opened in service.sessions] == ["closed"]

    def test_one_that_lasted_its_time_is_followed_by_another(
        self, service: RuntimeService, make: Make
    ) -> None:
        backend = make(max_session_seconds=600)
        with efaas.EFSession(backend, seed=7) as session:
            energy = objective(session)
            energy(START)
            service.advance(700.0)
            energy(START)
        assert len(service.sessions) == 2
        assert [job.status for job in service.jobs] == ["Completed"] * 2
        assert kinds(backend) == ["opened", "ended", "opened", "closed"]
        assert "maximum time, 600 s" in backend.events[1].message

    def test_or_the_loop_stops_with_the_best_so_far(
        self, service: RuntimeService, make: Make
    ) -> None:
        backend = make(max_session_seconds=600, on_expiry="stop")
        with efaas.EFSession(backend, seed=7) as session:
            energy = objective(session)

            def callback(*_: object) -> None:
                service.advance(400.0)

            result = efaas.minimize(
                energy, START, method="COBYLA", callback=callback, speculation="off"
            )
        assert result.status == PROVIDER_SESSION_ENDED
        assert not result.success
        assert result.x is not None
        assert "has ended" in result.message
        assert len(service.sessions) == 1

    def test_the_loop_is_warned_before(self, service: RuntimeService, make: Make) -> None:
        backend = make(max_session_seconds=100)
        with efaas.EFSession(backend, seed=7) as session:
            energy = objective(session)
            energy(START)
            service.advance(85.0)
            energy(START)
        warned = [event for event in backend.events if event.kind == "expiring"]
        assert "ends in" in warned[0].message
        assert "another is opened" in warned[0].message

    def test_by_the_machines_clock_too(self) -> None:
        rules = replace(PLANS["premium"], interactive_seconds=0.4)
        with RuntimeService(devices=["fake_manila"], plan=rules) as service:
            backend = RuntimeBackend("ibm_manila", options=FAST)
            backend.execute([evaluation()])
            until(lambda: "expiring" in kinds(backend))
            assert "unless a job comes" in backend.events[-1].message
            backend.close()
            assert [opened.state for opened in service.sessions] == ["closed"]

    def test_one_closed_from_outside_is_noticed_and_followed_by_another(
        self, service: RuntimeService, make: Make
    ) -> None:
        backend = make()
        with efaas.EFSession(backend, seed=7) as session:
            energy = objective(session)
            energy(START)
            service.close_session(service.sessions[0].id)
            energy(START)
        ended = [event for event in backend.events if event.kind == "ended"]
        assert "closed from outside" in ended[0].message
        assert [job.status for job in service.jobs] == ["Completed"] * 2

    def test_a_job_that_went_with_its_session_is_sent_again_in_the_next(
        self, service: RuntimeService, make: Make
    ) -> None:
        backend = make()
        with efaas.EFSession(backend, seed=7) as session:
            energy = objective(session)
            energy(START)
            service.pause("ibm_manila")
            future = energy.submit(START)
            until(lambda: len(service.jobs) == 2)
            service.close_session(service.sessions[0].id, cancels_jobs=True)
            service.resume("ibm_manila")
            future.result(timeout=60)
        assert [job.status for job in service.jobs] == ["Completed", "Cancelled", "Completed"]
        assert backend.spending().qpu_seconds == pytest.approx(
            sum(job.qpu_seconds for job in service.jobs)
        )


class TestPacking:
    def test_a_round_is_one_job_of_a_pub_for_each_experiment(
        self, service: RuntimeService, make: Make
    ) -> None:
        backend = make()
        two = evaluation(points=3), evaluation(points=2, first=5.0)
        other = replace(evaluation(), experiment=Experiment.estimate(ansatz(), ["ZI"]))
        outcomes = backend.execute([*two, other])
        assert [outcome.value.evs.shape for outcome in outcomes] == [(3, 1), (2, 1), (1, 1)]
        [job] = service.jobs
        assert job.num_pubs == 2

    def test_guesses_ride_in_the_same_job(self, service: RuntimeService, make: Make) -> None:
        clock = ServiceClock(service)
        with efaas.EFSession(make(clock=clock), seed=7, clock=clock) as session:
            energy = objective(session)
            result = efaas.minimize(
                energy, START, method="Nelder-Mead", options={"maxfev": 12}, speculation="exact"
            )
        assert len(service.jobs) == result.speculation.rounds < result.nfev

    def test_what_passes_the_limits_goes_in_several_jobs_sent_ahead(
        self, service: RuntimeService, make: Make
    ) -> None:
        backend = make(limits=Limits(points=2, pending_jobs=2))
        service.pause("ibm_manila")
        waiting = []
        service.resume("ibm_manila")
        [outcome] = backend.execute([evaluation(points=5)])
        waiting = [e for e in endpoints(service) if e in ("submit", "results")]
        assert outcome.value.evs.shape == (5, 1)
        assert np.isfinite(outcome.value.evs).all()
        assert [job.num_circuits for job in service.jobs] == [4, 4, 2]
        assert waiting == ["submit", "submit", "results", "submit", "results", "results"]

    def test_seeds_that_are_passed_on_make_values_independent_of_packing(
        self, service: RuntimeService, make: Make
    ) -> None:
        circuit = ansatz()
        circuit.measure_all()
        experiment = Experiment.sample(circuit)
        angles = experiment.slot_angles(np.arange(6.0).reshape(3, 2))
        whole = Evaluation(experiment, angles, 40, (5, 2**100, 7))
        backend = make(seeded=True)
        [together] = backend.execute([whole])
        alone = [backend.execute([whole.at([point])])[0] for point in range(3)]
        rows = together.value.registers["out0"]
        assert np.array_equal(rows, np.concatenate([o.value.registers["out0"] for o in alone]))


class TestCalibration:
    def test_a_new_one_is_noticed_without_a_request_of_its_own(
        self, service: RuntimeService, make: Make
    ) -> None:
        backend = make(calibration_seconds=30.0)
        with efaas.EFSession(backend, seed=7) as session:
            energy = objective(session)
            energy(START)
            before = backend.calibration()
            service.recalibrate("ibm_manila")
            service.advance(31.0)
            seen = len(service.requests)
            for _ in range(50):
                backend.calibration()
            assert len(service.requests) == seen
            energy(START)
            asked = endpoints(service)[seen:]
            energy(START)
            after = backend.calibration()
        assert after.id != before.id
        # It was asked for while the job was waited for.
        assert asked.index("submit") < asked.index("properties") < asked.index("results")
        assert asked.count("properties") == 1
        assert any(event.to_calibration_id == after.id for event in session.events)
        assert "calibration" in kinds(backend)
        assert after.taken_at is not None

    def test_its_age_is_known(self, make: Make) -> None:
        age = make().calibration_age_seconds()
        assert age is not None


class TestStatusAndCancel:
    def test_the_place_in_the_queue_is_told(self, service: RuntimeService, make: Make) -> None:
        backend = make(mode="job")
        with efaas.EFSession(backend, seed=7) as session:
            energy = objective(session)
            service.pause("ibm_manila")
            future = energy.submit(START)
            until(lambda: service.jobs)
            until(lambda: backend.status().jobs)
            status = backend.status()
            assert [job.state for job in status.jobs] == ["QUEUED"]
            assert status.jobs[0].queue_position == 1
            assert status.jobs[0].expected_start is not None
            assert "QUEUED" in str(status)
            service.resume("ibm_manila")
            future.result()

    def test_what_jobs_and_sessions_have_used_is_told(
        self, service: RuntimeService, make: Make
    ) -> None:
        backend = make(mode="session")
        with efaas.EFSession(backend, seed=7) as session:
            energy = objective(session)
            energy(START)
            service.advance(25.0)
            held = service.inject(JobNeverEnds())
            future = energy.submit(2 * START)
            until(lambda: [job.state for job in backend.status().jobs] == ["RUNNING"])
            status = backend.status()
            held.release()
            future.result()
        assert status.session is not None
        assert status.session.id == service.sessions[0].id
        assert status.session_seconds > 25.0
        assert status.jobs[0].qpu_seconds is None, "not known as long as it runs"
        assert future.job.usage.qpu_seconds == pytest.approx(service.jobs[1].qpu_seconds)

    def test_cancel_reaches_the_service(self, service: RuntimeService, make: Make) -> None:
        with efaas.EFSession(make(), seed=7) as session:
            energy = objective(session)
            energy(START)
            service.pause("ibm_manila")
            future = energy.submit(START)
            until(lambda: len(service.jobs) == 2)
            assert future.cancel()
            with pytest.raises(CancelledError):
                future.result()
            until(lambda: service.jobs[1].status == "Cancelled")
            service.resume("ibm_manila")
            energy(START)
        assert [job.status for job in service.jobs] == ["Completed", "Cancelled", "Completed"]

    def test_a_job_that_others_wait_for_is_not_cancelled(
        self, service: RuntimeService, make: Make
    ) -> None:
        with efaas.EFSession(make(), seed=7) as session:
            energy = objective(session)
            service.pause("ibm_manila")
            first, second = energy.submit_many([START, 2 * START])
            until(lambda: service.jobs)
            assert first.cancel()
            service.resume("ibm_manila")
            assert np.isfinite(second.result())
        assert [job.status for job in service.jobs] == ["Completed"]

    def test_ctrl_c_while_a_job_queues_cancels_it_and_gives_the_best_so_far(
        self, service: RuntimeService, make: Make
    ) -> None:
        def interrupt() -> None:
            until(lambda: len(service.jobs) >= 2)
            service.pause("ibm_manila")
            until(lambda: service.jobs[-1].status == "Queued")
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # type: ignore[arg-type]

        somebody = threading.Thread(target=interrupt)
        with efaas.EFSession(make(), seed=7) as session:
            energy = objective(session)
            somebody.start()
            result = efaas.minimize(energy, START, method="COBYLA", speculation="off")
        somebody.join()
        assert result.status == INTERRUPTED
        assert np.isfinite(result.fun)
        assert service.jobs[-1].status == "Cancelled"
        assert [opened.state for opened in service.sessions] == ["closed"]

    def test_leaving_by_an_error_cancels_what_is_queued_there(
        self, service: RuntimeService, make: Make
    ) -> None:
        def run() -> None:
            with efaas.EFSession(make(), seed=7) as session:
                energy = objective(session)
                energy(START)
                service.pause("ibm_manila")
                energy.submit(START)
                until(lambda: len(service.jobs) == 2)
                raise KeyError

        with pytest.raises(KeyError):
            run()
        assert [job.status for job in service.jobs] == ["Completed", "Cancelled"]
        assert [opened.state for opened in service.sessions] == ["closed"]


class TestBudgets:
    @pytest.mark.parametrize(
        "budget",
        [
            efaas.Budget(jobs=3),
            efaas.Budget(qpu_seconds=6.0),
            efaas.Budget(money=9.0, price_per_second=1.6),
        ],
        ids=["jobs", "qpu_seconds", "money"],
    )
    def test_a_loop_stops_at_its_budget_with_the_best_so_far(
        self, service: RuntimeService, make: Make, budget: efaas.Budget
    ) -> None:
        backend = make(budget=budget, mode="job")
        with efaas.EFSession(backend, seed=7) as session:
            energy = objective(session)
            result = efaas.minimize(energy, START, method="COBYLA", options={"maxiter": 40})
        assert result.status == BUDGET_REACHED
        assert "the budget is reached" in result.message
        assert np.isfinite(result.fun)
        assert result.x.shape == (2,)
        used = sum(job.qpu_seconds for job in service.jobs)
        assert 1 <= len(service.jobs) <= (budget.jobs or 99)
        assert used <= (budget.qpu_seconds or 99)
        assert 1.6 * used <= (budget.money or 999)
        assert backend.spending().qpu_seconds == pytest.approx(used)

    def test_one_that_allows_nothing_gives_no_point_and_says_so(self, make: Make) -> None:
        with efaas.EFSession(make(budget=efaas.Budget(jobs=0)), seed=7) as session:
            result = efaas.minimize(objective(session), START, method="COBYLA")
        assert (result.status, result.success, result.x) == (BUDGET_REACHED, False, None)
        assert "the budget is reached" in result.message
        assert "no point has a value yet" in result.message

    def test_what_is_committed_goes_where_there_is_not_enough_for_guesses(
        self, service: RuntimeService, make: Make
    ) -> None:
        backend = make(budget=efaas.Budget(qpu_seconds=4.0), mode="job")
        asked, guessed = evaluation(), evaluation(points=200, shots=1000)
        first, second = backend.execute([asked, replace(guessed, shots=asked.shots)])
        assert np.isfinite(first.value.evs).all()
        assert isinstance(second, efaas.errors.BudgetError)
        assert len(service.jobs) == 1

    def test_a_session_may_not_outlast_the_budget(
        self, service: RuntimeService, make: Make
    ) -> None:
        backend = make(budget=efaas.Budget(session_seconds=80.0))
        with efaas.EFSession(backend, seed=7) as session:
            energy = objective(session)
            energy(START)
            assert service.sessions[0].max_seconds == 80.0
            service.advance(200.0)
            result = efaas.minimize(energy, START, method="COBYLA")
        assert result.status == BUDGET_REACHED
        assert 60.0 < service.billed_seconds <= 80.0
        assert backend.spending().session_seconds == pytest.approx(service.billed_seconds)
        assert [opened.max_seconds for opened in service.sessions] == [80.0, 18.0]

    def test_the_provider_ends_a_job_that_takes_more_than_was_left_for_it(self, make: Make) -> None:
        from efaas.testing.runtime_service import QpuTiming

        slow = QpuTiming(job_seconds=50.0)
        with RuntimeService(devices=["fake_manila"], timing=slow) as service:
            backend = RuntimeBackend(
                "ibm_manila",
                mode="job",
                options=FAST,
                budget=efaas.Budget(qpu_seconds=20.0),
                clock=ServiceClock(service),
            )
            [error] = backend.execute([evaluation()])
            assert isinstance(error, efaas.errors.BudgetError)
            assert "ended by the provider" in str(error)
            assert sum(job.qpu_seconds for job in service.jobs) <= 20.0
            backend.close()

    def test_a_plain_call_says_what_stopped_it(self, make: Make) -> None:
        with efaas.EFSession(make(budget=efaas.Budget(jobs=0)), seed=7) as session:
            energy = objective(session)
            with pytest.raises(JobFailedError, match="the budget is reached"):
                energy(START)

    def test_a_cost_is_estimated_before_anything_is_sent(
        self, service: RuntimeService, make: Make
    ) -> None:
        backend = make(budget=efaas.Budget(money=10, price_per_second=2.0))
        seen = len(service.requests)
        estimate = backend.cost(ansatz(), "ZZ", shots=1000, points=4)
        assert (estimate.jobs, estimate.source) == (1, "formula")
        assert estimate.qpu_seconds == pytest.approx(2.0 + 4 * 1000 * 250e-6, rel=0.1)
        assert estimate.money == pytest.approx(2 * estimate.qpu_seconds)
        assert len(service.requests) == seen

    def test_a_dry_run_asks_the_service_and_costs_nothing(
        self, service: RuntimeService, make: Make
    ) -> None:
        backend = make()
        estimate = backend.cost(ansatz(), "ZZ", shots=1000, points=4, dry_run=True)
        assert (estimate.jobs, estimate.source) == (1, "dry run")
        assert estimate.qpu_seconds == pytest.approx(1.0 + 4 * 1000 * 250e-6)
        assert service.billed_seconds == 0
        assert backend.spending().jobs == 0

    def test_a_dry_run_of_what_is_simulated_here_is_refused(self) -> None:
        with pytest.raises(InputError, match="no service to ask"):
            RuntimeBackend("fake_manila").cost(ansatz(), "ZZ", dry_run=True)


class TestRecords:
    def test_a_job_is_taken_over_by_another_process(
        self, service: RuntimeService, make: Make
    ) -> None:
        written: dict[str, list[Any]] = {}

        class Log:
            def sending(
                self,
                evaluations: Any,
                payload: str = "",
                points: Any = None,
                reservation: Any = None,
            ) -> str:
                assert reservation.expected_seconds > 0
                assert list(evaluations) == [0, 1]
                assert points == [[0, 1], [0]]
                written["tag-1"] = [payload, None]
                return "tag-1"

            def accepted(self, tag: str, job_id: str) -> None:
                written[tag][1] = job_id

            def refused(self, tag: str, reason: str) -> None:
                raise AssertionError(reason)

            def ended(self, tag: str, outcomes: Any) -> None:
                written[tag].append(len(outcomes))

        asked = [evaluation(points=2), evaluation(first=3.0)]
        first = make().execute_logged(asked, Log())

        class Submission:
            tag = "tag-1"
            payload, job_id, _ = written["tag-1"]

        by_id = make().reattach(Submission())
        Submission.job_id = None
        by_tag = make().reattach(Submission())
        Submission.tag = "tag-2"
        assert make().reattach(Submission()) is None
        for others in (by_id, by_tag):
            assert others is not None
            for mine, other in zip(first, others, strict=True):
                assert np.array_equal(mine.value.evs, other.value.evs)
                assert mine.calibration_id == other.calibration_id
        assert len(service.jobs) == 1
