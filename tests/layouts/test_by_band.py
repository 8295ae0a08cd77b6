"""Scales and offsets that differ by band, wherever rioxarray puts them: bands and classes in one GeoTIFF."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from holders import at_10_m, write_geotiff
from numpy.typing import NDArray
from scenes import FINE, native

import xr_s2sr
from xr_s2sr.errors import RadiometryError
from xr_s2sr.layouts.band_names import of_one, of_some

BANDS = (*FINE, "B05", "B11")
NAMES = (*BANDS, "SCL")
SCALES, OFFSETS = (*[1e-4] * 6, 1.0), (*[-0.1] * 6, 0.0)
CPU: dict[str, Any] = {"device": "cpu", "threads": 1}

pytestmark = pytest.mark.filterwarnings("ignore:(Scales|Offsets) differ across bands")


@pytest.fixture(scope="module")
def scene() -> xr.Dataset:
    """DN with an offset of 1000, and a hole."""
    ds = native((60, 72), BANDS) + np.uint16(1000)
    for band in BANDS:
        ds[band].values[:6, :6] = 0
    return ds


@pytest.fixture(scope="module")
def expected(scene: xr.Dataset) -> NDArray[np.float64]:
    """Reflectance of B05, by a way that has nothing to do with files; NaN in the hole."""
    attrs = {"scale_factor": 1e-4, "add_offset": -0.1}
    ds = scene.assign({band: da.assign_attrs(attrs) for band, da in scene.data_vars.items()})
    dn = ds.s2sr.upsample(["B05"], **CPU).B05.values
    return np.where(dn == 0, np.nan, dn * 1e-4 - 0.1)


def file(scene: xr.Dataset, path: Path, scales: tuple[float, ...] = SCALES, nodata: float | None = None) -> Path:
    cube = at_10_m(scene)
    layers = [*(cube[band] for band in BANDS), xr.full_like(cube.B02, 4)]
    write_geotiff(path, *layers, descriptions=NAMES, crs="EPSG:32632")
    with rasterio.open(path, "r+") as out:
        out.scales, out.offsets, out.nodata = scales, OFFSETS, nodata
    return path


def named(da: Any) -> xr.Dataset:
    ds: xr.Dataset = da.assign_coords(band=list(da.attrs["long_name"])).to_dataset("band")
    return ds


#: How a file is opened, and whether its values have been scaled then.
WAYS: dict[str, tuple[Callable[[Path], Any], bool]] = {
    "open_rasterio": (rioxarray.open_rasterio, False),
    "masked": (lambda path: rioxarray.open_rasterio(path, masked=True), False),
    "mask_and_scale": (lambda path: rioxarray.open_rasterio(path, mask_and_scale=True), True),
    "band_as_variable": (lambda path: rioxarray.open_rasterio(path, band_as_variable=True), False),
    "open_dataset": (lambda path: xr.open_dataset(path, engine="rasterio"), True),
    "open_dataset, as it is": (lambda path: xr.open_dataset(path, engine="rasterio", mask_and_scale=False), False),
    "to_dataset": (lambda path: named(rioxarray.open_rasterio(path)), False),
    "mask_and_scale, to_dataset": (lambda path: named(rioxarray.open_rasterio(path, mask_and_scale=True)), True),
    "combine": (lambda path: xr_s2sr.combine(rioxarray.open_rasterio(path)), False),
    "chunks": (lambda path: rioxarray.open_rasterio(path, chunks={"y": 36, "x": 36}), False),
}


def band_five(sr: xr.Dataset | xr.DataArray) -> xr.DataArray:
    if isinstance(sr, xr.Dataset) and "band_data" in sr:
        sr = sr["band_data"]
    if isinstance(sr, xr.DataArray):
        return sr.isel(band=NAMES.index("B05"))
    return sr["B05" if "B05" in sr else "band_5"]


@pytest.mark.parametrize("scales", [SCALES, (*[1e-4] * 7,)])
@pytest.mark.parametrize("way", WAYS)
def test_each_band_has_its_own(
    scene: xr.Dataset, expected: NDArray[np.float64], tmp_path: Path, way: str, scales: tuple[float, ...]
) -> None:
    """Where scales are alike and offsets differ, one is told once and the other by band."""
    opened, decoded = WAYS[way][0](file(scene, tmp_path / "all.tif", scales)), WAYS[way][1]
    sr = band_five(opened.s2sr.upsample(**CPU)).compute()
    values = sr.values.astype(float)
    gone = np.isnan(values) | (values == 0)
    np.testing.assert_array_equal(gone, np.isnan(expected))
    found = values if decoded else values * 1e-4 - 0.1
    assert np.abs(found - expected)[~gone].max() < 0.51e-4  # integers were rounded
    opened.close()


@pytest.mark.parametrize("decoded", [False, True])
def test_a_part_of_the_bands_is_written_with_its_own(scene: xr.Dataset, tmp_path: Path, decoded: bool) -> None:
    with rioxarray.open_rasterio(file(scene, tmp_path / "all.tif"), mask_and_scale=decoded) as da:
        sr = da.s2sr.upsample(["B05", "B11"], uncertainty=True, **CPU)
    told = sr.encoding if decoded else sr.attrs
    assert told["scales"] == (1e-4,) * 4
    assert told["offsets"] == (-0.1, -0.1, 0.0, 0.0)  # standard errors have none
    assert da.attrs.get("scales", da.encoding.get("scales")) == SCALES
    sr.rio.to_raster(tmp_path / "part.tif")
    with rasterio.open(tmp_path / "part.tif") as written:
        assert written.scales == (1e-4,) * 4
        assert written.offsets == (-0.1, -0.1, 0.0, 0.0)


def test_bands_that_cannot_be_told_apart(scene: xr.Dataset, expected: NDArray[np.float64], tmp_path: Path) -> None:
    path = file(scene, tmp_path / "all.tif")
    with rioxarray.open_rasterio(path) as da:
        ds = named(da)
    ds.attrs["long_name"] = "all bands"
    with pytest.raises(RadiometryError, match=r"'B02' has scales=.*, which is of several bands; expected its") as told:
        ds.s2sr.upsample()
    assert not ds.s2sr.validate()
    line = str(told.value).rpartition(": ")[2]
    with eval(line, {"rioxarray": rioxarray, "path": path}) as again:
        sr = again.s2sr.upsample(**CPU)
    found = np.where(sr.band_5 == 0, np.nan, sr.band_5 * 1e-4 - 0.1)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("key", ["attrs", "encoding"])
def test_what_all_bands_share_needs_no_names(scene: xr.Dataset, key: str) -> None:
    ds = at_10_m(scene)
    for da in ds.data_vars.values():
        getattr(da, key).update({"scales": (1e-4,) * 7, "offsets": (-0.1,) * 7})
    if key == "encoding":
        ds = ds.astype("float32") * np.float32(1e-4) - np.float32(0.1)
        for da in ds.data_vars.values():
            da.encoding = {"dtype": "uint16", "scales": (1e-4,) * 7, "offsets": (-0.1,) * 7}
    radiometry = str(ds.s2sr.validate())
    assert ("uint16 x 0.0001 -0.1, nodata 0" in radiometry) == (key == "attrs")
    assert ("float32 x 1, nodata -0.1" in radiometry) == (key == "encoding")


def test_one_of_several() -> None:
    attrs = {
        "scales": (1e-4, 1.0),
        "offsets": [-0.1, 0.0],
        "nodatavals": np.array([0, 255]),
        "units": ("DN", "1"),
        "a": 1,
    }
    assert of_one(attrs, 0, 2) == {"scale_factor": 1e-4, "add_offset": -0.1, "_FillValue": 0, "units": "DN", "a": 1}
    assert of_one(attrs, 1, 2)["scale_factor"] == 1.0
    assert of_one(attrs, 0, 3) == attrs
    assert of_one({"nodatavals": (7, 8), "_FillValue": 9}, 0, 2) == {"_FillValue": 9}
    assert of_one({"nodatavals": (None, 8)}, 0, 2) == {}
    assert of_one({"scale_factor": (1e-4,)}, 0, 1) == {"scale_factor": (1e-4,)}
    assert of_some(attrs, [1], [0], 2)["offsets"] == [0.0, 0.0]
    assert of_some(attrs, [1, 0], [0], 2)["scales"] == (1.0, 1e-4, 1e-4)
    assert of_some(attrs, [0], [], 2)["nodatavals"].tolist() == [0]
