"""``python -m efaas``: see ``efaas.commands``."""

from __future__ import annotations

import sys

from efaas.commands import main

if __name__ == "__main__":
    sys.exit(main())
