"""Values that contradict their metadata: refused in whole scenes, and in chunks as far as a chunk can tell."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scenes import FINE, GSD, TIMES, TWELVE, native

from xr_s2sr.errors import RadiometryError, S2SRWarning

CPU: dict[str, Any] = {"device": "cpu", "threads": 1}
QUICK: dict[str, Any] = {"model": "bicubic"}
CHUNKS = {"y": 60, "x": 72, "y_20m": 30, "x_20m": 36, "y_60m": 10, "x_60m": 12}


def labelled(ds: xr.Dataset, **attrs: Any) -> xr.Dataset:
    """Arithmetic keeps attributes where xarray is new; here they are put on, whatever its version."""
    return ds.assign({name: da.assign_attrs(attrs) for name, da in ds.data_vars.items()})


def follow(problem: object, ds: xr.Dataset, **how: Any) -> xr.Dataset:
    """Do what the last line of a message says, and upsample."""
    line = str(problem).rpartition(": ")[2]
    if line.startswith("upsample("):
        result = eval(f"ds.s2sr.{line[:-1]}, **how)", {"ds": ds, "how": how})
    else:
        result = eval(line.removeprefix("ds = "), {"ds": ds}).s2sr.upsample(**how)
    assert isinstance(result, xr.Dataset)
    return result


def dn(shift: int = 0) -> xr.Dataset:
    return native((60, 72)) + np.uint16(shift)


SHIFTED = {"scale_factor": 1e-4, "add_offset": -0.1}
#: How a user made the values, what they still say, and the reflectance that a value of 0 and one of 1 is.
SCALED: dict[str, tuple[xr.Dataset, dict[str, Any], float, float]] = {
    "DN / 10000": (dn() / 10000, {"scale_factor": 1e-4}, 0, 1),
    "DN * 0.0001 in float32": ((dn() * 1e-4).astype("float32"), {"scale_factor": 1e-4}, 0, 1),
    "DN / 10000, STAC": (dn() / 10000, {"scale": 1e-4, "offset": 0}, 0, 1),
    "DN / 10000, units": (dn() / 10000, {"units": "DN"}, 0, 1),
    "DN / 10000, offset left": (dn(1000) / 10000, SHIFTED, -0.1, 1),
    "DN / 10000, offset taken off": (dn(900) / 10000 - 0.14, SHIFTED, 0, 1),
    "percent / 100": (dn() / 10000, {"units": "%"}, 0, 1),
    "DN / 100": (dn() / 100, {"scale_factor": 1e-4}, 0, 0.01),
    "DN / 100, offset left": (dn(1000) / 100, SHIFTED, -0.1, 0.01),
    "reflectance / 10000": (dn() / 10000 / 10000, {}, 0, 1e4),
}


@pytest.mark.parametrize("how", SCALED)
def test_scaled_already(how: str) -> None:
    values, attrs, base, step = SCALED[how]
    ds = labelled(values, **attrs)
    with pytest.raises(
        RadiometryError, match=r"'B0.' has a median of .* expected 0.01 or more in the brightest"
    ) as told:
        ds.s2sr.upsample(["B11"])
    assert not ds.s2sr.validate()
    sr = follow(told.value, ds, bands=["B11"], **QUICK)
    factor = 1e4 if how == "reflectance / 10000" else 1.0
    expected = (values * step + base).s2sr.upsample(["B11"], units="reflectance", **QUICK)
    np.testing.assert_allclose(sr.B11 / factor * step + base, expected.B11, rtol=1e-4)


@pytest.mark.parametrize("how", [how for how in SCALED if "DN / 10000" in how])
def test_scaled_already_in_chunks(how: str) -> None:
    """DN are no fractions of 1, not even in the dark: a chunk is enough to tell."""
    values, attrs, *_ = SCALED[how]
    sr = labelled(values, **attrs).chunk(CHUNKS).s2sr.upsample(["B11"], **QUICK)
    with pytest.raises(RadiometryError, match=r"scaled already.*upsample\(units='reflectance'"):
        sr.compute()


@pytest.mark.parametrize("how", ["percent / 100", "DN / 100", "reflectance / 10000"])
def test_faint_chunks_warn_once(how: str) -> None:
    """They may be of a lake."""
    values, attrs, *_ = SCALED[how]
    lazy = labelled(values, **attrs).chunk(CHUNKS).s2sr.upsample(["B05", "B11"], chunks=36, **QUICK)
    with pytest.warns(S2SRWarning, match="a chunk is darker than scenes are, .*have been scaled") as seen:
        lazy.compute(scheduler="synchronous")
    assert len(seen) == 1


def test_one_band_was_scaled() -> None:
    ds = labelled(dn().astype("float32"), scale_factor=1e-4)
    ds["B11"] = (ds.B11 / 10000).assign_attrs(ds.B11.attrs)
    with pytest.raises(RadiometryError, match=r"in the brightest of 'B11'.*units='reflectance'"):
        ds.s2sr.upsample(["B11"])
    assert ds.s2sr.upsample(["B05"], **QUICK).B05.mean() > 600


def test_a_wrong_word_of_the_user() -> None:
    with pytest.raises(RadiometryError, match=r"\(units=; .*upsample\(units='reflectance'\)"):
        (dn() / 10000).s2sr.upsample(units="dn")


@pytest.mark.parametrize(
    ("ds", "how"),
    [
        (labelled(dn() / 3000, units="%"), {"units": "percent"}),  # dark, and known to be
        (labelled((dn() // 600).astype("float32"), units="DN"), {}),  # whole numbers of 1 to 6, as in clear water
        (labelled(dn() // 100), {}),
        (labelled(dn() / 2000 + 0.5, units="%"), {}),  # a median of 1.6 %
    ],
)
def test_dark_scenes(ds: xr.Dataset, how: dict[str, Any]) -> None:
    assert ds.s2sr.validate(**how)


def test_really_dark_percent() -> None:
    """Of the two lines, the first keeps what is said."""
    ds = labelled(dn() / 10000, units="%")
    with pytest.raises(RadiometryError, match=r"as dark as that: upsample\(units='percent'\). Else") as told:
        ds.s2sr.upsample(["B11"])
    line = re.findall(r"upsample\(.*?\)", str(told.value))[0]
    sr = follow(f": {line}", ds, bands=["B11"], **QUICK)
    expected = (ds / 100).s2sr.upsample(["B11"], units="reflectance", **QUICK)
    np.testing.assert_allclose(sr.B11, expected.B11 * 100, rtol=1e-3)


# -- parts that are dark -----------------------------------------------------------------------------------------------


def with_quarter(value: float, dtype: str = "float32", grain: float = 0.0, blur: int = 0) -> xr.Dataset:
    """A scene whose first quarter holds a value, more or less: reflectance, or DN of integers.

    `blur` is the pixels of 60 m at its lower edge that lie between the value and the pixels of the scene.
    """
    ds = native((120, 144), dtype=dtype, scale=1e-4 if dtype == "float32" else 1)
    rng = np.random.default_rng(0)
    for band in TWELVE:
        part = ds[band].values[: 600 // GSD[band], : 720 // GSD[band]]
        rows = np.arange(len(part))[::-1, None] // (60 // GSD[band])
        weight = np.clip((rows + 1) / (blur + 1), 0, 1)
        part[:] = part * (1 - weight) + weight * value + rng.normal(0, 1, part.shape) * grain
    return ds


def both(ds: xr.Dataset, **how: Any) -> tuple[xr.Dataset, xr.Dataset, list[str]]:
    """The result from memory and from chunks, and what the latter warned of."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        eager = ds.s2sr.upsample(["B05"], device="cpu", **how)
        told = len(seen)
        lazy = ds.chunk(CHUNKS).s2sr.upsample(["B05"], device="cpu", chunks=60, **how).compute(scheduler="synchronous")
    return eager, lazy, [str(warning.message) for warning in seen[told:]]


