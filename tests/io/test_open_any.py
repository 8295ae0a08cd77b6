"""open_any and `xr-s2sr info`: every kind of scene on disk that the command line takes."""

from __future__ import annotations

import json
import os
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import rioxarray  # noqa: F401  (registers .rio)
import xarray as xr
from affine import Affine
from rasterio.vrt import WarpedVRT
from safe_products import EPSG, Product, corner, write_jp2, write_product, zipped
from scenes import DIMS, FINE, GSD, TWELVE

import xr_s2sr
from xr_s2sr import cli
from xr_s2sr.errors import BandError, GridError, InputError, ProductError, S2SRWarning
from xr_s2sr.io.open_any import open_any


@pytest.fixture(scope="module")
def scene() -> xr.Dataset:
    """DN + 1000 where valid, as from baseline 04.00 on."""
    ds = xr_s2sr.tutorial.synthetic_scene(60)[0]
    for variable in ds.data_vars.values():
        variable.values[:] = np.where(variable.values > 0, variable.values + 1000, 0)
    return ds


def write_tif(path: Path, band: xr.DataArray, scene: xr.Dataset, gsd: int, **options: Any) -> None:
    left, top = corner(scene)
    place = {"crs": f"EPSG:{EPSG}", "transform": Affine(gsd, 0, left, 0, -gsd, top), "nodata": 0} | options
    rows, cols = band.shape
    with rasterio.open(path, "w", "GTiff", width=cols, height=rows, count=1, dtype="uint16", **place) as file:
        file.write(band.values, 1)
        file.scales, file.offsets = (1e-4,), (-0.1,)


@pytest.fixture
def folder(tmp_path: Path, scene: xr.Dataset) -> Path:
    """GeoTIFFs with their scale and offset, as one would cut them from a product."""
    path = tmp_path / "scene"
    path.mkdir()
    for band in TWELVE:
        write_tif(path / f"T33UVR_20200101T100000_{band}_{GSD[band]}m.tif", scene[band], scene, GSD[band])
    return path


def assert_scene(ds: xr.Dataset, scene: xr.Dataset, bands: tuple[str, ...] = TWELVE) -> None:
    for band in bands:
        np.testing.assert_array_equal(ds[band], scene[band], err_msg=band)
        np.testing.assert_array_equal(ds[ds[band].dims[0]], scene[scene[band].dims[0]])
        np.testing.assert_array_equal(ds[ds[band].dims[1]], scene[scene[band].dims[1]])
    assert ds.rio.crs.to_epsg() == EPSG


# folders of files


def test_geotiffs_by_band(folder: Path, scene: xr.Dataset) -> None:
    ds = open_any(folder)
    assert list(ds.data_vars) == sorted(TWELVE)
    assert_scene(ds, scene)
    assert all(ds[band].dims == DIMS[GSD[band]] for band in TWELVE)
    assert ds.rio.transform() == scene.B02.rio.transform()
    held = ds.s2sr.validate().info.bands
    assert {(h.radiometry.scale, h.radiometry.offset, h.radiometry.nodata) for h in held.values()} == {(1e-4, -0.1, 0)}
    expected = scene.s2sr.upsample(["B05", "B01"], offset=-1000)
    sr = ds.s2sr.upsample(["B05", "B01"])
    for band in sr.data_vars:
        np.testing.assert_array_equal(sr[band], expected[band])


@pytest.mark.parametrize("name", ["{}.tif", "{}_{}m.TIF", "S2A-{}-{}m.tiff", "x.{}.tif", "2020_{}_sr.tif"])
def test_names_of_files(name: str, tmp_path: Path, scene: xr.Dataset) -> None:
    for band in ("B02", "B03", "B04", "B08", "B8A"):
        write_tif(tmp_path / name.format(band, GSD[band]), scene[band], scene, GSD[band])
    (tmp_path / "readme.txt").write_text("B05")
    write_tif(tmp_path / "B08_over_B04.tif", scene.B02, scene, 10)  # two bands are none
    write_tif(tmp_path / "preview.tif", scene.B02, scene, 10)
    write_tif(tmp_path / "MSK_DETFOO_B05.tif", scene.B05, scene, 20)  # a mask that is named by its band
    ds = open_any(tmp_path)
    assert set(ds.data_vars) == {*FINE, "B8A"}
    assert_scene(ds, scene, (*FINE, "B8A"))


