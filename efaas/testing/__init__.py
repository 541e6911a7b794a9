"""Public fakes and contract suites, for tests of what is built on efaas."""

from __future__ import annotations

from efaas.testing.durable_backend import DurableBackend
from efaas.testing.fake_backend import FakeBackend
from efaas.testing.fluid_server import FluidServer
from efaas.testing.manual import ManualJob, ManualScope

__all__ = ["DurableBackend", "FakeBackend", "FluidServer", "ManualJob", "ManualScope"]
