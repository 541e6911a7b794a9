"""The data of the plots, and what is drawn of them; no display is needed."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from observed_run import observed_run

from efaas import observe
from efaas.errors import InputError, MissingPackageError
from efaas.observe import Trace
from efaas.observe.series import convergence, drifts, shares, thinned, timeline
from efaas.observe.waterfall import iterations

figure = pytest.importorskip("matplotlib.figure")

PLOTS = ["plot_convergence", "plot_timeline", "plot_waterfall", "plot_shares", "plot_drift"]


@pytest.fixture
def trace() -> Trace:
    return observed_run()[0]


class TestData:
    def test_the_timeline_has_a_bar_for_each_attempt(self, trace: Trace) -> None:
        bars = [bar.attempt for bars in timeline(trace).values() for bar in bars]
        assert sorted(bars, key=lambda a: a.job_id) == sorted(
            trace.attempts, key=lambda a: a.job_id
        )

    def test_a_curve_holds_the_values_of_one_run(self, trace: Trace) -> None:
        curves = convergence(trace)
        assert [curve.name for curve in curves] == ["loop 1", "loop 2"]
        for curve in curves:
            assert curve.bests == tuple(np.minimum.accumulate(curve.values))
        assert sum(len(curve.values) for curve in curves) == len(trace.steps)

    def test_a_thinned_curve_keeps_its_ends(self, trace: Trace) -> None:
        (thin, _), (whole, _) = thinned(convergence(trace), 5), convergence(trace)
        assert len(thin.values) == 5
        assert (thin.values[0], thin.values[-1]) == (whole.values[0], whole.values[-1])

    def test_the_shares_add_up_to_all_qpu_seconds(self, trace: Trace) -> None:
        spent = sum(a.qpu_seconds for a in trace.attempts)
        for by in ("tenant", "loop"):
            assert sum(share.served[-1] for share in shares(trace, by)) == pytest.approx(spent)
        assert [share.name for share in shares([trace, trace])] == ["ada"]

    def test_a_device_has_the_shifts_of_its_calibrations(self, trace: Trace) -> None:
        (drift,) = drifts(trace)
        assert drift.backend == "lab"
        assert drift.shifts == pytest.approx((-0.4, -0.4))
        assert [name for _, name in drift.calibrations] == ["fake", "fake-1"]

    def test_shares_by_something_else_are_refused(self, trace: Trace) -> None:
        with pytest.raises(InputError, match="'tenant' or 'loop'"):
            shares(trace, "colour")


class TestDrawing:
    @pytest.mark.parametrize("name", PLOTS)
    def test_it_draws_on_the_axes_that_it_is_given(self, name: str, trace: Trace) -> None:
        ax = figure.Figure().subplots()
        assert getattr(observe, name)(trace, ax=ax) is ax
        assert ax.get_xlabel() != ""
        assert ax.has_data()

    @pytest.mark.parametrize("name", PLOTS)
    def test_an_empty_trace_is_drawn_empty(self, name: str) -> None:
        getattr(observe, name)(Trace(), ax=figure.Figure().subplots())

    def test_the_bars_of_the_timeline_are_the_attempts(self, trace: Trace) -> None:
        ax = observe.plot_timeline(trace, ax=figure.Figure().subplots())
        bars = sum(len(bars.get_paths()) for bars in ax.collections)
        assert bars == len(trace.attempts)

    def test_the_columns_of_the_waterfall_are_as_high_as_the_cycles(self, trace: Trace) -> None:
        ax = observe.plot_waterfall(trace, ax=figure.Figure().subplots())
        high = sum(bar.get_height() for bar in ax.patches)
        cycles = sum(it.cycle_seconds + it.phases.masked for it in iterations(trace))
        assert high == pytest.approx(cycles)

    def test_it_takes_a_report(self) -> None:
        observe.plot_convergence(observed_run()[1], ax=figure.Figure().subplots())

    def test_what_has_no_trace_is_refused(self) -> None:
        with pytest.raises(InputError, match="expected a trace"):
            observe.plot_timeline([1, 2])

    def test_without_matplotlib_the_error_says_what_to_install(
        self, trace: Trace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        with pytest.raises(MissingPackageError, match=r"efaas\[plot\]"):
            observe.plot_timeline(trace)
