"""What a study leaves behind: tables on the terminal, and JSON, Markdown, a page and figures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from efaas import __version__
from efaas.cloud.page import study_page
from efaas.cloud.study import write_json
from efaas.errors import MissingPackageError

if TYPE_CHECKING:
    from efaas.cloud.study import Row
    from efaas.cloud.tables import Table

__all__ = ["report"]

_STOPPED = "Stopped early: this is what was finished."


def report(
    name: str,
    title: str,
    tables: Sequence[Table],
    rows: Sequence[Row],
    out: Path | None,
    *,
    figures: Callable[[Sequence[Row], Path], list[Path]] | None = None,
    is_whole: bool = True,
) -> None:
    """Print the tables, and write them with what they were made of, if there is a place.

    Args:
        name: The study's; files are called after it.
        title: Of what is written.
        tables: What is shown.
        rows: What they were made of.
        out: A folder; None to write nothing.
        figures: Draws them into the folder; left out, with a word, where matplotlib is missing.
        is_whole: Whether all was finished; if not, every file says so.
    """
    for table in tables:
        print(table.text() + "\n")
    if not is_whole:
        print(_STOPPED)
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    command = " ".join(["python -m efaas.cloud", *sys.argv[1:]])
    made_by = {"command": command, "version": __version__, "is_whole": is_whole}
    write_json(out / f"{name}.json", made_by | {"rows": rows})
    stopped = "" if is_whole else f" {_STOPPED}"
    seeds = sorted({row["seed"] for row in rows})
    of_seeds = f", seeds {seeds[0]} to {seeds[-1]}" if seeds else ""
    lines = [f"# {title}", "", f"`{command}`, efaas {__version__}{of_seeds}.{stopped}", ""]
    lines += [table.markdown() + "\n" for table in tables]
    (out / f"{name}.md").write_text("\n".join(lines), encoding="utf-8")
    drawn: list[Path] = []
    if figures is not None:
        try:
            drawn = figures(rows, out)
        except MissingPackageError as error:
            print(f"no figures: {error}")
    drawings = [path for path in drawn if path.suffix == ".svg"]
    page = study_page(
        title, f"{command}, efaas {__version__}{of_seeds}.{stopped}", tables, drawings
    )
    (out / f"{name}.html").write_text(page, encoding="utf-8")
    files = [f"{name}.json", f"{name}.md", f"{name}.html", *(path.name for path in drawn)]
    print(f"written to {out}: {', '.join(files)}")
