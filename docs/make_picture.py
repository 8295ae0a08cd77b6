"""Make ``_static/before_after.png``, the picture of the start page: that of ``xr-s2sr demo``, without its second row.

Run it again after a change of the packaged models: ``python docs/make_picture.py``.
"""

from __future__ import annotations

from pathlib import Path

import xr_s2sr
from xr_s2sr.cli.demo import write_picture

PICTURE = Path(__file__).parent / "_static" / "before_after.png"


def main() -> None:
    ds, truth = xr_s2sr.tutorial.synthetic_scene(size=600, seed=0)
    sr = ds.s2sr.upsample(["B01", "B05", "B8A", "B12"], device="cpu")
    write_picture(ds, sr, truth, PICTURE, shown=(("B12", "B8A", "B05"), ("B01",)))
    print(f"wrote {PICTURE}, {PICTURE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
