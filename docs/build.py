"""Builds the site, and checks what Sphinx does not: `make docs`.

Warnings are errors. Then every link and anchor of every page has to lead somewhere, or to have
the form of an address where it leads elsewhere; no page may load anything from a network, and every
public name has to be in the reference.
"""

from __future__ import annotations

import importlib
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

from sphinx.cmd.build import build_main
from sphinx.util.inventory import InventoryFile

HERE = Path(__file__).parent
PACKAGES = (
    "efaas",
    "efaas.backends",
    "efaas.errors",
    "efaas.observe",
    "efaas.optimize",
    "efaas.primitives",
    "efaas.testing",
    "efaas.testing.runtime_service",
)
# Where nobody can be asked, an address can still be misspelt.
_ELSEWHERE = re.compile(r"https://([a-z0-9-]+\.)+[a-z]{2,}(/[^\s<>\"']*)?")
_LOADS = {"script": "src", "img": "src", "source": "src", "iframe": "src", "link": "href"}


class Page(HTMLParser):
    """What a page links to, what it loads, and what can be linked to in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note down one tag."""
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag in _LOADS and _LOADS[tag] in given:
            self.loads.append(given[_LOADS[tag]])


def build(out: Path) -> int:
    """Sphinx's exit status: 0 for a site in `out` without a warning."""
    options = ["-b", "html", "-W", "--keep-going", "-q", "-d", str(out / ".doctrees")]
    return build_main([*options, str(HERE), str(out)])


def faults_of_links(site: Path) -> list[str]:
    """Links that lead nowhere, and what would be loaded from elsewhere."""
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    faults = []
    for path, page in pages.items():
        for link in [*page.links, *page.loads]:
            target, anchor = urldefrag(link)
            parts = urlsplit(target)
            where = f"{path.relative_to(site)}: {link}"
            if parts.scheme or parts.netloc:
                if link in page.loads and parts.scheme != "data":
                    faults.append(f"{where} is loaded from a network")
                elif link in page.links and not _ELSEWHERE.fullmatch(link):
                    faults.append(f"{where} is no address")
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not there.exists():
                faults.append(f"{where} is no file")
            elif anchor and there in pages and unquote(anchor) not in pages[there].anchors:
                faults.append(f"{where} is no anchor")
    return faults


def undocumented(site: Path) -> list[str]:
    """Public names that the reference does not have."""
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    names = [name for kind, found in inventory.data.items() if kind[:3] == "py:" for name in found]
    documented = {id(_resolved(name)) for name in names}
    missing = []
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in module.__all__:
            is_module = f"{package}.{name}" in sys.modules
            if name[0] != "_" and not is_module and id(getattr(module, name)) not in documented:
                missing.append(f"{package}.{name}")
    return missing


def _resolved(name: str) -> object:
    """What a dotted name stands for; None where it is an attribute that only instances have."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            found = getattr(found, part, None)
        return found
    return None


def main(out: Path) -> int:
    """Build, check, and say what is wrong."""
    if status := build(out):
        return status
    faults = faults_of_links(out) + [f"{name} is not documented" for name in undocumented(out)]
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults:
        print(f"{out / 'index.html'}: {len(list(out.rglob('*.html')))} pages")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
