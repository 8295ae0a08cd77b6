"""Whatever scene a user holds: lazy is eager bit for bit, so is the scene stored the other way round, masks are exact,
and what is far from a hole is untouched.

The suite draws 60 scenes; 3000 with ``python -m pytest tests/test_property.py --hypothesis-profile=thorough``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from drawn_scenes import MISSING, SATURATED, VALID, Drawn, cuts, examples, scenes
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scenes import FINE, GSD, LEFT, RED_EDGE, SIXTY, TOP
from scipy.ndimage import distance_transform_cdt
from toy_models import CARD_20, CARD_60, save

from xr_s2sr.errors import RadiometryError

pytest.importorskip("dask.array")

CPU: dict[str, Any] = {"device": "cpu", "threads": 1}
#: How far beyond the network's own reach a pixel may feel a hole, and the side of the cell that the hole is in.
FILL, CELL = 12, 6


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A 20 m and a 60 m network that can do without any coarse band."""
    folder = tmp_path_factory.mktemp("networks")
    cards = replace(CARD_20, optional=RED_EDGE), replace(CARD_60, optional=(*RED_EDGE, *SIXTY))
    return [save(folder / f"{card.gsd}.onnx", card) for card in cards]


def restored(ds: xr.Dataset, bands: list[str], how: dict[str, Any]) -> xr.Dataset:
    return ds.s2sr.upsample(bands, **how, **CPU)


def places(sr: xr.Dataset) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of a result's pixels in the whole area, by its coordinates."""
    rows, cols = (TOP - sr.y.values) / 10 - 0.5, (sr.x.values - LEFT) / 10 - 0.5
    return np.rint(rows).astype(int), np.rint(cols).astype(int)


def upright(da: xr.DataArray) -> NDArray[Any]:
    """Pixels as (dates, y, x)."""
    values: NDArray[Any] = da.transpose(..., "y", "x").values
    return values if values.ndim == 3 else values[None]


def expected_codes(drawn: Drawn, band: str) -> NDArray[np.uint8]:
    """What the pixels of a restored band must be: invalid exactly where their own is, or a 10 m pixel over them."""
    own, guides = drawn.codes[band], [drawn.codes[fine] for fine in FINE]
    missing = np.logical_or.reduce([code == MISSING for code in (own, *guides)])
    bright = np.logical_or.reduce([code == SATURATED for code in guides])
    out = np.where(own == SATURATED, SATURATED, np.where(bright, MISSING, VALID))
    return np.where(missing, MISSING, out).astype(np.uint8)


def found_codes(drawn: Drawn, band: str, values: NDArray[Any]) -> NDArray[np.uint8]:
    """What the pixels of a restored band are, by the marks of its encoding."""
    encoding = drawn.encodings[band]
    missing = np.isnan(values) if np.isnan(encoding.missing) else values == encoding.missing
    # the mark is worked out in float64, and held in float32
    saturated = np.isclose(values.astype(float), encoding.saturated, rtol=2e-7, atol=0)
    return np.where(missing, MISSING, np.where(saturated, SATURATED, VALID)).astype(np.uint8)


def far_pixels(drawn: Drawn, band: str) -> NDArray[np.bool_]:
    """Pixels that nothing invalid of what the network reads is near to."""
    halo = (CARD_20 if GSD[band] == 20 else CARD_60).halo or 0
    spoilt = np.logical_or.reduce([code > 0 for other, code in drawn.codes.items() if GSD[other] <= GSD[band]])
    distance = [distance_transform_cdt(~image, "chessboard") if image.any() else image + 999 for image in spoilt]
    return np.stack(distance) > halo + FILL + CELL


