"""Lines that errors and warnings offer: each is run as it stands, and must lead to the right numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rioxarray
import xarray as xr
from eopf_products import product
from holders import at_10_m, stac_item, stacked, write_geotiff
from scenes import FINE, RED_EDGE, SIXTY, TWELVE, cube, native

import xr_s2sr
from xr_s2sr.errors import BandError, GridError, InputError, S2SRWarning

pytestmark = pytest.mark.usefixtures("small_defaults")

CUBIC = {"model": "bicubic"}
COARSE = (*RED_EDGE, *SIXTY)


def after(text: str, line: str, **names: Any) -> dict[str, Any]:
    """The names that there are once the line of a message has been run."""
    assert line in text
    space = {"xr": xr, "np": np, "xr_s2sr": xr_s2sr, **names}
    exec(line, space)
    return space


def line_of(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    assert found, text
    return found[0]


def equal(sr: xr.Dataset, scene: xr.Dataset, bands: Iterable[str] = COARSE) -> None:
    expected = scene.s2sr.upsample(**CUBIC)
    for band in bands:
        np.testing.assert_array_equal(sr[band].squeeze(), expected[band], err_msg=band)


@pytest.fixture(scope="module")
def scene() -> xr.Dataset:
    return native((60, 72))


# -- loads ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Two items of neighbouring zones, as at their border."""
    pytest.importorskip("odc.stac", reason="odc-stac is not installed")
    folder = tmp_path_factory.mktemp("items")
    scene = native((60, 72))
    return [
        stac_item(folder / str(zone), scene.rio.write_crs(32600 + zone), f"2021-06-0{zone % 10}T10:00:00Z")
        for zone in (33, 32)
    ]


ELSEWHERE = [
    ({"resolution": 10, "crs": "EPSG:32632"}, {}),
    ({"resolution": 10, "crs": "EPSG:3857"}, {}),
    ({"resolution": 10, "crs": "EPSG:3857"}, {"chunks": {}}),
    ({"resolution": 0.0001, "crs": "EPSG:4326"}, {}),
    ({"resolution": 30}, {}),
    ({"resolution": 10, "resampling": "bilinear"}, {}),
]


@pytest.mark.parametrize(("said", "lazy"), ELSEWHERE, ids=str)
@pytest.mark.filterwarnings("ignore:The 'shapely.ops:DeprecationWarning")
def test_a_load_elsewhere(items: list[Any], scene: xr.Dataset, said: dict[str, Any], lazy: dict[str, Any]) -> None:
    """Reprojected, in degrees or at 30 m: the line loads one zone, in that zone."""
    import odc.stac

    cube = odc.stac.load(items[:1], bands=list(TWELVE), **said, **lazy)
    with pytest.raises(GridError, match=r"odc.stac.load\(items, bands=") as refused:
        cube.s2sr.upsample(**CUBIC)
    text = str(refused.value)
    assert "write_crs" not in text
    line = line_of(text, r"items = \[.*?\]; odc.stac.load\(.*?\)")
    names = re.search(r"bands=\[(.*?)\]", line)
    if names is None:
        space = after(text, line, items=items, odc=odc, bands=list(TWELVE))
        ds = odc.stac.load(space["items"], bands=list(TWELVE), resolution=10)
    else:
        loads = []
        for gsd, bands in ((10, FINE), (20, RED_EDGE), (60, SIXTY)):
            each = re.sub(r"bands=\[.*?\], resolution=\d+", f"bands={list(bands)}, resolution={gsd}", line)
            each = each.replace("odc.stac.load", "ds = odc.stac.load")
            loads.append(after(each, each, items=items, odc=odc)["ds"])
        ds = xr_s2sr.combine(*loads)
    equal(ds.s2sr.upsample(**CUBIC), scene)


