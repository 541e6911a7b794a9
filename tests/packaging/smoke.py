"""What a user does first with an installed efaas: `smoke.py [EXTRA...]`, with the extras there are.

It runs in a folder of its own, with the interpreter of an environment that has efaas from a wheel,
and ends with a traceback where something is not as it should be.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from qiskit.circuit.library import efficient_su2

import efaas
from efaas.errors import MissingPackageError

# What an extra brings that is not there without it.
BRINGS = {
    "plot": {"matplotlib"},
    "otel": {"opentelemetry"},
    "dask": {"distributed"},
    "bench": {"distributed"},
    "docs": {"sphinx"},
    "dev": {"matplotlib", "opentelemetry", "distributed", "sphinx", "pandas", "pytest"},
}


def main(extras: set[str]) -> None:
    """Use it."""
    where = Path(efaas.__file__)
    assert "site-packages" in where.parts, where
    assert efaas.__version__ == importlib.metadata.version("efaas")
    assert (where.parent / "py.typed").exists()
    brought = set().union(*(BRINGS[extra] for extra in extras))
    for package in sorted(set().union(*BRINGS.values())):
        is_there = importlib.util.find_spec(package) is not None
        assert is_there == (package in brought), f"{package} is there: {is_there}"

    session, trace = a_run()
    check_extra(
        "plot",
        lambda: efaas.observe.plot_convergence(trace).figure.savefig("convergence.png"),
        is_there="matplotlib" in brought,
    )
    check_extra("otel", trace.export_spans, is_there="opentelemetry" in brought)
    if "distributed" in brought:
        on_a_cluster()
    print(f"efaas {efaas.__version__}: {session}")


def a_run() -> tuple[str, efaas.observe.Trace]:
    """A VQE on a noisy device, its journal, its report."""
    ansatz = efficient_su2(2, reps=1)
    with efaas.EFSession("fake_manila", seed=7, journal="vqe.efaas") as session:
        energy = session.objective(ansatz, {"ZZ": 1.0, "XI": 0.5}, shots=1024)
        x0 = np.full(energy.num_parameters, 0.3)
        result = efaas.minimize(energy, x0, method="Powell", options={"maxfev": 120})
        assert result.fun < energy(x0)
        session.report().save("report.html")
        described = repr(session)
        trace = session.trace
    page = Path("report.html").read_text()
    assert "<style>" in page, "the page's style is in the package"
    assert Path("vqe.efaas").stat().st_size > 0
    return described, trace


def check_extra(extra: str, use: Callable[[], object], *, is_there: bool) -> None:
    """What needs an extra works with it, and says what to install without it."""
    message = ""
    try:
        use()
    except MissingPackageError as error:
        message = str(error)
    assert not message if is_there else f"efaas[{extra}]" in message, message


def on_a_cluster() -> None:
    """A value from Dask's workers is that of this process."""
    from distributed import Client

    ansatz = efficient_su2(2, reps=1)
    values = []
    with Client(processes=False, n_workers=1, dashboard_address=None) as client:
        for executor in (None, client.get_executor()):
            with efaas.EFSession("fake_manila", seed=7, executor=executor) as session:
                energy = session.objective(ansatz, "ZZ", shots=1024)
                assert session.call(sum, [1, 2]).result() == 3
                values.append(energy(np.zeros(energy.num_parameters)))
    assert values[0] == values[1]


if __name__ == "__main__":
    main(set(sys.argv[1:]))