@pytest.mark.filterwarnings(
    "ignore:the bands' extents differ", "ignore:taken as nodata", "ignore:a chunk is darker than scenes are"
)
@settings(
    max_examples=examples(60),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(drawn=scenes(), data=st.data())
def test_any_scene(networks: list[Path], drawn: Drawn, data: st.DataObject) -> None:
    coarse = [band for band in drawn.encodings if band not in FINE]
    bands = data.draw(st.just(coarse) | st.lists(st.sampled_from(coarse), min_size=1, max_size=3, unique=True))
    gsds = {GSD[band] for band in bands}
    model = [path for path, gsd in zip(networks, (20, 60), strict=True) if gsd in gsds]
    how = {"model": model, "tile": data.draw(st.sampled_from([30, 720]))}
    eager = restored(drawn.ds, bands, how)

    # lazy is eager
    chunked = drawn.ds.chunk({dim: data.draw(cuts(size)) for dim, size in drawn.ds.sizes.items()})
    lazy = restored(chunked, bands, how | {"chunks": data.draw(st.none() | st.integers(24, 96))})
    assert all(lazy[band].chunks is not None for band in bands)
    xr.testing.assert_identical(lazy.compute(scheduler="synchronous"), eager)
    for band in bands:
        assert lazy[band].dtype == eager[band].dtype == drawn.ds[band].dtype
        assert lazy[band].encoding == eager[band].encoding

    # stored the other way round, the pixels are the same
    which = data.draw(st.sampled_from(["", "", "y", "x", "yx"]))
    over = {dim: slice(None, None, -1) for dim in drawn.ds.dims if str(dim)[0] in which}
    turned = restored(drawn.ds.isel(over), bands, how) if over else eager
    for band in bands:
        np.testing.assert_array_equal(turned[band].isel(over, missing_dims="ignore"), eager[band], err_msg=band)

    # all that is covered by all bands that are read, and nothing else
    reads = [band for band in drawn.encodings if GSD[band] <= max(gsds)]
    rows, cols = places(eager)
    for axis, at in enumerate((rows, cols)):
        first = max(drawn.covers[band][axis][0] for band in reads)
        last = min(drawn.covers[band][axis][1] for band in reads)
        assert sorted(at) == [*range(first, last)]

    # masks are exact
    cut = np.s_[:, rows[:, None], cols]
    for band in bands:
        found = found_codes(drawn, band, upright(eager[band]))
        np.testing.assert_array_equal(found, expected_codes(drawn, band)[cut], err_msg=band)

    # far from anything invalid, nothing has changed
    far = {band: far_pixels(drawn, band)[cut] for band in bands}
    share = np.mean([mask.mean() for mask in far.values()])
    event(f"far pixels: {'all' if share == 1 else 'some' if share else 'none'}")
    if any(code.any() for code in drawn.codes.values()) and any(map(np.any, far.values())):
        plain = restored(drawn.plain, bands, how)
        for band in bands:
            one, other = (upright(sr[band])[far[band]] for sr in (eager, plain))
            np.testing.assert_array_equal(one, other, err_msg=band)


@pytest.mark.filterwarnings("ignore:the bands' extents differ", "ignore:taken as nodata")
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(drawn=scenes(), data=st.data())
def test_any_scene_whose_attrs_were_left_behind(drawn: Drawn, data: st.DataObject) -> None:
    """Reflectance that still says how it was to be scaled is refused, in memory and in chunks."""
    plain = [band for band, own in drawn.encodings.items() if own.scale == 1 and not own.encoding]
    coarse = [band for band in plain if band not in FINE]
    assume(coarse)
    stale = data.draw(st.sampled_from([{"scale_factor": 1e-4}, {"scale_factor": 1e-4, "add_offset": -0.1}]))
    ds = drawn.ds.assign({band: drawn.ds[band].assign_attrs(stale) for band in plain})
    for held in (ds, ds.chunk()):
        with pytest.raises(RadiometryError, match=r"scaled already.*: upsample\(units='reflectance'"):
            held.s2sr.upsample([data.draw(st.sampled_from(coarse))], model="bicubic", device="cpu").compute()
