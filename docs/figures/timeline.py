"""Draws timeline.svg: who ran where and when, guesses in a lighter tone.

python docs/figures/timeline.py
"""

from __future__ import annotations

from observed import draw, vqe

from efaas.observe import plot_timeline

draw(plot_timeline, vqe(), __file__, 4.0)
