"""The short way of a job that finds its place free: the long way, without its detours."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from efaas.model.job import CPU, Demand, Job, Usage
from efaas.policies.fair_queue import FairQueue
from efaas.policies.fair_settings import FairSettings
from efaas.policies.ordering import FirstComeFirstServed, Ordering
from efaas.policies.paper_priority import PaperPriority
from efaas.scheduler import (
    Action,
    AttemptEnded,
    Cancelled,
    Delivered,
    Dispatch,
    LoopClosed,
    Place,
    Promoted,
    Scheduler,
    Submitted,
    Wake,
    Woken,
)


class LongFairQueue(FairQueue):
    def start_at_once(self, job: Job, place: str, now: float) -> bool:
        return False


class LongFirstComeFirstServed(FirstComeFirstServed):
    def start_at_once(self, job: Job, place: str, now: float) -> bool:
        return False


class LongPaperPriority(PaperPriority):
    def start_at_once(self, job: Job, place: str, now: float) -> bool:
        return False


FAIR = FairSettings(max_overtakes=3, max_wait_seconds=20.0, slot_seconds=6.0)


def pair(name: str) -> tuple[Ordering, Ordering]:
    if name == "fair":
        places = ("a", "b")
        return FairQueue(places, settings=FAIR), LongFairQueue(places, settings=FAIR)
    if name == "fifo":
        return FirstComeFirstServed(), LongFirstComeFirstServed()
    return PaperPriority(), LongPaperPriority()


def state(it: Any, seen: frozenset[int] = frozenset()) -> Any:
    """All that an object holds, as values that can be compared; empty lines count as none."""
    if isinstance(it, str | int | float | None):
        return it
    if id(it) in seen:
        return "..."
    seen = seen | {id(it)}
    if isinstance(it, dict):
        return {key: state(value, seen) for key, value in it.items()}
    if isinstance(it, list | tuple):
        return [state(value, seen) for value in it]
    if isinstance(it, set):
        return sorted(it)
    names = set(getattr(it, "__dict__", {}))
    for kind in type(it).__mro__:
        slots = getattr(kind, "__slots__", ())
        names.update([slots] if isinstance(slots, str) else slots)
    return {name: state(getattr(it, name), seen) for name in sorted(names) if hasattr(it, name)}


eighths = st.integers(0, 24).map(lambda n: n / 8)  # exact in floats, whatever is added when
events = st.lists(
    st.tuples(
        st.sampled_from(["submit"] * 5 + ["end"] * 5 + ["cancel", "promote", "close", "wake"]),
        eighths,
        st.sampled_from([("a",), ("a",), ("b",), ("a", "b"), (CPU,)]),
        st.sampled_from(["ada", "bob"]),
        st.sampled_from([None, "x", "y"]),
        st.sampled_from([False, False, False, True]),
    ),
    max_size=80,
)


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(["fair", "fair", "fifo", "paper"]), steps=events)
def test_the_short_way_leaves_the_state_and_the_decisions_of_the_long_way(
    name: str, steps: list[tuple[str, float, tuple[str, ...], str, str | None, bool]]
) -> None:
    """Whatever happens, the decisions are the same at every event whichever way jobs go.

    With the fair order all that is remembered is the same, too, after every event.
    """
    orders = pair(name)
    places = {"a": Place(1, 4), "b": Place(1, 4), CPU: Place(2)}
    schedulers = [Scheduler(places, ordering=order) for order in orders]
    now, last_id = 0.0, 0
    jobs: dict[int, Job] = {}
    running: dict[int, Dispatch] = {}
    wakes: dict[str, float] = {}
    for kind, seconds, where, tenant, loop, speculative in steps:
        now += seconds
        event: Any
        if kind == "submit":
            last_id += 1
            is_classical = where == (CPU,)
            job = Job(
                last_id,
                len(tenant) + (last_id % 2),
                tenant,
                where,
                None if is_classical or loop is None or len(where) > 1 else f"{loop} on {where[0]}",
                speculative=speculative,
                demand=Demand(0.0 if is_classical else seconds, seconds if is_classical else 0.0),
                weight=2.0 if tenant == "ada" else 1.0,
                points=1 + last_id % 3,
            )
            jobs[last_id] = job
            event = Submitted((job,))
        elif kind == "end" and running:
            attempt = running.pop(min(running))
            usage = {i: Usage(seconds, seconds) for i in attempt.job_ids}
            event = AttemptEnded(attempt.attempt_id, usage=usage)
        elif kind == "cancel" and jobs:
            event = Cancelled((max(jobs),))
        elif kind == "promote":
            event = Promoted(tuple(i for i, job in jobs.items() if job.speculative)[:1])
        elif kind == "close" and loop is not None:
            event = LoopClosed(f"{loop} on {where[0]}")
        elif kind == "wake" and wakes:
            place = min(wakes)
            now = max(now, wakes.pop(place))
            event = Woken(place)
        else:
            event = Delivered(tuple(jobs))
        short, long = (scheduler.handle(event, now) for scheduler in schedulers)
        assert short == long
        for action in short:
            note(action, running, wakes)
        if name == "fair":
            assert state(orders[0]) == state(orders[1])
        assert state(schedulers[0]._traffic) == state(schedulers[1]._traffic)
        schedulers[0].check_invariants()


def note(action: Action, running: dict[int, Dispatch], wakes: dict[str, float]) -> None:
    if isinstance(action, Dispatch):
        running[action.attempt_id] = action
    elif isinstance(action, Wake):
        wakes[action.place] = action.at


def test_a_job_that_finds_its_place_free_goes_the_short_way() -> None:
    ways: list[bool] = []

    class Watched(FairQueue):
        def start_at_once(self, job: Job, place: str, now: float) -> bool:
            ways.append(super().start_at_once(job, place, now))
            return ways[-1]

    scheduler = Scheduler({CPU: Place(1)}, ordering=Watched())
    [dispatch] = scheduler.handle(Submitted((Job(1, 1, "ada", (CPU,)),)), 0.0)
    assert ways == [True]
    assert scheduler.handle(Submitted((Job(2, 1, "ada", (CPU,)),)), 0.0) == []
    assert isinstance(dispatch, Dispatch)
    scheduler.handle(AttemptEnded(dispatch.attempt_id), 1.0)
    assert ways == [True]
