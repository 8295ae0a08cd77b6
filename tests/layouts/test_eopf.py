"""EOPF Zarr products: a real store on disk, in the structure of ESA's samples, opened as a DataTree."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from eopf_products import product
from holders import same_pixels, transform
from scenes import FINE, GSD, LEFT, RED_EDGE, SIXTY, TOP, TWELVE, native

import xr_s2sr
from xr_s2sr.errors import ArgumentTypeError, BandError, GridError, S2SRWarning
from xr_s2sr.layouts.normalize import to_native

CUBIC = {"model": "bicubic"}


@pytest.fixture(scope="module")
def scene() -> xr.Dataset:
    return native((60, 72))


@pytest.fixture(scope="module")
def store(scene: xr.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Counts on disk, with the scale and the offset of baseline 04.00."""
    pytest.importorskip("zarr", reason="zarr is not installed")
    tree = product(scene)
    encoding = {
        node.path: {
            name: {"dtype": "uint16", "scale_factor": 1e-4, "add_offset": -0.1, "_FillValue": np.uint16(0)}
            for name in node.data_vars
        }
        for node in tree.subtree
        if "/reflectance/" in node.path
    }
    for node in tree.subtree:
        if node.path in encoding:
            node.dataset = node.to_dataset().map(lambda da: da * 1e-4 - 0.1, keep_attrs=True)
    path = tmp_path_factory.mktemp("eopf") / "S2A_MSIL2A_20240601T100559_N0511_R022_T32TPP.zarr"
    tree.to_zarr(path, encoding=encoding, zarr_format=2, consolidated=True)
    return path


@pytest.fixture
def tree(store: Path) -> xr.DataTree:
    return xr.open_datatree(store, engine="zarr", chunks=None)


def reflectance(scene: xr.Dataset, tree: xr.DataTree) -> xr.Dataset:
    """The native scene with the pixels of the store."""
    bands = {}
    for band in TWELVE:
        node = tree[f"/measurements/reflectance/r{GSD[band]}m/{band.lower()}"]
        bands[band] = scene[band].copy(data=node.values)
        bands[band].encoding = node.encoding
    return xr.Dataset(bands)


def test_to_a_dataset(tree: xr.DataTree, scene: xr.Dataset) -> None:
    sr = tree.s2sr.upsample()
    expected = reflectance(scene, tree).s2sr.upsample()
    assert {*sr.data_vars} == {band.lower() for band in TWELVE}
    for band in TWELVE:
        np.testing.assert_array_equal(sr[band.lower()], expected[band])
    assert sr.x.dtype == np.int64
    assert sr.rio.crs.to_epsg() == 32632
    assert sr.rio.transform() == transform(scene.B02)
    assert sr.b05.attrs["proj:shape"] == sr.b02.attrs["proj:shape"]
    assert list(tree.s2sr.upsample(["B05", "blue"], **CUBIC).data_vars) == ["b02", "b05"]


def test_into_the_tree(tree: xr.DataTree) -> None:
    out = tree.s2sr.upsample(into=True, **CUBIC)
    assert isinstance(out, xr.DataTree)
    fine = out["/measurements/reflectance/r10m"]
    assert {*fine.data_vars} == {band.lower() for band in TWELVE}
    same_pixels(fine.to_dataset()[["b05"]], tree.s2sr.upsample("B05", **CUBIC)[["b05"]])
    xr.testing.assert_identical(
        out["/measurements/reflectance/r20m"].to_dataset(), tree["/measurements/reflectance/r20m"].to_dataset()
    )
    assert out["/conditions/mask/l2a_classification/r20m/scl"].shape == (30, 36)
    assert "b05" not in tree["/measurements/reflectance/r10m"]
    again = out.s2sr.upsample(into=True, **CUBIC)
    same_pixels(again["/measurements/reflectance/r10m"].to_dataset()[["b05"]], fine.to_dataset()[["b05"]])
    other = out.s2sr.upsample("B05", into=True)["/measurements/reflectance/r10m"].to_dataset()
    same_pixels(other[["b05"]], tree.s2sr.upsample("B05"))
    same_pixels(other[["b11", "b02"]], fine.to_dataset()[["b11", "b02"]])
    one = tree.s2sr.upsample("B11", into=True, **CUBIC)["/measurements/reflectance/r10m"]
    assert {*one.data_vars} == {"b02", "b03", "b04", "b08", "b11"}


