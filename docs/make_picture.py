"""Make ``_static/before_after.png``, the picture of the start page and of the README.

Run it again after a change of the packaged models: ``python docs/make_picture.py``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

import xr_s2sr
from xr_s2sr.bands import BANDS
from xr_s2sr.plot import before_after, rgb

PICTURE = Path(__file__).parent / "_static" / "before_after.png"
#: The town of seed 0, in 10 m pixels; multiples of 6, so that whole 60 m pixels are shown.
ROWS, COLS = slice(126, 270), slice(264, 408)
#: Rows of the picture: three bands for a composite, or one.
SHOWN = (("B12", "B8A", "B05"), ("B01",))


def crop(ds: xr.Dataset, band: str, factor: int) -> np.ndarray:
    """The town in one band whose pixels are `factor` 10 m pixels wide."""
    rows, cols = (slice(s.start // factor, s.stop // factor) for s in (ROWS, COLS))
    return ds[band].values[rows, cols]


def main() -> None:
    ds, truth = xr_s2sr.tutorial.synthetic_scene(size=600, seed=0)
    sr = ds.s2sr.upsample(device="cpu")
    rows = []
    for bands in SHOWN:
        factor = BANDS[bands[0]].gsd // 10
        images = [[crop(scene, b, f) for b in bands] for scene, f in ((ds, factor), (sr, 1), (truth, 1))]
        before, after, known = (rgb(*image) if len(image) == 3 else image[0] for image in images)
        rows.append((before, after, factor, known))
    before_after(rows, PICTURE, zoom=2)
    print(f"wrote {PICTURE}, {PICTURE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
