"""Builds wheel and sdist, installs them into fresh environments, and uses them: `make package`.

For each interpreter that is found (python3.11, python3.12, python3.13; with pyenv, name several in
PYENV_VERSION) there is an environment for the wheel alone, and one for each extra. What pip
installs has to fit together, and `smoke.py` has to pass; with the wheel alone so has a fast part of
the tests, as they are in the sdist. The sdist itself is installed once. It needs a package index.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
SMOKE = Path(__file__).parent / "smoke.py"
INTERPRETERS = ("python3.11", "python3.12", "python3.13")
EXTRAS = ("plot", "otel", "dask")
FOR_TESTS = ("pytest>=8.2", "pytest-timeout>=2.3", "pytest-xdist>=3.6", "hypothesis>=6.100")
FAST = {
    ".": (
        *("bad_input", "commands", "dependencies", "future", "minimize", "ordering"),
        *("public_surface", "scheduler", "session", "speculation"),
    ),
    "backends": ("aer_backend", "warm_cache"),
    "cloud": ("scenario_file",),
    "journal": ("file", "values"),
    "observe": ("page", "plots", "trace", "waterfall"),
    "optimize": ("mirrors", "oracles", "rotosolve", "spsa"),
    "primitives": ("estimator", "sampler"),
    "runtime": ("budget", "packing", "retry"),
}


class Environment:
    """A virtual environment with efaas in it, and nothing else."""

    def __init__(self, folder: Path, interpreter: str) -> None:
        self.folder = folder
        run([interpreter, "-m", "venv", folder])
        self.python = folder / "bin" / "python"

    def install(self, *what: str | Path) -> None:
        """What pip is told to install, with all that it needs."""
        run([self.python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *what])

    def check(self) -> int:
        """How many packages are there; all of them have to fit together."""
        run([self.python, "-m", "pip", "check"])
        return len(run([self.python, "-m", "pip", "list", "--format=freeze"]).splitlines())

    def smoke(self, extra: str | None) -> None:
        """Use it from an empty folder."""
        folder = self.folder / "work"
        folder.mkdir()
        run([self.python, SMOKE, *([extra] if extra else [])], cwd=folder)

    def test(self, source: Path) -> str:
        """A fast part of the tests; what pytest says last."""
        files = [f"tests/{at}/test_{name}.py" for at, names in FAST.items() for name in names]
        options = ["-q", "-n", "2", "-p", "no:cacheprovider", "-o", "addopts=--strict-markers"]
        ran = run([self.folder / "bin" / "pytest", *options, *files], cwd=source)
        return ran.strip().splitlines()[-1].strip(" =")


def run(command: list[str | Path], cwd: Path | None = None) -> str:
    """What a command prints; where it fails, all that it printed, and the end."""
    ran = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if ran.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{ran.stdout}\n{ran.stderr}")
    return ran.stdout


def built(folder: Path) -> tuple[Path, Path]:
    """Wheel and sdist, made from a checkout as anybody would."""
    run([sys.executable, "-m", "build", "--outdir", folder, ROOT])
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


def unpacked(sdist: Path, folder: Path) -> Path:
    """The sdist without its package, so that tests find the installed one."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    [source] = folder.iterdir()
    shutil.rmtree(source / "efaas")
    return source


def found(names: list[str]) -> list[str]:
    """Those of the interpreters that run."""
    there = []
    for name in names:
        path = shutil.which(name)
        if path and not subprocess.run([path, "-c", ""], capture_output=True).returncode:
            there.append(path)
        else:
            print(f"{name}: not here, left out")
    return there


def main() -> None:
    """Build, install, use, test."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", nargs="+", default=list(INTERPRETERS), metavar="INTERPRETER")
    parser.add_argument("--no-tests", action="store_true", help="install and use only")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wheel, sdist = built(folder / "dist")
        source = unpacked(sdist, folder / "source")
        for path in (wheel, sdist):
            print(f"{path.name}: {path.stat().st_size / 1000:,.0f} kB")
        if not (interpreters := found(given.python)):
            sys.exit("no interpreter was found: name one with --python")
        for number, interpreter in enumerate(interpreters):
            name = Path(interpreter).name
            for extra in (None, *EXTRAS):
                began = time.monotonic()
                environment = Environment(folder / f"{name}-{extra}", interpreter)
                environment.install(f"efaas[{extra}] @ {wheel.as_uri()}" if extra else wheel)
                packages = environment.check()
                environment.smoke(extra)
                told = f"{packages} packages, used"
                if extra is None and not given.no_tests:
                    environment.install(*FOR_TESTS)
                    told += f"; tests: {environment.test(source)}"
                seconds = time.monotonic() - began
                print(f"{name:11} {extra or 'alone':6} {told} ({seconds:.0f} s)", flush=True)
                shutil.rmtree(environment.folder)
            if number == 0:
                environment = Environment(folder / "sdist", interpreter)
                environment.install(sdist)
                environment.smoke(None)
                print(f"{name:11} sdist  used", flush=True)
    print("all is well")


if __name__ == "__main__":
    main()
