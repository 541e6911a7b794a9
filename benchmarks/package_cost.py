"""What it costs to have efaas: the size of its wheel, and the time of its import.

Run it with ``make bench`` or ``python benchmarks/package_cost.py``. Each import runs in processes
of its own, in turn with the others. Their processors' time counts, over that of an interpreter that
imports nothing, and of several the least, so that a busy machine does not. The wheel is built by
the project's own backend, without a network.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[1]
TURNS = 5
MOST_WHEEL_KB = 1000.0
MOST_OF_NUMPY = 1.0  # import efaas over import numpy
STATEMENTS = {
    "nothing": "pass",
    "import numpy": "import numpy",
    "import qiskit": "import qiskit",
    "import efaas": "import efaas",
    "efaas.EFSession": "import efaas; efaas.EFSession",
    "a session, open": "import efaas; efaas.EFSession('fake_torino').close()",
}


def import_seconds() -> dict[str, float]:
    """The least processors' time of each statement in a process of its own, less that of none."""
    least = dict.fromkeys(STATEMENTS, float("inf"))
    for _ in range(TURNS):
        for name, statement in STATEMENTS.items():
            before = os.times()
            subprocess.run([sys.executable, "-c", statement], check=True)
            after = os.times()
            user = after.children_user - before.children_user
            taken = user + after.children_system - before.children_system
            least[name] = min(least[name], taken)
    nothing = least.pop("nothing")
    return {name: seconds - nothing for name, seconds in least.items()}


def wheel_kilobytes() -> tuple[float, float, int]:
    """Of the wheel, of what is in it, and how many files that is."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--wheel", "--no-isolation", "--outdir", folder]
        build = [sys.executable, "-m", "build", *options, str(ROOT)]
        subprocess.run(build, check=True, capture_output=True)
        [path] = Path(folder).glob("*.whl")
        with ZipFile(path) as wheel:
            sizes = [entry.file_size for entry in wheel.infolist()]
        return path.stat().st_size / 1000, sum(sizes) / 1000, len(sizes)


def main() -> int:
    packed, unpacked, files = wheel_kilobytes()
    print(f"The wheel: {packed:,.0f} kB (at most {MOST_WHEEL_KB:,.0f})")
    print(f"  {unpacked:,.0f} kB in {files} files")
    print(f"CPU seconds over an interpreter's start, least of {TURNS}")
    seconds = import_seconds()
    for name, taken in seconds.items():
        print(f"  {name:<16} {taken:6.3f}")
    ratio = seconds["import efaas"] / seconds["import numpy"]
    print(f"import efaas over import numpy: {ratio:.2f} (at most {MOST_OF_NUMPY:g})")
    return 0 if packed <= MOST_WHEEL_KB and ratio <= MOST_OF_NUMPY else 1


if __name__ == "__main__":
    sys.exit(main())