def test_back_to_zarr(tree: xr.DataTree, tmp_path: Path) -> None:
    sr = tree.s2sr.upsample("B05", **CUBIC)
    sr.to_zarr(tmp_path / "sr.zarr", zarr_format=2)
    with xr.open_zarr(tmp_path / "sr.zarr") as back:
        assert back.b05.encoding["dtype"] == np.uint16
        np.testing.assert_allclose(back.b05, sr.b05, atol=5.1e-5)


def test_a_part_of_the_tree(tree: xr.DataTree) -> None:
    expected = tree.s2sr.upsample(**CUBIC)
    for path in ("/measurements", "/measurements/reflectance"):
        xr.testing.assert_identical(tree[path].s2sr.upsample(**CUBIC), expected)
        part = tree[path].s2sr.upsample("B05", into=True, **CUBIC)
        assert "b05" in part[str(Path("/measurements/reflectance/r10m").relative_to(path))]


def test_validate(tree: xr.DataTree) -> None:
    text = str(tree.s2sr.validate())
    assert "CRS: EPSG:32632" in text
    assert "note: a DataTree: bands from /measurements/reflectance/r10m, /measurements/reflectance/r20m" in text
    [note] = [line for line in text.splitlines() if "left out" in line]
    at_20_m, at_60_m = note.removeprefix("note: left out, as there are better ones: ").split("; ")
    assert at_20_m == "'b02', 'b03', 'b04' on 20 m pixels"
    names, _, where = at_60_m.partition(" on ")
    assert where == "60 m pixels"
    assert {*names.split(", ")} == {repr(band.lower()) for band in ("B02", "B03", "B04", *RED_EDGE)}
    assert tree.s2sr.bands["B8A"] == "b8a"


def test_lazily(store: Path) -> None:
    import dask

    def refuse(*args: Any, **kwargs: Any) -> None:
        pytest.fail("computed")

    with dask.config.set(scheduler=refuse), xr.open_datatree(store, engine="zarr", chunks={}) as tree:
        ds = to_native(tree).ds
        assert ds.b05.chunks is not None
        assert ds.b05.dims == ("y_20m", "x_20m")


def test_evaluate(scene: xr.Dataset) -> None:
    ds = native((180, 180))
    tree = xr.DataTree.from_dict(
        {
            name: ds[list(bands)].rename({f"{d}_{name}": d for d in "yx"} if name != "10m" else {})
            for name, bands in (("10m", FINE), ("20m", RED_EDGE), ("60m", SIXTY))
        }
    )
    expected = ds.s2sr.evaluate("bicubic", bands="B05")
    assert float(tree.s2sr.evaluate("bicubic", bands="B05")["rmse"][0, 0]) == float(expected["rmse"][0, 0])


def test_one_node_that_holds_all(scene: xr.Dataset) -> None:
    tree = xr.DataTree.from_dict({"/scene": scene})
    same_pixels(tree.s2sr.upsample("B05", **CUBIC), scene.s2sr.upsample("B05", **CUBIC))


@pytest.mark.parametrize("name", ["spatial_ref", "crs"])
def test_into_a_tree_whose_crs_is_a_data_variable(scene: xr.Dataset, name: str) -> None:
    """As open_datatree gives it without decode_coords="all"; the node keeps its own."""
    given = product(scene)
    for node in given.subtree:
        if "/reflectance/" in node.path:
            ds = node.to_dataset().drop_attrs()
            ds = ds.assign({band: da.assign_attrs(grid_mapping=name) for band, da in ds.data_vars.items()})
            node.dataset = ds.assign({name: scene.spatial_ref.variable})
    out = given.s2sr.upsample(into=True, **CUBIC)["/measurements/reflectance/r10m"].to_dataset()
    assert {*out.data_vars} == {name, *(band.lower() for band in TWELVE)}
    xr.testing.assert_identical(out[name].variable, scene.spatial_ref.variable)
    expected = given.s2sr.upsample(**CUBIC)
    assert expected.rio.write_grid_mapping(name).rio.crs.to_epsg() == 32632
    same_pixels(out[["b05", "b01"]], expected[["b05", "b01"]])