def test_common_names_of_files(tmp_path: Path, scene: xr.Dataset) -> None:
    for name, band in {"blue": "B02", "green": "B03", "red": "B04", "nir": "B08", "swir16": "B11"}.items():
        write_tif(tmp_path / f"{name}.tif", scene[band], scene, GSD[band])
    assert_scene(open_any(tmp_path), scene, (*FINE, "B11"))


def test_copies_at_other_resolutions_are_ignored(tmp_path: Path, scene: xr.Dataset) -> None:
    """The images of a level 2A product, all in one folder; JP2."""
    for band in TWELVE:
        for gsd in (10, 20, 60):
            if gsd >= GSD[band] or band == "B01":
                native = gsd == GSD[band]
                shape = (600 // gsd, 600 // gsd)
                pixels = scene[band].values if native else np.full(shape, 7, np.uint16)
                write_jp2(tmp_path / f"T33UVR_20200101T100000_{band}_{gsd}m.jp2", pixels, gsd, scene)
    for gsd in (20, 60):
        write_jp2(tmp_path / f"T33UVR_SCL_{gsd}m.jp2", np.full((600 // gsd,) * 2, gsd, np.uint8), gsd, scene)
    ds = open_any(tmp_path)
    assert_scene(ds, scene)
    assert ds.SCL.dims == DIMS[20]
    assert (ds.SCL == 20).all()


def test_a_folder_without_native_pixels_is_told(folder: Path, scene: xr.Dataset) -> None:
    (folder / "T33UVR_20200101T100000_B05_20m.tif").unlink()
    write_tif(folder / "B05_60m.tif", scene.B01, scene, 60)
    problems = open_any(folder).s2sr.validate().problems
    assert "'B05' is a 20 m band with a spacing of 60" in str(problems[0])


def test_harmonised_landsat_sentinel_is_refused(tmp_path: Path, scene: xr.Dataset) -> None:
    for band in (*FINE, "B05"):
        write_tif(tmp_path / f"HLS.S30.T33UVR.2020001T100000.v2.0.{band}.tif", scene.B05, scene, 30)
    ds = open_any(tmp_path)
    assert set(ds.data_vars) == {*FINE, "B05"}
    with pytest.raises(GridError, match="is a 10 m band with a spacing of 30"):
        ds.s2sr.upsample("B05", model="bicubic")


def test_what_does_not_belong_together(folder: Path, scene: xr.Dataset) -> None:
    twin = folder / "T33UVR_20200201T100000_B05_20m.tif"
    write_tif(twin, scene.B05, scene, 20)
    with pytest.raises(InputError, match=rf"20200101T100000_B05_20m.tif and {twin.name} in .* are both B05"):
        open_any(folder)
    twin.unlink()
    write_tif(folder / "T33UVR_20200101T100000_B12_20m.tif", scene.B12, scene, 20, crs="EPSG:32632")
    with pytest.raises(GridError, match=r"_B01_60m.tif and .*_B12_20m.tif in .* differ in their CRS; expected"):
        open_any(folder)
    write_tif(folder / "T33UVR_20200101T100000_B12_20m.tif", scene.B12[1:], scene, 20)
    with pytest.raises(GridError, match=r"_B05_20m.tif and .*_B12_20m.tif in .* differ in their grid; expected the ba"):
        open_any(folder)
    two = xr.concat([scene.B12, scene.B12], "band").rio.set_spatial_dims("x_20m", "y_20m")
    two.rio.write_crs(EPSG).rio.to_raster(folder / "T33UVR_20200101T100000_B12_20m.tif")
    with pytest.raises(InputError, match="holds several bands"):
        open_any(folder)


def test_a_damaged_file(folder: Path) -> None:
    file = next(folder.glob("*B05*"))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match=r"_B05_20m.tif cannot be read: .*; expected a whole raster file"):
        open_any(folder)


@pytest.mark.parametrize("name", ["B05.tif", "B05_20m.TIFF", "B05.jp2"])
def test_an_image_that_is_not_what_its_name_says(folder: Path, tmp_path: Path, scene: xr.Dataset, name: str) -> None:
    """A VRT is a file of names and addresses: GDAL would read what it names."""
    inside = next(folder.glob("*_B05_20m.tif"))
    secret = inside.rename(tmp_path / "secret.tif")
    height, width = scene.B05.shape
    (folder / name).write_text(
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}"><GeoTransform>0, 20, 0, 0, 0, -20</GeoTransform>'
        f'<VRTRasterBand dataType="UInt16" band="1">'
        f"<SimpleSource><SourceFilename>{secret}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with rasterio.open(folder / name) as opened:  # GDAL by itself would
        assert opened.driver == "VRT"
        np.testing.assert_array_equal(opened.read(1), scene.B05)
    with pytest.raises(ProductError, match=rf"{name} cannot be read: .*; expected .* of the kind that its name says"):
        open_any(folder)
    write_jp2(folder / "B05.jp2", scene.B05.values, 20, scene)
    (folder / "B05.jp2").replace(folder / name)  # GDAL would read it; the name is wrong for two of the three
    if name == "B05.jp2":
        assert_scene(open_any(folder), scene)
    else:
        with pytest.raises(ProductError, match=f"{name} cannot be read: .* of the kind that its name says"):
            open_any(folder)


def test_mask_files(folder: Path, tmp_path: Path, scene: xr.Dataset) -> None:
    """GDAL opens them by their content, whichever driver opens the image: a warped VRT opens what it names at once."""
    mask = next(folder.glob("*_B05_20m.tif")).with_suffix(".tif.MSK")
    with rasterio.open(next(folder.glob("*_B06_20m.tif"))) as source, WarpedVRT(source) as warped:
        rasterio.shutil.copy(warped, mask, driver="VRT")
    with pytest.raises(ProductError, match=r"_B05_20m.tif.MSK is not a TIFF, and could name any other file; expected"):
        open_any(folder)
    write_tif(mask, scene.B05, scene, 20)
    assert_scene(open_any(folder), scene)
    mask.write_bytes(b"")
    with pytest.raises(ProductError, match=r"MSK is not a TIFF"):
        open_any(folder)


def test_folders_without_bands(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no GeoTIFF or JP2 whose name tells its band, such as B05.tif"):
        open_any(tmp_path)
    (tmp_path / "S2A_MSIL1C_x.SAFE").mkdir()
    with pytest.raises(InputError, match=r"It holds S2A_MSIL1C_x.SAFE: open that"):
        open_any(tmp_path)


def test_files_whose_names_tell_no_band_are_named(folder: Path, scene: xr.Dataset) -> None:
    known = folder / "T33UVR_20200101T100000_B05_20m.tif"
    known.rename(folder / "vegetation_red_edge_1.tif")
    (folder / "B08_over_B04.tif").write_bytes(b"several")
    with pytest.warns(S2SRWarning, match=r"not opened, .* their band: vegetation_red_edge_1.tif. .* mv .*B05.tif"):
        assert "B05" not in open_any(folder)
    (folder / "vegetation_red_edge_1.tif").rename(folder / "B05.tif")
    assert_scene(open_any(folder), scene)


def test_files_in_the_names_of_digital_earth_australia(folder: Path, scene: xr.Dataset) -> None:
    for band, name in (("B11", "swir_2"), ("B12", "swir_3")):
        (folder / f"T33UVR_20200101T100000_{band}_20m.tif").rename(folder / f"{name}.tif")
    assert_scene(open_any(folder), scene)
    (folder / "swir_3.tif").unlink()
    (folder / "T33UVR_20200101T100000_B05_20m.tif").rename(folder / "red_edge_1.tif")
    with pytest.raises(BandError, match=r"'swir_2' is B12 where .* B12 or B11: mv .*swir_2.tif .*B12.tif"):
        open_any(folder)


@pytest.mark.parametrize("form", ["R{}m", "{}m", "r{}M"])
def test_a_folder_for_each_pixel_size(form: str, tmp_path: Path, scene: xr.Dataset) -> None:
    """As products have them: the coarser copies lie beside the native bands of their folder."""
    for gsd in (10, 20, 60):
        sub = tmp_path / form.format(gsd)
        sub.mkdir()
        for band in (band for band in TWELVE if gsd >= GSD[band]):
            pixels = scene[band] if gsd == GSD[band] else xr.full_like(scene.B05 if gsd == 20 else scene.B01, 7)
            write_tif(sub / f"T33UVR_20200101T100000_{band}_{gsd}m.tif", pixels, scene, gsd)
    (tmp_path / "other").mkdir()
    write_tif(tmp_path / "other" / "B05.tif", scene.B05, scene, 20)  # of another scene
    assert_scene(open_any(tmp_path), scene)
    twin = tmp_path / "B05.tif"
    write_tif(twin, scene.B05, scene, 20)
    with pytest.raises(InputError, match=r"T33UVR_20200101T100000_B05_20m.tif and B05.tif|B05.tif and T33UVR_2020"):
        open_any(tmp_path)


# one GeoTIFF of several bands


def write_stack(path: Path, scene: xr.Dataset, names: tuple[str, ...] = TWELVE, said: Any = None) -> Path:
    """All bands at 10 m, coarser pixels repeated."""
    bands = [scene[band].values.repeat(GSD[band] // 10, 0).repeat(GSD[band] // 10, 1) for band in names]
    left, top = corner(scene)
    place = {"crs": f"EPSG:{EPSG}", "transform": Affine(10, 0, left, 0, -10, top), "nodata": 0}
    rows, cols = bands[0].shape
    with rasterio.open(path, "w", "GTiff", width=cols, height=rows, count=len(names), dtype="uint16", **place) as file:
        file.write(np.stack(bands))
        file.scales, file.offsets = [1e-4] * len(names), [-0.1] * len(names)
        file.descriptions = names if said is None else said
    return path


def test_one_geotiff_of_all_bands(tmp_path: Path, scene: xr.Dataset) -> None:
    path = write_stack(tmp_path / "all.tif", scene)
    ds = open_any(path)
    assert list(ds.data_vars) == list(TWELVE)
    expected = scene.s2sr.upsample(["B05", "B01"], offset=-1000, model="bicubic")
    for chunks in (None, 30):
        sr = open_any(path, chunks=chunks).s2sr.upsample(["B05", "B01"], model="bicubic")
        for band in ("B05", "B01"):
            assert (sr[band].chunks is None) == (chunks is None)
            np.testing.assert_array_equal(sr[band], expected[band])
    assert sr.rio.crs.to_epsg() == EPSG
    left, top = corner(scene)
    part = open_any(path, "B05", (left + 100, top - 200, left + 300, top - 130))
    assert list(part.data_vars) == [band for band in TWELVE if band in (*FINE, "B05")]
    np.testing.assert_array_equal(part.B02, scene.B02[12:24, 6:30])


def test_geotiffs_whose_bands_are_not_named(tmp_path: Path, scene: xr.Dataset) -> None:
    path = write_stack(tmp_path / "all.tif", scene, ("B02", "B03"), (None, None))
    with pytest.raises(InputError, match=r'holds 2 bands, which are not described; .*assign_coords\(band=\["B02", "B0'):
        open_any(path)
    write_stack(path, scene, ("B02", "B03"), ("first", "second"))
    with pytest.raises(InputError, match=r"holds 2 bands, which are described as 'first', 'second'; expected"):
        open_any(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ProductError, match=r"all.tif cannot be read: .*; expected a whole raster file"):
        open_any(path)


def test_a_damaged_block_of_one_geotiff(tmp_path: Path, scene: xr.Dataset) -> None:
    path = tmp_path / "all.tif"
    rasterio.shutil.copy(write_stack(tmp_path / "plain.tif", scene), path, driver="GTiff", compress="deflate")
    with rasterio.open(path) as file:
        start, size = (int(file.get_tag_item(f"BLOCK_{what}_0_0", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))
    with path.open("r+b") as raw:
        raw.seek(start)
        raw.write(b"\7" * size)
    with pytest.raises(ProductError, match=r"'B01' in .*all.tif cannot be read: .*; expected a whole raster file"):
        open_any(path).s2sr.upsample("B05", model="bicubic")


def test_a_mask_beside_one_geotiff(tmp_path: Path, scene: xr.Dataset) -> None:
    path = write_stack(tmp_path / "all.tif", scene)
    mask = path.with_suffix(".tif.msk")
    mask.write_text("<VRTDataset/>")
    with pytest.raises(ProductError, match=r"all.tif.msk is not a TIFF, and could name any other file"):
        open_any(path)
    if hasattr(os, "mkfifo"):  # it would be waited for
        mask.unlink()
        os.mkfifo(mask)
        with pytest.raises(ProductError, match=r"all.tif.msk is a pipe, a socket or a device"):
            open_any(path)


# other kinds, and a part of each


@pytest.mark.parametrize("kind", ["nc", "zarr", "folder", "SAFE", "zip"])
def test_a_part_of_every_kind(kind: str, tmp_path: Path, folder: Path, scene: xr.Dataset) -> None:
    path = tmp_path / f"scene.{kind}"
    if kind == "nc":
        scene.to_netcdf(path)
    elif kind == "zarr":
        scene.to_zarr(path, zarr_format=2)
    elif kind == "folder":
        path = folder
    else:
        path = write_product(tmp_path, Product(scene))
        path = zipped(path, tmp_path / "scene.zip") if kind == "zip" else path
    whole = open_any(path)
    assert_scene(whole, scene)
    left, top = corner(scene)
    part = open_any(path, "B11", (left + 100, top - 200, left + 300, top - 130), chunks=18)
    assert {band for band in part.data_vars if band in TWELVE} == {*FINE, "B11"}
    here = scene.isel(y=slice(12, 24), x=slice(6, 30), y_20m=slice(6, 12), x_20m=slice(3, 15))
    assert_scene(part, here, (*FINE, "B11"))
    assert part.rio.transform() == Affine(10, 0, left + 60, 0, -10, top - 120)
    assert (part.B02.chunks, part.B11.chunks) == (((12,), (18, 6)), ((6,), (9, 3)))
    with pytest.raises(InputError, match=r"lies outside of .* expected some of its bounds"):
        open_any(path, bbox=(0, 0, 1000, 1000))
    with pytest.raises(BandError, match=r"asked for B10, but .* holds B01, B02"):
        open_any(path, "B10")


def test_a_part_with_rows_upwards(tmp_path: Path, scene: xr.Dataset) -> None:
    scene.isel(y=slice(None, None, -1), y_20m=slice(None, None, -1), y_60m=slice(None, None, -1)).to_netcdf(
        tmp_path / "up.nc"
    )
    left, top = corner(scene)
    part = open_any(tmp_path / "up.nc", bbox=(left + 100, top - 200, left + 300, top - 130))
    assert part.rio.bounds() == (left + 60, top - 240, left + 300, top - 120)
    assert part.s2sr.validate()
    assert (part.sizes["y"], part.sizes["y_60m"], part.sizes["x_20m"]) == (12, 2, 12)


def test_eopf_zarr(tmp_path: Path, scene: xr.Dataset) -> None:
    groups = {}
    for gsd, dims in DIMS.items():
        bands = {band.lower(): scene[band] for band in TWELVE if GSD[band] == gsd}
        ds = xr.Dataset(bands).drop_vars("spatial_ref").rename(dict(zip(dims, ("y", "x"), strict=True)))
        for variable in ds.data_vars.values():
            variable.encoding.clear()
            variable.attrs["proj:epsg"] = EPSG
        groups[f"/measurements/reflectance/r{gsd}m"] = ds
    xr.DataTree.from_dict(groups).to_zarr(tmp_path / "eopf.zarr", zarr_format=2)
    assert open_any(tmp_path / "eopf.zarr").s2sr.validate()
    ds = open_any(tmp_path / "eopf.zarr", bands="B05")
    assert {band.upper() for band in map(str, ds.data_vars)} == {*FINE, "B05"}


def test_no_scene(tmp_path: Path) -> None:
    (tmp_path / "scene.png").write_bytes(b"")
    with pytest.raises(
        InputError, match=r"scene.png is not a scene that can be read; expected a SAFE folder or .zip, a .nc"
    ):
        open_any(tmp_path / "scene.png")
    with pytest.raises(InputError, match=r"none.zarr does not exist; expected a SAFE folder"):
        open_any(tmp_path / "none.zarr")


def test_info_says_by_its_exit_code_whether_it_can_be_upsampled(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["info", str(folder)]) == 0
    for file in folder.glob("*_B8A_*"):
        file.unlink()
    next(folder.glob("*_B04_*")).unlink()
    assert cli.main(["info", str(folder)]) == 1
    assert "problem: missing B04" in capsys.readouterr().out


# what must not be opened


class Runs:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def with_pickle(store: Path, scene: xr.Dataset, where: str, made: Path) -> None:
    """A scene whose coordinate "odd" is pickled; said so by its own metadata, or by those of all nodes only."""
    scene.assign_coords(odd=("y", np.zeros(scene.sizes["y"]))).to_zarr(store, zarr_format=2, consolidated=True)
    array, whole = store / "odd" / ".zarray", store / ".zmetadata"
    own, every = json.loads(array.read_text()), json.loads(whole.read_text())
    codec = {"id": "pickle", "protocol": 4}
    if "compressor" in where:
        changed = {"compressor": codec}
    elif "after texts" in where:
        changed = {"dtype": "|O", "filters": [{"id": "vlen-bytes"}, codec], "compressor": None, "fill_value": ""}
    elif "objects" in where:
        changed = {"dtype": "|O", "filters": [codec], "compressor": None, "fill_value": None}
    else:
        changed = {"filters": [codec], "compressor": None}
    every["metadata"]["odd/.zarray"].update(changed)
    if "only" not in where:
        array.write_text(json.dumps(own | changed))
    if "not consolidated" in where:
        whole.unlink()
    else:
        whole.write_text(json.dumps(every))
    (store / "odd" / "0").write_bytes(pickle.dumps(Runs(made)))


@pytest.mark.parametrize(
    "where", ["filter", "compressor", "objects", "after texts", "consolidated only", "not consolidated", "in a group"]
)
def test_a_zarr_that_runs_code_is_not_opened(where: str, tmp_path: Path, scene: xr.Dataset) -> None:
    pytest.importorskip("zarr", reason="zarr is not installed")
    path, made = tmp_path / "scene.zarr", tmp_path / "made"
    store = path / "measurements" if "group" in where else path
    with_pickle(store, scene, where, made)
    with pytest.raises(
        ProductError, match=r"'odd' in .*scene\.zarr holds Python objects \(by pickle(, vlen-bytes)?\)"
    ) as caught:
        open_any(path)
    assert cli.main(["info", str(path)]) == 1
    assert not made.exists()
    line = re.search(r"ds\['odd'\] = .*", str(caught.value))
    assert line is not None
    ds = scene.assign_coords(odd=("n", np.array([Path("a"), None], object)))
    exec(line[0], {"ds": ds})
    ds.to_zarr(tmp_path / "anew.zarr", zarr_format=2)
    again = open_any(tmp_path / "anew.zarr")
    assert [*again.odd.values] == ["a", "None"]
    assert_scene(again, scene)


def test_links_in_a_zarr_are_followed_to_their_end(tmp_path: Path, scene: xr.Dataset) -> None:
    """As zarr follows them; a folder within itself is no endless store."""
    pytest.importorskip("zarr", reason="zarr is not installed")
    path, made = tmp_path / "scene.zarr", tmp_path / "made"
    scene.to_zarr(path, zarr_format=2, consolidated=False)
    with_pickle(tmp_path / "elsewhere", scene, "not consolidated", made)
    (path / "again").symlink_to(path)
    assert_scene(open_any(path), scene)
    (path / "odd").symlink_to(tmp_path / "elsewhere" / "odd")
    with pytest.raises(ProductError, match=r"'odd' in .* holds Python objects"):
        open_any(path)
    assert not made.exists()


@pytest.mark.parametrize("version", [2, 3])
def test_texts_in_a_zarr_are_no_code(version: Any, tmp_path: Path, scene: xr.Dataset) -> None:
    pytest.importorskip("zarr", reason="zarr is not installed")
    texts = np.array(["a", "bb", "ccc"], object)
    ds = scene.assign_coords(name=("n", texts), fixed=("n", texts.astype("U3")), mark=("n", texts.astype("S3")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zarr has no specification of some of them yet
        ds.to_zarr(tmp_path / "scene.zarr", zarr_format=version)
        again = open_any(tmp_path / "scene.zarr")
    assert [*again.name.values] == [*texts]
    assert_scene(again, scene)


@pytest.mark.parametrize("content", ["{", "[" * 100_000, "\xff"])
def test_metadata_of_a_zarr_that_are_none(content: str, tmp_path: Path, scene: xr.Dataset) -> None:
    pytest.importorskip("zarr", reason="zarr is not installed")
    path = tmp_path / "scene.zarr"
    scene.to_zarr(path, zarr_format=2)
    (path / "B05" / ".zarray").write_bytes(content.encode("latin-1"))
    with pytest.raises(ProductError, match=r"\.zarray cannot be read .*expected the JSON of Zarr\. Copy it again"):
        open_any(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["B05.tif", "x.msk", "T33UVR_20200101T100000_B05_20m.tif.aux.xml"])
def test_a_pipe_among_the_images(name: str, folder: Path) -> None:
    os.mkfifo(folder / name)
    with pytest.raises(ProductError, match=rf"{name} is a pipe, a socket or a device"):
        open_any(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["scene.nc", "scene.zarr/.zarray", "scene.zarr/zarr.json"])
def test_a_pipe_in_the_place_of_a_scene(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path)
    with pytest.raises(ProductError, match="is a pipe, a socket or a device"):
        open_any(path if path.suffix == ".nc" else path.parent)
