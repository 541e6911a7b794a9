"""The predictor on optimizers small enough to know what they will ask for."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from efaas.optimize.asks import GRADIENT, Answerer, Ask, Step
from efaas.optimize.predictor import CERTAIN, FREQUENCIES, Candidate, Predictor

Optimizer = Callable[[], Generator[list[Ask], list[Any], None]]
PLENTY = 1e6


class ReplayedGenerator:
    """An oracle for optimizers written as generators: they yield a step and are sent answers."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.recorded: list[Any] = []
        self.calls = 0

    def record(self, ask: Ask, answer: Any) -> None:
        self.recorded.append(answer)

    def paths(
        self, answerers: Sequence[Answerer], depth: int, *, seconds: float
    ) -> list[list[Step]]:
        self.calls += 1
        return [self._path(answerer, depth) for answerer in answerers]

    def _path(self, answerer: Answerer, depth: int) -> list[Step]:
        run = self.optimizer()
        given = list(self.recorded)
        path: list[Step] = []
        step = next(run)
        while True:
            if given:
                answers, given = given[: len(step)], given[len(step) :]
            else:
                path.append(tuple(step))
                if len(path) == depth:
                    return path
                answers = [answerer(ask) for ask in step]
            try:
                step = run.send(answers)
            except StopIteration:
                return path

    def close(self) -> None:
        pass


def at(*x: float) -> Ask:
    return Ask(np.array(x))


def coordinate_search() -> Generator[list[Ask], list[Any], None]:
    """Tries a step to the right, else to the left, else halves it."""
    x, size = np.array([1.0, -0.5]), 0.25
    (best,) = yield [Ask(x)]
    while True:
        moved = False
        for axis in (0, 1):
            for sign in (1.0, -1.0):
                trial = x + sign * size * np.eye(2)[axis]
                (value,) = yield [Ask(trial)]
                if value < best:
                    x, best, moved = trial, value, True
                    break
        if not moved:
            size /= 2


def difference_descent() -> Generator[list[Ask], list[Any], None]:
    """Value, then all points of a finite difference at once, then a step of their length."""
    x = np.array([0.5, 0.5, 0.5])
    while True:
        (value,) = yield [Ask(x)]
        ahead = yield [Ask(x + 0.1 * unit) for unit in np.eye(3)]
        x = x - 0.5 * (np.array(ahead) - value)


def repeater() -> Generator[list[Ask], list[Any], None]:
    """Asks for one point three times, then elsewhere."""
    for _ in range(100):
        yield [at(1.0)]
        yield [at(1.0)]
        yield [at(1.0)]
        yield [at(2.0)]


def energy(x: Any) -> float:
    return float(np.cos(x[0] - 0.3) * -1.0 - np.cos(x[-1] + 0.4))


def run(
    optimizer: Optimizer,
    steps: int,
    f: Callable[[Any], Any] = energy,
    predictor: Predictor | None = None,
) -> tuple[Predictor, Step]:
    """Let the real optimizer make that many steps; the predictor, and the step then pending."""
    predictor = predictor or Predictor(ReplayedGenerator(optimizer))
    real = optimizer()
    step = next(real)
    for _ in range(steps):
        answers = [f(ask.x) for ask in step]
        for ask, answer in zip(step, answers, strict=True):
            predictor.observe(ask, answer)
        step = real.send(answers)
    return predictor, tuple(step)


def ahead(
    predictor: Predictor, pending: Step, known: Mapping[Any, Any] | None = None, **limits: Any
) -> list[Candidate]:
    limits = {"depth": 4, "limit": 7, "seconds": PLENTY} | limits
    return predictor.candidates(pending, known=known or {}, **limits)


def next_steps(optimizer: Optimizer, steps: int, count: int) -> list[tuple[Any, ...]]:
    """What the real optimizer asks for after that step, as keys."""
    real = optimizer()
    step = next(real)
    asked = []
    for index in range(steps + count + 1):
        if index > steps:
            asked.append(tuple(ask.key for ask in step))
        step = real.send([energy(ask.x) for ask in step])
    return asked


def keys(candidate: Candidate) -> tuple[Any, ...]:
    return tuple(ask.key for ask in candidate.step)


@pytest.mark.parametrize("steps", [12, 20, 29])
def test_after_some_values_the_true_path_is_among_the_candidates(steps):
    predictor, pending = run(coordinate_search, steps)
    found = ahead(predictor, pending)
    true = next_steps(coordinate_search, steps, 4)
    assert set(true) <= {keys(candidate) for candidate in found}
    assert found[0].kind in {"trigonometric", "rbf", CERTAIN}
    assert keys(found[0]) == true[0]


def test_a_finite_difference_is_one_certain_candidate():
    predictor, pending = run(difference_descent, 4)
    found = ahead(predictor, pending)
    assert [keys(candidate) for candidate in found] == next_steps(difference_descent, 4, 1)
    assert (found[0].kind, found[0].depth, found[0].probability) == (CERTAIN, 1, 1.0)
    assert len(found[0].step) == 3


