"""What people do without this package, as functions to be timed: DSen2 in Keras, s2super, rasterio's warp."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr
from parts import SIXTY, TWENTY

from xr_s2sr import BANDS

FINE = ["B02", "B03", "B04", "B08"]
#: Sides of DSen2's patches and of the border that each shares with its neighbours, at 10 m: for 20 m and 60 m bands.
PATCHES = {20: (128, 8), 60: (192, 12)}


def dsen2(gsd: int, ds: xr.Dataset) -> Callable[[], object]:
    """DSen2: bicubic to 10 m, a convolution, six residual blocks of 128 channels, in overlapping patches."""
    from tensorflow import keras

    layers = keras.layers
    coarse = TWENTY if gsd == 20 else [*TWENTY, *SIXTY]
    inputs = layers.Input((None, None, len(FINE) + len(coarse)))
    x = layers.Conv2D(128, 3, padding="same", activation="relu")(inputs)
    for _ in range(6):
        y = layers.Conv2D(128, 3, padding="same")(layers.Conv2D(128, 3, padding="same", activation="relu")(x))
        x = layers.Add()([x, layers.Rescaling(0.1)(y)])
    targets = TWENTY if gsd == 20 else SIXTY
    network = keras.Model(inputs, layers.Conv2D(len(targets), 3, padding="same")(x))
    side, border = PATCHES[gsd]
    step = side - 2 * border
    patches = (-(-ds.B02.shape[0] // step)) ** 2
    window = np.zeros((8, side, side, len(FINE) + len(coarse)), np.float32)

    def run() -> None:
        for start in range(0, patches, 8):
            network.predict_on_batch(window[: min(8, patches - start)])

    return run


def s2super(ds: xr.Dataset) -> Callable[[], object]:
    from s2super import super_sample

    order = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]
    stack = [ds[b].values.repeat(BANDS[b].gsd // 10, 0).repeat(BANDS[b].gsd // 10, 1) for b in order]
    data = np.stack(stack, -1).astype(np.float32) / 10000
    return lambda: super_sample(data, method="fast", fit_data=False, verbose=False)


def warp(ds: xr.Dataset, bands: list[str], threads: int) -> Callable[[], object]:
    from rasterio import Affine
    from rasterio.warp import Resampling, reproject

    def run() -> None:
        for band in bands:
            gsd = BANDS[band].gsd
            out = np.empty(ds.B02.shape, ds[band].dtype)
            corner = Affine.translation(399_960, 5_600_040)
            places = {
                "src_transform": corner * Affine.scale(gsd, -gsd),
                "dst_transform": corner * Affine.scale(10, -10),
            }
            reproject(
                ds[band].values,
                out,
                **places,
                src_crs="EPSG:32632",
                dst_crs="EPSG:32632",
                resampling=Resampling.cubic,
                num_threads=threads,
            )

    return run
