"""Qiskit's V2 primitives over a session."""

from efaas.primitives.estimator import SessionEstimator
from efaas.primitives.sampler import SessionSampler

__all__ = ["SessionEstimator", "SessionSampler"]
