"""The examples, run as a user runs them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def output_of(name: str, folder: Path) -> str:
    """What the example prints, run in an empty folder; it has to succeed without a warning."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    run = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "MPLBACKEND": "Agg"},
        capture_output=True,
    )
    assert (run.returncode, run.stderr.decode()) == (0, "")
    return run.stdout.decode()


@pytest.fixture(scope="module")
def vqe(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What the VQE prints, and the folder it ran in."""
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("vqe")
    return output_of("vqe_h2.py", folder), folder


def number_after(label: str, printed: str) -> float:
    """The first number after a label."""
    found = re.search(rf"{re.escape(label)}\D*?(-?[\d,]*\.?\d+)", printed)
    assert found, f"{label!r} is not printed in:\n{printed}"
    return float(found[1].replace(",", ""))


def test_there_are_examples() -> None:
    expected = {"vqe_h2.py", "qaoa_maxcut.py", "own_optimizer.py", "many_loops.py"}
    assert expected <= {path.name for path in EXAMPLES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_short(path: Path) -> None:
    most = 170 if path.name == "many_loops.py" else 80  # a show, with a table and a picture
    assert len(path.read_text().splitlines()) < most


def test_the_vqe_example_ends_at_the_noise_floor(vqe: tuple[str, Path]) -> None:
    printed, _ = vqe

    final, floor = number_after("final energy", printed), number_after("noise floor", printed)
    exact = number_after("exact", printed)
    assert exact == pytest.approx(-1.1373, abs=1e-4)
    # A device's calibration and Qiskit's layout may change; that noise costs energy does not.
    assert exact < floor < exact + 0.12
    # Readout by a million shots leaves errors of less than a millihartree.
    assert floor - 0.002 < final < floor + 0.03


def test_the_vqe_example_shows_its_progress_on_one_line(vqe: tuple[str, Path]) -> None:
    printed, _ = vqe

    [line] = [line for line in printed.split("\n") if "iteration" in line]
    progress = [float(energy) for energy in re.findall(r"\riteration +\d+ +(-?\d+\.\d+)", line)]
    assert len(progress) >= 5
    assert min(progress) < progress[0] - 0.1


def test_the_vqe_example_says_how_many_rounds_it_took_and_how_fast(vqe: tuple[str, Path]) -> None:
    printed, _ = vqe

    [(evaluations, rounds)] = re.findall(r"(\d+) evaluations in (\d+) rounds", printed)
    assert 0 < int(rounds) < int(evaluations) / 5
    [speed] = re.findall(r"([\d,]+) evaluations/s", printed)
    assert int(speed.replace(",", "")) > 100
    assert "fake_torino" in printed.split("session open")[1]


def test_the_vqe_example_writes_a_convergence_plot(vqe: tuple[str, Path]) -> None:
    _, folder = vqe

    picture = (folder / "vqe_h2.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000


def test_the_qaoa_example_finds_the_best_cut_more_often_than_guessing(tmp_path: Path) -> None:
    printed = output_of("qaoa_maxcut.py", tmp_path)

    found, optimum = (
        number_after("best cut found", printed),
        number_after("best cut there", printed),
    )
    assert optimum == 12.5
    assert found >= 0.9 * optimum
    share, chance = re.findall(r"(\d+\.\d)%", printed)[:2]
    assert float(share) > 2 * float(chance)
    likely = re.findall(r"^  ([01]{8}) +\d+\.\d% +cut +(\d+\.\d)$", printed, flags=re.MULTILINE)
    assert len(likely) == 6
    assert float(likely[0][1]) >= 0.9 * optimum


def test_the_example_of_ones_own_optimizer_is_exact(tmp_path: Path) -> None:
    printed = output_of("own_optimizer.py", tmp_path)

    energies = re.findall(r"energy (-\d+\.\d+)", printed)
    assert len(energies) == 2
    assert energies[0] == energies[1]
    assert number_after("guesses that came true", printed) == 59
    assert printed.endswith("same energy: True\n")


def test_the_example_of_many_loops_shares_devices_by_weight(tmp_path: Path) -> None:
    printed = output_of("many_loops.py", tmp_path)

    shares = {
        tenant: (float(got), float(due))
        for tenant, got, due in re.findall(
            r"^  (\w+) got +(\d+\.\d)%, by weight +(\d+\.\d)%$", printed, flags=re.MULTILINE
        )
    }
    assert {tenant: due for tenant, (_, due) in shares.items()} == {
        "ada": 14.3,
        "bob": 28.6,
        "eve": 57.1,
    }
    # Threads decide who asks when: on a busy machine the shares come near the weights only.
    assert shares["ada"][0] < shares["eve"][0]
    assert number_after("Jain's index of that", printed) > 0.8  # equal shares would give 0.78
    assert len(re.findall(r"4 of 4", printed)) == 3
    assert len(re.findall(r"^ *\d+% of the loops", printed, flags=re.MULTILINE)) >= 5
    [calibrations] = re.findall(r"(\d+) calibrations were in force", printed)
    assert int(calibrations) > 3  # more than one of each device
    pytest.importorskip("matplotlib")
    assert (tmp_path / "many_loops.png").read_bytes().startswith(b"\x89PNG")


def test_the_example_on_a_cluster_gives_the_energy_of_this_process(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    printed = output_of("on_a_cluster.py", tmp_path)

    energies = re.findall(r"(?:cluster|process) +(-\d+\.\d+)", printed)
    assert len(energies) == 2
    assert energies[0] == energies[1]
    assert number_after("lowest eigenvalue", printed) < -35
    assert printed.endswith("same energy: True\n")
