"""Variational quantum programs that converge in a fraction of the time on the same devices."""

__version__ = "0.1.0"