@pytest.mark.filterwarnings("ignore:The 'shapely.ops:DeprecationWarning")
def test_each_resolution_elsewhere(items: list[Any], scene: xr.Dataset) -> None:
    """Grids that nest, in a CRS without tiles: a warning; and two zones are refused."""
    import odc.stac

    loads = [
        odc.stac.load(items[:1], bands=list(bands), resolution=gsd, crs="EPSG:3035", anchor="edge")
        for gsd, bands in ((10, FINE), (20, RED_EDGE))
    ]
    ds = xr_s2sr.combine(*loads)
    with pytest.warns(S2SRWarning, match="the scene is in EPSG:3035, to which .* were resampled") as said:
        ds.s2sr.upsample("B05", **CUBIC)
    text = next(str(w.message) for w in said if "EPSG:3035" in str(w.message))
    line = line_of(text, r"items = \[.*?\]; odc.stac.load\(.*?\)").replace("odc.stac.load", "ds = odc.stac.load")
    cube = after(line, line, items=items, odc=odc, bands=list(TWELVE))["ds"]
    equal(cube.s2sr.upsample(**CUBIC), scene)

    ds10 = odc.stac.load(items[:1], bands=list(FINE), resolution=10, crs="EPSG:32632")
    ds20 = odc.stac.load(items[:1], bands=list(RED_EDGE), resolution=20)
    with pytest.raises(GridError, match="expected one CRS") as refused:
        xr_s2sr.combine(ds10, ds20)
    line = line_of(str(refused.value), r"items = \[.*?\]; odc.stac.load\(.*?\)$").replace("odc.stac", "ds = odc.stac")
    assert line.endswith("resolution=10)")
    again = {}
    for gsd, bands in ((10, FINE), (20, RED_EDGE), (60, SIXTY)):
        space = {"items": items, "odc": odc, "bands": list(bands)}
        exec(line.replace("resolution=10", f"resolution={gsd}"), space)
        again[gsd] = space["ds"]
    equal(xr_s2sr.combine(*again.values()).s2sr.upsample(**CUBIC), scene)


@pytest.mark.filterwarnings("ignore:The 'shapely.ops:DeprecationWarning")
def test_versions_of_a_band(items: list[Any], scene: xr.Dataset) -> None:
    """B01_20m was resampled; at 60 m it is not the native band, and at 20 m not copies of it."""
    from scipy.ndimage import zoom

    twenty = scene.B05.copy(data=zoom(scene.B01, 3, order=1).astype("uint16"))
    ds = scene.drop_vars("B01").assign(B01_20m=twenty)
    with pytest.raises(GridError, match=r'odc.stac.load\(items, bands=\["B01_60m"\], resolution=60\)'):
        ds.s2sr.upsample("B01", **CUBIC)
    at_60 = scene.drop_vars("B01").assign(B01_20m=scene.B01)
    with pytest.raises(GridError, match=r"20 m version of B01 .* on 60 m pixels.*\[\"B01_60m\"\]") as refused:
        at_60.s2sr.upsample("B01", **CUBIC)
    text = str(refused.value)
    equal(after(text, line_of(text, r"ds = ds.rename\(.*\)$"), ds=at_60)["ds"].s2sr.upsample(**CUBIC), scene)
    half = at_10_m(scene).rename(B02="B02_20m")
    with pytest.raises(GridError, match=r"'B02_20m' is the 20 m version of B02.* on 10 m pixels.*\[\"B02_10m\"\]"):
        half.s2sr.upsample(**CUBIC)
    copies = at_10_m(scene).rename(B05="B05_10m")  # exact copies, whatever their name
    np.testing.assert_array_equal(copies.s2sr.upsample(**CUBIC).B05_10m, scene.s2sr.upsample(**CUBIC).B05)


@pytest.mark.parametrize("order", [("B01_60m", "B01_20m"), ("B01_20m", "B01_60m")])
def test_the_native_version_is_kept(scene: xr.Dataset, order: tuple[str, str]) -> None:
    both = {"B01_60m": scene.B01, "B01_20m": scene.B05}
    ds = scene.drop_vars("B01").assign({name: both[name] for name in order})
    with pytest.raises(BandError, match=r"are band B01. Keep one: ds = ds.drop_vars\('B01_20m'\)") as refused:
        ds.s2sr.upsample(**CUBIC)
    line = line_of(str(refused.value), r"ds = ds.drop_vars\(.*?\)")
    sr = after(str(refused.value), line, ds=ds)["ds"].s2sr.upsample(**CUBIC)
    np.testing.assert_array_equal(sr.B01_60m, scene.s2sr.upsample(**CUBIC).B01)


def test_an_eopf_product_in_analysis_mode(scene: xr.Dataset, tmp_path: Path) -> None:
    """All bands interpolated to 10 m: the product itself is opened instead."""
    pytest.importorskip("zarr", reason="zarr is not installed")
    tree = product(scene)
    path = tmp_path / "product.zarr"
    tree.to_zarr(path, zarr_format=2)
    fine = tree["/measurements/reflectance/r10m"].to_dataset()
    half = tree["/measurements/reflectance/r20m"].to_dataset()
    ds = fine.assign({b.lower(): half[b.lower()].interp(x=fine.x, y=fine.y) for b in RED_EDGE})
    with pytest.raises(GridError, match=r"these were interpolated\. Open the product as it is") as refused:
        ds.s2sr.upsample(units="dn", **CUBIC)
    text = str(refused.value)
    dt = after(text, line_of(text, r"ds = xr.open_datatree\(.*?\)"), path=path)["ds"]
    sr = dt.s2sr.upsample(**CUBIC).rename({band.lower(): band for band in TWELVE})
    equal(sr, scene)
    dt.close()


