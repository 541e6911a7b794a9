"""Runs the notebooks from top to bottom and keeps what they show.

    python examples/notebooks/execute.py [NAME...] [--into FOLDER]

Each is run in a kernel of its own, and written back, or into a folder, with its outputs and nothing
else that a run leaves behind. With EFAAS_NOTEBOOKS=small in the environment they do less, as in the
tests.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

HERE = Path(__file__).parent
SECONDS = 600  # a cell's longest, on a busy machine


def executed(path: Path) -> Any:
    """The notebook with the outputs of a run of its cells; the file is not changed.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell fails.
    """
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    where = {"metadata": {"path": str(HERE)}}
    with TemporaryDirectory() as sockets:  # files, since ports may be taken by somebody else
        kernel = KernelManager(transport="ipc", ip=str(Path(sockets) / "kernel"))
        try:
            settings = {"timeout": SECONDS, "coalesce_streams": True, "resources": where}
            NotebookClient(notebook, km=kernel, **settings).execute()
        finally:
            kernel.shutdown_kernel(now=True)
    return notebook


def cleaned(notebook: Any) -> Any:
    """The same without what depends on the machine and on the day."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {}
    return notebook


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the notebooks and keep what they show.")
    parser.add_argument("names", nargs="*", help="how the names begin; all notebooks by default")
    parser.add_argument("--into", type=Path, default=HERE, help="where to write them")
    given = parser.parse_args()
    for path in sorted(HERE.glob("*.ipynb")):
        if not given.names or path.name.startswith(tuple(given.names)):
            began_at = time.perf_counter()
            notebook = cleaned(executed(path))
            target = given.into / path.name
            nbformat.write(notebook, target)  # type: ignore[no-untyped-call]
            size = target.stat().st_size
            print(f"{path.name}: {time.perf_counter() - began_at:.0f} s, {size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
