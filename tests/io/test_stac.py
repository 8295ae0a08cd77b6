"""STAC items beside GeoTIFFs: valid, true to the files, read by others, and never half-written."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.crs import CRS
from rasterio.warp import transform
from scenes import FINE, RED_EDGE, TWELVE, native

import xr_s2sr
from xr_s2sr import models
from xr_s2sr.cli import main
from xr_s2sr.errors import DependencyError, InputError, WriteError
from xr_s2sr.io import readable, stac
from xr_s2sr.io.write import to_cog

pystac = pytest.importorskip("pystac", reason="pystac is not installed")

WHEN = np.datetime64("2021-06-01T10:00:12.500")
AT = datetime(2021, 6, 1, 10, 0, 12, 500_000, tzinfo=UTC)


@pytest.fixture(scope="module")
def sr() -> xr.Dataset:
    ds = native((60, 72)).assign_coords(time=WHEN)
    ds.attrs |= {"platform": "Sentinel-2A", "level": "L2A", "cloud_cover": 12.5, "product": "S2A_MSIL2A_X"}
    for band in TWELVE:
        ds[band].attrs |= {"scale_factor": 1e-4, "add_offset": -0.1}
    return ds.s2sr.upsample(offset=0)


def read(path: Path) -> Any:
    """The item as pystac reads it; valid by the schema of the core, which pystac brings."""
    told = json.loads(path.read_text())
    if find_spec("jsonschema") is not None:
        pystac.Item.from_dict({**told, "stac_extensions": []}).validate()
    assert all(told["geometry"]["coordinates"])
    assert {"type", "stac_version", "id", "geometry", "bbox", "properties", "links", "assets"} <= {*told}
    return pystac.Item.from_dict(told, href=str(path))


def test_one_file(sr: xr.Dataset, tmp_path: Path) -> None:
    sr.s2sr.to_cog(tmp_path / "sr.tif", stac=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sr.json", "sr.tif"]
    item = read(tmp_path / "sr.json")
    assert item.id == "sr"
    assert item.datetime == AT
    [(key, asset)] = item.assets.items()
    assert key == "data"
    assert asset.get_absolute_href() == str(tmp_path / "sr.tif")
    assert asset.media_type == pystac.MediaType.COG
    with rasterio.open(asset.get_absolute_href()) as file:
        assert [band["name"] for band in asset.extra_fields["eo:bands"]] == list(file.descriptions)
        assert asset.extra_fields["proj:shape"] == [file.height, file.width]
        assert asset.extra_fields["proj:transform"] == list(file.transform)[:6]
        assert asset.extra_fields["proj:bbox"] == list(file.bounds)
        for k, band in enumerate(asset.extra_fields["raster:bands"]):
            assert band["data_type"] == file.dtypes[k]
            assert band["nodata"] == file.nodata
            assert (band["scale"], band["offset"]) == (file.scales[k], file.offsets[k])
            assert band["spatial_resolution"] == 10
    assert item.properties["gsd"] == 10


def test_bands_in_the_way_of_stac_1_1(sr: xr.Dataset, tmp_path: Path) -> None:
    """The same once more: readers of 1.1 look for bands, older ones for eo:bands and raster:bands."""
    sr.s2sr.to_cog(tmp_path / "sr.tif", stac=True)
    told = json.loads((tmp_path / "sr.json").read_text())
    assert told["stac_version"] == "1.1.0"
    bands = {band["name"]: band for band in told["assets"]["data"]["bands"]}
    assert list(bands) == list(sr.data_vars)
    assert bands["B05"] == {
        "name": "B05",
        "description": f"restored from 20 m by {sr.B05.attrs['s2sr_model']}",
        "data_type": "uint16",
        "nodata": 0,
        "eo:common_name": "rededge071",
        "eo:center_wavelength": 0.7041,
        "raster:spatial_resolution": 10,
        "raster:scale": 1e-4,
        "raster:offset": -0.1,
    }
    assert bands["B8A"]["eo:common_name"] == "nir08"


def test_extensions(sr: xr.Dataset, tmp_path: Path) -> None:
    """By pystac's own classes for them."""
    from pystac.extensions.eo import EOExtension
    from pystac.extensions.projection import ProjectionExtension
    from pystac.extensions.raster import RasterExtension

    sr.s2sr.to_cog(tmp_path / "sr.tif", stac=True)
    item = read(tmp_path / "sr.json")
    asset = item.assets["data"]
    assert ProjectionExtension.ext(asset).code == "EPSG:32632"
    bands = EOExtension.ext(asset).bands
    assert bands is not None
    named = {band.name: band for band in bands}
    assert named["B11"].common_name == "swir16"
    assert named["B11"].center_wavelength == 1.6137
    assert named["B11"].description == f"restored from 20 m by {sr.B11.attrs['s2sr_model']}"
    assert named["B02"].description is None
    assert EOExtension.ext(item).cloud_cover == 12.5
    raster = RasterExtension.ext(asset).bands
    assert raster is not None
    assert [band.nodata for band in raster] == [0] * 12
    assert item.properties["platform"] == "sentinel-2a"


