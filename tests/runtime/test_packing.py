"""Which points go into which job."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from efaas.backends.runtime.packing import Limits, Load, Request, packed

LIMITS = Limits(pubs=3, executions=1000, payload_bytes=500, job_seconds=60.0, points=8)
PER_JOB = Load(10, 0, 2.0)

loads = st.builds(Load, st.integers(0, 400), st.integers(0, 150), st.floats(0, 20, allow_nan=False))


@st.composite
def requests(draw: st.DrawFn) -> Request:
    points = draw(st.integers(1, 6))
    wanted = st.sampled_from([None, (0,), (0, 1), ()])
    return Request(
        experiment=draw(st.sampled_from("abc")),
        kind=draw(st.sampled_from(["estimate", "sample"])),
        shots=draw(st.sampled_from([10, 20])),
        wanted=tuple(draw(wanted) for _ in range(points)),
        per_point=tuple(draw(loads) for _ in range(points)),
        per_pub=Load(payload_bytes=draw(st.integers(0, 100))),
        is_alone=draw(st.booleans()),
    )


@given(st.lists(requests(), max_size=8))
def test_every_point_is_in_one_job_and_no_job_passes_a_limit(asked: list[Request]) -> None:
    jobs, refused = packed(asked, LIMITS, per_job=PER_JOB)

    planned = [member for job in jobs for member in job.members]
    due = [
        (index, point)
        for index, request in enumerate(asked)
        if index not in refused
        for point, wanted in enumerate(request.wanted)
        if wanted != ()
    ]
    assert sorted(planned) == due
    for job in jobs:
        assert len(job.pubs) <= 3
        assert len(job.members) <= 8
        assert job.load.fits(LIMITS)
        for pub in job.pubs:
            for index, point in pub.members:
                request = asked[index]
                assert (request.kind, request.shots) == (job.kind, job.shots)
                assert (request.experiment, request.wanted[point]) == (pub.experiment, pub.wanted)
                assert len(pub.members) == 1 or not request.is_alone


@given(st.lists(requests(), max_size=8))
def test_what_is_first_is_sent_first(asked: list[Request]) -> None:
    """Committed evaluations come before guesses, and jobs keep that order."""
    jobs, _ = packed(asked, LIMITS, per_job=PER_JOB)

    for kind, shots in {(job.kind, job.shots) for job in jobs}:
        firsts = [
            [index for index, _ in job.members]
            for job in jobs
            if (job.kind, job.shots) == (kind, shots)
        ]
        assert all(max(a) <= min(b) for a, b in pairwise(firsts))
    starts = [min(job.members) for job in jobs]
    assert starts == sorted(starts)


@given(st.lists(requests(), max_size=6))
def test_an_evaluation_that_fits_into_one_job_is_not_split(asked: list[Request]) -> None:
    jobs, refused = packed(asked, LIMITS, per_job=PER_JOB)

    for index, request in enumerate(asked):
        alone, _ = packed([request], LIMITS, per_job=PER_JOB)
        if index not in refused and len(alone) == 1:
            assert sum(any(i == index for i, _ in job.members) for job in jobs) == 1


def test_points_of_one_experiment_share_a_pub_whoever_asked() -> None:
    ask = Request("a", "estimate", 10, wanted=(None,), per_point=(Load(10),))
    other = Request("b", "estimate", 10, wanted=(None,), per_point=(Load(10),))
    [job], _ = packed([ask, other, ask], Limits())
    assert [pub.members for pub in job.pubs] == [[(0, 0), (2, 0)], [(1, 0)]]


def test_a_point_that_no_job_can_hold_is_refused_with_the_limit() -> None:
    huge = Request("a", "estimate", 10, wanted=(None,), per_point=(Load(2000),))
    jobs, refused = packed([huge], LIMITS)
    assert jobs == []
    assert "2,000 of executions" in refused[0]
