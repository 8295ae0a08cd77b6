"""``python -m xr_s2sr.cli`` is ``xr-s2sr``."""

from __future__ import annotations

import sys

from xr_s2sr.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
