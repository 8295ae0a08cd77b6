"""open_safe: miniature products in every form that ESA has used, and broken ones."""

from __future__ import annotations

import functools
import itertools
import os
import pickle
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr
from affine import Affine
from real_scenes import real
from safe_products import COMPANIONS, EPSG, ORDER, Product, companion, detector_mask, write_product, zipped
from scenes import FINE, GSD, RED_EDGE, TWELVE

import xr_s2sr
from xr_s2sr.errors import ArgumentTypeError, BandError, InputError, ProductError, S2SRWarning
from xr_s2sr.io import rasters
from xr_s2sr.io.safe_metadata import Image, _keep_finest

PLAIN = dict.fromkeys(ORDER, -1000)
VARIED = {band: -1000 + 10 * k for k, band in enumerate(ORDER)}
#: Products as they were distributed over the years.
FORMS: dict[str, dict[str, Any]] = {
    "L2A 05.09": {"offsets": VARIED},
    "L1C 05.09": {"level": "L1C", "offsets": VARIED},
    "L2A 02.12": {"baseline": "02.12", "offsets": {}},
    "L1C 02.06": {"level": "L1C", "baseline": "02.06", "offsets": {}},
    "L2A of Sen2Cor 2.3": {"baseline": "02.05", "offsets": {}, "sen2cor": True},
    "L1C long names": {"level": "L1C", "baseline": "02.01", "offsets": {}, "compact": False},
    "L2A long names": {"baseline": "02.01", "offsets": {}, "compact": False, "sen2cor": True},
}


def as_distributed(ds: xr.Dataset) -> xr.Dataset:
    """DN + 1000 where valid, as from baseline 04.00 on; with a cirrus band and a saturated pixel."""
    out = ds.copy(deep=True)
    for variable in out.data_vars.values():
        variable.values[:] = np.where(variable.values > 0, variable.values + 1000, 0)
    out.B11.values[3, 4] = 65535
    out["B10"] = out.B09.copy(data=out.B09.values // 2)
    return out


@pytest.fixture(scope="module")
def scene() -> xr.Dataset:
    return as_distributed(xr_s2sr.tutorial.synthetic_scene(120)[0])


@pytest.fixture(scope="module")
def small(scene: xr.Dataset) -> xr.Dataset:
    return scene.isel(
        y=slice(36), x=slice(48), y_20m=slice(18), x_20m=slice(24), y_60m=slice(6), x_60m=slice(8)
    ).compute()


@pytest.fixture(scope="module")
def level2(tmp_path_factory: pytest.TempPathFactory, scene: xr.Dataset) -> Path:
    return write_product(tmp_path_factory.mktemp("level2"), Product(scene))


@pytest.fixture(scope="module")
def small_product(tmp_path_factory: pytest.TempPathFactory, small: xr.Dataset) -> Path:
    return write_product(tmp_path_factory.mktemp("small"), Product(small))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, small: xr.Dataset) -> Callable[[str], Path]:
    """A product of one form, written once."""
    folder = tmp_path_factory.mktemp("forms")
    return functools.cache(lambda form: write_product(folder, Product(small, **FORMS[form])))


@pytest.fixture
def make(tmp_path: Path, small: xr.Dataset, small_product: Path) -> Callable[..., Path]:
    """Write a small product that the test may break."""

    def write(**options: Any) -> Path:
        if options:
            return write_product(tmp_path, Product(small, **options))
        return shutil.copytree(small_product, tmp_path / small_product.name)

    return write


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """File and number of pixels of each read."""
    seen: list[tuple[str, int]] = []
    read = rasters._Pixels._read

    def recorded(self: Any, key: Any) -> Any:
        pixels = read(self, key)
        seen.append((Path(self.path).name, pixels.size))
        return pixels

    monkeypatch.setattr(rasters._Pixels, "_read", recorded)
    return seen


