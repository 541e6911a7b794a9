"""Settings that every test shares."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# A loaded machine is no defect, so nothing here has a deadline; hangs are pytest-timeout's.
settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="the long form of the reliability tests")
    parser.addoption(
        "--patience",
        type=float,
        default=1.0,
        metavar="TIMES",
        help="let a test take so many times as long as usual before it is given up",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where the machine is busy with something else, a test that takes long does not hang."""
    patience = config.getoption("--patience")
    for item in items:
        marker = item.get_closest_marker("timeout")
        seconds = marker.args[0] if marker else float(config.getini("timeout"))
        item.add_marker(pytest.mark.timeout(patience * seconds), append=False)


@pytest.fixture
def is_soak(request: pytest.FixtureRequest) -> bool:
    """Whether the long form was asked for."""
    return bool(request.config.getoption("--soak"))
