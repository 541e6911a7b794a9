"""The pages do what they say: their code runs and prints what they show, their links lead on."""

from __future__ import annotations

import doctest
import importlib
import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from efaas.errors import MissingPackageError

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(#[^)\s]+)?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
COMMAND = re.compile(r"python -m (efaas(?:\.[a-z]+)?)(?: ([a-z]+))?")
SCRIPT = re.compile(r"python ((?:benchmarks|docs|examples|tests)/[a-z_/0-9]+\.py)")
LENIENT = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [p for p in PAGES if BLOCK.search(p.read_text())], ids=name)
def test_the_code_of_a_page_runs_from_top_to_bottom(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    for block, shown in BLOCK.findall(page.read_text()):
        printed = io.StringIO()
        try:
            with redirect_stdout(printed):
                exec(compile(block, str(page), "exec"), scope)  # blocks build on each other
        except MissingPackageError as error:  # in an environment without some extra
            pytest.skip(str(error))
        if shown:  # what a page shows beneath a block, with ... where digits may differ
            is_so = doctest.OutputChecker().check_output(shown, printed.getvalue(), LENIENT)
            assert is_so, f"{block}\nprints\n{printed.getvalue()}\nand the page says\n{shown}"


def anchors(page: Path) -> set[str]:
    """The headings as they are linked to."""
    headings = HEADING.findall(page.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md"], ids=name
)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text()):
        there = page.parent / target if target else page
        assert there.exists(), target
        assert not anchor or anchor[1:] in anchors(there), target + anchor


def test_the_commands_of_the_pages_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    commands = set(COMMAND.findall(text))
    assert len(commands) >= 8
    for module, command in sorted(commands):
        main = importlib.import_module(f"{module}.__main__").main
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"] if command else ["--help"])
        assert ended.value.code == 0, f"{module} {command}"
        assert "usage" in capsys.readouterr().out
    scripts = set(SCRIPT.findall(text))
    assert len(scripts) >= 8
    assert [script for script in scripts if not (ROOT / script).exists()] == []
    targets = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`make ([a-z]+)", text)) | {"demo", "test"}:
        assert f"\n{target}:" in targets


def test_the_architecture_names_files_that_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"`([a-z_]+/)?([a-z_]+\.py)`", text))
    known = {path.name for path in (ROOT / "efaas").rglob("*.py")}
    tests = {path.name for path in (ROOT / "tests").rglob("*.py")}
    missing = sorted(file for _, file in named if file not in known | tests)
    assert missing == []


def test_every_figure_of_a_page_is_drawn_by_a_command() -> None:
    targets = (ROOT / "Makefile").read_text()
    shown = {
        name
        for page in (ROOT / "docs").rglob("*.md")
        for name in re.findall(r"\(\.*/?figures/(\w+)\.svg\)", page.read_text())
    }
    assert shown >= {"drift", "layout_gains", "placement", "rounds", "sentinel", "shares"}
    for name in shown:
        assert (ROOT / "docs" / "figures" / f"{name}.svg").exists()
        assert f"Draws {name}.svg" in (ROOT / "docs" / "figures" / f"{name}.py").read_text()
        assert f" {name} " in targets or f" {name};" in targets
