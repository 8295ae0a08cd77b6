"""Arguments and metadata of odd types: taken for what they say, or refused by name; never a foreign error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from scenes import FINE, RED_EDGE, native

import xr_s2sr
from xr_s2sr import cli
from xr_s2sr.errors import ArgumentTypeError, InputError, RadiometryError, S2SRError
from xr_s2sr.io.stac import acquired
from xr_s2sr.scene.crs import read_crs

pytestmark = pytest.mark.usefixtures("small_defaults")

CUBIC: dict[str, Any] = {"model": "bicubic"}
HUGE = pytest.param(10**5000, id="huge")  # Python does not even write it


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    return native((60, 60), bands=(*FINE, *RED_EDGE))


@pytest.mark.parametrize("value", [20.0, np.float32(20), np.int8(20), np.array(20)])
def test_a_resolution_is_a_number(value: Any, ds: xr.Dataset) -> None:
    xr.testing.assert_identical(ds.s2sr.upsample(resolution=value, **CUBIC), ds.s2sr.upsample(resolution=20, **CUBIC))


@pytest.mark.parametrize("name", ["resolution", "units", "device", "keep", "precision", "uncertainty", "into"])
@pytest.mark.parametrize("value", [np.array([10, 20]), np.array([20]), np.array(["dn", "cpu"]), HUGE, {}, "20"])
def test_choices(name: str, value: Any, ds: xr.Dataset) -> None:
    with pytest.raises(InputError, match=rf"^{name}=[^\n]* is unknown; choose one of [^\n]*$"):
        ds.s2sr.upsample(**{name: value}, **CUBIC)


def test_a_choice_that_is_a_labelled_array(ds: xr.Dataset) -> None:
    with pytest.raises(InputError, match=r"units=<xarray.DataArray [^\n]* is unknown"):
        ds.s2sr.upsample(units=xr.DataArray([1, 2]), **CUBIC)


@pytest.mark.parametrize("value", [10**400, -(10**400), HUGE])
@pytest.mark.parametrize("lazy", [False, True])
def test_integers_beyond_all_floats(value: int, lazy: bool, ds: xr.Dataset) -> None:
    if lazy:
        pytest.importorskip("dask")
    scene = ds.chunk() if lazy else ds
    with pytest.raises(InputError, match=r"offset=.* is not finite; expected a number"):
        scene.s2sr.upsample(offset=value, **CUBIC)
    with pytest.raises(
        InputError, match=r"tile=.* is too (large; expected at most 2147483647|small; expected 1 or more)"
    ):
        scene.s2sr.upsample(tile=value, **CUBIC)
    with pytest.raises(InputError, match=r"margin=.* is too (large; expected at most|small; expected 0 or more)"):
        scene.s2sr.upsample(margin=value, **CUBIC)


def test_names_in_an_array_without_dimensions(ds: xr.Dataset) -> None:
    with pytest.raises(ArgumentTypeError, match=r"bands=array\(6\) is a ndarray; expected band names"):
        ds.s2sr.upsample(np.array(6), **CUBIC)


@pytest.mark.parametrize("model", ["bicubic", None])
def test_no_date_at_all(model: str | None) -> None:
    """As in memory, so lazily: a result without dates."""
    pytest.importorskip("dask")
    none = native((60, 60), bands=(*FINE, *RED_EDGE), lead={"time": [0]}).isel(time=slice(0))
    eager = none.s2sr.upsample(model=model)
    lazy = none.chunk().s2sr.upsample(model=model)
    assert lazy.B05.chunks is not None
    assert lazy.B05.shape == (0, 60, 60)
    xr.testing.assert_equal(lazy.compute(), eager)


@pytest.mark.parametrize("value", [None, 3, b"sr.tif", ["sr.tif"], HUGE])
def test_paths(value: Any, ds: xr.Dataset) -> None:
    for read_or_write in (ds[["B02"]].s2sr.to_cog, xr_s2sr.open_safe, xr_s2sr.models.load):
        with pytest.raises(
            ArgumentTypeError, match=r"(path|model)=.* is a \w+; expected a path, such as (path|model)="
        ):
            read_or_write(value)


@pytest.mark.parametrize("value", [pytest.param("x" * 300, id="long"), "a\0b", "\udcff", "\udcff/a"])
def test_paths_that_cannot_be(value: str, ds: xr.Dataset) -> None:
    for read_or_write in (ds[["B02"]].s2sr.to_cog, xr_s2sr.open_safe, xr_s2sr.models.load):
        with pytest.raises(InputError, match=r"cannot be the name of a file; expected text in UTF-8"):
            read_or_write(value)


@pytest.mark.parametrize("value", [3, ["2024-06-01"], np.datetime64("2024-06-01")])
def test_times_of_an_item(value: Any, ds: xr.Dataset, tmp_path: Path) -> None:
    with pytest.raises(ArgumentTypeError, match=r"stac=.* expected True or a time"):
        ds[["B02"]].s2sr.to_cog(tmp_path / "sr.tif", stac=value)
    ds[["B02"]].s2sr.to_cog(tmp_path / "sr.tif", stac=None)
    assert [path.name for path in tmp_path.iterdir()] == ["sr.tif"]


@pytest.mark.parametrize("said", ["now", "today", "", "June"])
def test_a_time_is_a_date(said: str) -> None:
    with pytest.raises(InputError, match=rf"'{said}' is not a date and time"):
        acquired(xr.Dataset(), said)


def test_a_date_in_a_number() -> None:
    """Not nanoseconds after 1970."""
    assert acquired(xr.Dataset(attrs={"date": 20240601})).isoformat() == "2024-06-01T00:00:00+00:00"


# -- metadata ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.array([1e-4]), [1e-4], "0.0001", np.array(1e-4)])
def test_a_scale_in_an_array_or_as_text(value: Any, tmp_path: Path) -> None:
    ds = native((60, 60), bands=(*FINE, *RED_EDGE))
    plain = ds.s2sr.upsample(["B05"], **CUBIC)
    for variable in ds.data_vars.values():
        variable.attrs["scale_factor"] = value
    sr = ds.s2sr.upsample(["B02", "B05"], **CUBIC)
    np.testing.assert_array_equal(sr.B05, plain.B05)
    sr.s2sr.to_cog(tmp_path / "sr.tif")
    with rasterio.open(tmp_path / "sr.tif") as file:
        assert file.scales == (1e-4, 1e-4)


@pytest.mark.parametrize("value", [np.array([1e-4]), [1e-4], "0.0001"])
@pytest.mark.parametrize("fill", [np.array([0], "uint16"), "0", [0.0]])
def test_decoded_with_a_scale_in_an_array_or_as_text(value: Any, fill: Any) -> None:
    ds = native((60, 60), bands=(*FINE, *RED_EDGE), dtype="float32", scale=1e-4)
    encoded = ds.copy(deep=True)
    for scene, (step, none) in ((ds, (1e-4, 0)), (encoded, (value, fill))):
        for variable in scene.data_vars.values():
            variable.encoding |= {"dtype": "uint16", "scale_factor": step, "_FillValue": none}
    np.testing.assert_array_equal(encoded.s2sr.upsample(["B05"], **CUBIC).B05, ds.s2sr.upsample(["B05"], **CUBIC).B05)


@pytest.mark.parametrize("place", ["attrs", "encoding"])
@pytest.mark.parametrize("key", ["scale_factor", "add_offset", "_FillValue", "missing_value"])
@pytest.mark.parametrize("value", ["none", "", {}, np.array([]), HUGE])
def test_metadata_that_are_no_number(place: str, key: str, value: Any) -> None:
    whole = place == "encoding" and key in ("scale_factor", "add_offset")
    ds = native((60, 60), bands=(*FINE, *RED_EDGE), **({"dtype": "float32", "scale": 1e-4} if whole else {}))
    for variable in ds.data_vars.values():
        variable.attrs.pop("nodata", None)
        getattr(variable, place).update(({"dtype": "uint16", "scale_factor": 1e-4} if whole else {}) | {key: value})
    with pytest.raises(RadiometryError, match=rf"'B02' has {key}=.* in its {place}; expected one number. Correct it"):
        ds.s2sr.upsample(["B05"], **CUBIC)
    assert not ds.s2sr.validate()
    for name in ds.data_vars:  # the line that is offered, with the number that is right
        exec(f'ds["{name}"].{place}["{key}"] = { ({"scale_factor": 1e-4 if whole else 1}.get(key, 0)) }')
    assert ds.s2sr.validate()


@pytest.mark.parametrize("key", ["crs", "epsg", "proj:code", "proj:epsg"])
@pytest.mark.parametrize("value", [np.array([32632, 32633]), np.array([]), [1, 2], 10**400, {"a": 1}, b"x"])
def test_a_crs_that_is_none(key: str, value: Any, ds: xr.Dataset) -> None:
    bare = ds.drop_vars("spatial_ref")
    for variable in bare.data_vars.values():
        variable.encoding.pop("grid_mapping", None)
    bare.attrs[key] = value
    assert read_crs(bare) is None
    assert "CRS: none found" in str(bare.s2sr.validate())


# -- the command line -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--threads", "--chunk"])
@pytest.mark.parametrize("value", ["-1", "0", "x", "1.5", "9" * 30, pytest.param("9" * 5000, id="nines")])
def test_counts_of_the_command_line(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"2"):
        cli.main(["upsample", "demo", option, value])
    assert (
        f"argument {option}: {value[:80]!r} is not a number to count with; expected 1 or more"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("name", ["\udcff.nc", "\udcff", "a\0.zarr", pytest.param("x" * 300, id="long"), "\udcff.SAFE"])
@pytest.mark.parametrize("command", ["upsample", "info", "evaluate"])
def test_names_that_no_library_opens(command: str, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, name]) == 1
    said = capfd.readouterr().err
    assert "cannot be the name of a file; expected text in UTF-8" in said
    assert said.count("\n") == 1


def test_all_are_errors_of_ours() -> None:
    assert issubclass(ArgumentTypeError, S2SRError)
    assert issubclass(InputError, S2SRError)
