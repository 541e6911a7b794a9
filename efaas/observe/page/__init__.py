"""The report as one page that needs no network."""

from __future__ import annotations

from efaas.observe.page.document import page

__all__ = ["page"]
