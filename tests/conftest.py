"""Settings that every test shares."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A loaded machine is no defect, so nothing here has a deadline; hangs are pytest-timeout's.
settings.register_profile(
    "suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")