def test_before_any_value_frequencies_find_both_branches():
    predictor, pending = run(coordinate_search, 1)
    found = ahead(predictor, pending, depth=1)
    assert {tuple(c.step[0].x) for c in found} == {(1.25, -0.25), (0.75, -0.5)}
    assert {candidate.kind for candidate in found} == {FREQUENCIES}


def test_a_step_that_follows_the_value_continuously_is_not_offered():
    predictor, pending = run(difference_descent, 9)
    assert len(pending) == 3  # the next point is a function of these values
    assert ahead(predictor, pending) == []


def test_asks_of_one_point_are_counted_from_the_pending_one():
    predictor, pending = run(repeater, 0)
    found = ahead(predictor, pending)
    assert [(c.step[0].x[0], c.repeat) for c in found] == [(1.0, 1), (1.0, 2), (2.0, 0), (1.0, 3)]


def test_what_is_known_is_walked_through_and_not_offered():
    predictor, pending = run(repeater, 0)
    found = ahead(predictor, pending, {at(1.0).key: 0.3, at(2.0).key: 0.4})
    assert [(c.step[0].x[0], c.repeat) for c in found] == [(1.0, 2), (1.0, 3)]


def test_a_known_answer_decides_the_branch():
    predictor, pending = run(coordinate_search, 14)
    (first,) = next_steps(coordinate_search, 14, 1)
    x = ahead(predictor, pending)[0].step[0]
    assert x.key == first[0]
    good = {keys(c) for c in ahead(predictor, pending, {x.key: -10.0}, depth=2)}
    bad = {keys(c) for c in ahead(predictor, pending, {x.key: 10.0}, depth=2)}
    assert good
    assert good.isdisjoint(bad)


@pytest.mark.parametrize(
    "nothing", [{"seconds": 0.0}, {"limit": 0}, {"depth": 0}, {"seconds": -1.0}]
)
def test_a_budget_of_nothing_gives_nothing_and_asks_nobody(nothing):
    oracle = ReplayedGenerator(coordinate_search)
    predictor, pending = run(coordinate_search, 12, predictor=Predictor(oracle))
    assert ahead(predictor, pending, **nothing) == []
    assert oracle.calls == 0


def test_a_budget_below_the_measured_cost_stays_silent_until_it_has_faded():
    oracle = ReplayedGenerator(coordinate_search)
    predictor, pending = run(coordinate_search, 12, predictor=Predictor(oracle))
    ahead(predictor, pending)
    before = oracle.calls
    assert ahead(predictor, pending, seconds=1e-9) == []
    assert oracle.calls == before


def test_an_oracle_without_paths_gives_no_candidates():
    class Silent(ReplayedGenerator):
        def paths(self, answerers: Any, depth: int, *, seconds: float) -> list[list[Step]]:
            return []

    predictor, pending = run(coordinate_search, 12, predictor=Predictor(Silent(coordinate_search)))
    assert ahead(predictor, pending) == []


def test_two_paths_are_too_few_to_call_anything_probable():
    class Slow(ReplayedGenerator):
        def paths(self, answerers: Any, depth: int, *, seconds: float) -> list[list[Step]]:
            return super().paths(answerers, depth, seconds=seconds)[:1]

    predictor, pending = run(coordinate_search, 12, predictor=Predictor(Slow(coordinate_search)))
    assert ahead(predictor, pending) == []


def test_paths_that_do_not_begin_with_the_pending_step_are_ignored():
    predictor, _ = run(coordinate_search, 12)
    assert ahead(predictor, (at(9.0, 9.0),)) == []


@settings(max_examples=15, deadline=None)
@given(
    steps=st.integers(0, 30),
    limit=st.integers(1, 10),
    depth=st.integers(1, 8),
    seed=st.integers(0, 3),
)
def test_candidates_are_few_distinct_sorted_and_reproducible(steps, limit, depth, seed):
    """At most ``limit``, none twice or pending, probabilities fall; the same calls, the same."""

    def found() -> list[Candidate]:
        fresh = Predictor(ReplayedGenerator(coordinate_search), seed=seed)
        predictor, pending = run(coordinate_search, steps, predictor=fresh)
        return ahead(predictor, pending, limit=limit, depth=depth)

    candidates = found()
    assert candidates == found()
    assert len(candidates) <= limit
    assert len({(keys(c), c.repeat) for c in candidates}) == len(candidates)
    probabilities = [candidate.probability for candidate in candidates]
    assert probabilities == sorted(probabilities, reverse=True)
    assert all(0.0 < p <= 1.0 for p in probabilities)
    assert all(1 <= candidate.depth <= depth for candidate in candidates)
    _, pending = run(coordinate_search, steps)
    assert all(c.repeat > 0 for c in candidates if c.step == pending)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.sampled_from([0.0, 1.0, -1.0, np.nan, np.inf, -np.inf, 1e8, 1e-8]),
        min_size=12,
        max_size=12,
    )
)
def test_whatever_the_values_the_predictor_raises_and_warns_nothing(values):
    left = iter(values)
    predictor, pending = run(coordinate_search, 11, lambda x: next(left))
    for candidate in ahead(predictor, pending):
        assert 0.0 <= candidate.probability <= 1.0