def test_provenance(sr: xr.Dataset, tmp_path: Path) -> None:
    sr.s2sr.to_cog(tmp_path / "sr.tif", stac=True)
    told = read(tmp_path / "sr.json").properties
    twenty, sixty = (models.load(models.DEFAULTS[gsd]) for gsd in (20, 60))
    assert told["processing:software"] == {
        "xr_s2sr": xr_s2sr.__version__,
        **{m.card.name: f"{m.card.version} (sha256 {m.sha256})" for m in (sixty, twenty)},
    }
    assert told["processing:level"] == "L2A"
    assert told["processing:lineage"].startswith("From S2A_MSIL2A_X. ")
    by_name = {model["name"]: model for model in told["s2sr:models"]}
    assert by_name["s2sr-20m"] == {
        "name": "s2sr-20m",
        "version": twenty.card.version,
        "sha256": twenty.sha256,
        "bands": [band for band in sr.data_vars if band in RED_EDGE],
    }
    assert by_name["s2sr-60m"]["bands"] == ["B01", "B09"]


def test_interpolated_bands(tmp_path: Path) -> None:
    out = native((60, 60)).s2sr.upsample("B05", model="bicubic")
    out.s2sr.to_cog(tmp_path / "sr.tif", stac="2021-06-01T10:00:00Z")
    told = read(tmp_path / "sr.json").properties
    assert told["processing:software"]["bicubic"] == "1"
    assert told["s2sr:models"] == [{"name": "bicubic", "version": "1", "bands": ["B05"]}]
    assert "platform" not in told


def test_a_folder_at_20_m(tmp_path: Path) -> None:
    ds = native((60, 60)).assign_coords(time=WHEN)
    ds["SCL"] = (ds.B05.dims, np.full(ds.B05.shape, 4, "uint8"), {"long_name": "scene classification"})
    out = ds.s2sr.upsample(resolution=20, uncertainty=True)
    out.s2sr.to_cog(tmp_path / "sr", stac=True)
    item = read(tmp_path / "sr" / "sr.json")
    assert {*item.assets} == {*TWELVE, "SCL", "B01_uncertainty", "B09_uncertainty"}
    for key, asset in item.assets.items():
        assert Path(asset.get_absolute_href()) == tmp_path / "sr" / f"{key}.tif"
        [band] = asset.extra_fields["raster:bands"]
        with rasterio.open(asset.get_absolute_href()) as file:
            assert band["data_type"] == file.dtypes[0]
            assert band["nodata"] == ("nan" if np.isnan(file.nodata) else file.nodata)
            assert asset.extra_fields["proj:transform"] == list(file.transform)[:6]
    assert item.properties["gsd"] == 20
    assert item.assets["SCL"].extra_fields["eo:bands"] == [{"name": "SCL", "description": "scene classification"}]
    assert "scale" not in item.assets["B02"].extra_fields["raster:bands"][0]
    assert [m["bands"] for m in item.properties["s2sr:models"]] == [["B01", "B09"]]


@pytest.mark.filterwarnings("ignore:The 'shapely.ops:DeprecationWarning")
@pytest.mark.parametrize("name", ["sr.tif", "sr"])
def test_others_read_the_same_pixels(sr: xr.Dataset, name: str, tmp_path: Path) -> None:
    odc_stac = pytest.importorskip("odc.stac", reason="odc-stac is not installed")
    sr.s2sr.to_cog(tmp_path / name, stac=True)
    item = read(tmp_path / ("sr.json" if name == "sr.tif" else "sr/sr.json"))
    back = odc_stac.load([item], bands=["B02", "B11"])
    for band in ("B02", "B11"):
        np.testing.assert_array_equal(back[band][0], sr[band])
        np.testing.assert_array_equal(back.x, sr.x)
    if name == "sr":
        stackstac = pytest.importorskip("stackstac", reason="stackstac is not installed")
        for asset in item.make_asset_hrefs_absolute().assets.values():
            asset.extra_fields["proj:epsg"] = 32632  # stackstac does not know proj:code
        settings = {"xy_coords": "center", "rescale": False, "dtype": "uint16", "fill_value": np.uint16(0)}
        again = stackstac.stack([item], assets=["B11"], **settings)
        np.testing.assert_array_equal(again[0, 0].sel(y=sr.y, x=sr.x), sr.B11)  # it adds a border