def test_into_a_node_of_which_a_part_is_covered(scene: xr.Dataset) -> None:
    given = product(scene)
    node = given["/measurements/reflectance/r20m"]
    node.dataset = node.to_dataset().isel(x=slice(3, None))
    with pytest.warns(S2SRWarning, match="the bands' extents differ: the result covers rows 0:60 and columns 6:72"):
        out = given.s2sr.upsample(["B05"], into=True, **CUBIC)["/measurements/reflectance/r10m"].to_dataset()
    assert out.sizes == {"y": 60, "x": 66}
    np.testing.assert_array_equal(out.x, scene.x[6:])
    np.testing.assert_array_equal(out.b02, scene.B02[:, 6:])


# -- GeoZarr: no coordinates, attributes tell the place ----------------------------------------------------------------


def geozarr(scene: xr.Dataset, told: str = "level") -> xr.DataTree:
    """A tree in the structure of EOPF Explorer's: an overview more, and places by spatial:transform alone."""
    tree, reflectance = product(scene), "/measurements/reflectance"
    coarse = tree[f"{reflectance}/r60m"].to_dataset().isel(y=slice(0, 10), x=slice(0, 12))
    sixth = coarse.coarsen(y=2, x=2).mean().astype("uint16")
    tree[f"{reflectance}/r120m"] = xr.DataTree(sixth)
    layout = []
    for gsd in (10, 20, 60, 120):
        node = tree[f"{reflectance}/r{gsd}m"]
        ds = node.to_dataset()
        place = {
            "spatial:transform": [float(gsd), 0.0, LEFT, 0.0, -float(gsd), TOP],
            "spatial:shape": [ds.sizes["y"], ds.sizes["x"]],
        }
        bare = ds.drop_vars(["y", "x"]).drop_attrs()
        own = {"proj:code": "EPSG:32632", "spatial:dimensions": ["y", "x"], **place}
        if told == "without a shape":
            del own["spatial:shape"]
        if told == "array":
            bare = bare.assign({name: da.assign_attrs(own) for name, da in bare.data_vars.items()})
        elif told != "group":
            bare.attrs = own
        node.dataset = bare
        layout.append({"asset": f"r{gsd}m", **place})
    if told == "group":
        tree[reflectance].attrs = {"proj:code": "EPSG:32632", "multiscales": {"layout": layout}}
    return tree


@pytest.mark.parametrize("told", ["level", "array", "group", "without a shape"])
def test_geozarr_without_coordinates(scene: xr.Dataset, told: str) -> None:
    given = geozarr(scene, told)
    sr = given.s2sr.upsample(**CUBIC)
    expected = product(scene).s2sr.upsample(**CUBIC)
    same_pixels(sr, expected)
    report = str(given.s2sr.validate())
    assert "CRS: EPSG:32632" in report
    assert report.count("left out") == 1
    for path in ("/measurements/reflectance/r10m", "/conditions/mask/l2a_classification/r20m"):
        out = given.s2sr.upsample(into=True, **CUBIC)[path].to_dataset()
        assert {*out.data_vars} == ({band.lower() for band in TWELVE} if path.endswith("r10m") else {"scl"})
    half = given.s2sr.upsample(resolution=20, **CUBIC)
    np.testing.assert_array_equal(half.x, scene.x_20m)
    assert "spatial:transform" not in half.attrs
    fine = given.s2sr.upsample(into=True, **CUBIC)["/measurements/reflectance/r10m"].to_dataset()
    assert not {"x", "y"} & {*fine.coords}
    assert fine.attrs == given["/measurements/reflectance/r10m"].attrs
    np.testing.assert_array_equal(fine.b05, expected.b05)


def test_geozarr_node_by_node(scene: xr.Dataset) -> None:
    """Groups opened one by one, and combined; a node registration names the centres themselves."""
    given = geozarr(scene)
    nodes = [given[f"/measurements/reflectance/r{gsd}m"].to_dataset() for gsd in (10, 20, 60)]
    same_pixels(xr_s2sr.combine(*nodes).s2sr.upsample(**CUBIC), product(scene).s2sr.upsample(**CUBIC))
    for node, gsd in zip(nodes, (10, 20, 60), strict=True):
        node.attrs["spatial:registration"] = "node"
        node.attrs["spatial:transform"] = [gsd, 0, LEFT + gsd / 2, 0, -gsd, TOP - gsd / 2]
    same_pixels(xr_s2sr.combine(*nodes).s2sr.upsample(**CUBIC), product(scene).s2sr.upsample(**CUBIC))


