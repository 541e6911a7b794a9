"""The predictor: which points the optimizer will probably ask for next, and how probably.

It tells a copy of the optimizer a number of stories about the values to come, and counts which
points the copy asks for in them. The stories come from a surrogate of the values so far; where a
point is asked for whatever the story, it is certain.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from efaas.optimize.asks import VALUE
from efaas.optimize.clusters import merged
from efaas.optimize.kernels import Rbf, Trigonometric
from efaas.optimize.scenarios import (
    FrequencyDraw,
    PosteriorDraw,
    Scenario,
    Seen,
    as_point,
    value_in,
)
from efaas.optimize.surrogate import Belief
from efaas.policies.tolerance import Substitution

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from efaas.optimize.asks import Ask, AskKey, Oracle, Step
    from efaas.optimize.surrogate import GaussianProcess
    from efaas.optimize.work_clock import Timer

__all__ = ["BRANCH", "CERTAIN", "FREQUENCIES", "Candidate", "Predictor"]

CERTAIN = "certain"
"""The kind of guess that does not depend on values: three very different stories agree."""

BRANCH = "branch"
"""The kind of guess that was chosen when the pending value had arrived, among those prepared."""

FREQUENCIES = "frequencies"
"""The kind of guess made while there is too little data for a surrogate."""

_PROBES = (0.05, 0.6, 0.95)
"""First values of the stories that tell what is certain: among the best, middling, the worst."""

_SCENARIOS = 32
_FIRST_SCENARIOS = 8
_FEWEST_VALUES = 3

_REMEMBERED = 1024
"""Asks whose answer is remembered, to know a repetition."""

_BINS = (0.15, 0.35, 0.65, 0.9)
"""Shares of paths between which hit rates are learned apart."""

_PRIOR = 8.0
"""How many settled guesses weigh as much as the share of paths itself."""

_FADING = 0.98
"""What a settled guess still weighs after the next one of its kind and share."""

_Identity: TypeAlias = "tuple[tuple[AskKey, ...], int]"
_T = TypeVar("_T", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A step that the optimizer may ask for soon.

    Attributes:
        step: Its asks: one, or all points of a finite difference.
        probability: That it is asked for, as far as learned.
        depth: How many steps after the pending one, at the earliest.
        kind: ``"certain"``, ``"trigonometric"``, ``"rbf"`` or ``"frequencies"``.
        repeat: How often its points are asked for before that, from now on, the pending step
            included: 0 for the next ask of a point that is not pending.
        share: On how many of the paths it was, from 0 to 1: the probability before learning.
    """

    step: Step
    probability: float
    depth: int
    kind: str
    repeat: int = 0
    share: float = 1.0


