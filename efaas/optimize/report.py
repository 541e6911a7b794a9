"""What a minimization cost, in evaluations, rounds and seconds, and what guessing gained."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["HitRate", "Origin", "SpeculationReport"]


@dataclass(frozen=True, slots=True)
class HitRate:
    """How often guesses of one kind were used.

    Attributes:
        hits: Evaluations guessed that the optimizer asked for.
        misses: Evaluations guessed that it did not ask for.
    """

    hits: int = 0
    misses: int = 0

    @property
    def rate(self) -> float:
        """Hits over guesses, in [0, 1]; 0 without any."""
        guesses = self.hits + self.misses
        return self.hits / guesses if guesses else 0.0


@dataclass(frozen=True, slots=True)
class Origin:
    """Where consecutive answers came from.

    Attributes:
        backend: The backend that ran them.
        calibration_id: The calibration that they ran under, where the backend says.
        answers: How many, values and gradients.
    """

    backend: str
    calibration_id: str | None
    answers: int


@dataclass(frozen=True, slots=True)
class SpeculationReport:
    """How often an optimizer had to wait; ``result.speculation``.

    Attributes:
        evaluations: Evaluations that the optimizer used, gradients' points included.
        rounds: Times that it waited for evaluations to be run.
        hits: Speculative evaluations that it used.
        misses: Speculative evaluations that ran and were not used.
        shots: Shots of each measurement setting of an evaluation, or None where there are none.
        wasted_qpu_seconds: QPU seconds spent on misses.
        kinds: Hits and misses by kind of guess: ``"certain"`` for what the optimizer asks for
            whatever the pending values are, ``"trigonometric"`` and ``"rbf"`` by the surrogate's
            kernel, ``"frequencies"`` while there were too few values for one.
        seconds: Time that the optimizer waited, in seconds of the session's clock.
        sequential_seconds: What the same run would have taken one value or gradient a round.
        predictor_seconds: Real time spent on predicting, or what its steps count for.
        mode: ``"off"``, ``"exact"`` or ``"tolerant"``.
        tolerated: Values that were taken from a guess nearby; 0 in exact mode.
        largest_distance: The largest distance of such a guess, in the parameters' unit.
        notes: What was not speculated on, and why.
        origins: Where the answers came from, in the order in which the optimizer got them; more
            than one where its loop moved or its device was calibrated anew, and none for plain
            functions. Values of two origins are of two devices, or of one at two times.
    """

    evaluations: int
    rounds: int
    hits: int = 0
    misses: int = 0
    shots: int | None = None
    wasted_qpu_seconds: float = 0.0
    kinds: Mapping[str, HitRate] = field(default_factory=dict)
    seconds: float = 0.0
    sequential_seconds: float = 0.0
    predictor_seconds: float = 0.0
    mode: str = "off"
    tolerated: int = 0
    largest_distance: float = 0.0
    notes: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = ()

    @property
    def rounds_per_evaluation(self) -> float:
        """Rounds over evaluations: 1 for an optimizer that waits for each; 0 without any."""
        return self.rounds / self.evaluations if self.evaluations else 0.0

    @property
    def waste(self) -> float:
        """Misses over evaluations."""
        return self.misses / self.evaluations if self.evaluations else 0.0

    @property
    def wasted_shots(self) -> int:
        """Shots of each measurement setting spent on misses."""
        return self.misses * (self.shots or 0)

    @property
    def saved_seconds(self) -> float:
        """What was saved against one value or gradient a round, the predictor's time paid."""
        return self.sequential_seconds - self.seconds - self.predictor_seconds

    def rows(self) -> list[tuple[str, str]]:
        """The report as rows of a name and a text."""
        rows = [
            ("evaluations", f"{self.evaluations:,}"),
            ("rounds", f"{self.rounds:,} ({self.rounds_per_evaluation:.2f} per evaluation)"),
        ]
        if self.hits or self.misses:
            rows.append(("guesses used / not used", f"{self.hits:,} / {self.misses:,}"))
            rows += [
                (f"  {kind}", f"{rate.hits:,} / {rate.misses:,} ({100 * rate.rate:.0f} %)")
                for kind, rate in sorted(self.kinds.items())
            ]
            waste = f"{self.misses:,} evaluations"
            if self.shots:
                waste += f", {self.wasted_shots:,} shots"
            if self.wasted_qpu_seconds:
                waste += f", {self.wasted_qpu_seconds:.3g} QPU s"
            rows.append(("waste", waste))
        if self.sequential_seconds:
            rows += [
                ("waited", f"{self.seconds:.3g} s"),
                ("one at a time", f"{self.sequential_seconds:.3g} s"),
                ("predictor", f"{self.predictor_seconds:.3g} s"),
            ]
        if self.tolerated:
            text = f"{self.tolerated:,} values, from at most {self.largest_distance:.2g} away"
            rows.append(("taken from guesses nearby", text))
        if len(self.origins) > 1:
            rows += [
                (f"  on {each.backend}", f"{each.answers:,} answers under {each.calibration_id}")
                for each in self.origins
            ]
        rows += [("note", note) for note in self.notes]
        return rows

    def __str__(self) -> str:
        text = f"{self.evaluations} evaluations in {self.rounds} rounds"
        if self.hits or self.misses:
            text += f", {self.hits} hits, {self.misses} misses, {self.wasted_shots} shots wasted"
        if self.tolerated:
            text += f", {self.tolerated} values from guesses nearby (not exact)"
        return text

    def __repr__(self) -> str:
        rows = self.rows()
        width = max(len(name) for name, _ in rows)
        return "\n".join(
            ["SpeculationReport", *(f"  {name:<{width}}  {text}" for name, text in rows)]
        )

    def _repr_html_(self) -> str:
        """The rows as a table, for notebooks."""
        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name.strip())}</th>"
            f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
            for name, text in self.rows()
        )
        return f"<table><caption>Speculation ({self.mode})</caption>{cells}</table>"
