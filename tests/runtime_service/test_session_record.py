"""The life of a session, as a function of the clock."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from efaas.testing.runtime_service import SessionRecord

IDLE, LONGEST = 10.0, 60.0


@dataclass
class _Story:
    """A session with one job at a time, brought forward event by event."""

    session: SessionRecord
    now: float = 0.0
    ran: float = 0.0
    started_at: float = 0.0

    def look(self) -> None:
        self.session = self.session.settled(self.now, 0)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    def start(self) -> None:
        self.look()
        if self.session.accepts_jobs and not self.session.jobs_running:
            self.session = self.session.job_started(self.now)
            self.started_at = self.now

    def end(self) -> None:
        if self.session.jobs_running:
            self.session = self.session.job_ended(self.now)
            self.ran += self.now - self.started_at
            self.look()

    def stop(self) -> None:
        self.look()
        self.session = self.session.stopped(self.now)
        self.look()


EVENTS = st.lists(
    st.one_of(
        st.sampled_from(["start", "end", "stop"]), st.floats(0.0, 30.0).map(lambda x: round(x, 1))
    ),
    max_size=20,
)


def _told(events: list[str | float], *, looks: bool, mode: str = "dedicated") -> _Story:
    story = _Story(
        SessionRecord("s", "d", mode, 0.0, IDLE, LONGEST)  # type: ignore[arg-type]
    )
    for event in events:
        if isinstance(event, str):
            getattr(story, event)()
        elif looks:
            for _ in range(3):
                story.pass_time(event / 3)
                story.look()
        else:
            story.pass_time(event)
    story.now = round(story.now, 6)
    story.look()
    return story


@given(EVENTS)
def test_what_is_paid_for_covers_every_job_and_no_more_idle_time_than_allowed(
    events: list[str | float],
) -> None:
    """Theorem: running time <= elapsed <= running time + one idle allowance for each job."""
    story = _told(events, looks=False)
    if story.session.jobs_running:
        story.end()
    elapsed = story.session.elapsed_seconds(story.now)
    num_jobs = sum(event == "start" for event in events)
    assert story.ran - 1e-6 <= elapsed <= story.ran + IDLE * num_jobs + 1e-6


@given(EVENTS)
def test_looking_at_a_session_changes_nothing(events: list[str | float]) -> None:
    """Theorem: the record is the same whether it was settled on the way or only at the end."""
    looked, left_alone = (_told(events, looks=looks).session for looks in (True, False))
    assert looked.state == left_alone.state
    assert [state for state, _ in looked.history] == [state for state, _ in left_alone.history]
    for (_, a), (_, b) in zip(looked.history, left_alone.history, strict=True):
        assert abs(a - b) < 1e-6


@given(EVENTS)
def test_a_session_is_closed_once_and_for_all_and_in_time(events: list[str | float]) -> None:
    """Theorem: no state follows "closed"; past the maximum time only a running job keeps it."""
    session = (story := _told(events, looks=False)).session
    states = [state for state, _ in session.history]
    assert "closed" not in states[:-1]
    first = session.first_started_at or 0.0
    if story.now >= first + LONGEST and not session.jobs_running:
        assert session.state == "closed"
    instants = [at for _, at in session.history]
    assert instants == sorted(instants)
