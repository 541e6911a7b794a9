"""Nested speculation under every order of events: the outcome is that of no speculation.

Programs are random trees of steps. Each step may submit a job, speculate on its value with any
guesses, return a value or raise. Whatever order jobs are delivered and steps run in, the future
must end exactly as the program ends when it simply waits for every value, and the committed jobs
(with their occurrence numbers) must be exactly the ones that it submits then.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from efaas.testing import ManualJob, ManualScope

if TYPE_CHECKING:
    from efaas.future import QuantumFuture

VALUES = 3  # job values are 0, 1 or 2, so that guesses are right often enough


@dataclass(frozen=True)
class Program:
    """A step: submit ``key``, then go on by its value, guessing ``guesses`` ahead."""

    key: str
    guesses: tuple[int, ...]
    branches: tuple[Program | int | str, ...]  # one per value: a step, a result, or an error


class StepError(Exception):
    pass


leaves = st.one_of(st.integers(10, 19), st.sampled_from(["error a", "error b"]))
programs = st.recursive(
    leaves,
    lambda inner: st.builds(
        Program,
        key=st.sampled_from("pqr"),
        guesses=st.lists(st.integers(0, VALUES - 1), max_size=3).map(tuple),
        branches=st.tuples(inner, inner, inner),
    ),
    max_leaves=14,
).filter(lambda program: isinstance(program, Program))


def true_value(name: int, key: str, occurrence: int) -> int | Exception:
    """What a backend gives: decided by what is asked, as the seeds of evaluations are."""
    value = hash((name, "pqr".index(key), occurrence * 7)) % (VALUES * 4)
    return StepError(f"{key} {occurrence}") if value == 11 else value % VALUES


def reference(name: int, program: Program | int | str) -> tuple[Any, list[tuple[str, int]]]:
    """The program's outcome and jobs when it waits for every value."""
    counts: Counter[str] = Counter()
    jobs: list[tuple[str, int]] = []
    while isinstance(program, Program):
        counts[program.key] += 1
        jobs.append((program.key, counts[program.key]))
        value = true_value(name, *jobs[-1])
        if isinstance(value, Exception):
            return repr(value), jobs
        program = program.branches[value]
    return (program if isinstance(program, int) else repr(StepError(program))), jobs


class SpeculationMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.scope = ManualScope()
        self.launched: list[tuple[int, Program, QuantumFuture[Any]]] = []
        self.cancelled: set[int] = set()

    def advance(self, name: int, program: Program | int | str) -> Any:
        if isinstance(program, int):
            return program
        if isinstance(program, str):
            raise StepError(program)
        future = self.scope.submit((name, program.key))

        def go_on(value: int) -> Any:
            return self.advance(name, program.branches[value])

        if not program.guesses:
            return future.then(go_on)
        return future.speculate(go_on, guesses=program.guesses)

    @rule(program=programs)
    def launch(self, program: Program) -> None:
        name = len(self.launched)
        self.launched.append((name, program, self.advance(name, program)))

    @precondition(lambda self: self.scope.steps)
    @rule(data=st.data())
    def run_a_step(self, data: st.DataObject) -> None:
        self.scope.run_next_step(data.draw(st.integers(0, len(self.scope.steps) - 1)))

    @precondition(lambda self: self.scope.waiting_jobs())
    @rule(data=st.data())
    def deliver_a_job(self, data: st.DataObject) -> None:
        self.deliver(data.draw(st.sampled_from(self.scope.waiting_jobs())))

    @precondition(lambda self: self.launched)
    @rule(data=st.data())
    def cancel_an_outcome(self, data: st.DataObject) -> None:
        name, _, out = data.draw(st.sampled_from(self.launched))
        if out.cancel():
            self.cancelled.add(name)

    def deliver(self, job: ManualJob) -> None:
        name, key = job.key  # type: ignore[misc]
        self.scope.deliver(job, true_value(name, key, job.occurrence))

    def teardown(self) -> None:
        if not hasattr(self, "scope"):
            return
        while self.scope.steps or self.scope.waiting_jobs():
            while self.scope.steps:
                self.scope.run_next_step()
            for job in self.scope.waiting_jobs():
                self.deliver(job)
        assert self.scope.root.open_branches() == []
        for name, program, out in self.launched:
            assert out.done(), "an outcome never came"
            if name in self.cancelled:
                assert out.cancelled()
                continue
            expected, expected_jobs = reference(name, program)
            try:
                outcome: Any = out.result()
            except CancelledError:
                raise AssertionError("an outcome was cancelled by nobody") from None
            except StepError as error:
                outcome = repr(error)
            assert outcome == expected
            jobs = [
                (job.key[1], job.occurrence)  # type: ignore[index]
                for job in self.scope.committed_jobs()
                if job.key[0] == name  # type: ignore[index]
            ]
            assert sorted(jobs) == sorted(expected_jobs)


SpeculationMachine.TestCase.settings = settings(max_examples=250, stateful_step_count=30)
TestSpeculationMachine = SpeculationMachine.TestCase
