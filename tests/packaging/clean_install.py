"""Builds wheel and sdist, installs them into fresh environments, and tests them: `make package`.

For each interpreter that is found (python3.11, python3.12, python3.13; with pyenv, name several in
PYENV_VERSION) there is an environment for the wheel alone, and one for each extra that it names.
What pip installs has to fit together and to be no more than it needs, and `smoke.py` has to pass.
All tests, as they are in the sdist, are run with the wheel alone and with all that `dev` brings;
with each other extra, those that it is for. The sdist is installed once. It needs a package index,
and with two cores some ten minutes for every run of all tests.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

ROOT = Path(__file__).parents[2]
SMOKE = Path(__file__).parent / "smoke.py"
INTERPRETERS = ("python3.11", "python3.12", "python3.13")
FOR_TESTS = ("pytest>=8.2", "pytest-timeout>=2.3", "pytest-xdist>=3.6", "hypothesis>=6.100")
ALL = ("tests", "efaas")
PATIENCE = 10  # so many times as long as usual: the machine may be busy with something else
# What an extra is for; all tests where there is an extra that is not named here.
TESTS = {
    "plot": (
        *("tests/observe/test_plots.py", "tests/test_examples.py", "tests/test_docs.py"),
        *("tests/cloud/test_paper.py", "tests/cloud/test_contention.py"),
    ),
    "otel": ("tests/observe/test_trace.py",),
    "dask": ("tests/test_executors.py", "tests/test_examples.py"),
    "bench": ("tests/test_executors.py",),
    "docs": ("tests/test_site.py",),
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

    def check(self) -> set[str]:
        """The packages that are there; all of them have to fit together."""
        run([self.python, "-m", "pip", "check"])
        listed = run([self.python, "-m", "pip", "list", "--format=freeze"]).splitlines()
        return {normal(line.partition("==")[0]) for line in listed}

    def smoke(self, extra: str | None) -> None:
        """Use it from an empty folder."""
        folder = self.folder / "work"
        folder.mkdir()
        run([self.python, SMOKE, *([extra] if extra else [])], cwd=folder)

    def test(self, source: Path, tests: tuple[str, ...]) -> str:
        """Run tests of the sdist on what is installed; what pytest says last."""
        [installed] = self.folder.glob("lib/python*/site-packages/efaas")
        (source / "efaas").symlink_to(installed)  # the pages and the tests name files of it
        options = ["-n", "2", "--dist", "worksteal", "-p", "no:cacheprovider"]
        options += ["--patience", str(PATIENCE)]
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        try:
            ran = run([self.python, "-m", "pytest", *options, *tests], cwd=source, path=path)
        finally:
            (source / "efaas").unlink()
        return ran.strip().splitlines()[-1].strip(" =")


def run(command: list[str | Path], cwd: Path | None = None, path: str | None = None) -> str:
    """What a command prints; where it fails, all that it printed, and the end."""
    environment = {**os.environ, "PATH": path} if path else None
    ran = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    if ran.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{ran.stdout}\n{ran.stderr}")
    return ran.stdout


def normal(name: str) -> str:
    """A package's name as an index writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def built(folder: Path) -> tuple[Path, Path]:
    """Wheel and sdist, made from a checkout as anybody would."""
    run([sys.executable, "-m", "build", "--outdir", folder, ROOT])
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


def extras_of(wheel: Path, folder: Path) -> list[str]:
    """The extras that the wheel says it has."""
    shutil.unpack_archive(wheel, folder, "zip")
    [described] = folder.glob("*.dist-info")
    distribution: Distribution = PathDistribution(described)
    return distribution.metadata.get_all("Provides-Extra") or []


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


def tried(extra: str | None, wheel: Path, source: Path | None, at: tuple[Path, str]) -> str:
    """Install the wheel with an extra or none and use it; test it, if the tests are there."""
    began = time.monotonic()
    folder, interpreter = at
    environment = Environment(folder, interpreter)
    environment.install(f"efaas[{extra}] @ {wheel.as_uri()}" if extra else wheel)
    told = f"{len(environment.check())} packages, used"
    environment.smoke(extra)
    if source:
        environment.install(*FOR_TESTS)
        told += f"; {environment.test(source, TESTS.get(extra or '', ALL))}"
    shutil.rmtree(folder)
    return f"{told} ({time.monotonic() - began:.0f} s)"


def main() -> None:
    """Build, install, use, test."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", nargs="+", default=list(INTERPRETERS), metavar="INTERPRETER")
    parser.add_argument("--extra", nargs="+", metavar="EXTRA", help="'alone' is none; default: all")
    parser.add_argument("--no-tests", action="store_true", help="install and use only")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wheel, sdist = built(folder / "dist")
        source = None if given.no_tests else unpacked(sdist, folder / "source")
        for path in (wheel, sdist):
            print(f"{path.name}: {path.stat().st_size / 1000:,.0f} kB")
        if not (interpreters := found(given.python)):
            sys.exit("no interpreter was found: name one with --python")
        extras = given.extra or ["alone", *extras_of(wheel, folder / "described")]
        for interpreter in interpreters:
            name = Path(interpreter).name
            told = tried(None, sdist, None, (folder / f"{name}-sdist", interpreter))
            print(f"{name:11} sdist  {told}", flush=True)
            for extra in extras:
                place = (folder / f"{name}-{extra}", interpreter)
                told = tried(None if extra == "alone" else extra, wheel, source, place)
                print(f"{name:11} {extra:6} {told}", flush=True)
    print("all is well")


if __name__ == "__main__":
    main()
