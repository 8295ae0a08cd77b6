"""Nothing of the input is lost or changed: attributes, encodings, coordinates, memory."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scenes import FINE, RED_EDGE, TWELVE, native

from xr_s2sr import S2SRWarning

pytestmark = pytest.mark.usefixtures("small_defaults")

#: Bicubic interpolation: exact, quick, and the same code around it as with a network.
CUBIC = {"model": "bicubic"}


def snapshot(ds: xr.Dataset) -> dict[str, Any]:
    """Everything that could be changed by accident."""
    return {
        "attrs": copy.deepcopy(ds.attrs),
        "encoding": copy.deepcopy(ds.encoding),
        "dims": dict(ds.sizes),
        **{
            str(name): (v.dims, v.values.copy(), copy.deepcopy(v.attrs), copy.deepcopy(v.encoding), v.dtype)
            for name, v in ds.variables.items()
        },
    }


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    return bool(one == other)


def test_attrs_encodings_and_provenance() -> None:
    ds = native((60, 60), bands=(*FINE, *RED_EDGE))
    ds.attrs["history"] = ["downloaded"]
    ds.B11.attrs |= {"standard_name": "toa_bidirectional_reflectance", "nested": {"a": 1}}
    ds.B11.encoding |= {
        "dtype": "int32", "scale_factor": 1.0, "_FillValue": 0, "chunksizes": (5, 5), "zlib": True, "source": "x.jp2"
    }  # fmt: skip
    sr = ds.s2sr.upsample()
    assert sr.attrs == ds.attrs
    own = {k: v for k, v in sr.B11.attrs.items() if not k.startswith("s2sr_")}
    assert own == ds.B11.attrs
    assert sr.B11.attrs["s2sr_native_gsd"] == 20
    assert sr.B11.encoding == {"dtype": "int32", "scale_factor": 1.0, "_FillValue": 0, "grid_mapping": "spatial_ref"}
    assert sr.B02.encoding == ds.B02.encoding
    assert sr.B02.attrs == ds.B02.attrs


@pytest.mark.parametrize("bands", [None, ["B05"], ["B02", "B01"]])
def test_input_is_left_alone(bands: Any) -> None:
    ds = native((60, 60), lead={"time": [0]})
    ds.B05.values[0, 2, 2] = 0
    before = snapshot(ds)
    sr = ds.s2sr.upsample(bands, **CUBIC)
    ds.s2sr.validate()
    assert same(snapshot(ds), before)
    part = ds.isel(y_20m=slice(3, None))
    before = snapshot(part)
    with pytest.warns(S2SRWarning, match="extents differ"):
        part.s2sr.upsample(bands or ["B05"], **CUBIC) if bands != ["B02", "B01"] else part.s2sr.upsample("B05", **CUBIC)
    assert same(snapshot(part), before)
    sr.attrs["new"] = 1
    for name in sr.data_vars:
        sr[name].attrs["new"] = 1
    assert all("new" not in v.attrs for v in (ds, *ds.data_vars.values()))


def test_scalar_coordinates_survive() -> None:
    ds = native((60, 60), bands=(*FINE, "B05")).assign_coords(time=np.datetime64("2021-06-01", "ns"), tile="32TPT")
    ds = ds.assign_coords(orbit=((), 65))
    sr = ds.s2sr.upsample(**CUBIC)
    assert (sr.time, sr.tile, sr.orbit) == (ds.time, "32TPT", 65)


def test_two_dimensional_coordinates_survive(scene: xr.Dataset) -> None:
    scene = scene.assign_coords(lon=(("y", "x"), np.zeros((60, 72))), lon20=(("y_20m", "x_20m"), np.zeros((30, 36))))
    sr = scene.s2sr.upsample(**CUBIC)
    assert sr.lon.dims == ("y", "x")
    assert "lon20" not in sr.coords


def test_read_only_and_strided_pixels(scene: xr.Dataset, restored: xr.Dataset) -> None:
    for band in TWELVE:
        big = np.zeros([2 * n for n in scene[band].shape], np.uint16, order="F")
        big[::2, ::2] = scene[band].values
        view = big[::2, ::2]
        view.flags.writeable = False
        scene[band] = scene[band].copy(data=view)
    sr = scene.s2sr.upsample(**CUBIC)
    xr.testing.assert_equal(sr, restored)
