"""``python -m efaas``: what each command prints, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from qiskit_ibm_runtime.accounts import management

from efaas.backends.catalogue import fake_devices
from efaas.backends.specs import device_of
from efaas.commands import main
from efaas.commands.doctor import _account, findings
from efaas.observe import Trace, load_trace
from efaas.testing.runtime_service import RuntimeService


class TestHelp:
    def test_every_command_says_what_it_does(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            main(["--help"])
        assert ended.value.code == 0
        said = capsys.readouterr().out
        for command in ("devices", "demo", "doctor", "report"):
            assert f"  {command} " in said

    def test_without_a_command_it_says_which_there_are(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main([]) == 2
        said = capsys.readouterr().err
        for command in ("devices", "demo", "doctor", "report"):
            assert f"  {command} " in said

    def test_an_unknown_command_ends_with_2(self) -> None:
        with pytest.raises(SystemExit) as ended:
            main(["fly"])
        assert ended.value.code == 2

    def test_the_package_runs_as_a_module(self) -> None:
        ran = subprocess.run(
            [sys.executable, "-m", "efaas", "report", "none.jsonl"], capture_output=True, text=True
        )
        assert ran.returncode == 2
        assert ran.stderr.startswith("efaas report: there is no file 'none.jsonl'")


class TestDevices:
    def test_those_of_an_account_come_from_its_service(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with RuntimeService(devices=["fake_torino", "fake_manila"], seed=1):
            assert main(["devices", "--account"]) == 0
            _, manila, torino = capsys.readouterr().out.splitlines()
            assert main(["devices", "--account", "torino", "--min-qubits", "200"]) == 1
        assert "devices --account lists all" in capsys.readouterr().out
        assert main(["devices", "fake_manila", "fake_torino"]) == 0
        _, fake_manila, fake_torino = capsys.readouterr().out.splitlines()
        for real, fake in ((manila, fake_manila), (torino, fake_torino)):
            assert real.split()[0] == fake.split()[0].replace("fake_", "ibm_")
            assert real.split()[1] == fake.split()[1]
            assert real.split()[-3:] == fake.split()[-3:]  # errors and T1

    def test_without_an_account_it_says_how_to_save_one(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("QISKIT_IBM_TOKEN", raising=False)
        monkeypatch.setattr(management, "_DEFAULT_ACCOUNT_CONFIG_JSON_FILE", str(tmp_path / "a"))
        assert main(["devices", "--account"]) == 2
        said = capsys.readouterr()
        assert said.err.startswith("efaas devices: no account of IBM Quantum is saved here; save")
        assert said.out == ""

    def test_it_lists_a_device_with_its_numbers(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["devices", "manila", "torino"]) == 0
        head, manila, torino = capsys.readouterr().out.splitlines()
        assert head.split()[:2] == ["name", "qubits"]
        assert manila.split()[:2] == ["fake_manila", "5"]
        assert torino.split()[:2] == ["fake_torino", "133"]

    def test_the_numbers_are_those_of_the_device(self) -> None:
        (summary,) = fake_devices(["fake_manila"])
        device = device_of("fake_manila")
        assert summary.num_qubits == device.num_qubits
        assert summary.taken_at == device.calibration.taken_at
        errors = [
            properties.error
            for properties in device.target["cx"].values()
            if properties is not None
        ]
        assert summary.two_qubit_error is not None
        assert min(errors) <= summary.two_qubit_error <= max(errors)
        times = [qubit.t1 for qubit in device.target.qubit_properties]
        assert summary.t1_seconds == pytest.approx(sorted(times)[len(times) // 2])

    def test_no_device_like_that_ends_with_1(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["devices", "perpetuum"]) == 1
        assert "lists all" in capsys.readouterr().out


class TestDemoAndReport:
    def test_what_the_demo_saves_can_be_reported(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        saved = tmp_path / "out"
        arguments = [
            "--backend",
            "fake_manila",
            "--method",
            "COBYLA",
            "--shots",
            "100",
            "--rounds",
            "5",
        ]
        assert main(["demo", *arguments, "--save", str(saved)]) == 0
        assert "lowest energy" in capsys.readouterr().out
        assert {path.name for path in saved.iterdir()} == {"report.html", "run.json", "run.jsonl"}
        assert load_trace(saved / "run.jsonl").attempts

        assert main(["report", str(saved / "run.jsonl")]) == 0
        assert "Where the time went" in capsys.readouterr().out

        page, chrome = tmp_path / "page.html", tmp_path / "perfetto.json"
        files = ["--html", str(page), "--chrome", str(chrome)]
        assert main(["report", str(saved / "run.jsonl"), *files]) == 0
        assert page.read_text().startswith("<!doctype html>")
        assert json.loads(chrome.read_text())["traceEvents"]

    def test_wrong_names_of_files_end_with_2(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Trace().save(tmp_path / "run.jsonl")
        assert main(["report", str(tmp_path / "run.jsonl"), "--html", "page.txt"]) == 2
        assert main(["report", str(tmp_path / "run.jsonl"), "--chrome", "page.txt"]) == 2
        assert "saved as .html, got 'page.txt'" in capsys.readouterr().err


class TestDoctor:
    def test_a_good_installation_is_well(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["doctor"]) == 0
        said = capsys.readouterr().out
        assert "a circuit ran, and its value is right" in said
        assert said.rstrip().endswith("all is well")

    @pytest.mark.parametrize(("version", "said"), [(None, "not installed"), ("1.9.3", "is needed")])
    def test_a_package_that_is_missing_or_old_is_wrong_and_has_a_remedy(
        self, version: str | None, said: str
    ) -> None:
        found = {f.name: f for f in findings(lambda name: version if name == "numpy" else "99.0")}
        assert found["numpy"].state == "wrong"
        assert said in found["numpy"].said
        assert found["numpy"].remedy.startswith("pip install --upgrade 'numpy>=")
        assert found["scipy"].state == "ok"

    def test_an_optional_package_that_is_missing_is_only_noted(self) -> None:
        found = {f.name: f for f in findings(lambda name: None)}
        assert found["matplotlib"].state == "note"
        assert found["matplotlib"].remedy == "pip install 'efaas[plot]'"

    def test_an_account_is_named_and_its_token_is_not_shown(self, tmp_path: Path) -> None:
        path = tmp_path / "accounts.json"
        assert _account(path, {}).state == "note"
        path.write_text("{}")
        assert _account(path, {}).state == "note"
        path.write_text(json.dumps({"mine": {"token": "secret"}}))
        assert _account(path, {}).said == "saved: mine"
        assert "secret" not in repr(_account(path, {"QISKIT_IBM_TOKEN": "secret"}))
        path.write_text("{")
        assert _account(path, {}).state == "wrong"