# -- coordinates ---------------------------------------------------------------------------------------------------


def flat(scene: xr.Dataset) -> list[xr.Dataset]:
    """Loads of one resolution each, on (y, x)."""
    parts = ("", FINE), ("_20m", RED_EDGE), ("_60m", SIXTY)
    return [scene[list(bands)].rename({f"{dim}{end}": dim for dim in "yx" if end}) for end, bands in parts]


def test_merged_grids(scene: xr.Dataset) -> None:
    ds10, ds20, ds60 = flat(scene)
    ds = xr.merge([ds10, ds20, ds60], join="outer", compat="override")
    with pytest.raises(GridError, match="pixels of several resolutions that were merged") as refused:
        ds.s2sr.upsample(**CUBIC)
    text = str(refused.value)
    assert "sortby" not in text
    line = line_of(text, r"ds = xr_s2sr.combine\(.*?\)")
    equal(after(text, line, ds10=ds10, ds20=ds20, ds60=ds60)["ds"].s2sr.upsample(**CUBIC), scene)


DISORDER = {
    "out of order": (lambda ds: ds.isel(y=np.roll(np.arange(60), 7)), r"ds = ds.sortby\(.*?\)"),
    "twice": (lambda ds: ds.isel(y=[*range(60), *range(5)]), r"ds = ds.drop_duplicates\(.*?\).sortby\(.*?\)"),
    "rounded": (lambda ds: ds.assign_coords(y=ds.y + np.linspace(0, 1, 60) ** 9), r"ds = ds.assign_coords\(.*\)\}\)"),
}


@pytest.mark.parametrize("name", DISORDER)
def test_coordinates_in_disorder(scene: xr.Dataset, name: str) -> None:
    change, pattern = DISORDER[name]
    ds = change(scene)
    with pytest.raises(GridError, match="'y' is not equally spaced") as refused:
        ds.s2sr.upsample("B05", **CUBIC)
    fixed = after(str(refused.value), line_of(str(refused.value), pattern), ds=ds)["ds"]
    if name == "rounded":  # that the pixels are evenly spaced is for the user to say
        assert np.ptp(np.diff(fixed.y)) < 1e-6
        return
    fixed = fixed.sortby("y", ascending=False)
    np.testing.assert_array_equal(fixed.s2sr.upsample("B05", **CUBIC).B05, scene.s2sr.upsample("B05", **CUBIC).B05)


def test_a_gap(scene: xr.Dataset) -> None:
    ds = scene.isel(x=[*range(12), *range(24, 72)])
    with pytest.raises(GridError, match=r"'x' is not equally spaced .*Some pixels are missing") as refused:
        ds.s2sr.upsample("B05", **CUBIC)
    fixed = after(str(refused.value), line_of(str(refused.value), r"ds = ds.isel\(.*\)\}\)"), ds=ds)["ds"]
    sr = fixed.s2sr.upsample("B05", **CUBIC)
    whole = scene.s2sr.upsample("B05", **CUBIC)
    np.testing.assert_array_equal(sr.B05[:, 12:], whole.B05.sel(x=sr.x)[:, 12:])


# -- bands ---------------------------------------------------------------------------------------------------------


def test_no_10_m_band_or_one_too_few(scene: xr.Dataset) -> None:
    with pytest.raises(BandError, match="missing B02, B03, B04, B08") as refused:
        scene.drop_vars(FINE).s2sr.upsample()
    assert "bicubic" not in str(refused.value)
    ds = scene.drop_vars("B08")
    with pytest.raises(BandError, match=r"missing B08, which .*'s2sr-60m' needs.* and .*'s2sr-20m' needs") as refused:
        ds.s2sr.upsample()
    call = line_of(str(refused.value), r'upsample\(model="bicubic"\)')
    equal(eval(f"ds.s2sr.{call}", {"ds": ds}), scene)


