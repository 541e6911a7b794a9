"""A loop: evaluations of one experiment that are compared with each other, on one backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from efaas.branch import current_branch
from efaas.dispatch.points import Points
from efaas.dispatch.scope import Request

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from efaas.backends.experiment import Experiment
    from efaas.backends.protocol import Outcome
    from efaas.branch import Branch
    from efaas.dispatch import Guess, SessionScope
    from efaas.future import QuantumFuture
    from efaas.journal import Book
    from efaas.loops.watch import Watch
    from efaas.model.profile import CircuitProfile
    from efaas.model.seeding import Stream
    from efaas.policies.placement import Explanation

__all__ = ["Loop", "Pin"]


@dataclass(frozen=True, slots=True, eq=False)
class Pin:
    """Where a loop is.

    Attributes:
        place: The backend.
        calibration_id: The calibration that its circuit is compiled for.
        profile: The circuit as compiled there.
        settled: The same when the loop was placed, recompiled or moved: what a later calibration
            is compared with.
        explanation: Why it is there.
        is_in_force: Whether a given pin is still its loop's, under the same calibration.
        branches: Those with guesses that went out from here.
    """

    place: str
    calibration_id: str
    profile: CircuitProfile
    settled: CircuitProfile
    explanation: Explanation
    is_in_force: Callable[[Pin], bool]
    branches: WeakSet[Branch]

    def holds(self) -> bool:
        """Whether what went out from here is what would be asked for now."""
        return self.is_in_force(self)


@dataclass(slots=True)
class Loop:
    """Evaluations of one experiment that are compared with each other.

    Attributes:
        id: Unique within the scheduler.
        experiment: What it evaluates.
        stream: Its seeds, whatever its backend.
        scope: Where it submits.
        heed: Moves the pin if it has to, and returns it; called before every round.
        watch: Knows its best point, and looks after its device; None where it has none.
        pin: Where it is; replaced as a whole.
        measured: By how much its circuit's ln ESP was found to differ from what a calibration
            says, by backend and calibration id.
        book: The session's journal, if it has one.
    """

    id: str
    experiment: Experiment
    stream: Stream
    scope: SessionScope
    heed: Callable[[Loop], Pin]
    watch: Watch | None
    pin: Pin
    measured: dict[tuple[str, str], float]
    book: Book | None = None

    @property
    def profile(self) -> CircuitProfile:
        """The experiment as compiled where the loop is."""
        return self.pin.profile

    def submit(
        self,
        experiment: Experiment,
        angles: NDArray[np.float64],
        *,
        shots: int | None,
        wanted: tuple[tuple[int, ...], ...] | None = None,
        convert: Callable[[Outcome], Sequence[Any]] | None = None,
        futures: int = 1,
    ) -> Sequence[QuantumFuture[Any]]:
        """Queue points as one job.

        Args:
            experiment: What to measure.
            angles: Its slots' angles, shape ``(points, slots)``.
            shots: Shots of each measurement setting, or None for exact expectations.
            wanted: For each point the observables to estimate; all of them if None.
            convert: Makes the futures' values; the ``Outcome`` itself if None.
            futures: How many to return: one, or one per point.

        Raises:
            ClosedError: The session is closed.
            BranchRolledBack: The current branch was rolled back.
        """
        points = Points(angles, shots, convert, futures)
        return self._round(experiment, [points], (), wanted)[0][0]

    def submit_round(
        self,
        experiment: Experiment,
        asked: Sequence[Points],
        guessed: Sequence[tuple[Points, Guess | None]] = (),
    ) -> tuple[list[Sequence[QuantumFuture[Any]]], list[Guess]]:
        """Queue points that are asked for, and guesses that would like to share their round.

        Args:
            experiment: What to measure.
            asked: What is asked for, a job each; at least one.
            guessed: What may yet be asked for, and for a further evaluation of a guessed point
                the guess that comes before it.

        Returns:
            The futures of what is asked for, and the guesses; each in order.

        Raises:
            ClosedError: The session is closed.
            BranchRolledBack: The current branch was rolled back.
        """
        return self._round(experiment, asked, guessed, None)

    def is_recorded(
        self, asked: Iterable[Points], wanted: tuple[tuple[int, ...], ...] | None = None
    ) -> bool:
        """Whether the session's journal has the values of all of these points.

        Args:
            asked: Looked at only if there is a journal.
            wanted: For each point the observables to estimate; all of them if None.
        """
        if self.book is None:
            return False
        keys = [key for points in asked for key in self._keys(points, wanted)]
        occurrences = current_branch(self.scope.root).occurrences_ahead(keys)
        seeds = map(self.stream.seed, keys, occurrences)
        return self.book.knows([seed.to_bytes(16, "little") for seed in seeds])

    def drawn_seed(self) -> int:
        """A seed for an optimizer's own random numbers, 128 bits; another one at each call."""
        [key] = self.stream.keys([b""], [b"drawn"])
        return self.stream.seed(key, current_branch(self.scope.root).next_occurrence(key))

    def _round(
        self,
        experiment: Experiment,
        asked: Sequence[Points],
        guessed: Sequence[tuple[Points, Guess | None]],
        wanted: tuple[tuple[int, ...], ...] | None,
    ) -> tuple[list[Sequence[QuantumFuture[Any]]], list[Guess]]:
        pin = self.heed(self)
        requests = [self._request(pin, experiment, points, wanted) for points in asked]
        guesses = [(self._request(pin, experiment, points), after) for points, after in guessed]
        check = None
        watch = self.watch
        if (
            watch is not None
            and watch.may_check
            and not self.scope.is_speculating
            and not self.is_recorded(asked, wanted)  # no round that it could share
        ):
            check = watch.check(pin, [*asked, *[points for points, _ in guessed]])
        if check is None:
            return self.scope.submit_round(requests, guesses)
        job = Request(
            check.evaluation,
            pin.place,
            self.id,
            pin.profile.seconds,
            check.heard,
        )
        try:
            futures, guesses_out = self.scope.submit_round([*requests, lambda _: job], guesses)
        except BaseException:
            check.ended()
            raise
        futures[-1][0].add_done_callback(lambda _: check.ended())
        return futures[:-1], guesses_out

    def _request(
        self,
        pin: Pin,
        experiment: Experiment,
        points: Points,
        wanted: tuple[tuple[int, ...], ...] | None = None,
    ) -> Callable[[Branch], Request]:
        from efaas.backends.protocol import Evaluation

        keys = self._keys(points, wanted)

        def request(branch: Branch) -> Request:
            occurrences = tuple([branch.next_occurrence(key) for key in keys])
            seeds = tuple(map(self.stream.seed, keys, occurrences))
            if branch.is_speculative:
                pin.branches.add(branch.stand_on(pin))
            watched = points.convert
            if self.watch is not None and points.futures == len(keys):
                watched = self.watch.seeing(pin, branch, points)
            return Request(
                Evaluation(experiment, points.angles, points.shots, seeds, wanted),
                pin.place,
                self.id,
                pin.profile.seconds,
                watched,
                points.futures,
                self.stream.name,
                occurrences,
                points.parameters,
            )

        return request

    def _keys(self, points: Points, wanted: tuple[tuple[int, ...], ...] | None) -> list[bytes]:
        # Adding 0.0 makes the two zeros one point.
        rows = [row.tobytes() for row in points.angles + 0.0]
        return self.stream.keys(rows, _asked_for(len(rows), points.shots, wanted))


def _asked_for(
    points: int, shots: int | None, wanted: tuple[tuple[int, ...], ...] | None
) -> list[bytes]:
    """What tells evaluations of one point apart that ask for different things."""
    common = b"exact" if shots is None else b"%d" % shots
    if wanted is None:
        return [common] * points
    return [common + repr(indices).encode() for indices in wanted]