@pytest.mark.parametrize(
    "form",
    [
        lambda v, x: np.array([v]),
        lambda v, x: np.float64(v),
        lambda v, x: np.array(v),
        lambda v, x: (v, np.zeros_like(x)),
        lambda v, x: (np.array([v]), np.zeros_like(x)),
    ],
    ids=["array", "scalar", "0-d", "pair", "pair of arrays"],
)
def test_made_up_answers_have_the_form_of_the_users(form):
    forms: list[Any] = []

    def value_of(answer: Any) -> float:
        return float(np.asarray(answer[0] if isinstance(answer, tuple) else answer).item())

    def optimizer() -> Generator[list[Ask], list[Any], None]:
        for steps in coordinate_steps():
            answers = yield steps
            forms.append(answers[0])

    def coordinate_steps() -> Generator[list[Ask], None, None]:
        for index in range(40):
            yield [at(0.1 * index, 0.0)]

    predictor, pending = run(optimizer, 10, lambda x: form(energy(x), x))
    forms.clear()
    assert len(ahead(predictor, pending)) == 4
    want = form(0.0, np.zeros(2))
    assert {type(got) is tuple for got in forms} == {type(want) is tuple}
    assert {np.shape(got[0] if isinstance(got, tuple) else got) for got in forms} == {
        np.shape(want[0] if isinstance(want, tuple) else want)
    }
    assert all(np.isfinite(value_of(got)) for got in forms)


def test_gradients_are_answered_and_not_taken_for_values():
    def descent() -> Generator[list[Ask], list[Any], None]:
        x = np.array([0.5, 0.5])
        while True:
            yield [Ask(x)]
            (gradient,) = yield [Ask(x, GRADIENT)]
            x = x - 0.1 * gradient

    predictor = Predictor(ReplayedGenerator(descent))
    real = descent()
    step = next(real)
    for _ in range(16):
        (ask,) = step
        slope = np.sin(ask.x + np.array([-0.3, 0.4]))
        answer = slope if ask.kind == GRADIENT else energy(ask.x)
        predictor.observe(ask, answer)
        step = real.send([answer])
    found = ahead(predictor, tuple(step))
    assert [candidate.step[0].kind for candidate in found] == [GRADIENT]
    assert found[0].kind == CERTAIN


def test_settling_moves_probabilities_towards_what_was_observed():
    predictor, pending = run(coordinate_search, 14)
    before = ahead(predictor, pending)[0]
    for _ in range(60):
        predictor.settle(before, False)
    after = next(c for c in ahead(predictor, pending) if c.step == before.step)
    assert after.probability < 0.3 < 0.9 < before.probability
    for _ in range(400):
        predictor.settle(before, True)
    again = next(c for c in ahead(predictor, pending) if c.step == before.step)
    assert again.probability > 0.9
    assert predictor.hit_rates() == {before.kind: (400, 60)}


def test_differences_between_points_are_those_of_the_surrogate():
    predictor, _ = run(coordinate_search, 30)
    predictor.absorb(PLENTY)
    start, end = np.array([0.4, -0.4]), np.array([0.5, -0.2])
    got = predictor.substitution(start, end, best=0.25)
    assert got.difference == pytest.approx(energy(end) - energy(start), abs=5e-3)
    assert got.gap == pytest.approx(energy(end) - 0.25, abs=5e-3)
    assert predictor.substitution(start, start, best=0.25).difference == 0.0
    unfitted = Predictor(ReplayedGenerator(coordinate_search))
    assert unfitted.substitution(start, end, best=0.25) is None


def test_what_is_remembered_stays_bounded_over_a_long_run():
    def walk() -> Generator[list[Ask], list[Any], None]:
        rng = np.random.default_rng(0)
        while True:
            yield [Ask(rng.uniform(-3, 3, 2))]

    predictor, _ = run(walk, 500)
    predictor.absorb(PLENTY)
    half = len(pickle.dumps([belief.process for belief in predictor._beliefs]))
    run(walk, 2000, predictor=predictor)
    predictor.absorb(PLENTY)
    assert len(pickle.dumps([b.process for b in predictor._beliefs])) < 1.3 * half


def test_the_kernel_that_predicts_better_is_used():
    """Sums of sinusoids far from periodic in their data favour the trigonometric kernel."""
    rng = np.random.default_rng(4)
    points = rng.uniform(-20, 20, (60, 3))

    def scattered() -> Generator[list[Ask], list[Any], None]:
        best = np.inf
        for point in points:
            (value,) = yield [Ask(point)]
            best = min(best, value)
            if value > best:
                yield [Ask(point + 0.5)]
            else:
                yield [Ask(point - 0.5)]

    predictor, pending = run(scattered, 80, lambda x: float(np.cos(x).prod() + np.sin(x).sum()))
    kinds = {candidate.kind for candidate in ahead(predictor, pending, depth=3)} - {CERTAIN}
    assert kinds == {"trigonometric"}