def test_true_colour(scene: xr.Dataset, tmp_path: Path) -> None:
    """The subdataset of true colour has bands of the same descriptions, in 8 bits."""
    paths = [
        write_geotiff(tmp_path / f"{bands[0]}.tif", *(scene[b] for b in bands), descriptions=bands)
        for bands in (FINE, RED_EDGE, SIXTY)
    ]
    tci = [(scene[b] // 16).astype("uint8") for b in ("B04", "B03", "B02")]
    paths.append(write_geotiff(tmp_path / "tci.tif", *tci, descriptions=("B04", "B03", "B02"), crs=32632))
    opened = [rioxarray.open_rasterio(path) for path in paths]
    with pytest.raises(BandError, match=r"comes twice on 10 m pixels .*true colour \(TCI\)") as refused:
        xr_s2sr.combine(*opened)
    text = str(refused.value)
    ds = after(text, line_of(text, r"ds = xr_s2sr.combine\(.*\)$"), opened=opened)["ds"]
    equal(ds.s2sr.upsample(**CUBIC), scene)
    for file in opened:
        file.close()


def test_numbered_variables_of_an_array(scene: xr.Dataset, tmp_path: Path) -> None:
    cube = at_10_m(scene)
    path = write_geotiff(tmp_path / "all.tif", *(cube[b] for b in TWELVE), descriptions=TWELVE)
    with rioxarray.open_rasterio(path) as da:
        ds = da.to_dataset("band")
        with pytest.raises(BandError, match=r"among the variables \(1, 2, 3") as refused:
            ds.s2sr.upsample(**CUBIC)
        text = str(refused.value)
        line = line_of(text, r"ds = xr_s2sr.combine\(da\)")
        equal(after(text, line, da=da)["ds"].s2sr.upsample(**CUBIC), scene)


def test_errors_of_an_array_in_uint16(scene: xr.Dataset) -> None:
    da = stacked(at_10_m(scene))
    with pytest.raises(InputError, match="for one variable a band") as refused:
        da.s2sr.upsample("B05", uncertainty="uint16")
    line = line_of(str(refused.value), r"xr_s2sr.combine\(da\).s2sr.upsample\(.*\)$")
    sr = (
        after(str(refused.value), line.join(("", "")), da=da)["xr_s2sr"]
        .combine(da)
        .s2sr.upsample("B05", uncertainty="uint16")
    )
    expected = scene.s2sr.upsample("B05", uncertainty="uint16")
    np.testing.assert_array_equal(sr.B05_uncertainty, expected.B05_uncertainty)
    assert sr.B05_uncertainty.dtype == "uint16"


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("form", [at_10_m, lambda ds: ds], ids=["copies", "native"])
def test_unknown_names(scene: xr.Dataset, form: Any, lazy: bool) -> None:
    ds = form(scene).rename(B05="VEGETATION_RED_EDGE_1", B11="band_11", B01="Coastal_Aerosol_443")
    ds = ds.chunk() if lazy else ds
    assert "band_11" in str(ds.s2sr.validate())
    with pytest.warns(S2SRWarning, match=r"VEGETATION_RED_EDGE_1, band_11.*Name the bands among them") as said:
        ds.s2sr.upsample(**CUBIC)
    text = next(str(w.message) for w in said if "band_11" in str(w.message))
    fixed = after(text, line_of(text, r"ds = ds.rename\(.*\)$"), ds=ds)["ds"]
    equal(fixed.s2sr.upsample(**CUBIC), scene)


@pytest.mark.parametrize("name", ["x1", "rededge", "Reflectance 705"])
def test_copies_of_coarse_pixels_are_noticed_whatever_their_name(scene: xr.Dataset, name: str) -> None:
    with pytest.warns(S2SRWarning, match=f"passed through as they are, .*: {name}. Name the bands"):
        at_10_m(scene).rename(B05=name).s2sr.upsample(**CUBIC)
    with pytest.warns(S2SRWarning, match=rf"passed through as they are, .*: {name}. .*assign_coords\(band="):
        stacked(at_10_m(scene).rename(B05=name)).s2sr.upsample(**CUBIC)


@pytest.mark.filterwarnings("error")
def test_what_is_no_band_is_no_reason_to_warn(scene: xr.Dataset) -> None:
    cube = at_10_m(scene)
    classes = (cube.B05 // 400).rename("scl")
    others = {"SCL": classes, "types": classes, "AOT": cube.B05, "cloud_prob_b8": cube.B05, "ndvi": cube.B05 / 4e3}
    sr = cube.assign(**others, fine=cube.B02, flat=cube.B02 * 0 + 5).s2sr.upsample(["B05", "B06"], **CUBIC)
    assert list(sr) == ["B05", "B06"]
    assert set(cube.assign(**others, fine=cube.B02).s2sr.upsample(**CUBIC)) == {*cube, *others, "fine"}


def test_offsets_by_date_where_nothing_says_them() -> None:
    ds = cube()
    with pytest.warns(S2SRWarning, match="nothing says the offset") as said:
        ds.s2sr.upsample("B05", **CUBIC)
    line = line_of(str(said[0].message), r"upsample\(offset=xr.where\(.*\)$")
    sr = eval(f"ds.s2sr.{line}", {"xr": xr, "np": np, "ds": ds})
    known = cube(["02.14", "04.00", "05.09"]).s2sr.upsample()
    np.testing.assert_array_equal(sr.B05, known.B05)