def test_items_are_a_table_in_geoparquet(sr: xr.Dataset, tmp_path: Path) -> None:
    table = pytest.importorskip("stac_geoparquet.arrow", reason="stac-geoparquet is not installed")
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    names = ["first", "second"]
    for name in names:
        sr.s2sr.to_cog(tmp_path / name, stac=True)
    items = [read(tmp_path / name / f"{name}.json").make_asset_hrefs_absolute().to_dict() for name in names]
    table.to_parquet(table.parse_stac_items_to_arrow(items), tmp_path / "table.parquet")
    rows = parquet.read_table(tmp_path / "table.parquet")
    assert b"geo" in rows.schema.metadata
    for item, row in zip(items, rows.to_pylist(), strict=True):
        assert (row["id"], row["s2sr:models"]) == (item["id"], item["properties"]["s2sr:models"])
        assert [row["bbox"][side] for side in ("xmin", "ymin", "xmax", "ymax")] == pytest.approx(item["bbox"])
        assert Path(row["assets"]["B11"]["href"]).is_file()


# -- place and time ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("epsg", "left", "bottom"), [(32633, 399_960, 5_490_240), (32756, 300_000, 6_190_240)])
def test_the_footprint_holds_the_pixels_and_little_more(epsg: int, left: float, bottom: float) -> None:
    shapely = pytest.importorskip("shapely", reason="shapely is not installed")
    geometry, box = stac.footprint(CRS.from_epsg(epsg), (left, bottom, left + 109_800, bottom + 109_800))
    polygon = shapely.geometry.shape(geometry)
    assert polygon.is_valid
    assert polygon.exterior.is_ccw
    assert polygon.bounds == tuple(box)
    rng = np.random.default_rng(0)
    x, y = left + rng.uniform(0, 109_800, 500), bottom + rng.uniform(0, 109_800, 500)
    points = shapely.points(*transform(CRS.from_epsg(epsg), "EPSG:4326", x, y))
    assert float(shapely.distance(polygon, points).max()) < 1e-5  # a metre, between the points of an edge
    lon, lat = np.array(polygon.exterior.coords).T
    back = np.array(transform("EPSG:4326", CRS.from_epsg(epsg), lon, lat))
    assert back.min(1) == pytest.approx([left, bottom], abs=0.1)
    assert back.max(1) == pytest.approx([left + 109_800, bottom + 109_800], abs=0.1)


def test_a_footprint_across_180_degrees() -> None:
    """Tile 01KAB near Fiji: two parts, and a box from west to east of the line."""
    crs = CRS.from_epsg(32701)
    x, _ = transform("EPSG:4326", crs, [180], [-17.0])
    left, bottom = round(x[0]) - 50_000, 8_090_200
    geometry, (west, south, east, north) = stac.footprint(crs, (left, bottom, left + 109_800, bottom + 109_800))
    assert geometry["type"] == "MultiPolygon"
    one, other = (np.array(part[0]) for part in geometry["coordinates"])
    assert one[:, 0].max() == 180
    assert other[:, 0].min() == -180
    assert 179 < west == one[:, 0].min() < 180
    assert -180 < east == other[:, 0].max() < -179
    assert (south, north) == (min(one[:, 1].min(), other[:, 1].min()), max(one[:, 1].max(), other[:, 1].max()))
    for ring in (one, other):
        assert (ring[0] == ring[-1]).all()

    def area(ring: np.ndarray) -> float:
        return float(np.sum(ring[:-1, 0] * ring[1:, 1] - ring[1:, 0] * ring[:-1, 1]) / 2)

    whole = area(
        np.array(stac.footprint(crs, (left + 200_000, bottom, left + 309_800, bottom + 109_800))[0]["coordinates"][0])
    )
    assert area(one) > 0 < area(other)  # counterclockwise
    assert area(one) + area(other) == pytest.approx(whole, rel=0.01)


@pytest.mark.parametrize(
    ("coords", "attrs", "when"),
    [
        ({"time": WHEN}, {}, None),
        ({"acquired": WHEN, "number": 3}, {}, None),
        ({"time": np.datetime64("NaT", "ns")}, {"datetime": "2021-06-01T12:00:12.5+02:00"}, None),
        ({}, {"time_coverage_start": "2021-06-01T10:00:12.5"}, None),
        ({"time": np.datetime64("2020-01-01")}, {}, "2021-06-01T10:00:12.5Z"),
    ],
)
def test_the_time(coords: dict[str, Any], attrs: dict[str, Any], when: str | None) -> None:
    assert stac.acquired(xr.Dataset(coords=coords, attrs=attrs), when) == AT


