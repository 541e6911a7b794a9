"""Lives of a VQE on a service: ``python -m tests.runtime.killed_lives``, in its environment.

Everything is imported once. A line of standard input is a life: JSON of its kind, its journal, and
after how many seconds it is killed. It is a forked child that runs the same script whatever its
journal holds. The answer is a line of JSON: null if it was killed, or the bits of its result and
what all of its lives have spent.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

import efaas
from efaas.backends import Limits, RuntimeBackend
from efaas.errors import ProviderError
from efaas.optimize.limits import BUDGET_REACHED, PROVIDER_SESSION_ENDED
from tests.lives import lived
from tests.runtime.conftest import FAST, ansatz

if TYPE_CHECKING:
    from efaas.journal.reading import Reader
    from efaas.policies.budget import Spending

KINDS: dict[str, dict[str, Any]] = {
    "session": {"mode": "session", "method": "COBYLA", "durability": "normal"},
    "guesses": {"mode": "session", "method": "Nelder-Mead", "durability": "full"},
    "split": {"mode": "batch", "method": "BFGS", "durability": "normal", "points": 3},
    "job": {"mode": "job", "method": "COBYLA", "durability": "off"},
}
"""``points`` are what a job takes at most: a gradient then is in two of them."""
_OPTIONS = {"COBYLA": {"maxiter": 7}, "Nelder-Mead": {"maxfev": 9}, "BFGS": {"maxiter": 1}}


class Hurried:
    """The machine's clock, by which nobody waits as long as he meant to."""

    def now(self) -> float:
        return time.monotonic()

    def pause(self, seconds: float, wake: threading.Event | None = None) -> None:
        (wake or threading.Event()).wait(seconds / 4)


def vqe(
    kind: str, journal: str | None, spent: list[Spending] | None = None, **settings: Any
) -> str:
    """Run to the end; the bits of the result.

    Args:
        kind: Which of ``KINDS``.
        journal: Its file, or None.
        spent: What was spent by all of its lives is added here.
        settings: Further ones of the backend.
    """
    of_kind = KINDS[kind]
    method = of_kind["method"]
    jac = {"jac": "parameter-shift"} if method == "BFGS" else {}
    kept = None if journal is None else efaas.Journal(journal, of_kind["durability"])
    settings.setdefault("clock", Hurried())
    backend = RuntimeBackend(
        "ibm_manila",
        options=FAST,
        mode=of_kind["mode"],
        limits=Limits(points=of_kind.get("points")),
        seeded=True,
        **settings,
    )
    with closing(backend), efaas.EFSession(backend, seed=11, journal=kept) as session:
        energy = session.objective(ansatz(), {"ZZ": 1.0, "XI": 0.5}, shots=32)
        result = efaas.minimize(
            energy,
            np.array([0.4, -0.3]),
            method=method,
            options=_OPTIONS[method],
            speculation="exact" if kind == "guesses" else "off",
            **jac,
        )
    if result.status in (BUDGET_REACHED, PROVIDER_SESSION_ENDED):
        raise ProviderError(result.message)  # it stopped with the best so far, if anything
    if spent is not None:
        spent.append(backend.spending())
    return json.dumps([result.x.tobytes().hex(), float(result.fun).hex(), int(result.nfev)])


def asked_again(reader: Reader) -> int:
    """How many points of a journal are there for a second time, as a guess may be, with a new seed.

    The service knows points by their angles, not by their seeds.
    """
    points = [row.angles for row in reader.rows()]
    return len(points) - len(set(points))


def whole_life(kind: str, journal: str | None) -> str:
    """JSON of the bits of the result, and of the jobs, QPU and session seconds of all lives."""
    spent: list[Spending] = []
    bits = vqe(kind, journal, spent)
    [all_lives] = spent
    found = [all_lives.jobs, all_lives.qpu_seconds, all_lives.session_seconds]
    return json.dumps({"bits": bits, "spent": found, "set_aside": all_lives.reserved_seconds})


def main() -> None:
    """Live as often as is asked for."""
    vqe("split", None)  # what is loaded at the first use is loaded before the first life
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        life = partial(whole_life, asked["kind"], asked["journal"])
        print(json.dumps(lived(life, asked["seconds"])), flush=True)


if __name__ == "__main__":
    main()
