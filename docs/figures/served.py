"""Draws served.svg: the QPU seconds that two tenants received.

python docs/figures/served.py
"""

from __future__ import annotations

from observed import draw, tenants

from efaas.observe import plot_shares

draw(plot_shares, tenants(), __file__)
