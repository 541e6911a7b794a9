"""``python -m efaas.journal``: what it shows, exports and finds wrong."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from qiskit.circuit.library import efficient_su2

import efaas
from efaas.journal.__main__ import main
from efaas.testing import FakeBackend

ANSATZ = efficient_su2(1, reps=0)
POINTS = [np.array([0.1 * k, 1 / 3]) for k in range(5)]


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("command") / "run.efaas"
    with efaas.EFSession(FakeBackend(), seed=2, journal=path) as session:
        energy = session.objective(ANSATZ, "Z", shots=128)
        for point in POINTS:
            energy(point)
        measured = ANSATZ.assign_parameters(POINTS[0])
        measured.measure_all()
        session.sample(measured, shots=3).result()
        session.estimate(ANSATZ, [["Z"], ["X"]], np.stack(POINTS[:2]), precision=0).result()
    return path


def expected() -> list[float]:
    with efaas.EFSession(FakeBackend(), seed=2) as session:
        energy = session.objective(ANSATZ, "Z", shots=128)
        return [energy(point) for point in POINTS]


def output(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def test_show_says_what_is_in_it(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = output(capsys, "show", journal)
    assert "seed         2" in text
    assert "8 answered, 0 not answered" in text
    assert "on fake: 5 values, 5 steps" in text
    assert "begun: by efaas" in text
    assert "closed" in text


def test_the_csv_has_every_float_with_all_of_its_digits(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = list(csv.DictReader(io.StringIO(output(capsys, "export", journal))))
    energies = [row for row in rows if row["loop"].startswith("objective")]
    assert [int(row["step"]) for row in energies] == list(range(5))
    assert [json.loads(row["values"]) for row in energies] == [[value] for value in expected()]
    assert [json.loads(row["parameters"]) for row in energies] == [p.tolist() for p in POINTS]
    assert {row["shots"] for row in energies} == {"128"}
    [sample] = [row for row in rows if row["samples"]]
    assert len(json.loads(sample["samples"])["out0"]["shots"]) == 3


def test_the_json_has_submissions_and_events_too(journal: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert main(["export", str(journal), "--format", "json", "--output", str(out)]) == 0
    content = json.loads(out.read_text())
    assert content["facts"]["seed"] == "2"
    assert len(content["evaluations"]) == 8
    assert {submission["state"] for submission in content["submissions"]} == {"done"}
    assert [event["kind"] for event in content["events"]] == ["begun", "closed"]
    assert main(["export", str(journal), "--output", str(out)]) == 1, "it is not overwritten"
    assert json.loads(out.read_text()) == content


def test_verify_finds_a_changed_value(
    journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert output(capsys, "verify", journal).startswith("whole")
    copy = tmp_path / "copy.efaas"
    copy.write_bytes(journal.read_bytes())
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("UPDATE evaluations SET qpu_seconds = 5 WHERE step = 3")
    assert main(["verify", str(copy)]) == 1
    assert "not what was written" in capsys.readouterr().out


def test_it_looks_at_a_journal_that_is_in_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "live.efaas"
    device = FakeBackend(manual=True)
    with efaas.EFSession(device, seed=2, journal=path) as session:
        energy = session.objective(ANSATZ, "Z")
        device.release()
        energy(POINTS[0])
        device.wait_for_round()
        session._book._store._committed_at = 0.0  # as if the round before had been long ago
        energy.submit(POINTS[1])
        device.wait_for_round()
        text = output(capsys, "show", path)
        assert "1 answered, 1 not answered" in text
        assert "1 done, 1 sent" in text, "what runs now was written down before"
        assert output(capsys, "verify", path).startswith("whole")
        device.release()


def test_a_missing_file_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "none.efaas"
    command = [sys.executable, "-m", "efaas.journal", "show", str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "there is no journal" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not path.exists()
