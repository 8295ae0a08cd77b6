"""The user-defined function for openEO that the documentation offers, on a cube in openEO's form."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from holders import at_10_m
from scenes import RED_EDGE, TWELVE, native

UDF = Path(__file__).parents[1] / "docs" / "openeo_udf.py"


@pytest.fixture(scope="module")
def apply_datacube() -> Any:
    if not UDF.is_file():
        pytest.skip("the documentation is not there")
    spec = spec_from_file_location("openeo_udf", UDF)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.apply_datacube


@pytest.mark.parametrize("dims", [("t", "bands", "y", "x"), ("bands", "y", "x")])
def test_a_cube_in_the_form_of_openeo(apply_datacube: Any, dims: tuple[str, ...]) -> None:
    """No CRS, no attributes; floats with NaN; a chunk begins anywhere in native pixels."""
    scene = native((60, 72), crs=None)
    rows, cols = slice(4, 55), slice(6, 67)
    plain = at_10_m(scene, rows, cols, dtype="float32")[list(TWELVE)].drop_attrs().to_dataarray("bands")
    cube = plain.expand_dims(t=np.array(["2024-06-01", "2024-06-11"], "M8[ns]")) if "t" in dims else plain
    restored = apply_datacube(cube, {"model": "bicubic"})
    assert restored.dims == dims
    xr.testing.assert_identical(restored.coords.to_dataset(), cube.coords.to_dataset())
    expected = at_10_m(scene, rows, cols)[list(TWELVE)].s2sr.upsample(model="bicubic")
    for band in RED_EDGE:
        for part in restored.sel(bands=band) if "t" in dims else [restored.sel(bands=band)]:
            np.testing.assert_allclose(part, expected[band], rtol=0, atol=0.51)
    np.testing.assert_array_equal(restored.sel(bands="B02"), cube.sel(bands="B02"))
