"""The same scene, stored from south to north or from east to west, gives the same pixels in that order, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from holders import at_10_m, stacked
from scenes import GSD, LEFT, TOP, cube, native, spoil
from toy_models import CARD_20, CARD_60, save, with_errors

from xr_s2sr import S2SRWarning
from xr_s2sr.errors import GridError

pytestmark = pytest.mark.usefixtures("small_defaults")

ROWS, COLS = ("y", "y_20m", "y_60m"), ("x", "x_20m", "x_60m")
FLIPS = [ROWS, COLS, ROWS + COLS]
#: Extent of `native()`.
BOTTOM, RIGHT = TOP - 600, LEFT + 720


def flipped(obj: Any, dims: tuple[str, ...]) -> Any:
    return obj.isel({dim: slice(None, None, -1) for dim in dims}, missing_dims="ignore")


def chunked(obj: Any, lazy: bool) -> Any:
    """In chunks of which the last is smaller."""
    sizes = {"y": 36, "x": 48, "y_20m": 18, "x_20m": 24, "y_60m": 6, "x_60m": 8}
    return obj.chunk({dim: size for dim, size in sizes.items() if dim in obj.dims}) if lazy else obj


def same(one: Any, other: Any) -> None:
    """But for the place of the first pixel, which the grid mapping tells."""
    xr.testing.assert_identical(*(obj.drop_vars("spatial_ref", errors="ignore") for obj in (one, other)))


def check(scene: Any, dims: tuple[str, ...], lazy: bool, **how: Any) -> None:
    expected = flipped(scene.s2sr.upsample(**how), dims)
    same(chunked(flipped(scene, dims), lazy).s2sr.upsample(**how).compute(), expected)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Networks that also give standard errors."""
    folder = tmp_path_factory.mktemp("networks")
    cards = {"20.onnx": CARD_20, "60.onnx": CARD_60}
    return [with_errors(save(folder / f"plain-{name}", card), folder / name) for name, card in cards.items()]


@pytest.mark.parametrize(("dims", "resolution", "lazy"), [(ROWS, 10, True), (COLS, 20, False), (ROWS + COLS, 20, True)])
@pytest.mark.usefixtures("packaged_defaults")
def test_packaged_networks(dims: tuple[str, ...], resolution: int, lazy: bool) -> None:
    ds = spoil(native())
    ds["classes"] = ds.B02.astype("uint8")  # at 20 m, one pixel of each four
    ds["coarse"] = ds.B05.astype("uint8")
    check(ds, dims, lazy, resolution=resolution, keep="all")


def test_a_network_sees_the_difference() -> None:
    """The test above could fail: relabelled, the same rows are another scene."""
    ds = native()
    wrong = flipped(ds, ROWS).assign_coords({dim: ds[dim] for dim in ROWS})
    assert not np.array_equal(wrong.s2sr.upsample("B05").B05.values[::-1], ds.s2sr.upsample("B05").B05.values)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("kind", [True, "uint16"])
@pytest.mark.parametrize("dims", FLIPS)
def test_standard_errors(networks: list[Path], dims: tuple[str, ...], kind: Any, lazy: bool) -> None:
    check(spoil(native()), dims, lazy, model=networks, uncertainty=kind)
    check(spoil(native()), dims, lazy, model=networks[1:], uncertainty=kind, resolution=20)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("resolution", [10, 20])
