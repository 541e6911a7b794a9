"""Progress: what the line says, when it is shown, and that lines of several runs stay apart."""

from __future__ import annotations

import io
import logging
import re
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from qiskit.circuit.library import efficient_su2

import efaas
from efaas.clock import VirtualClock
from efaas.errors import OptimizerError
from efaas.optimize.limits import Limits
from efaas.optimize.lines import Lines
from efaas.optimize.observers import Observers
from efaas.optimize.progress import Progress
from efaas.policies.budget import Budget, Spending
from efaas.testing import FakeBackend

ANSATZ = efficient_su2(2, reps=1)
START = np.linspace(0.1, 0.8, ANSATZ.num_parameters)


class Terminal(io.StringIO):
    """A terminal that keeps what a person would see on it."""

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        rows: list[str] = []
        at = 0
        for part in re.split(r"(\x1b\[\d+A|\r\x1b\[2K|\n)", self.getvalue()):
            if match := re.fullmatch(r"\x1b\[(\d+)A", part):
                at -= int(match[1])
            elif part == "\n":
                at += 1
            elif part and not part.startswith("\r"):
                rows += [""] * (at + 1 - len(rows))
                rows[at] = part
        return rows


def run(progress: bool | None = True, **arguments: Any) -> None:
    clock = VirtualClock()
    device = FakeBackend("lab", clock=clock, round_seconds=1.0, evaluation_seconds=0.1)
    with efaas.EFSession(device, seed=1, clock=clock) as session:
        energy = session.objective(ANSATZ, "ZZ", shots=100)
        arguments = {"method": "COBYLA", "speculation": "off", "max_rounds": 5} | arguments
        efaas.minimize(energy, START, progress=progress, **arguments)


