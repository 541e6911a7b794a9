"""What must survive a crash: one SQLite file with all that was asked, submitted and answered."""

from __future__ import annotations

from efaas.journal.book import Book
from efaas.journal.settings import Journal

__all__ = ["Book", "Journal"]
