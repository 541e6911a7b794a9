"""What a minimization cost, in evaluations and in rounds."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SpeculationReport"]


@dataclass(frozen=True, slots=True)
class SpeculationReport:
    """How often an optimizer had to wait; ``result.speculation``.

    Attributes:
        evaluations: Evaluations that the optimizer used, gradients' points included.
        rounds: Times that it waited for quantum results.
        hits: Speculative evaluations that it used.
        misses: Speculative evaluations that it did not use.
        wasted_shots: Shots spent on misses.
    """

    evaluations: int
    rounds: int
    hits: int = 0
    misses: int = 0
    wasted_shots: int = 0

    @property
    def rounds_per_evaluation(self) -> float:
        """Rounds over evaluations: 1 for an optimizer that waits for each; 0 without any."""
        return self.rounds / self.evaluations if self.evaluations else 0.0

    def __str__(self) -> str:
        text = f"{self.evaluations} evaluations in {self.rounds} rounds"
        if self.hits or self.misses:
            text += f", {self.hits} hits, {self.misses} misses, {self.wasted_shots} shots wasted"
        return text
