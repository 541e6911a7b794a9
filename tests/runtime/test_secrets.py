"""The account's key is in nothing that efaas writes or says, whatever the service sends back."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import efaas
from efaas.backends import RetryPolicy, RuntimeBackend, TimeLimits
from efaas.journal.__main__ import main
from efaas.testing.runtime_service import Garble, HttpError, JobFails, RuntimeService
from tests.runtime.conftest import FAST, ServiceClock, objective

START = np.array([0.4, -0.3])


def said(error: BaseException | None) -> list[str]:
    """All that an error says, and what it came from."""
    texts = []
    while error is not None:
        texts += [str(error), repr(error), repr(vars(error))]
        texts += traceback.format_exception(error)
        error = error.__cause__ or error.__context__
    return texts


def test_no_error_of_a_login_holds_the_key(service: RuntimeService) -> None:
    """Before a service is logged in to, there is nobody who could be asked for its key."""
    key = service.credentials()["token"]
    leak = f"who is {key}? apikey {key}"
    places = ("token", "instances", "backends", "configuration", "properties")
    for place in places:
        for status in (400, 401, 403, 503):
            injection = service.inject(HttpError(status, message=leak), place, count=None)
            with pytest.raises(efaas.errors.ProviderError) as caught:
                RuntimeBackend(
                    "ibm_manila", clock=ServiceClock(service), retries=RetryPolicy(attempts=2)
                )
            injection.remove()
            assert not [text for text in said(caught.value) if key in text], (place, status)


def test_no_file_and_no_text_holds_the_key(
    service: RuntimeService,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    key = service.credentials()["token"]
    leak = f"who is {key}? Authorization: Bearer {key}"
    backend = RuntimeBackend(
        "ibm_manila",
        options=FAST,
        clock=ServiceClock(service),
        retries=RetryPolicy(attempts=2),
        time_limits=TimeLimits(run=20.0),
    )
    texts: list[str] = []
    with efaas.EFSession(backend, seed=7, journal=tmp_path / "run.efaas") as session:
        energy = objective(session)
        energy(START)
        faults: list[tuple[Any, list[str]]] = [
            (HttpError(status, message=leak), ["submit"]) for status in (400, 401, 403, 422, 503)
        ]
        faults += [(HttpError(500, message=leak, after=True), ["submit"])]
        faults += [(HttpError(500, message=leak), ["results"]), (Garble("json"), ["results"])]
        faults += [(HttpError(429, message=leak), ["job"]), (JobFails(leak), [])]
        for number, (fault, places) in enumerate(faults):
            injection = service.inject(fault, *places, count=6)
            future = energy.submit(START + number)
            texts += [*said(future.exception()), repr(future), repr(future.job)]
            injection.remove()
        texts += [str(session.report()), repr(session.trace), repr(session.events), repr(session)]
        texts += [str(session.watch()), str(session.explain(energy)), repr(energy)]
        session.trace.save(tmp_path / "trace.jsonl")
        session.trace.save(tmp_path / "trace.json")
        session.report().save(tmp_path / "report.html")
        texts += [repr(backend), repr(vars(backend)), repr(backend.events), str(backend.status())]
    backend.close()
    for command in ("show", "export", "verify"):
        main([command, str(tmp_path / "run.efaas")])
    main(["export", "--format", "json", str(tmp_path / "run.efaas")])
    texts += list(capsys.readouterr())
    texts += [r.getMessage() for r in caplog.records if r.name.startswith("efaas")]
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {"run.efaas", "trace.jsonl", "trace.json", "report.html"} <= set(files)
    assert b"[secret]" in files["run.efaas"], "what the service said is in the journal"
    assert not [name for name, content in files.items() if key.encode() in content]
    assert not [text for text in texts if key in text]
    assert sum("[secret]" in text for text in texts) > 10