def test_geozarr_cut_by_hand(scene: xr.Dataset) -> None:
    """The attributes tell of other pixels than these: nothing is placed by them."""
    given = geozarr(scene)
    node = given["/measurements/reflectance/r10m"]
    node.dataset = node.to_dataset().isel(x=slice(6, None))
    with pytest.raises(GridError, match=r"'b02' has no coordinate along 'x', so nothing says where its pixels lie"):
        given.s2sr.upsample()


@pytest.mark.parametrize("wrong", ["nonsense", [1, 2], None, [10, 1, 0, 1, -10, 0], [10, 0, 0, 0, float("nan"), 0], 5])
def test_geozarr_that_tells_no_place(scene: xr.Dataset, wrong: Any) -> None:
    given = geozarr(scene)
    for gsd in (10, 20, 60, 120):
        given[f"/measurements/reflectance/r{gsd}m"].attrs["spatial:transform"] = wrong
    assert "has no coordinate along 'x'" in str(given.s2sr.validate())


# -- xarray-eopf, op_mode="native": the tree as one Dataset ------------------------------------------------------------


def flattened(tree: xr.DataTree, above: str = "measurements_") -> xr.Dataset:
    """Names of nodes before those of variables and dims, as far as they tell siblings apart (flatten_datatree)."""
    prefixes = {
        "/measurements/reflectance": above,
        "/quality/mask": "quality_mask_",
        "/conditions/mask/detector_footprint": "conditions_mask_detector_",
        "/conditions/mask/l2a_classification": "conditions_mask_l2a_",
    }
    parts = []
    for node in tree.subtree:
        if node.parent is not None and (prefix := prefixes.get(node.parent.path)) is not None:
            ds = node.to_dataset()
            parts.append(ds.rename({name: f"{prefix}{node.name}_{name}" for name in ds.variables}))
    return xr.merge(parts, compat="override", join="exact")


@pytest.mark.parametrize("above", ["measurements_", "measurements_reflectance_", ""])
def test_the_names_of_the_native_mode(scene: xr.Dataset, above: str) -> None:
    tree = product(scene)
    ds = flattened(tree, above)
    assert f"{above}r20m_b05" in ds
    assert ds.s2sr.bands["B8A"] == "b8a"
    report = ds.s2sr.validate()
    assert report
    assert "CRS: EPSG:32632" in str(report)
    xr.testing.assert_identical(ds.s2sr.upsample(**CUBIC), tree.s2sr.upsample(**CUBIC))


def test_no_bands() -> None:
    tree = xr.DataTree.from_dict({"/a/b": xr.Dataset({"t2m": 1.0})})
    with pytest.raises(
        BandError, match=r"no Sentinel-2 band in any node of the DataTree \(/, /a, /a/b\); expected nodes"
    ):
        tree.s2sr.upsample()
    assert not tree.s2sr.validate()
    assert "no Sentinel-2 band" in repr(tree.s2sr)


def test_several_scenes(scene: xr.Dataset) -> None:
    tree = xr.DataTree.from_dict({"/may/all": scene, "/june/all": scene})
    with pytest.raises(BandError, match=r"several groups of nodes hold bands: /may, /june; .* dt\[\"/may\"\].s2sr"):
        tree.s2sr.upsample()
    same_pixels(tree["/may"].s2sr.upsample("B05", **CUBIC), scene.s2sr.upsample("B05", **CUBIC))


def test_into_needs_a_tree(scene: xr.Dataset) -> None:
    with pytest.raises(ArgumentTypeError, match="into=True is for a DataTree, not a Dataset; leave it out"):
        scene.s2sr.upsample(into=True)


def test_pickle(tree: xr.DataTree) -> None:
    tree.s2sr.validate()
    assert pickle.loads(pickle.dumps(tree)).s2sr.validate()
    assert xr_s2sr.validate(tree)
