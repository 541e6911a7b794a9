"""What runs the jobs of mock devices: answers of the right form, with nothing in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from efaas.backends.protocol import Estimates, Evaluation, Outcome, Samples
from efaas.model.job import Usage

__all__ = ["MockBackend"]


class MockBackend:
    """Answers evaluations at random, from their seeds alone."""

    def execute(self, evaluations: Sequence[Evaluation]) -> Sequence[Outcome | Exception]:
        """Uniformly random bits, or values within what the observables allow."""
        return [_answer(evaluation) for evaluation in evaluations]


def _answer(evaluation: Evaluation) -> Outcome:
    experiment = evaluation.experiment
    generators = [np.random.Generator(np.random.Philox(key=seed)) for seed in evaluation.seeds]
    if not experiment.is_sample:
        spans = np.array([np.abs(o.coeffs).sum() for o in experiment.observables])
        evs = np.array([g.uniform(-spans, spans) for g in generators])
        return Outcome(Estimates(evs, np.ones_like(evs)), Usage())
    widths = {register.name: register.size for register in experiment.circuit.cregs}
    shots = evaluation.shots or 0
    registers = {}
    for name, width in widths.items():
        bits = [g.integers(0, 2, (shots, width), dtype=np.uint8) for g in generators]
        # Bit 0 is the lowest bit of the last byte.
        registers[name] = np.packbits(np.array(bits), axis=-1, bitorder="little")[..., ::-1]
    return Outcome(Samples(registers, widths), Usage())
