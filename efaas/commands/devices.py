"""Lists every backend that a session takes by name without a network.

Qubits, when the calibration was taken, and medians of two-qubit gate errors, readout errors and T1.
With --account, the real devices of the saved account of IBM Quantum, from its service.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from datetime import UTC, datetime

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="only devices that hold this text")
    parser.add_argument(
        "--account",
        action="store_true",
        help="real devices, of the saved account; asks its service",
    )
    parser.add_argument("--min-qubits", type=int, default=1, help="only devices so wide or wider")


def run(given: argparse.Namespace) -> int:
    """Print the table, line by line as devices are read."""
    from efaas.backends.catalogue import DeviceSummary, account_devices, fake_devices
    from efaas.backends.specs import fake_device_names

    wanted = [text.lower() for text in given.names]

    def is_wanted(name: str) -> bool:
        return not wanted or any(text in name for text in wanted)

    found: Iterable[DeviceSummary]
    if given.account:
        found = list(account_devices())  # before the table's head: it may say why there is none
    else:
        found = fake_devices(filter(is_wanted, fake_device_names()))
    now = datetime.now(UTC)
    print(f"{'name':<24}{'qubits':>7}  {'calibrated':<11}{'age':>8}{'2q error':>10}"
          f"{'readout':>9}{'T1 us':>8}")  # fmt: skip
    shown = 0

    def show(device: DeviceSummary) -> None:
        nonlocal shown
        if device.num_qubits < given.min_qubits or not is_wanted(device.name):
            return
        shown += 1
        date = age = ""
        if device.taken_at is not None:
            date = device.taken_at.date().isoformat()
            age = f"{(now - device.taken_at).days:,} d"
        t1 = "" if device.t1_seconds is None else f"{1e6 * device.t1_seconds:.0f}"
        print(
            f"{device.name:<24}{device.num_qubits:>7}  {date:<11}{age:>8}"
            f"{_rate(device.two_qubit_error):>10}{_rate(device.readout_error):>9}{t1:>8}"
        )

    for device in found:
        show(device)
    if not given.account and is_wanted("aer"):
        print(f"{'aer':<24}{'any':>7}  an ideal simulator")
        shown += 1
    if not shown:
        command = "devices --account" if given.account else "devices"
        print(f"no device like that; python -m efaas {command} lists all")
    return 0 if shown else 1


def _rate(error: float | None) -> str:
    return "" if error is None else f"{error:.2e}"