def test_without_a_time_or_place(sr: xr.Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing says when the scene was taken.*assign_coords\(time=np.datetime64"):
        sr.drop_vars("time").s2sr.to_cog(tmp_path / "sr.tif", stac=True)
    with pytest.raises(InputError, match="'soon' is not a date and time"):
        sr.s2sr.to_cog(tmp_path / "sr.tif", stac="soon")
    with pytest.raises(InputError, match=r"has no CRS.*write_crs"):
        native((60, 60), FINE, crs=None).s2sr.to_cog(tmp_path / "sr.tif", stac="2021-06-01")
    assert not list(tmp_path.iterdir())


def test_without_pystac(sr: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pystac", None)
    with pytest.raises(DependencyError, match=r"needs pystac. Install it: pip install pystac"):
        sr.s2sr.to_cog(tmp_path / "sr.tif", stac=True)
    sr.s2sr.to_cog(tmp_path / "sr.tif")
    assert [path.name for path in tmp_path.iterdir()] == ["sr.tif"]


# -- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["a.tif", "A"])  # whose item comes first by name
def test_the_item_is_put_in_place_last(
    sr: xr.Dataset, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupt before that leaves the old item, whole, or none."""
    placed: list[str] = []
    replace = Path.replace

    def stopped(self: Path, target: Path) -> Path:
        if not self.parent.name.startswith("old."):
            placed.append(target.name)
            if target.suffix == ".json" and interrupt:
                raise KeyboardInterrupt("before the item")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", stopped)
    path = tmp_path / ("a.json" if form == "a.tif" else "A/A.json")
    some, interrupt = sr[["B02", "B11"]], True
    with pytest.raises(KeyboardInterrupt, match="before the item"):
        some.s2sr.to_cog(tmp_path / form, stac=True)
    assert placed == (["a.tif", "a.json"] if form == "a.tif" else ["B02.tif", "B11.tif", "A.json"])
    assert not path.exists()
    interrupt = False
    some.s2sr.to_cog(tmp_path / form, stac=True)
    before = path.read_bytes()
    interrupt = True
    with pytest.raises(KeyboardInterrupt, match="before the item"):
        some.s2sr.to_cog(tmp_path / form, stac="2030-01-01")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_an_item_cut_short_is_not_put_in_place(sr: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check = readable.check

    def cut(part: Path) -> None:
        if part.suffix == ".json":
            os.truncate(part, part.stat().st_size - 3)
        check(part)

    monkeypatch.setattr(readable, "check", cut)
    with pytest.raises(WriteError, match=r"sr.json is truncated"):
        sr.s2sr.to_cog(tmp_path / "sr.tif", stac=True)
    assert not list(tmp_path.iterdir())


def test_a_folder_in_its_place(sr: xr.Dataset, tmp_path: Path) -> None:
    (tmp_path / "sr.json").mkdir()
    with pytest.raises(InputError, match=r"sr.json is a folder, expected a file"):
        sr.s2sr.to_cog(tmp_path / "sr.tif", stac=True)
    assert not (tmp_path / "sr.tif").exists()


def test_links_are_followed(sr: xr.Dataset, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "sr.tif").symlink_to(tmp_path / "real" / "a.tif")
    to_cog(sr, tmp_path / "sr.tif", stac=True)
    item = read(tmp_path / "real" / "a.json")
    assert item.id == "a"
    assert item.assets["data"].get_absolute_href() == str(tmp_path / "real" / "a.tif")


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = xr_s2sr.tutorial.synthetic_scene(60)[0]
    scene.assign_coords(time=WHEN).to_netcdf(tmp_path / "dated.nc")
    scene.to_netcdf(tmp_path / "scene.nc")
    out = ["-o", str(tmp_path / "sr.tif"), "--bands", "B11"]
    assert main(["upsample", str(tmp_path / "dated.nc"), *out, "--stac"]) == 0
    assert read(tmp_path / "sr.json").datetime == AT
    assert main(["upsample", str(tmp_path / "scene.nc"), *out, "--stac"]) == 1
    said = capsys.readouterr().err
    assert "nothing says when" in said
    assert said.rstrip().endswith("or say it: --stac 2024-06-01T10:00:00Z")
    assert main(["upsample", str(tmp_path / "scene.nc"), *out, "--stac", "2023-05-01"]) == 0
    assert read(tmp_path / "sr.json").datetime == datetime(2023, 5, 1, tzinfo=UTC)
    assert main(["upsample", str(tmp_path / "dated.nc"), "-o", str(tmp_path / "sr.zarr"), "--stac"]) == 1
    assert "describes GeoTIFFs, not sr.zarr" in capsys.readouterr().err
