"""The saved page: what is in it, and how a real browser takes it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from observed_run import observed_run
from qiskit.circuit.library import efficient_su2

import efaas
from efaas.errors import InputError
from efaas.observe.page.scale import Scale
from efaas.testing import FakeBackend

if TYPE_CHECKING:
    from efaas.observe import SessionReport

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)

PROBE = """
<script>
const click = (table, column) =>
  document.querySelectorAll("table.efaas")[table].tHead.rows[0].cells[column]
    .querySelector("button").click();
const texts = (table, column) =>
  [...document.querySelectorAll("table.efaas")[table].tBodies[0].rows]
    .map((row) => row.cells[column].textContent);
const last = document.querySelectorAll("table.efaas").length - 1;
click(last, 1); const up = texts(last, 1).map(Number);
const sort = document.querySelectorAll("table.efaas")[last].tHead.rows[0].cells[1].ariaSort;
click(last, 1); const down = texts(last, 1).map(Number);
const told = {
  up, down, sort,
  bars: document.querySelectorAll("#timeline rect.bar").length,
  wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  requests: performance.getEntriesByType("resource").length,
  ground: getComputedStyle(document.body).backgroundColor,
};
document.title = "told " + JSON.stringify(told);
</script>
"""


@pytest.fixture
def report() -> SessionReport:
    return observed_run()[1]


class _Outline(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline(report: SessionReport, tmp_path: Path) -> _Outline:
    report.save(tmp_path / "report.html")
    parser = _Outline()
    parser.feed((tmp_path / "report.html").read_text())
    assert parser.open == []
    return parser


def test_the_timeline_has_as_many_bars_as_attempts(report: SessionReport, tmp_path: Path) -> None:
    tags = outline(report, tmp_path).tags
    bars = [attrs for tag, attrs in tags if tag == "rect" and "y" in attrs and "x" in attrs]
    bars = [attrs for attrs in bars if (attrs["class"] or "").startswith("bar ")]
    keys = 4
    assert report.trace is not None
    assert len(bars) - keys == len(report.trace.attempts)


@pytest.mark.parametrize(("shift", "faint"), [(-0.4, False), (-0.001, True)])
def test_a_calibration_is_marked_faintly_where_nothing_was_done(
    shift: float, faint: bool, tmp_path: Path
) -> None:
    device = FakeBackend()
    with efaas.EFSession(device, seed=1) as session:
        energy = session.objective(efficient_su2(2, reps=1), "ZZ")
        energy.submit(np.zeros(8)).result()
        device.recalibrate(shift)
        efaas.minimize(energy, np.zeros(8), method="COBYLA", options={"maxiter": 10})
        [event] = session.events
        session.report().save(tmp_path / "report.html")
    assert (event.kind == "stayed") == faint
    page = (tmp_path / "report.html").read_text()
    kind = "mark stayed" if faint else "mark"
    assert page.count("<path class='mark") == page.count(f"<path class='{kind}'") == 4
    assert page.count(f"<path class='{kind}' d='M6 0V12'/>") == 2, "the keys of two drawings"


def test_the_page_refers_to_nothing_outside(report: SessionReport, tmp_path: Path) -> None:
    for _, attrs in outline(report, tmp_path).tags:
        for name in ("src", "href", "action", "data"):
            assert not (attrs.get(name) or "").startswith(("http", "//", "/"))


def test_every_drawing_has_words_and_every_scrolling_part_takes_the_keyboard(
    report: SessionReport, tmp_path: Path
) -> None:
    tags = outline(report, tmp_path).tags
    drawings = [a for tag, a in tags if tag == "svg" and a.get("aria-hidden") != "true"]
    assert len(drawings) == 3
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in drawings)
    scrolling = [attrs for _, attrs in tags if attrs.get("class") == "scroll"]
    assert all(attrs["tabindex"] == "0" and attrs["aria-label"] for attrs in scrolling)
    assert ("html", {"lang": "en"}) in tags


def test_a_session_that_did_nothing_has_a_page(tmp_path: Path) -> None:
    with efaas.EFSession(FakeBackend(), seed=1) as session:
        session.report().save(tmp_path / "empty.html")
    assert "Nothing ran." in (tmp_path / "empty.html").read_text()


def test_another_ending_is_refused(report: SessionReport, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"report\.pdf"):
        report.save(tmp_path / "report.pdf")
    with pytest.raises(InputError, match="make its folder first"):
        report.save(tmp_path / "reports" / "report.html")


def test_ticks_are_round_and_within_the_scale() -> None:
    assert Scale(-0.13, 0.41, 0, 1).ticks(5) == [0.0, 0.2, 0.4]
    assert Scale(3.0, 3.0, 0, 1).ticks() == [3.0]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize(
    ("width", "flags", "ground"),
    [
        (1100, (), "rgb(255, 255, 255)"),
        (1100, ("--blink-settings=preferredColorScheme=0",), "rgb(15, 20, 25)"),
        (390, (), "rgb(255, 255, 255)"),
    ],
    ids=["light", "dark", "phone"],
)
def test_a_real_browser_shows_it_without_an_error_and_sorts(
    width: int, flags: tuple[str, ...], ground: str, report: SessionReport, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    report.save(path)
    path.write_text(path.read_text().replace("</body>", PROBE + "</body>"))
    assert CHROMIUM is not None
    ran = subprocess.run(
        [
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={width},900",
            "--enable-logging=stderr",
            *flags,
            "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "CONSOLE" not in ran.stderr
    match = re.search(r"<title>told (.*?)</title>", ran.stdout)
    assert match is not None
    told = json.loads(match[1])
    assert report.trace is not None
    assert told["bars"] == len(report.trace.attempts)
    assert told["up"] == sorted(told["up"])
    assert told["down"] == sorted(told["up"], reverse=True)
    assert told["sort"] == "ascending"
    assert told["wide"] <= 0  # nothing makes the page itself scroll sideways
    assert told["requests"] == 0
    assert told["ground"] == ground
