"""Options as scripts for other primitives set them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.circuit.library import efficient_su2

from efaas.errors import InputError, ShotsError, UnknownOptionError
from efaas.primitives import SessionEstimator, SessionSampler
from efaas.primitives.pubs import precision_of_shots, shots_of_precision


def test_shots_and_precision_of_an_estimator_are_one_option(session: Any) -> None:
    estimator = SessionEstimator(session)
    assert estimator.options.default_shots == 4096
    estimator.options.default_shots = 777
    assert estimator.default_precision == estimator.options.default_precision
    estimator.run([(efficient_su2(2, reps=1), "ZZ", np.zeros(8))])
    estimator.options.update(default_precision=0.1)
    estimator.run([(efficient_su2(2, reps=1), "ZZ", np.zeros(8))])
    estimator.options.default_precision = 0
    assert estimator.options.default_shots is None
    assert [request["shots"] for request in session.requests] == [777, 100]


def test_shots_of_a_sampler(session: Any) -> None:
    circuit = efficient_su2(2, reps=1)
    circuit.measure_all()
    sampler = SessionSampler(session, options={"default_shots": 12})
    sampler.run([(circuit, np.zeros(8))])
    sampler.options.default_shots = 34
    sampler.run([(circuit, np.zeros(8))])
    assert [request["shots"] for request in session.requests] == [12, 34]


@given(st.integers(1, 2**40))
def test_so_many_shots_are_asked_for_as_were_set(shots: int) -> None:
    assert shots_of_precision(precision_of_shots(shots)) == shots


@pytest.mark.parametrize("kind", [SessionEstimator, SessionSampler])
def test_options_of_other_primitives_are_refused_with_where_they_belong(
    session: Any, kind: Any
) -> None:
    options = kind(session).options
    with pytest.raises(UnknownOptionError, match=r"RuntimeBackend.*'resilience_level'"):
        options.resilience_level = 1
    with pytest.raises(AttributeError, match=r"RuntimeBackend.*'dynamical_decoupling'"):
        options.dynamical_decoupling.enable = True
    with pytest.raises(UnknownOptionError, match="seed=7"):
        kind(session, options={"seed_simulator": 3})
    with pytest.raises(ShotsError):
        options.default_shots = 0
    assert not hasattr(options, "twirling")
    assert issubclass(UnknownOptionError, InputError)
    assert "default_shots=" in repr(options)
