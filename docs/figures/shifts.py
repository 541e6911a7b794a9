"""Draws shifts.svg: by how much each calibration changed ln ESP of the loop's circuit.

python docs/figures/shifts.py
"""

from __future__ import annotations

from observed import draw, vqe

from efaas.observe import plot_drift

draw(plot_drift, vqe(), __file__)
