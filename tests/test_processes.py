"""What happens to sessions where a program forks, or sends them to other processes."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

import efaas
from efaas.errors import InputError
from efaas.testing import FakeBackend
from efaas.testing.runtime_service import RuntimeService

FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")


def run(script: str, **environment: str) -> list[str]:
    """What a script prints; it ends within a minute, with exit code 0."""
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | environment,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split("\n")[:-1]


@FORKS
def test_a_fork_opens_a_session_of_its_own() -> None:
    # The parent's compiling has begun threads in Qiskit, which a fork does not have.
    printed = run("""
        import multiprocessing
        import efaas
        from qiskit.circuit.library import efficient_su2

        def value():
            with efaas.EFSession("fake_manila", seed=1) as session:
                return session.objective(efficient_su2(3, reps=1), "ZZI", shots=100)([0.3] * 12)

        print(value())
        with multiprocessing.get_context("fork").Pool(1) as pool:
            print(pool.apply(value))
    """)
    assert len(printed) == 2
    assert printed[0] == printed[1]


@FORKS
def test_a_session_from_before_a_fork_is_refused_after_it_and_lives_on_in_the_parent() -> None:
    printed = run("""
        import os, sys
        import efaas
        from efaas.testing import FakeBackend
        from qiskit import QuantumCircuit
        from qiskit.circuit import Parameter

        circuit = QuantumCircuit(1)
        circuit.rx(Parameter("t"), 0)
        session = efaas.EFSession(FakeBackend(), seed=1)
        energy = session.objective(circuit, "Z")
        energy([0.1])
        for use in (lambda: energy([0.2]), lambda: session.objective(circuit, "Z"),
                    lambda: session.call(int)):
            child = os.fork()
            if not child:
                try:
                    use()
                except efaas.errors.ClosedError as error:
                    print("process" in str(error), flush=True)
                session.close()
                sys.exit()  # with everything that happens at an interpreter's exit
            os.waitpid(child, 0)
        energy([0.3])
        print("and on")
        session.close()
    """)
    assert printed == ["True", "True", "True", "and on"]


@FORKS
def test_a_fork_that_ends_leaves_the_provider_session_open() -> None:
    with RuntimeService(devices=["fake_manila"], seed=1, plan="premium", poll_seconds=0.02) as at:
        printed = run(
            """
            import os, sys
            import efaas
            from efaas.backends import RuntimeBackend
            from tests.runtime.conftest import FAST, objective

            backend = RuntimeBackend("ibm_manila", options=FAST)
            session = efaas.EFSession(backend, seed=7)
            energy = objective(session)
            energy([0.4, -0.3])
            child = os.fork()
            if not child:
                session.close()
                backend.close()
                sys.exit()
            os.waitpid(child, 0)
            energy([0.2, 0.1])
            session.close()
            print("closed")
            """,
            **at.environment(),
        )
        assert printed == ["closed"]
        assert [opened.state for opened in at.sessions] == ["closed"]
        assert [job.status for job in at.jobs] == ["Completed"] * 2


@pytest.mark.parametrize("send", [pickle.dumps, copy.copy, copy.deepcopy])
def test_what_lives_in_a_process_is_not_sent_to_another(send: Callable[[Any], Any]) -> None:
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("t"), 0)
    with efaas.EFScheduler(FakeBackend()) as scheduler, scheduler.session(seed=1) as session:
        for thing in (scheduler, session, session.objective(circuit, "Z")):
            with pytest.raises(InputError, match="the process that made it"):
                send(thing)
