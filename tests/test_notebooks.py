"""The notebooks: each runs from top to bottom, and shows what it says it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MACHINE = re.compile(r"/root/|/home/|/Users/|/tmp/|site-packages|\.venv|\bpid \d")

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")


@pytest.fixture(scope="module", autouse=True)
def _modules_of_the_notebooks() -> Any:
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


@cache
def committed(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def outputs(notebook: Any, kind: str) -> list[Any]:
    return [o for cell in notebook.cells for o in cell.get("outputs", ()) if o.output_type == kind]


def printed(notebook: Any) -> str:
    return "".join(o.text for o in outputs(notebook, "stream") if o.name == "stdout")


def pictures(notebook: Any) -> int:
    return sum("image/png" in o.data for o in outputs(notebook, "display_data"))


def name(path: Path) -> str:
    return path.stem


def test_there_are_seven() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == [f"0{number}" for number in range(1, 8)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
class TestAsCommitted:
    def test_it_is_valid_and_its_cells_are_named(self, path: Path) -> None:
        notebook = committed(path)
        nbformat.validate(notebook)
        names = [cell.id for cell in notebook.cells]
        assert len(set(names)) == len(names)
        assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", each) for each in names)

    def test_its_cells_have_run_in_order_without_an_error(self, path: Path) -> None:
        notebook = committed(path)
        counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
        assert counts == list(range(1, len(counts) + 1))
        assert outputs(notebook, "error") == []
        assert [o for o in outputs(notebook, "stream") if o.name == "stderr"] == []

    def test_its_words_need_no_typesetting(self, path: Path) -> None:
        """Formulas are drawn by what a page would load from a network."""
        cells = [cell.source for cell in committed(path).cells if cell.cell_type == "markdown"]
        assert [text for text in cells if "$" in text] == []

    def test_it_has_a_picture(self, path: Path) -> None:
        assert pictures(committed(path)) >= 1

    def test_nothing_in_it_is_of_one_machine(self, path: Path) -> None:
        notebook = committed(path)
        text = re.sub(r'"image/png": "[^"]*"', "", path.read_text())
        assert MACHINE.findall(text) == []
        assert set(notebook.metadata) == {"kernelspec", "language_info"}
        assert all(cell.metadata == {} for cell in notebook.cells)

    def test_its_links_lead_somewhere(self, path: Path) -> None:
        for cell in committed(path).cells:
            if cell.cell_type == "markdown":
                for target in re.findall(r"\]\((?!https?://)([^)#\s]+)", cell.source):
                    assert (path.parent / target).exists(), target


@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_it_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    if path.name.startswith("06"):
        pytest.importorskip("qiskit_algorithms")
    command = [sys.executable, FOLDER / "execute.py", path.name, "--into", tmp_path]
    small = {**os.environ, "EFAAS_NOTEBOOKS": "small"}
    ran = subprocess.run(command, env=small, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    notebook = nbformat.read(tmp_path / path.name, as_version=4)

    assert pictures(notebook) == pictures(committed(path))
    assert [o.text for o in outputs(notebook, "stream") if o.name == "stderr"] == []
    CHECKS[path.name[:2]](printed(notebook))


def check_first_vqe(text: str) -> None:
    [found] = re.findall(r"found (-\d\.\d+) hartree", text)
    assert -1.14 < float(found) < -1.07
    angles, device = (float(x) for x in re.findall(r"error of the \w+ +(-?\d+\.\d)", text))
    assert 0 <= angles < device


def check_curve(text: str) -> None:
    assert "444 evaluations shared" in text
    [rounds] = re.findall(r"shared (\d+) rounds", text)
    assert int(rounds) <= 12 * 14  # as many as there are without sharing; how few depends on time
    assert re.search(r"lowest at 0\.(6|735|9) angstrom", text)
    low, high = (int(x) for x in re.findall(r"errors from (-?\d+) to (\d+) milli", text)[0])
    assert 0 < low < high < 80


def check_maxcut(text: str) -> None:
    assert "best string found" in text
    start, end = (float(x) for x in re.findall(r"expected cut (\d+\.\d+)", text))
    assert 7.0 < start < end + 0.1
    share, chance = (float(x) for x in re.findall(r"came in (.*)%.*chance (.*)%", text)[0])
    assert share > 3 * chance


def check_speculation(text: str) -> None:
    assert "the same to the last bit: True" in text
    assert "came true: 1, that did not: 1" in text


def check_drift(text: str) -> None:
    kinds = re.findall(r" d  (stayed|recompiled|moved) ", text)
    assert {"stayed", "recompiled", "moved"} <= set(kinds)
    assert re.search(r"best value -\d\.\d+ -> -\d\.\d+", text)


def check_scripts(text: str) -> None:
    minutes = {
        (script, step): int(value)
        for script, step, value in re.findall(r"(.*), (.*): .* waited (\d+) minutes", text)
    }
    for script in ("IBM's loop", "VQE", "QAOA"):
        assert minutes[script, "native"] < minutes[script, "drop-in"]
    assert minutes["SPSA", "pairs"] < minutes["SPSA", "drop-in"]
    by_hand = re.findall(r"SPSA, (?:drop-in|pairs): (-\d\.\d+)", text)
    assert by_hand[0] == by_hand[1]


def check_resumed(text: str) -> None:
    assert "the same to the last bit: True" in text
    assert "killed by signal 9" in text


CHECKS = {
    "01": check_first_vqe,
    "02": check_curve,
    "03": check_maxcut,
    "04": check_speculation,
    "05": check_drift,
    "06": check_scripts,
    "07": check_resumed,
}


class TestHydrogen:
    """The Hamiltonian that the notebooks compute."""

    # Full configuration interaction in STO-3G by PySCF 2.14, in hartree.
    @pytest.mark.parametrize(
        ("distance", "energy"),
        [
            (0.4, -0.9141497),
            (0.735, -1.1373060),
            (1.05, -1.0903422),
            (1.5, -0.9981494),
            (2.6, -0.9351960),
            (4.0, -0.9331714),
        ],
    )
    def test_its_lowest_energy_is_that_of_another_program(
        self, distance: float, energy: float
    ) -> None:
        from h2 import ground_energy

        assert ground_energy(distance) == pytest.approx(energy, abs=1e-7)

    def test_its_terms_at_equilibrium_are_those_of_qiskit_nature(self) -> None:
        from h2 import BOHR, hydrogen

        terms = {label: x.real for label, x in hydrogen(0.735).to_list()}
        terms["II"] -= BOHR / 0.735  # the repulsion of the nuclei is apart there
        published = {"II": -1.05237, "IZ": 0.39794, "ZI": -0.39794, "ZZ": -0.01128, "XX": 0.18093}
        assert terms == pytest.approx(published, abs=5e-6)

    def test_two_far_atoms_have_the_energy_of_two_atoms(self) -> None:
        from h2 import ground_energy, integrals

        _, one, _ = integrals(200.0)
        atom = one[0, 0] + 1 / 200.0  # without the pull of the other nucleus
        assert ground_energy(200.0 * 0.529177210903) == pytest.approx(2 * atom, abs=1e-6)

    def test_in_hartree_focks_state_the_energy_is_higher(self) -> None:
        from h2 import ground_energy, hydrogen

        for distance in np.linspace(0.4, 2.6, 5):
            hartree_fock = hydrogen(distance).to_matrix()[1, 1].real
            assert hartree_fock > ground_energy(distance)
