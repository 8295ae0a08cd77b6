"""What people do without this package, as functions to be timed: DSen2 in Keras, s2super's network, rasterio's warp."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from unittest import mock

import numpy as np
import xarray as xr
from parts import SIXTY, TWENTY

from xr_s2sr import BANDS

if find_spec("tf_keras"):  # TensorFlow asks for it once, when it is imported
    os.environ["TF_USE_LEGACY_KERAS"] = "1"

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
    """The network of s2super on B11, in patches of 64 pixels side by side; its "fast" method runs it four times.

    Its saved network needs Keras 2 (tf_keras). What it imports of GDAL, through buteo, cuts patches and joins them:
    stubs take the place of that, so its network alone is what is timed.
    """
    sys.modules.setdefault("buteo", mock.MagicMock())
    from s2super import get_s2super_model

    network, side = get_s2super_model(), 64
    count = (-(-ds.B02.shape[0] // side)) ** 2
    patches = [np.full((count, side, side, bands), 0.2, np.float32) for bands in (1, 3)]
    return lambda: network.predict(patches, batch_size=256, verbose=0)


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
