"""Draws waterfall.svg: where the time of each iteration went, and what guesses spared.

python docs/figures/waterfall.py
"""

from __future__ import annotations

from observed import draw, vqe

from efaas.observe import plot_waterfall

draw(plot_waterfall, vqe(), __file__)
