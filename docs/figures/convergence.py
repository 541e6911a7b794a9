"""Draws convergence.svg: the values that an optimizer was given, and the best so far.

python docs/figures/convergence.py
"""

from __future__ import annotations

from observed import draw, vqe

from efaas.observe import plot_convergence

draw(plot_convergence, vqe(), __file__)
