"""Frozen values that every layer above speaks in; nothing here does I/O."""