@pytest.mark.parametrize("dims", FLIPS)
def test_every_form(networks: list[Path], dims: tuple[str, ...], resolution: int, lazy: bool) -> None:
    how = {"model": networks[resolution // 20 :], "resolution": resolution}
    copies = at_10_m(native(), slice(1, 57), slice(3, 64))
    copies.B05[3:5, 3:6] = 0  # masked within native pixels
    check(copies, dims, lazy, **how)
    check(stacked(copies), dims, lazy, **how)
    check(copies.transpose("x", "y"), dims, lazy, **how)
    check(cube(["04.00", "02.00", "05.00"]), dims, lazy, **how)
    ds = native(dtype="float64", scale=1e-4 / 3)  # sums of floats depend on their order
    check(ds, dims, lazy, **how)
    nodes = {f"/r{gsd}m": ds[[band for band in ds.data_vars if GSD[str(band)] == gsd]] for gsd in (10, 20, 60)}
    plain = {path: node.rename({dim: str(dim)[0] for dim in node.dims}) for path, node in nodes.items()}
    tree, other = (xr.DataTree.from_dict({k: flipped(v, d) for k, v in plain.items()}) for d in ((), dims))
    result = other.s2sr.upsample(**how)
    same(result, flipped(tree.s2sr.upsample(**how), dims))


def test_resolutions_that_run_in_opposite_directions(networks: list[Path]) -> None:
    """The coordinates tell: there is nothing to guess."""
    ds = spoil(native())
    for dims in (("y_20m",), ("x_60m", "y"), ("x", "x_20m", "y_60m")):
        for resolution in (10, 20):
            how = {"model": networks[resolution // 20 :], "resolution": resolution}
            same(flipped(ds, dims).s2sr.upsample(**how), flipped(ds.s2sr.upsample(**how), dims))


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(
    ("dims", "transform"),
    [
        (ROWS, Affine(10, 0, LEFT, 0, 10, BOTTOM)),
        (COLS, Affine(-10, 0, RIGHT, 0, -10, TOP)),
        (ROWS + COLS, Affine(-10, 0, RIGHT, 0, 10, BOTTOM)),
    ],
)
def test_the_grid_mapping_tells_the_first_pixel(dims: tuple[str, ...], transform: Affine, lazy: bool) -> None:
    ds = flipped(native(), dims)
    sr = chunked(ds, lazy).s2sr.upsample(model="bicubic")
    assert sr.rio.transform() == sr.B05.rio.transform() == sr.rio.transform(recalc=True) == transform
    half = chunked(ds, lazy).s2sr.upsample(resolution=20, model="bicubic")
    assert half.rio.transform() == half.rio.transform(recalc=True) == transform * Affine.scale(2)


def test_what_is_given_back_is_as_it_was() -> None:
    """Chunks whose last is the smaller one, as Zarr takes them; arrays in memory as numpy makes them."""
    ds = flipped(native(), ROWS + COLS)
    sr = ds.copy(deep=True).s2sr.upsample("B05", model="bicubic")
    assert sr.B05.values.flags.c_contiguous
    lazy = ds.chunk(y=36, x=48).s2sr.upsample(chunks=24, model="bicubic")
    assert lazy.B05.chunks == lazy.B02.chunks == ((24, 24, 12), (24, 24, 24))
    averaged = ds[["B02", "B03", "B04", "B08", "B05"]].chunk(y=36, x=48).s2sr.upsample(resolution=20, chunks=24)
    assert averaged.B02.chunks == ((12, 12, 6), (12, 12, 12))
    xr.testing.assert_identical(sr.x.drop_vars("spatial_ref"), ds.x.drop_vars("spatial_ref"))
    assert sr.x.attrs == ds.x.attrs


def test_messages_count_rows_as_the_user_does() -> None:
    part = flipped(native(), ROWS).isel(y_20m=slice(2, None))
    with pytest.warns(S2SRWarning, match="the result covers rows 4:60 and columns 0:72 of 60 x 72"):
        part.s2sr.upsample("B05", model="bicubic")
    report = part.s2sr.validate()
    assert "turned over, as they run to the north or to the west: 'y', 'y_20m', 'y_60m'" in str(report)
    assert "turned over" not in str(native().s2sr.validate())


@pytest.mark.parametrize("dims", [(), *FLIPS])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_real_shift_is_proved_by_the_line(dims: tuple[str, ...], sign: int) -> None:
    ds = native((60, 60), bands=("B02", "B03", "B04", "B08", "B05"))
    moved = flipped(ds.assign_coords(y_20m=ds.y_20m + sign * 10, x_20m=ds.x_20m - 10), dims)
    with pytest.raises(GridError, match=r"If the shift is real, leave out the row .*: ds = ds\.drop_sel") as caught:
        moved.s2sr.upsample(model="bicubic")
    line = str(caught.value).rpartition("leave out the row beyond it: ds = ")[2].partition(" (and")[0]
    with pytest.warns(S2SRWarning, match="of 59 x 60 pixels"):
        sr = eval(line, {"ds": moved}).s2sr.upsample(model="bicubic")
    assert sr.B05.shape == (59, 59)


@pytest.mark.parametrize("dims", FLIPS)
def test_simulated_scenes_and_scores(dims: tuple[str, ...]) -> None:
    ds = native((240, 240))
    other = flipped(ds, dims)
    same(other.s2sr.degrade(2), flipped(ds.s2sr.degrade(2), dims))
    how: dict[str, Any] = {"bands": "B05", "model": "bicubic"}
    xr.testing.assert_identical(other.s2sr.evaluate(**how).dataset, ds.s2sr.evaluate(**how).dataset)
    sr = ds.s2sr.upsample("B05", model="bicubic")
    for a, b in ((flipped(sr, dims), other), (sr, other), (flipped(sr, dims), ds)):
        xr.testing.assert_identical(a.s2sr.consistency(b), sr.s2sr.consistency(ds))