@pytest.mark.parametrize(
    ("value", "dtype", "how"),
    [
        (-0.04, "float32", {"grain": 0.002}),
        (-400, "int16", {"grain": 20}),
        (-9999, "float32", {"blur": 6}),
        (9999, "float32", {"blur": 6}),
    ],
)
def test_a_chunk_of_shadow_or_of_blurred_fill(value: float, dtype: str, how: dict[str, Any]) -> None:
    eager, lazy, told = both(with_quarter(value, dtype, **how), **QUICK)
    xr.testing.assert_identical(lazy, eager)
    dark = [text for text in told if "a chunk is darker than scenes are, by shadow or water" in text]
    assert len(dark) == (abs(value) < 1000)
    assert all("'B05' has a median of -" in text for text in dark)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        *((value, "float32") for value in (-1, -999, 9999, 65535, 1e5, -0.1)),
        *((value, "int16") for value in (-1, -9999, -1000)),
    ],
)
def test_a_chunk_of_fill(value: float, dtype: str) -> None:
    """Nodata, wherever chunks end, and no reason to refuse."""
    eager, lazy, told = both(with_quarter(value, dtype))
    xr.testing.assert_identical(lazy, eager)
    assert [text for text in told if "taken as nodata" not in text] == []
    gone = np.isnan(eager.B05) if dtype == "float32" else eager.B05 == 0
    assert bool(gone[:60, :72].all())
    assert int(gone.sum()) == 60 * 72


