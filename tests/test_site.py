"""The site of the documentation is built without a warning, and its check finds what is wrong."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zlib
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("sphinx")

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "docs" / "build.py"


@pytest.fixture(scope="module")
def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_of_the_site", BUILD)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.timeout(1800)  # some 15 s of a core, if nobody else wants it
def test_the_site_is_built_and_nothing_is_wrong_with_it(tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, BUILD, tmp_path / "site"], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr.strip()) == (0, "")
    pages = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    for page in pages:
        assert (tmp_path / "site" / page.with_suffix(".html")).exists()
    for notebook in (ROOT / "examples" / "notebooks").glob("*.ipynb"):
        shown = (tmp_path / "site" / "notebooks" / notebook.name).with_suffix(".html").read_text()
        pictures = notebook.read_text().count('"image/png"')
        assert shown.count('<img alt="') == pictures > 0


def test_a_link_that_leads_nowhere_is_found(build: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "there.html").write_text('<h1 id="top">There</h1>')
    (tmp_path / "index.html").write_text(
        '<a href="there.html#top">well</a> <a href="https://example.org/a#b">elsewhere</a>'
        '<a href="https//example.org/">misspelt</a> <a href="https://example/">no host</a>'
        '<a href="there.html#bottom">no anchor</a> <a href="gone.html">no file</a>'
        '<img src="https://example.org/picture.png">'
    )

    assert build.faults_of_links(tmp_path) == [
        "index.html: https//example.org/ is no file",
        "index.html: https://example/ is no address",
        "index.html: there.html#bottom is no anchor",
        "index.html: gone.html is no file",
        "index.html: https://example.org/picture.png is loaded from a network",
    ]


def test_a_public_name_without_a_page_is_found(build: ModuleType, tmp_path: Path) -> None:
    names = "efaas.EFSession py:class 1 index.html#$ -\n"
    head = "# Sphinx inventory version 2\n# Project: efaas\n# Version: 0\n"
    zipped = zlib.compress(names.encode())
    inventory = (head + "# The remainder of this file is compressed using zlib.\n").encode()
    (tmp_path / "objects.inv").write_bytes(inventory + zipped)

    missing = build.undocumented(tmp_path)

    assert "efaas.EFSession" not in missing
    assert "efaas.EFScheduler" in missing
    assert "efaas.observe.plot_waterfall" in missing
