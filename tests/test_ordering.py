"""The queue orders."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efaas.model.job import Job
from efaas.policies.ordering import FirstComeFirstServed, Ordering
from efaas.policies.orderings import ORDERINGS, Surroundings


@pytest.fixture(params=sorted(ORDERINGS))
def ordering(request: pytest.FixtureRequest) -> Ordering:
    return ORDERINGS[request.param](Surroundings())


def job(job_id: int, *places: str, speculative: bool = False) -> Job:
    return Job(job_id, 1, "ada", places or ("a",), speculative=speculative)


class TestEveryOrdering:
    def test_a_job_leaves_the_queue_once(self, ordering: Ordering) -> None:
        ordering.add(job(1, "a", "b"), 0.0)
        assert [j.id for j in ordering.take("b", 5, 0.0)] == [1]
        assert ordering.take("a", 5, 0.0) == []
        assert len(ordering) == 0

    def test_a_job_is_only_taken_where_it_may_run(self, ordering: Ordering) -> None:
        ordering.add(job(1, "a"), 0.0)
        assert ordering.take("b", 5, 0.0) == []
        assert len(ordering) == 1

    def test_a_discarded_job_is_never_taken(self, ordering: Ordering) -> None:
        ordering.add(job(1), 0.0)
        ordering.add(job(2), 0.0)
        assert ordering.discard(1) == job(1)
        assert ordering.discard(1) is None
        assert [j.id for j in ordering.take("a", 5, 0.0)] == [2]

    def test_committed_and_speculative_jobs_never_share_a_round(self, ordering: Ordering) -> None:
        ordering.add(job(1, speculative=True), 0.0)
        ordering.add(job(2), 0.0)
        assert [j.id for j in ordering.take("a", 5, 0.0)] == [2]
        assert [j.id for j in ordering.take("a", 5, 0.0)] == [1]

    def test_no_more_jobs_are_taken_than_asked_for(self, ordering: Ordering) -> None:
        for job_id in range(1, 6):
            ordering.add(job(job_id), 0.0)
        assert [j.id for j in ordering.take("a", 3, 0.0)] == [1, 2, 3]


def test_a_promoted_job_keeps_the_turn_of_its_submission() -> None:
    ordering = FirstComeFirstServed()
    ordering.add(job(1, speculative=True), 0.0)
    ordering.add(job(2), 0.0)
    promoted = ordering.discard(1)
    assert promoted is not None
    ordering.add(job(1), 0.0)
    assert [j.id for j in ordering.take("a", 1, 0.0)] == [1]


jobs = st.lists(
    st.tuples(st.sampled_from([("a",), ("b",), ("a", "b")]), st.booleans(), st.booleans()),
    max_size=60,
)


@given(jobs, st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 4)), max_size=60))
def test_order_is_that_of_a_sorted_list(
    added: list[tuple[tuple[str, ...], bool, bool]], takes: list[tuple[str, int]]
) -> None:
    """Whatever is discarded, ``take`` gives what sorting by class and id would give."""
    ordering = FirstComeFirstServed()
    model: list[Job] = []
    for job_id, (places, speculative, discarded) in enumerate(added):
        queued = job(job_id, *places, speculative=speculative)
        ordering.add(queued, 0.0)
        if discarded:
            ordering.discard(job_id)
        else:
            model.append(queued)
    for place, limit in takes:
        here = [j for j in model if place in j.places]
        best = [j for j in here if not j.speculative] or here
        expected = best[:limit]
        assert ordering.take(place, limit, 0.0) == expected
        model = [j for j in model if j not in expected]
        assert len(ordering) == len(model)