@pytest.mark.filterwarnings("ignore:taken as nodata")
def test_a_bright_chunk_is_refused() -> None:
    lazy = with_quarter(2500, grain=500).chunk(CHUNKS).s2sr.upsample(["B05"], chunks=60, **QUICK)
    with pytest.raises(RadiometryError, match=r"units='dn'"):
        lazy.compute()


@pytest.mark.parametrize(("value", "chunked"), [(-1, False), (9999, True), (-0.1, False), (-0.1, True), (0.05, True)])
def test_a_date_of_nothing_but_fill(value: float, chunked: bool) -> None:
    """The others are restored as ever, and it is nodata."""
    scene = native((60, 72), dtype="float32", scale=1e-4)
    ds = xr.concat([scene, scene * 0 + np.float32(value), scene], "time").assign_coords(time=TIMES)
    with pytest.warns(S2SRWarning, match="taken as nodata, since "):
        sr = (ds.chunk() if chunked else ds).s2sr.upsample(["B05"], **CPU).compute()
    assert np.isnan(sr.B05[1]).all()
    np.testing.assert_array_equal(sr.B05[0], scene.s2sr.upsample(["B05"], **CPU).B05)
    np.testing.assert_array_equal(sr.B05[0], sr.B05[2])


@pytest.mark.parametrize("value", [-0.1, -1.0])
def test_fill_says_nothing_of_the_unit(value: float) -> None:
    """More than half of a scene: its median would be the fill."""
    ds = native((120, 144), dtype="float32", scale=1e-4)
    for band in TWELVE:
        ds[band].values[: 800 // GSD[band]] = value
    with pytest.warns(S2SRWarning, match="taken as nodata"):
        assert np.isnan(ds.s2sr.upsample(["B05"], **CPU).B05[:80]).all()
    for band in TWELVE:
        ds[band].values[800 // GSD[band] :] *= 1e4
    with pytest.raises(RadiometryError, match=r"upsample\(units='dn'\)"):
        ds.s2sr.upsample(["B05"])


def test_fine_bands_alone_tell(scene: xr.Dataset) -> None:
    """The faint SWIR of water is no reason to doubt the unit."""
    ds = (scene.astype("float32") / 100).assign({"B11": scene.B11 / np.float32(20000)})
    assert labelled(ds, units="%").s2sr.validate()
    assert all(ds[band].median() > 1 for band in FINE)