class Predictor:
    """Predicts an optimizer's asks from the answers it was given so far.

    Given a seed it depends on the sequence of calls only, except where time runs out.
    """

    def __init__(
        self,
        oracle: Oracle,
        *,
        seed: int = 0,
        radius: float = 0.0,
        branches: int = 0,
        timer: Timer = time.perf_counter,
    ) -> None:
        """Begin with no answers.

        Args:
            oracle: A copy of the optimizer; the predictor records the answers with it.
            seed: Of the stories.
            radius: Points that are so near stand for each other.
            branches: How many next steps ``given`` may choose from.
            timer: Measures the time that it may take; the oracle's should be the same.
        """
        self._radius = radius
        self._oracle = oracle
        self._seed = seed
        self._calls = 0
        self._timer = timer
        self._branches = branches
        self._stories: list[tuple[float, Step]] = []  # a pending value, and the step after it
        self._beliefs = [Belief(Trigonometric(), timer=timer), Belief(Rbf(), timer=timer)]
        self._queue: deque[tuple[NDArray[Any], float]] = deque(maxlen=256)
        self._latest: dict[AskKey, float] = {}
        self._absorbed: dict[tuple[AskKey, float], None] = {}
        self._repeats = Counter[bool]()  # of a value asked again: was it the same?
        self._best, self._worst = np.inf, -np.inf
        self._moves = Counter[str]()  # how often a value was the best or the worst so far
        self._returns_pair = False
        self._shape: tuple[int, ...] = ()
        self._was_certain = True
        self._path_seconds = 0.0
        self._refit_seconds = 0.0
        self._calibration: dict[tuple[str, int], tuple[float, float]] = {}
        self._rates: dict[str, tuple[int, int]] = {}

    def observe(self, ask: Ask, answer: Any) -> None:
        """Take note of what the real optimizer was given, in its order. Cheap.

        Args:
            ask: What it asked for.
            answer: A value, an array of one, or the pair of value and gradient; for a gradient
                ask anything.
        """
        self._oracle.record(ask, answer)
        if ask.kind != VALUE:
            return
        self._returns_pair = isinstance(answer, tuple) and len(answer) == 2
        value = value_in(answer)
        if value is None or np.iscomplexobj(ask.x):
            return
        self._shape = np.shape(answer[0] if self._returns_pair else answer)
        if ask.key in self._latest:
            self._repeats[self._latest[ask.key] == value] += 1
        _remember(self._latest, ask.key, value)
        self._enqueue(ask.key, ask.x, value)

    def absorb(self, seconds: float) -> None:
        """Fit the surrogates to what was observed, for at most that much real time."""
        deadline = self._timer() + seconds
        while self._queue and self._timer() < deadline:
            x, value = self._queue.popleft()
            self._count_move(value)
            point = as_point(x)
            for belief in self._beliefs:
                belief.take(point, value)
        for belief in sorted(self._beliefs, key=lambda belief: -belief.score):
            began = self._timer()
            if belief.process.is_due and began + self._refit_seconds < deadline:
                belief.process.refit(deadline - began)
                self._refit_seconds = self._timer() - began
            elif belief.process.is_due:
                self._refit_seconds *= 0.9  # a slow one once must not stop all that follow

    def candidates(
        self,
        pending: Step,
        *,
        known: Mapping[AskKey, Any],
        depth: int,
        limit: int,
        seconds: float,
    ) -> list[Candidate]:
        """The steps most worth evaluating beside the pending one, most probable first.

        They are chosen together: each next one is the step that most paths would stop at if the
        ones before it were evaluated.

        Args:
            pending: The step that the optimizer waits for.
            known: By ``Ask.key``, the answer that the next ask of that point will be given (the
                next after the pending one), where its evaluation is finished.
            depth: How many steps beyond the pending one to look at most.
            limit: Most candidates to return.
            seconds: Real time to spend; where it does not suffice for three paths, none is
                tried.

        Returns:
            At most ``limit`` candidates, none of them pending or known.
        """
        began = self._timer()
        if limit < 1 or depth < 1 or not pending:
            return []
        if not seconds > 3.0 * self._path_seconds:
            self._path_seconds *= 0.95  # so that it is tried again some time
            return []
        deadline = began + seconds
        self._calls += 1
        self._stories = []
        for key in list(known)[-256:]:  # the newest; it may be long
            value = value_in(known[key])
            if key[0] == VALUE and value is not None and np.dtype(key[1]).kind != "c":
                self._enqueue(key, np.frombuffer(key[3], dtype=key[1]).reshape(key[2]), value)
        self.absorb(0.4 * seconds)
        explorer = _Explorer(self._oracle, pending, depth, deadline, self._timer)
        if self._branches and len(pending) == 1:
            explorer.stories = self._stories
        certain, kind = self._explore(explorer, known, min(limit, depth))
        if explorer.count:
            self._path_seconds += 0.5 * (explorer.seconds / explorer.count - self._path_seconds)
        if len(explorer.paths) < len(_PROBES):
            return []  # one story alone would look certain
        paths = merged(explorer.paths, self._radius) if self._radius else explorer.paths
        choice = _chosen(paths, known, limit)
        found = [
            self._candidate(identity, share, step, at, CERTAIN if identity in certain else kind)
            for identity, (share, step, at) in choice.items()
        ]
        return sorted(found, key=lambda candidate: (-candidate.probability, candidate.depth))

    def given(self, value: float) -> Candidate | None:
        """The step that follows the pending one, now that its value is known.

        It is read off the stories told before: those with the values next to this one. Only the
        steps of most stories are prepared, at most ``branches`` of them, and what one story alone
        led to follows its value continuously.

        Args:
            value: Of the step that was pending when ``candidates`` was called last.
        """
        counts = Counter(_keys(step) for _, step in self._stories)
        fewest = 2 if len(self._stories) >= 6 else 1
        prepared = {keys for keys, count in counts.most_common(self._branches) if count >= fewest}
        below = max((it for it in self._stories if it[0] <= value), key=_value_of, default=None)
        above = min((it for it in self._stories if it[0] > value), key=_value_of, default=None)
        beside = [it for it in (below, above) if it is not None]
        if not beside:
            return None
        near = min(beside, key=lambda it: abs(it[0] - value))
        keys = _keys(near[1])
        if keys not in prepared:
            return None
        share = sum(_keys(step) == keys for _, step in beside) / 2
        return self._candidate((keys, 0), share, near[1], 1, BRANCH)

    def settle(self, candidate: Candidate, is_hit: bool) -> None:
        """Learn whether a candidate that was evaluated has been asked for."""
        hits, misses = self._rates.get(candidate.kind, (0, 0))
        self._rates[candidate.kind] = (hits + is_hit, misses + (not is_hit))
        place = _bin(candidate.kind, candidate.share)
        seen, total = self._calibration.get(place, (0.0, 0.0))
        self._calibration[place] = (_FADING * seen + is_hit, _FADING * total + 1.0)

    def hit_rates(self) -> Mapping[str, tuple[int, int]]:
        """Hits and misses settled so far, per kind."""
        return dict(self._rates)

    def substitution(
        self, start: NDArray[Any], end: NDArray[Any], *, best: float
    ) -> Substitution | None:
        """A value at ``start`` as a stand-in for one at ``end``; None if nothing is believed yet.

        What is believed takes in all that was observed first, however long that takes: with less,
        the difference would be off the more, the busier the machine is. A surrogate whose errors
        exceeded its standard deviations of late is trusted less, by as much. The noise is the least
        that a surrogate sees: a kernel that does not fit takes its errors for noise.

        Args:
            start: Where a value was, or will be, measured.
            end: The point asked for.
            best: The best value so far.
        """
        self.absorb(np.inf)
        belief = self._belief()
        process = belief.process
        there, here = as_point(end), as_point(start)
        if len(process) < _FEWEST_VALUES or here.shape != process.points.shape[1:]:
            return None
        difference, deviation = process.difference(here, there)
        return Substitution(
            difference,
            belief.inflation * deviation,
            noise=min(_noise(belief.process) for belief in self._beliefs),
            gap=process.predict(there)[0] - best,
        )

    def _belief(self) -> Belief:
        return max(self._beliefs, key=lambda belief: belief.score)

    def _enqueue(self, key: AskKey, x: NDArray[Any], value: float) -> None:
        if (key, value) not in self._absorbed and np.isfinite(value):
            _remember(self._absorbed, (key, value), None)
            self._queue.append((x, value))

    def _count_move(self, value: float) -> None:
        if self._best <= self._worst:
            self._moves["better" if value < self._best else "worse" * (value > self._worst)] += 1
        self._best = min(self._best, value)
        self._worst = max(self._worst, value)

    def _explore(
        self, explorer: _Explorer, known: Mapping[AskKey, Any], enough: int
    ) -> tuple[frozenset[_Identity], str]:
        """Walk the paths. Returns what is certain, and the kind of the others."""
        belief = self._belief()
        is_fitted = len(belief.process) >= _FEWEST_VALUES
        seen = self._seen(known, belief)
        certain = None
        if self._was_certain or not is_fitted:
            probes = explorer.walk(self._probes(seen))
            certain = _agreement(probes)
            if len(certain) >= enough or not is_fitted:
                explorer.paths = probes
                self._was_certain = bool(certain)
                return frozenset(certain), FREQUENCIES
        scenarios = self._scenarios(seen, belief)
        explorer.paths = explorer.walk(scenarios[:_FIRST_SCENARIOS])
        reach = self._reach(explorer.paths)
        if reach and len(_agreement(explorer.paths)) < enough:
            explorer.paths += explorer.walk(scenarios[_FIRST_SCENARIOS:], reach + 1)
        if certain is None:
            is_open = bool(_agreement(explorer.paths))
            certain = _agreement(explorer.walk(self._probes(seen))) if is_open else []
        self._was_certain = bool(certain)
        return frozenset(certain), belief.process.kernel.name

    def _reach(self, paths: Sequence[Sequence[Step]]) -> int:
        """How many steps beyond the pending one some two paths have in common at the most.

        With 0 each goes to a point of its own at once: the next point follows the pending value
        continuously, and no guess can be it.
        """
        if self._radius:
            paths = merged(paths, self._radius)
        levels = zip_longest(*paths, fillvalue=())
        keys = [[_keys(step) for step in level if step] for level in levels]
        return max((at for at, level in enumerate(keys) if len(set(level)) < len(level)), default=0)

    def _seen(self, known: Mapping[AskKey, Any], belief: Belief) -> Seen:
        repeats = self._repeats
        is_repeatable = not repeats[False] if repeats else belief.process.is_noiseless
        return Seen(known, self._latest, is_repeatable, self._returns_pair, self._shape)

    def _probes(self, seen: Seen) -> list[Scenario]:
        total = self._moves.total() + 3.0
        shares = ((self._moves["better"] + 1.0) / total, (self._moves["worse"] + 1.0) / total)
        best, worst = (self._best, self._worst) if self._best <= self._worst else (0.0, 0.0)
        return [
            Scenario(seen, FrequencyDraw(best, worst, shares, quantile, self._seed_of(index)))
            for index, quantile in enumerate(_PROBES)
        ]

    def _scenarios(self, seen: Seen, belief: Belief) -> list[Scenario]:
        """Scenarios whose first values cover the posterior evenly, also by their first few."""
        places = np.arange(_SCENARIOS).reshape(_FIRST_SCENARIOS, -1).T
        order = np.roll(places, -(len(places) // 2), axis=0).ravel()
        process, width = belief.process, belief.inflation
        return [
            Scenario(seen, PosteriorDraw(process, place, self._seed_of(index), inflation=width))
            for index, place in enumerate((order + 0.5) / _SCENARIOS, len(_PROBES))
        ]

    def _seed_of(self, index: int) -> int:
        return (self._seed * 1_000_003 + self._calls) * 64 + index

    def _candidate(
        self, identity: _Identity, share: float, step: Step, depth: int, kind: str
    ) -> Candidate:
        hits, total = self._calibration.get(_bin(kind, share), (0.0, 0.0))
        probability = (_PRIOR * share + hits) / (_PRIOR + total)
        return Candidate(step, probability, depth, kind, identity[1], share)


def _noise(process: GaussianProcess) -> float:
    return 0.0 if process.is_noiseless else process.noise


class _Explorer:
    """Walks paths of one pending step, as long as there is time."""

    def __init__(
        self, oracle: Oracle, pending: Step, depth: int, deadline: float, timer: Timer
    ) -> None:
        self._oracle = oracle
        self._timer = timer
        self._pending = _keys(pending)
        self._depth = depth
        self._deadline = deadline
        self.paths: list[list[Step]] = []
        self.stories: list[tuple[float, Step]] | None = None
        """Where the pending value of each path is noted, and the step after it; None for not."""
        self.count = 0
        self.seconds = 0.0

    def walk(self, scenarios: Sequence[Scenario], depth: int | None = None) -> list[list[Step]]:
        """One path per scenario, as far as time suffices; shorter ones if told so."""
        began = self._timer()
        if not began < self._deadline:
            return []
        left = self._deadline - began
        depth = self._depth if depth is None else min(depth, self._depth)
        if self.stories is None:
            paths = self._oracle.paths(scenarios, depth + 1, seconds=left)
        else:
            noting = [_Noting(scenario) for scenario in scenarios]
            paths = self._oracle.paths(noting, depth + 1, seconds=left)
            self.stories += _stories(noting, paths)
        self.count += len(paths)
        self.seconds += self._timer() - began
        return [path for path in paths if path and _keys(path[0]) == self._pending]


class _Noting:
    """A scenario that remembers its first answer."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self.first: float | None = None

    def __call__(self, ask: Ask) -> Any:
        answer = self._scenario(ask)
        if self.first is None:
            self.first = value_in(answer)
        return answer


def _stories(
    answerers: Sequence[_Noting], paths: Sequence[Sequence[Step]]
) -> list[tuple[float, Step]]:
    """The pending value of each path, and the step after it; nothing where that is not known."""
    if all(it.first is None for it in answerers):  # in another process: tell them once more
        for answerer, path in zip(answerers, paths, strict=False):
            answerer(path[0][0])
    firsts = [it.first for it in answerers if it.first is not None]
    if len(firsts) != len(paths):  # some ended early
        return []
    return [(first, path[1]) for first, path in zip(firsts, paths, strict=True) if len(path) > 1]


def _value_of(story: tuple[float, Step]) -> float:
    return story[0]


def _agreement(paths: Sequence[Sequence[Step]]) -> list[_Identity]:
    """The steps beyond the pending one that all paths have in common; none below three paths."""
    common: list[_Identity] = []
    if len(paths) < 3:
        return common
    asked = Counter(_keys(paths[0][0]))
    for steps in islice(zip(*paths, strict=False), 1, None):
        keys = _keys(steps[0])
        if any(_keys(step) != keys for step in steps[1:]):
            break
        common.append((keys, asked[keys[0]]))
        asked.update(keys)
    return common


def _keys(step: Step) -> tuple[AskKey, ...]:
    return tuple(ask.key for ask in step)


def _chosen(
    paths: Sequence[Sequence[Step]], known: Mapping[AskKey, Any], limit: int
) -> dict[_Identity, tuple[float, Step, int]]:
    """The steps worth evaluating, each with its share of the paths, and its least depth."""
    rows = [list(_unknown(path, known)) for path in paths]
    shares = Counter(identity for row in rows for identity, _, _ in row)
    fewest = 2 if len(paths) >= 6 else 1  # what one of many paths asks for follows its value
    chosen: dict[_Identity, tuple[float, Step, int]] = {}
    at = [0] * len(rows)
    while len(chosen) < limit:
        gains = Counter[_Identity]()
        where: dict[_Identity, tuple[Step, int]] = {}
        for index, row in enumerate(rows):
            while at[index] < len(row) and row[at[index]][0] in chosen:
                at[index] += 1
            if at[index] < len(row):
                identity, step, depth = row[at[index]]
                gains[identity] += 1
                if identity not in where or depth < where[identity][1]:
                    where[identity] = (step, depth)
        best = max(gains, key=lambda identity: (gains[identity], shares[identity]), default=None)
        if best is None or gains[best] < fewest:
            break
        chosen[best] = (shares[best] / len(rows), *where[best])
    return chosen


def _unknown(
    path: Sequence[Step], known: Mapping[AskKey, Any]
) -> Iterator[tuple[_Identity, Step, int]]:
    """The steps beyond the pending one that would have to be evaluated, with their depths."""
    pending = Counter(ask.key for ask in path[0])
    asked = Counter(pending)
    for depth, step in enumerate(path[1:], 1):
        repeats = {asked[ask.key] for ask in step}
        asked.update(ask.key for ask in step)
        is_known = all(a.key in known and asked[a.key] == pending[a.key] + 1 for a in step)
        if len(repeats) == 1 and not is_known:
            yield (_keys(step), repeats.pop()), step, depth


def _bin(kind: str, share: float) -> tuple[str, int]:
    return kind, sum(share > edge for edge in _BINS)


def _remember(memory: dict[_T, Any], key: _T, value: Any) -> None:
    memory[key] = value
    if len(memory) > _REMEMBERED:
        del memory[next(iter(memory))]
