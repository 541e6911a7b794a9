"""What makes replays harmless to their process: silence, and a lock that lets them in."""

from __future__ import annotations

import threading
import warnings
from typing import TYPE_CHECKING

from copying import AMPLE, recorded
from starts import Always, Stairs

from efaas.optimize.reentrant import _Reentrant
from efaas.optimize.replay import ReplayOracle
from efaas.optimize.silence import silence

if TYPE_CHECKING:
    import pytest


def test_a_replay_is_silent_and_leaves_the_warning_filters_alone(
    recwarn: pytest.WarningsRecorder,
) -> None:
    oracle = recorded(ReplayOracle(Stairs(is_loud=True)), 2)
    warnings.simplefilter("error")
    before = list(warnings.filters)
    assert len(oracle.paths([Always(1.0)] * 2, 4, seconds=AMPLE)) == 2
    assert warnings.filters == before
    assert not recwarn.list


def test_a_warning_is_still_shown_once_after_it_was_silenced() -> None:
    def warned() -> None:
        warnings.warn("once a place", UserWarning, stacklevel=1)

    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        with silence():
            warned()
        warned()
        with silence():
            warned()
        warned()
    assert len(shown) == 1


def test_other_threads_go_on_warning() -> None:
    inside, outside = threading.Event(), threading.Event()

    def muted() -> None:
        with silence():
            inside.set()
            outside.wait(AMPLE)
            warnings.warn("muted", UserWarning, stacklevel=1)

    thread = threading.Thread(target=muted)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        thread.start()
        inside.wait(AMPLE)
        warnings.warn("heard", UserWarning, stacklevel=1)
        outside.set()
        thread.join()
    assert [str(warning.message) for warning in heard] == ["heard"]


def test_silence_survives_filters_that_come_and_go_around_it() -> None:
    before = list(warnings.filters)
    with silence():
        with warnings.catch_warnings():
            warnings.resetwarnings()
        warnings.warn("muted", UserWarning, stacklevel=1)
    with warnings.catch_warnings(), silence():
        warnings.resetwarnings()
    assert list(warnings.filters) == before


def test_a_lock_that_may_be_taken_again_still_keeps_others_out() -> None:
    lock = _Reentrant(threading.Lock())
    entered = threading.Event()

    def other() -> None:
        with lock:
            entered.set()

    thread = threading.Thread(target=other)
    with lock:
        with lock:
            thread.start()
        assert not entered.wait(0.02)
    assert entered.wait(AMPLE)
    thread.join()