class TestWhen:
    def test_it_is_silent_where_nobody_sees_it(self, capsys: pytest.CaptureFixture[str]) -> None:
        run(None)
        assert capsys.readouterr() == ("", "")

    def test_it_is_silent_if_told_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stderr", terminal := Terminal())
        run(False)
        assert terminal.getvalue() == ""

    def test_a_run_that_is_over_at_once_is_silent_on_a_terminal(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "stderr", terminal := Terminal())
        monkeypatch.setattr("efaas.optimize.progress._QUIET_SECONDS", 1e6)
        run(None)
        assert terminal.getvalue() == ""

    def test_a_longer_run_shows_itself_on_a_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stderr", terminal := Terminal())
        monkeypatch.setattr("efaas.optimize.progress._QUIET_SECONDS", 0.0)
        run(None)
        (line,) = terminal.screen()
        assert line.endswith("done")

    def test_asked_for_it_writes_whole_lines_into_a_log(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run(True)
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 2  # the first, and the last
        assert "\x1b" not in "".join(lines)

    def test_something_else_is_refused(self) -> None:
        with pytest.raises(OptimizerError, match="progress is True, False or None, got 'yes'"):
            run("yes")  # type: ignore[arg-type]

    def test_a_plain_function_shows_it_if_asked_to(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def bowl(x: Any) -> float:
            return float(x @ x)

        shown = efaas.minimize(bowl, [1.0], method="BFGS", progress=True)
        hidden = efaas.minimize(bowl, [1.0], method="BFGS", progress=False)
        assert "done" in capsys.readouterr().err
        assert (shown.x, shown.fun, shown.nfev) == (hidden.x, hidden.fun, hidden.nfev)


class TestLine:
    def test_it_says_how_far_what_and_at_what_price(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run(True, max_shots=10_000)
        last = capsys.readouterr().err.splitlines()[-1]
        for words in ("round 5, 5 evaluations", "best ", " ± ", "TTNS 0 ms", "lab", "5.5 s gone"):
            assert words in last
        assert "500 of 10,000 shots, 0.5 QPU s" in last

    def test_the_time_left_goes_by_the_nearest_bound(self) -> None:
        clock = VirtualClock()
        fun = SimpleNamespace(shots=10, now=clock.now, standing=lambda: None)
        progress = Progress(fun, Limits(max_rounds=10), {"maxfev": 4}, Lines(io.StringIO()))
        progress.launched((), asked=1, guessed=0)
        clock.advance(3.0)
        progress.answered("value", 1.0, evaluations=1, best=1.0)
        assert "3 s gone, at most 9 s left" in progress.text()

    def test_the_best_keeps_its_own_error_bar(self) -> None:
        progress = Progress(None, Limits(), {}, Lines(io.StringIO()))
        for value, std in ((1.0, 0.25), (2.0, 0.5)):
            progress.asked()
            progress.took(SimpleNamespace(std_error=std))
            progress.answered("value", value, evaluations=1, best=1.0)
        assert "now 2 ± 0.5 | best 1 ± 0.25" in progress.text()


class Charging(FakeBackend):
    """A device that charges 2 s for a job, as far as its budget goes."""

    def spending(self) -> Spending:
        """What its rounds have cost."""
        budget = Budget(qpu_seconds=40.0, jobs=60)
        return Spending(jobs=len(self.rounds), qpu_seconds=2.0 * len(self.rounds), budget=budget)


class TestBudget:
    @staticmethod
    def line(**limits: int) -> str:
        clock = VirtualClock()
        terminal = Terminal()
        device = Charging("lab", clock=clock, round_seconds=1.0)
        with efaas.EFSession(device, seed=1, clock=clock) as session:
            energy = session.objective(ANSATZ, "ZZ", shots=100)
            shown = Progress(energy, Limits(**limits), {}, Lines(terminal))
            energy(START)
            shown.launched([], asked=1, guessed=0)
            shown.answered("value", 1.0, evaluations=1, best=1.0)
            for _ in range(4):
                energy(START)
            return shown.text()

    def test_the_line_says_what_is_gone_of_the_backends_budget(self) -> None:
        assert "| budget 5 of 60 jobs, 10 of 40 QPU s |" in self.line()

    def test_the_time_left_goes_by_the_budget_where_that_ends_first(self) -> None:
        assert "5 s gone, at most 15 s left" in self.line()  # 10 of 40 QPU s took 5 s
        assert "5 s gone, at most 5 s left" in self.line(max_rounds=2)

    def test_without_a_budget_nothing_is_said_of_one(self) -> None:
        assert Spending().uses == ()


class TestLines:
    def test_each_run_has_one_line_however_they_take_turns(self) -> None:
        terminal = Terminal()
        now = VirtualClock()
        lines = Lines(terminal, now=now.now)
        for turn in range(4):
            for key in ("a", "b", "c"):
                lines.show(key, f"{key} {turn}".__str__)
                now.advance(1.0)
        assert terminal.screen() == ["a 3", "b 3", "c 3"]
        lines.show("b", "b done".__str__, is_last=True)
        lines.show("c", "c 4".__str__)
        lines.show("d", "d 0".__str__)
        assert terminal.screen() == ["b done", "a 3", "c 4", "d 0"]

    def test_it_is_not_redrawn_more_often_than_can_be_read(self) -> None:
        terminal = Terminal()
        lines = Lines(terminal, now=VirtualClock().now)
        for turn in range(100):
            lines.show("a", f"{turn}".__str__)
        assert terminal.screen() == ["0"]
        lines.show("a", "last".__str__, is_last=True)
        assert terminal.screen() == ["last"]

    def test_a_notebook_has_one_output_that_changes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        shown: list[Any] = []
        handle = SimpleNamespace(update=shown.append)

        def display(what: Any, display_id: bool) -> Any:
            shown.append(what)
            return handle

        fake = SimpleNamespace(display=display, HTML=str)
        monkeypatch.setitem(sys.modules, "IPython.display", fake)
        now = VirtualClock()
        lines = Lines(in_notebook=True, now=now.now)
        lines.show("a", "<1>".__str__)
        lines.show("b", "2".__str__)
        assert [re.findall(r"<div>(.*?)</div>", html) for html in shown] == [
            ["&lt;1&gt;"],
            ["&lt;1&gt;", "2"],
        ]


class TestObservers:
    def test_one_that_fails_is_left_out_and_costs_nothing(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        told: list[str] = []

        class Bad:
            def asked(self) -> None:
                told.append("bad")
                raise RuntimeError("broken")

        good = SimpleNamespace(asked=lambda: told.append("good"))
        observers = Observers([Bad(), good])  # type: ignore[list-item]
        observers.asked()
        observers.asked()
        assert told == ["bad", "good", "good"]
        assert "sees no more" in caplog.text


class TestLog:
    def test_the_end_of_a_run_is_logged_with_fields(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG, "efaas"):
            run(False)
        records = [record for record in caplog.records if record.name == "efaas.runs"]
        rounds = [r for r in records if r.levelno == logging.DEBUG]
        assert [r.__dict__["efaas"]["round"] for r in rounds] == [1, 2, 3, 4, 5]
        fields = records[-1].__dict__["efaas"]
        assert (fields["rounds"], fields["evaluations"], fields["run"]) == (5, 5, 1)

    def test_a_handler_keeps_python_from_printing_warnings_of_ours(self) -> None:
        handlers = logging.getLogger("efaas").handlers
        assert any(isinstance(handler, logging.NullHandler) for handler in handlers)