def edited(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


# what is opened


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_pixels_bit_for_bit(form: str, written: Callable[[str], Path], small: xr.Dataset) -> None:
    product = Product(small, **FORMS[form])
    ds = xr_s2sr.open_safe(written(form))
    masks = COMPANIONS if product.level == "L2A" else {}
    assert set(ds.data_vars) == {*product.bands, *masks}
    assert ("B10" in ds) == (product.level == "L1C")
    for band in product.bands:
        assert ds[band].dtype == np.uint16
        np.testing.assert_array_equal(ds[band], small[band], err_msg=band)
        assert ds[band].dims == small[band].dims
        for dim in ds[band].dims:
            np.testing.assert_array_equal(ds[dim], small[dim])
        offset = product.offsets.get(band, 0) / 10000
        assert (ds[band].attrs["scale_factor"], ds[band].attrs["add_offset"]) == (1e-4, offset)
        assert ds[band].attrs["_FillValue"] == 0
    for what, gsd in masks.items():
        shape = {10: small.B02, 20: small.B05}[gsd].shape
        np.testing.assert_array_equal(ds[what], companion(what, gsd, shape), err_msg=what)
        assert ds[what].dims == rasters.DIMS[gsd]
    assert ds.rio.crs.to_epsg() == EPSG
    assert ds.rio.transform() == small.B02.rio.transform()
    assert ds.time.values == np.datetime64("2023-08-23T09:55:59.024")
    assert ds.attrs == {
        "product": product.name.removesuffix(".SAFE"),
        "level": product.level,
        "platform": "Sentinel-2B" if product.compact else "Sentinel-2A",
        "processing_baseline": product.baseline,
        "tile": "T33UVR",
        "relative_orbit": 122,
        "orbit_direction": "DESCENDING",
        "cloud_cover": 6.859297,
    }
    assert not ds.s2sr.validate().problems


@pytest.mark.parametrize(
    "form", ["L2A 05.09", "L1C 05.09", "L1C 02.06", "L1C long names", "L2A of Sen2Cor 2.3", "L2A long names"]
)
def test_gdal_takes_the_miniatures_for_products(form: str, written: Callable[[str], Path], small: xr.Dataset) -> None:
    """An oracle for their structure: GDAL's own driver finds the same bands and pixels."""
    product = Product(small, **FORMS[form])
    root = written(form)
    ds = xr_s2sr.open_safe(root)
    for gsd, bands in ((10, FINE), (20, RED_EDGE)):
        with rasterio.open(f"SENTINEL2_{product.level}:{root / product.metadata}:{gsd}m:EPSG_{EPSG}") as gdal:
            named = {gdal.tags(k)["BANDNAME"]: gdal.read(k) for k in gdal.indexes}
            assert gdal.crs == ds.rio.crs
            if gsd == 10:
                assert gdal.transform == ds.rio.transform()
        for band in bands:
            np.testing.assert_array_equal(ds[band], named[band.replace("B0", "B")], err_msg=band)


def test_upsampled_it_is_the_scene_in_memory(level2: Path, scene: xr.Dataset) -> None:
    ds = xr_s2sr.open_safe(level2)
    with pytest.warns(S2SRWarning, match="SCL"):
        sr = ds.s2sr.upsample()
    expected = scene.drop_vars("B10").s2sr.upsample(offset=-1000)
    for band in TWELVE:
        np.testing.assert_array_equal(sr[band], expected[band], err_msg=band)
        np.testing.assert_array_equal(sr.x, expected.x)
    assert sr.rio.transform() == expected.rio.transform()
    assert sr.B11.attrs["add_offset"] == -0.1
    assert sr.attrs == ds.attrs
    np.testing.assert_array_equal(sr.AOT, ds.AOT)


def test_masks_come_along_by_nearest_neighbour(level2: Path) -> None:
    ds = xr_s2sr.open_safe(level2, "B05")
    sr = ds.s2sr.upsample(keep="all", model="bicubic")
    np.testing.assert_array_equal(sr.SCL, ds.SCL.values.repeat(2, 0).repeat(2, 1))
    assert sr.SCL.attrs["long_name"] == "scene classification"


def test_offsets_by_band_reach_the_network(written: Callable[[str], Path], small: xr.Dataset) -> None:
    sr = xr_s2sr.open_safe(written("L2A 05.09")).s2sr.upsample("B05")
    held = small[[*FINE, *RED_EDGE]]
    for band in held.data_vars:
        held[band] = held[band].assign_attrs(scale_factor=1e-4, add_offset=VARIED[str(band)] / 1e4)
    np.testing.assert_array_equal(sr.B05, held.s2sr.upsample("B05").B05)
    assert not np.array_equal(sr.B05, small.s2sr.upsample("B05", offset=-1000).B05)


def test_written_and_read_again(make: Callable[..., Path], tmp_path: Path) -> None:
    ds = xr_s2sr.open_safe(make())
    reflectance = ds.B02.values * 1e-4 - 0.1
    ds.to_netcdf(tmp_path / "scene.nc")
    ds.to_zarr(tmp_path / "scene.zarr", zarr_format=2)
    for path in ("scene.nc", "scene.zarr"):
        with xr.open_dataset(tmp_path / path, decode_coords="all") as back:
            np.testing.assert_allclose(back.B02, np.where(ds.B02 > 0, reflectance, np.nan), atol=1e-6)
            assert back.s2sr.validate()


# where it is


def test_a_path_to_any_part(small_product: Path, tmp_path: Path) -> None:
    root = small_product
    whole = xr_s2sr.open_safe(root).compute()
    granule = next((root / "GRANULE").iterdir())
    archive = zipped(root, tmp_path / "S2 {a} product.zip")
    inside = archive / root.name
    for part in (
        root / "MTD_MSIL2A.xml",
        granule,
        granule / "MTD_TL.xml",
        granule / "IMG_DATA" / "R10m",
        archive,
        inside,
        inside / "MTD_MSIL2A.xml",
        inside / "GRANULE" / granule.name,
    ):
        xr.testing.assert_identical(xr_s2sr.open_safe(part).compute(), whole)
    xr.testing.assert_identical(xr_s2sr.open_safe(str(root)).compute(), whole)


def test_zips_of_other_kinds(make: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make()
    whole = xr_s2sr.open_safe(root).compute()
    deflated = zipped(root, tmp_path / "deflated.ZIP", zipfile.ZIP_DEFLATED)
    xr.testing.assert_identical(xr_s2sr.open_safe(deflated).compute(), whole)
    with zipfile.ZipFile(tmp_path / "bare.zip", "w") as bare:  # without the folder
        for file in root.rglob("*"):
            bare.write(file, file.relative_to(root))
    xr.testing.assert_identical(xr_s2sr.open_safe(tmp_path / "bare.zip").compute(), whole)
    monkeypatch.chdir(tmp_path)
    xr.testing.assert_identical(xr_s2sr.open_safe("deflated.ZIP").compute(), whole)


def test_granules_of_an_old_product(tmp_path: Path, small: xr.Dataset) -> None:
    """Before December 2016 a product held several tiles."""
    options = {**FORMS["L1C long names"], "scene": small}
    first, second = Product(**options), Product(**options, tile="T33UWR")
    second.scene = small.assign(B02=small.B02 + 1)
    root, other = (write_product(tmp_path / p.tile, p) for p in (first, second))
    shutil.copytree(other / "GRANULE", root / "GRANULE", dirs_exist_ok=True)
    text = (other / second.metadata).read_text()
    granules = text[text.index("<Granules") : text.index("</Granule_List>")]
    edited(root / first.metadata, "</Granule_List>", f"</Granule_List><Granule_List>{granules}</Granule_List>")
    with pytest.raises(ProductError, match=r"lists 2 granules: .*_T33UVR_N02.01, .*_T33UWR_N02.01; expected one. Open"):
        xr_s2sr.open_safe(root)
    for product in (first, second):
        ds = xr_s2sr.open_safe(root / "GRANULE" / product.granule)
        assert ds.attrs["tile"] == product.tile
        np.testing.assert_array_equal(ds.B02, product.scene.B02)
    archive = zipped(root, tmp_path / "two.zip")
    with pytest.raises(ProductError, match="lists 2 granules") as told:
        xr_s2sr.open_safe(archive)
    assert f"{{{archive}}}/{root.name}/GRANULE" in str(told.value)
    ds = xr_s2sr.open_safe(archive / root.name / "GRANULE" / second.granule)
    assert ds.attrs["tile"] == "T33UWR"
    with pytest.raises(ProductError, match=r"lists 2 granules: .*; but not elsewhere"):
        xr_s2sr.open_safe(archive / root.name / "GRANULE" / "elsewhere")


# lazily


def test_pixels_are_read_when_they_are_used(level2: Path, reads: list[tuple[str, int]]) -> None:
    ds = xr_s2sr.open_safe(level2)
    repr(ds)
    copy = pickle.loads(pickle.dumps(ds))
    assert reads == []
    assert ds.s2sr.validate()
    assert max(size for _, size in reads) <= 64 * 64
    reads.clear()
    part = ds.B02[10:13, 20:24]
    assert reads == []
    first = part.values
    assert [size for _, size in reads] == [12]
    np.testing.assert_array_equal(first, ds.B02.values[10:13, 20:24])
    np.testing.assert_array_equal(copy.B02[[12, 10], ::-2], ds.B02[[12, 10], ::-2])
    assert "Lazily" not in type(ds.B02.data).__name__
    reads.clear()
    np.testing.assert_array_equal(ds.B02[10:13, 20:24], first)
    assert reads == []  # and kept
    ds.B05[0, 0] = 5
    assert xr_s2sr.open_safe(level2).B05[0, 0] != 5


def test_what_no_model_needs_is_not_read(level2: Path, reads: list[tuple[str, int]]) -> None:
    xr_s2sr.open_safe(level2).s2sr.upsample("B05")
    assert {name.rsplit("_", 2)[1] for name, _ in reads} == {*FINE, *RED_EDGE}


def test_chunks(level2: Path, scene: xr.Dataset, reads: list[tuple[str, int]]) -> None:
    ds = xr_s2sr.open_safe(level2, chunks=50)
    assert (ds.B02.chunks, ds.B05.chunks, ds.B01.chunks) == (((54, 54, 12),) * 2, ((27, 27, 6),) * 2, ((9, 9, 2),) * 2)
    assert ds.SCL.chunks == ds.B05.chunks
    assert reads == []
    assert int(ds.B12[0, 0]) == scene.B12[0, 0]
    assert sum(size for _, size in reads) <= 27 * 27
    np.testing.assert_array_equal(ds.B02, scene.B02)
    assert xr_s2sr.open_safe(level2, chunks={"x": 60}).B02.chunks == ((120,), (60, 60))
    with pytest.raises(InputError, match="chunks=0 is too small"):
        xr_s2sr.open_safe(level2, chunks=0)
    with pytest.raises(ArgumentTypeError, match="chunks='auto' is a str"):
        xr_s2sr.open_safe(level2, chunks="auto")  # type: ignore[arg-type]


# a part


@pytest.mark.parametrize(
    ("bands", "expected"),
    [
        ("swir16", {*FINE, "B11"}),
        (["B05", "coastal", "b8a_20m"], {*FINE, "B05", "B01", "B8A"}),
        ("B04", set(FINE)),
    ],
)
def test_bands_with_the_guides(level2: Path, bands: Any, expected: set[str]) -> None:
    ds = xr_s2sr.open_safe(level2, bands)
    assert set(ds.data_vars) == expected | {*COMPANIONS}
    assert ("y_60m" in ds.coords) == ("B01" in expected)
    assert ds.rio.crs.to_epsg() == EPSG


@pytest.mark.parametrize(
    ("bands", "error", "message"),
    [
        ("B10", BandError, r"asked for B10, but .*N0509.* holds B01, B02, B03, B04, B05, B06, B07, B08, B8A, B09, B11"),
        ("B13", BandError, "'B13' is not a Sentinel-2 band"),
        ([], InputError, "bands is empty"),
        (5, ArgumentTypeError, "bands=5 is a int"),
    ],
)
def test_bands_that_are_not_there(level2: Path, bands: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        xr_s2sr.open_safe(level2, bands)


def test_bbox_is_snapped_outwards_to_cells_of_60_m(level2: Path, scene: xr.Dataset, reads: list[Any]) -> None:
    left, top = float(scene.x[0]) - 5, float(scene.y[0]) + 5
    ds = xr_s2sr.open_safe(level2, bbox=(left + 125, top - 355, left + 301, top - 240))
    assert reads == []
    expected = scene.isel(
        y=slice(24, 36), x=slice(12, 36), y_20m=slice(12, 18), x_20m=slice(6, 18), y_60m=slice(4, 6), x_60m=slice(2, 6)
    )
    for band in TWELVE:
        xr.testing.assert_equal(ds[band].drop_vars(["time", "dn_offset"]), expected[band])
    assert ds.SCL.shape == ds.B05.shape
    assert ds.rio.bounds() == (left + 120, top - 360, left + 360, top - 240)
    assert ds.rio.transform() == ds.B02.rio.transform(recalc=True)
    assert not any(size > 24 * 12 for _, size in reads)
    # without 60 m bands, too
    part = xr_s2sr.open_safe(level2, "B05", bbox=(left + 125, top - 355, left + 301, top - 240))
    xr.testing.assert_identical(part.B05, ds.B05)
    # on cells already: no further one; cut at the edge of the tile
    again = xr_s2sr.open_safe(level2, bbox=ds.rio.bounds())
    assert again.sizes == ds.sizes
    wide = xr_s2sr.open_safe(level2, bbox=(left - 1e6, top - 60, left + 60, top + 1e6))
    assert (wide.sizes["y"], wide.sizes["x_60m"]) == (6, 1)


@pytest.mark.parametrize(
    ("bbox", "error", "message"),
    [
        (
            (0, 0, 100, 100),
            InputError,
            r"lies outside of .*SAFE, and looks like degrees.*\(399960, 5598840, 401160, 56",
        ),
        ((500_000, 0, 600_000, 100), InputError, r"lies outside of .*; expected some of its bounds .* in EPSG:32633"),
        ((400_000, 5_599_000, 400_000, 5_600_000), InputError, "is empty; expected minx < maxx"),
        ((1, 2, 3), InputError, "bbox has 3 numbers; expected four"),
        ("1,2,3,4", ArgumentTypeError, "bbox='1,2,3,4' is a str; expected four numbers"),
        ((1, 2, 3, float("nan")), InputError, "bbox=nan is not finite"),
    ],
)
def test_bbox_that_is_none(level2: Path, bbox: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        xr_s2sr.open_safe(level2, bbox=bbox)


# detector footprints


def test_what_no_detector_saw_is_nodata(tmp_path: Path, small: xr.Dataset) -> None:
    mask = np.ones(small.B11.shape, np.uint8) * 5
    mask[:, :7] = 0
    root = write_product(tmp_path, Product(small, detectors={"B11": mask}))
    ds = xr_s2sr.open_safe(root)
    np.testing.assert_array_equal(ds.B11, np.where(mask == 0, 0, small.B11))
    np.testing.assert_array_equal(ds.B12, small.B12)
    assert ds.B11.dtype == np.uint16
    np.testing.assert_array_equal(ds.B11[5, 5:9], ds.B11.values[5, 5:9])


def test_footprints_as_polygons_are_left_alone(make: Callable[..., Path], small: xr.Dataset) -> None:
    root = make(**FORMS["L1C 02.06"])
    assert "MSK_DETFOO_B11.gml" in next(root.rglob("MTD_TL.xml")).read_text()
    np.testing.assert_array_equal(xr_s2sr.open_safe(root).B11, small.B11)


# incomplete and broken products


def test_a_missing_image(make: Callable[..., Path]) -> None:
    root = make(skip=("B05", "SCL"))
    with pytest.warns(S2SRWarning, match=r"lacks files that its metadata list; left out: B05 \(GRANULE/.*_B05_20m.jp2"):
        ds = xr_s2sr.open_safe(root)
    assert not {"B05", "SCL"} & {*ds.data_vars}
    with pytest.warns(S2SRWarning, match=r"SCL \(GRANULE/.*_SCL_20m.jp2\)"):
        assert "B06" in xr_s2sr.open_safe(root, "B06")
    with pytest.raises(ProductError, match=r"the image of B05 is missing: .*/R20m/.*_B05_20m.jp2; expected it"):
        xr_s2sr.open_safe(root, ["B05", "B06"])


@pytest.mark.parametrize(
    ("what", "gone", "left"), [("SCL", ["20m"], 60), ("AOT", ["10m"], 20), ("WVP", ["10m", "20m"], 60)]
)
def test_a_companion_whose_finest_image_is_missing(
    make: Callable[..., Path], small: xr.Dataset, what: str, gone: list[str], left: int
) -> None:
    """The finest that is there is taken, without a word (warnings are errors here)."""
    root = make()
    for size in gone:
        next(root.rglob(f"*_{what}_{size}.jp2")).unlink()
    ds = xr_s2sr.open_safe(root)
    shape = {10: small.B02, 20: small.B05, 60: small.B01}[left].shape
    assert ds[what].dims == rasters.DIMS[left]
    np.testing.assert_array_equal(ds[what], companion(what, left, shape))


@pytest.mark.parametrize("listed", [*itertools.permutations((10, 20, 60))])
@pytest.mark.parametrize(("there", "kept"), [((20, 60), 20), ((60,), 60), ((10, 60), 10), ((), 10), ((10, 20, 60), 10)])
def test_the_finest_that_is_there_in_whatever_order(listed: tuple[int, ...], there: tuple[int, ...], kept: int) -> None:
    companions: dict[str, Image] = {}
    for gsd in listed:
        _keep_finest(companions, "AOT", Image(gsd, f"AOT_{gsd}m.jp2" if gsd in there else None, f"AOT_{gsd}m.jp2"))
    assert companions["AOT"].gsd == kept


def test_a_missing_guide(make: Callable[..., Path]) -> None:
    with pytest.raises(ProductError, match=r"the image of B08 is missing: .*_B08_10m.jp2"):
        xr_s2sr.open_safe(make(skip=("B08",)))


def test_a_missing_footprint(make: Callable[..., Path], small: xr.Dataset) -> None:
    root = make()
    next(root.rglob("MSK_DETFOO_B11.jp2")).unlink()
    with pytest.warns(S2SRWarning, match=r"left out: MSK_DETFOO of B11 \("):
        ds = xr_s2sr.open_safe(root)
    np.testing.assert_array_equal(ds.B11, small.B11)
    with warnings.catch_warnings():
        warnings.simplefilter("error", S2SRWarning)
        xr_s2sr.open_safe(root, "B12")


def test_a_footprint_of_another_size(make: Callable[..., Path], small: xr.Dataset) -> None:
    root = make()
    shutil.copy(next(root.rglob("MSK_DETFOO_B01.jp2")), next(root.rglob("MSK_DETFOO_B11.jp2")))
    with pytest.warns(S2SRWarning, match=r"MSK_DETFOO_B11.jp2 has 6 x 8 pixels, its band 18 x 24: .* left out") as told:
        ds = xr_s2sr.open_safe(root)
    assert [w.filename for w in told if w.category is S2SRWarning] == [__file__]
    np.testing.assert_array_equal(ds.B11, small.B11)


@pytest.mark.parametrize("in_zip", [False, True])
def test_a_truncated_image(make: Callable[..., Path], tmp_path: Path, in_zip: bool) -> None:
    root = make()
    image = next(root.rglob("*_B05_20m.jp2"))
    image.write_bytes(image.read_bytes()[:-200])
    ds = xr_s2sr.open_safe(zipped(root, tmp_path / "p.zip") if in_zip else root)
    with pytest.raises(ProductError, match=r"_B05_20m.jp2 cannot be read: .*; expected a whole raster file"):
        ds.s2sr.upsample("B05")
    assert ds.B06.values.any()
    image.write_bytes(image.read_bytes()[:50])
    with pytest.raises(ProductError, match=r"_B05_20m.jp2 cannot be read: .*; expected a whole raster file"):
        xr_s2sr.open_safe(root)


def test_an_image_of_another_size(make: Callable[..., Path]) -> None:
    root = make()
    shutil.copy(next(root.rglob("*_B05_60m.jp2")), next(root.rglob("*_B05_20m.jp2")))
    with pytest.raises(ProductError, match=r"_B05_20m.jp2 has 6 x 8 pixels; expected 18 x 24, as the tile's metadata"):
        xr_s2sr.open_safe(root)


BROKEN: dict[str, tuple[str, str, str, str]] = {
    "cut off": ("MTD_MSIL2A.xml", "</n1:Level-2A_User_Product>", "", "is not metadata of a SAFE product: no element"),
    "doctype": ("MTD_MSIL2A.xml", "<n1:Level", '<!DOCTYPE a [<!ENTITY b "c">]><n1:Level', r"declares a DOCTYPE \(a\)"),
    "level": ("MTD_MSIL2A.xml", "Level-2A_User", "Level-1B_User", "is of Level-1B; expected Level-1C or Level-2A"),
    "other XML": ("MTD_MSIL2A.xml", "n1:Level-2A_User_Product", "n1:Other", "is of <Other>; expected Level-1C"),
    "quantification": ("MTD_MSIL2A.xml", "BOA_QUANTIFICATION_VALUE", "X", "has no <BOA_QUANTIFICATION_VALUE>"),
    "zero": (
        "MTD_MSIL2A.xml",
        '"none">10000<',
        '"none">0<',
        "says <BOA_QUANTIFICATION_VALUE> 0; expected a number from 1",
    ),
    "enormous": (
        "MTD_MSIL2A.xml",
        '"none">10000<',
        '"none">1e308<',
        "<BOA_QUANTIFICATION_VALUE> '1e308'; expected a number",
    ),
    "far too large": (
        "MTD_MSIL2A.xml",
        '"none">10000<',
        '"none">1e7<',
        "<BOA_QUANTIFICATION_VALUE> 1e.07; expected .* 10000",
    ),
    "far too small": (
        "MTD_MSIL2A.xml",
        '"none">10000<',
        '"none">1e-300<',
        "<BOA_QUANTIFICATION_VALUE> 1e-300; expected",
    ),
    "not a number": (
        "MTD_MSIL2A.xml",
        '"none">10000<',
        '"none">nan<',
        "<BOA_QUANTIFICATION_VALUE> 'nan'; expected a number",
    ),
    "Python's number": (
        "MTD_MSIL2A.xml",
        '"none">10000<',
        '"none">1_0000<',
        "<BOA_QUANTIFICATION_VALUE> '1_0000'; expected",
    ),
    "aerosol": (
        "MTD_MSIL2A.xml",
        '"none">1000.0<',
        '"none">1e300<',
        "<AOT_QUANTIFICATION_VALUE> '1e300'; expected a number",
    ),
    "offset": ("MTD_MSIL2A.xml", ">-1000<", ">-1e308<", "says <BOA_ADD_OFFSET> '-1e308'; expected a number"),
    "far corner": ("MTD_TL.xml", "<ULX>", "<ULX>1e9", r"MTD_TL\.xml says <ULX> '1e9\d+'; expected a number"),
    "no number": ("MTD_MSIL2A.xml", ">-1000<", ">many<", "says <BOA_ADD_OFFSET> 'many'; expected a number"),
    "part of the offsets": ("MTD_MSIL2A.xml", 'band_id="4"', 'band_id="40"', "BOA_ADD_OFFSET> for .*none for B05"),
    "time": ("MTD_MSIL2A.xml", "START>2023", "START>soon", "datatake began at 'soon-08-23.*expected a date such as"),
    "no granule": ("MTD_MSIL2A.xml", "Granule ", "Grain ", "."),
    "no 10 m bands": ("MTD_MSIL2A.xml", "_B02_10m", "_B02_20m", "lists no B02 at 10 m; .* --resolution 10"),
    "no CRS": ("MTD_TL.xml", "HORIZONTAL_CS_CODE", "X", "MTD_TL.xml has no <HORIZONTAL_CS_CODE>"),
    "unknown CRS": ("MTD_TL.xml", "EPSG:32633", "EPSG:1", "<HORIZONTAL_CS_CODE> 'EPSG:1'; expected one such as EPSG:3"),
    "CRS as text": ("MTD_TL.xml", "EPSG:32633", "+proj=utm +zone=33 +datum=WGS84", "<HORIZONTAL_CS_CODE> '\\+proj"),
    "CRS at an address": ("MTD_TL.xml", "EPSG:32633", "http://127.0.0.1:9/x", "CS_CODE> 'http.*expected one such as"),
    "no corner": ("MTD_TL.xml", "ULX", "X", "MTD_TL.xml has no <ULX>"),
    "no sizes": ("MTD_TL.xml", "Size", "X", "gives the <Size> at no resolution; expected 10, 20 and 60 m"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_metadata(case: str, make: Callable[..., Path]) -> None:
    file, old, new, message = BROKEN[case]
    root = make()
    edited(next(root.rglob(file)), old, new)
    with pytest.raises(ProductError, match=message):
        xr_s2sr.open_safe(root)


@pytest.mark.parametrize(
    "text", ["now", "today", "NaT", "2023", "2023-08", "2023-08-23T09", "20230823", "2023-13-01", "５023-08-23"]
)
def test_a_time_that_is_none(text: str, make: Callable[..., Path]) -> None:
    """numpy takes the first ones: the scene would be of the moment that it was opened in."""
    root = make()
    edited(root / "MTD_MSIL2A.xml", "2023-08-23T09:55:59.024Z", text)
    with pytest.raises(ProductError, match=rf"the datatake began at {text!r}; expected a date such as 2023-08-23T09"):
        xr_s2sr.open_safe(root)


@pytest.mark.parametrize("text", ["2023-08-23", "2023-08-23T09:55:59", "2023-08-23T09:55:59.024000Z"])
def test_times(text: str, make: Callable[..., Path]) -> None:
    root = make()
    edited(root / "MTD_MSIL2A.xml", "2023-08-23T09:55:59.024Z", text)
    assert xr_s2sr.open_safe(root).time.values == np.datetime64(text.removesuffix("Z"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize(
    "name", ["MTD_MSIL2A.xml", "MTD_TL.xml", "_B05_20m.jp2", "_B05_20m.jp2.aux.xml", "elsewhere.txt"]
)
def test_what_has_no_end_is_not_opened(name: str, kind: str, make: Callable[..., Path]) -> None:
    root = make()
    image = next(root.rglob("*_B05_20m.jp2"))
    path = (
        next(root.rglob(name)) if name.startswith("MTD") else image.with_name(image.name.replace("_B05_20m.jp2", name))
    )
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(ProductError, match=rf"{name} is a pipe, a socket or a device, .*expected a file\. Remove it"):
        xr_s2sr.open_safe(root)


@pytest.mark.parametrize("name", ["MTD_MSIL2A.xml", "MTD_TL.xml"])
def test_metadata_without_end_in_a_folder(name: str, make: Callable[..., Path]) -> None:
    root = make()
    path = next(root.rglob(name))
    with path.open("r+b") as file:
        file.truncate(2**40)  # takes no space on the disk
    with pytest.raises(ProductError, match=rf"{name} holds more than 64 MiB; expected metadata of about 1 MiB"):
        xr_s2sr.open_safe(root)


def test_metadata_that_lead_nowhere(make: Callable[..., Path]) -> None:
    root = make()
    path = next(root.rglob("MTD_TL.xml"))
    path.unlink()
    path.symlink_to("nowhere.xml")
    with pytest.raises(ProductError, match=r"MTD_TL\.xml cannot be read .*expected metadata"):
        xr_s2sr.open_safe(root)


def test_a_crs_that_is_a_file_is_not_opened(make: Callable[..., Path], tmp_path: Path) -> None:
    """The file holds the right CRS: whoever opens it has nothing to say against the product."""
    wkt = tmp_path / "crs.wkt"
    wkt.write_text(rasterio.crs.CRS.from_epsg(32633).to_wkt())
    root = make()
    edited(next(root.rglob("MTD_TL.xml")), "EPSG:32633", str(wkt))
    with pytest.raises(ProductError, match=r"<HORIZONTAL_CS_CODE> '.*crs.wkt'; expected one such as EPSG:32633"):
        xr_s2sr.open_safe(root)


def test_missing_metadata(make: Callable[..., Path], tmp_path: Path) -> None:
    root = make()
    next(root.rglob("MTD_TL.xml")).unlink()
    with pytest.raises(ProductError, match="has 0 tile metadata files in GRANULE/L2A_T33UVR"):
        xr_s2sr.open_safe(root)
    (root / "MTD_MSIL2A.xml").unlink()
    with pytest.raises(
        ProductError, match=r"is not a SAFE product, as it has no MTD_MSIL1C.xml or MTD_MSIL2A.xml; exp"
    ):
        xr_s2sr.open_safe(root)
    with pytest.raises(ProductError, match=rf"It holds {root.name}: open that"):
        xr_s2sr.open_safe(tmp_path)
    with pytest.raises(ProductError, match=r"holds no MTD_MSIL1C.xml or MTD_MSIL2A.xml"):
        xr_s2sr.open_safe(zipped(root, tmp_path / "none.zip"))


def test_no_product(make: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ProductError, match=r"none.SAFE does not exist; expected a .SAFE folder"):
        xr_s2sr.open_safe(tmp_path / "none.SAFE")
    with pytest.raises(ArgumentTypeError, match="path=5 is a int"):
        xr_s2sr.open_safe(5)  # type: ignore[arg-type]
    root = make()
    with pytest.raises(ProductError, match=r"_B05_20m.jp2 is not a SAFE product"):
        xr_s2sr.open_safe(next(root.rglob("*_B05_20m.jp2")))
    shutil.copy(root / "MTD_MSIL2A.xml", root / "MTD_MSIL1C.xml")
    with pytest.raises(ProductError, match=r"holds several product metadata files: MTD_MSIL1C.xml, MTD_MSIL2A.xml"):
        xr_s2sr.open_safe(root)


def test_broken_zips(make: Callable[..., Path], tmp_path: Path) -> None:
    root = make()
    archive = zipped(root, tmp_path / "whole.zip")
    (tmp_path / "half.zip").write_bytes(archive.read_bytes()[:5000])
    with pytest.raises(ProductError, match=r"half.zip is not a readable zip: .*; expected the zip of a SAFE product"):
        xr_s2sr.open_safe(tmp_path / "half.zip")
    damaged = bytearray(archive.read_bytes())
    at = damaged.index(b"<n1:Level-2A_User_Product")
    damaged[at : at + 30] = b"?" * 30
    (tmp_path / "damaged.zip").write_bytes(damaged)
    with pytest.raises(ProductError, match=r"damaged.zip is not a readable zip: Bad CRC-32"):
        xr_s2sr.open_safe(tmp_path / "damaged.zip")
    other = root.with_name("other.SAFE")
    root.rename(other)
    with zipfile.ZipFile(archive, "a") as both:
        both.write(other / "MTD_MSIL2A.xml", "other.SAFE/MTD_MSIL2A.xml")
    with pytest.raises(ProductError, match=rf"holds the products {root.name}, other.SAFE; .*Open one: open_safe"):
        xr_s2sr.open_safe(archive)
    assert "B05" in xr_s2sr.open_safe(archive / root.name)


def test_a_bomb_is_not_unpacked(make: Callable[..., Path], tmp_path: Path) -> None:
    root = make()
    (root / "MTD_MSIL2A.xml").write_bytes(b" " * 70 * 2**20)
    archive = zipped(root, tmp_path / "bomb.zip", zipfile.ZIP_DEFLATED)
    with pytest.raises(
        ProductError, match=r"MTD_MSIL2A.xml in .* holds more than 64 MiB; expected metadata of about 1 MiB"
    ):
        xr_s2sr.open_safe(archive)


# real pixels


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("synthetic", {}),
        ("synthetic", {"level": "L1C", "baseline": "02.06", "offsets": {}}),
        ("terramind_38D_378R_2_3_L2A", {}),
        ("hvn2_usa", {"level": "L1C", "baseline": "02.06", "offsets": {}}),
    ],
)
def test_real_pixels(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    ds = real(name)
    if not options:  # this collection has taken the offset off
        ds = as_distributed(ds).drop_vars("B10")
    root = write_product(tmp_path, Product(ds, **options))
    opened = xr_s2sr.open_safe(root)
    for band in TWELVE:
        np.testing.assert_array_equal(opened[band], ds[band], err_msg=band)
    part = dict.fromkeys(("y", "x"), slice(120)) | dict.fromkeys(("y_20m", "x_20m"), slice(60))
    part |= dict.fromkeys(("y_60m", "x_60m"), slice(20))
    offset = -1000 if options.get("offsets", True) else 0
    sr = opened.isel(part).s2sr.upsample([*RED_EDGE, "B01", "B09"])
    expected = ds.isel(part).s2sr.upsample([*RED_EDGE, "B01", "B09"], offset=offset)
    for band in sr.data_vars:
        np.testing.assert_array_equal(sr[band], expected[band], err_msg=str(band))
        assert GSD[str(band)] > 10


def test_detector_masks_have_real_names(small: xr.Dataset) -> None:
    name = detector_mask(Product(small), "B8A")
    assert name == "GRANULE/L2A_T33UVR_A033753_20230823T095559/QI_DATA/MSK_DETFOO_B8A.jp2"


# -- images that are not what they say --------------------------------------------------------------------------------


@pytest.mark.parametrize("in_zip", [False, True])
def test_an_image_that_is_no_jpeg_2000_is_not_opened(make: Callable[..., Path], tmp_path: Path, in_zip: bool) -> None:
    """A VRT is a file of names and addresses: GDAL would read what it names."""
    root = make()
    secret = tmp_path / "secret.tif"
    image = next(root.rglob("*_B11_20m.jp2"))
    with rasterio.open(image) as source:
        with rasterio.open(secret, "w", **{**source.profile, "driver": "GTiff"}) as copy:
            copy.write(source.read())
        width, height = source.width, source.height
    image.write_text(
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><GeoTransform>0, 20, 0, 0, 0, -20</GeoTransform>'
        f'<VRTRasterBand dataType="UInt16" band="1">'
        f"<SimpleSource><SourceFilename>{secret}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with rasterio.open(image) as opened:  # GDAL by itself would
        assert opened.driver == "VRT"
    with pytest.raises(ProductError, match=r"_B11_20m\.jp2 cannot be read"):
        xr_s2sr.open_safe(zipped(root, tmp_path / "product.zip") if in_zip else root)


@pytest.mark.parametrize("in_zip", [False, True])
def test_a_mask_file_beside_an_image(make: Callable[..., Path], tmp_path: Path, in_zip: bool) -> None:
    """GDAL would open it by its content, whichever driver opens the image."""
    root = make()
    image = next(root.rglob("*_B11_20m.jp2"))
    image.with_suffix(".jp2.Msk").write_text("<VRTDataset/>")
    with pytest.raises(ProductError, match=r"holds the mask file GRANULE/.*_B11_20m\.jp2\.Msk, which ESA's products"):
        xr_s2sr.open_safe(zipped(root, tmp_path / "product.zip") if in_zip else root)


def test_an_image_of_another_tile(make: Callable[..., Path]) -> None:
    for change, message in (
        ({"crs": "EPSG:32634"}, "is in EPSG:32634; expected EPSG:32633, as the tile's metadata say"),
        ({"transform": Affine(20, 0, 300040, 0, -20, 5900040)}, r"upper left corner at 300040, 5900040 .*expected"),
    ):
        root = make()
        image = next(root.rglob("*_B11_20m.jp2"))
        with rasterio.open(image) as source:
            pixels = source.read()
            profile = {key: source.profile[key] for key in ("driver", "dtype", "width", "height", "count")}
            place = {"crs": source.crs, "transform": source.transform}
        with rasterio.open(image, "w", REVERSIBLE="YES", QUALITY="100", **profile, **{**place, **change}) as other:
            other.write(pixels)
        with pytest.raises(ProductError, match=message):
            xr_s2sr.open_safe(root)
        shutil.rmtree(root)


@pytest.mark.parametrize("year", ["3000", "0001"])
def test_a_year_that_nanoseconds_cannot_hold(make: Callable[..., Path], year: str) -> None:
    root = make()
    edited(root / "MTD_MSIL2A.xml", "<DATATAKE_SENSING_START>2023", f"<DATATAKE_SENSING_START>{year}")
    with pytest.raises(ProductError, match=f"the datatake began at '{year}-"):
        xr_s2sr.open_safe(root)


def test_odd_zips(make: Callable[..., Path], tmp_path: Path) -> None:
    root = make()
    path = zipped(root, tmp_path / "product.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../elsewhere.jp2", b"x")
    with pytest.raises(ProductError, match=r"holds '\.\./elsewhere\.jp2', which leads out of it"):
        xr_s2sr.open_safe(path)
    encrypted = bytearray(zipped(root, tmp_path / "locked.zip").read_bytes())
    at = 0
    while (at := encrypted.find(b"PK\x01\x02", at)) >= 0:  # the flag of every entry in the directory
        encrypted[at + 8] |= 1
        at += 4
    (tmp_path / "locked.zip").write_bytes(encrypted)
    with pytest.raises(ProductError, match=r"is not a readable zip: .*encrypted"):
        xr_s2sr.open_safe(tmp_path / "locked.zip")
