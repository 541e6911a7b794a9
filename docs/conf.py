"""How Sphinx makes the site of these pages: `make docs`."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import efaas

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).parent
NOTEBOOKS = "examples/notebooks/"

logging.getLogger("qiskit").setLevel(logging.WARNING)  # Sphinx listens to everything

project = "efaas"
author = "The efaas developers"
copyright = "The efaas developers, Apache-2.0"  # noqa: A001  # Sphinx's name
version = release = efaas.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
exclude_patterns = ["figures/*.py"]
highlight_language = "none"  # a block without a language is what a command prints

# Pages are Markdown; a heading can be linked to as on a hosting site: page.md#a-heading.
myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]
nb_execution_mode = "off"  # the notebooks are stored with what they show

# The reference is the docstrings, in the order of the source.
autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # what a class's docstring says of attributes, beside their definitions

html_theme = "furo"
html_title = f"efaas {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "top_of_page_buttons": [],
    "light_css_variables": {
        "color-brand-primary": "#1f4e8c",
        "color-brand-content": "#1f4e8c",
        "color-brand-visited": "#4a4f8c",
        "color-api-name": "#1f4e8c",
        "color-api-pre-name": "#5a6472",
    },
    "dark_css_variables": {
        "color-brand-primary": "#8ab4f0",
        "color-brand-content": "#8ab4f0",
        "color-brand-visited": "#b0a8ee",
        "color-api-name": "#8ab4f0",
        "color-api-pre-name": "#9aa4b2",
    },
}


def say_no_type(*arguments: Any) -> None:
    """Mark what follows ``Returns:`` as prose: a colon in its first line does not end a type."""
    lines: list[str] = arguments[-1]
    for index, line in enumerate(lines[:-1]):
        if line.strip() == "Returns:":
            below = lines[index + 1]
            indent = len(below) - len(below.lstrip())
            lines[index + 1] = f"{below[:indent]}: {below[indent:]}"


def bring_notebooks(app: Sphinx) -> None:
    """Sphinx reads no page outside its folder: put the notebooks into it, those that changed."""
    folder = HERE / "notebooks"
    folder.mkdir(exist_ok=True)
    committed = {path.name: path for path in (HERE.parent / NOTEBOOKS).glob("*.ipynb")}
    for path in folder.iterdir():
        if path.name not in committed:
            path.unlink()
    for name, path in committed.items():
        if not (folder / name).exists() or (folder / name).read_bytes() != path.read_bytes():
            shutil.copyfile(path, folder / name)


def lead_to_notebooks(app: Sphinx, page: str, source: list[str]) -> None:
    """A link to a notebook's file leads to its page, which is beside the others in the site."""
    source[0] = source[0].replace(f"../{NOTEBOOKS}", "notebooks/")


def setup(app: Sphinx) -> None:
    """Docstrings are marked before their sections are read, which happens at 500."""
    app.connect("builder-inited", bring_notebooks)
    app.connect("source-read", lead_to_notebooks)
    app.connect("autodoc-process-docstring", say_no_type, priority=400)
