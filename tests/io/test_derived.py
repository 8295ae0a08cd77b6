"""Files of what was computed from a result."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from scenes import native

from xr_s2sr import S2SRWarning

pytest.importorskip("dask.array")


@pytest.mark.parametrize("attrs", [{"nodata": 0}, {"scale_factor": 1e-4, "add_offset": -0.1, "_FillValue": 0}])
@pytest.mark.parametrize("lazy", [False, True])
def test_attributes_that_an_index_has_kept(attrs: dict[str, Any], lazy: bool, tmp_path: Path) -> None:
    """Arithmetic keeps attributes; the line that the warning names leads to a file that says what is true."""
    ds = native((60, 60))
    for da in ds.data_vars.values():
        da.attrs |= attrs
    sr = (ds.chunk() if lazy else ds).s2sr.upsample("B11", model="bicubic").assign(B08=ds.B08)
    with xr.set_options(keep_attrs=True):
        ndmi = (sr.B11 - 1.0 * sr.B08) / (sr.B11 + sr.B08)
        ndmi = ndmi.where(ndmi < 0.1, 0.0)
    sr = sr[["B11"]].assign(ndmi=ndmi)
    said = r"'ndmi' is no band by its name, but has attributes of a restored one \(.*(nodata|_FillValue) 0"
    with pytest.warns(S2SRWarning, match=said) as caught:
        sr.s2sr.to_cog(tmp_path / "sr")
    names = {"sr": sr}
    exec(str(caught[0].message).rpartition(": ")[2], names)
    with warnings.catch_warnings():
        warnings.simplefilter("error", S2SRWarning)
        names["sr"].s2sr.to_cog(tmp_path / "sr")
    with rasterio.open(tmp_path / "sr" / "ndmi.tif") as file:
        assert (file.scales, file.offsets) == ((1.0,), (0.0,))
        assert np.isnan(file.nodata)
        assert "s2sr_model" not in file.tags(1)
        np.testing.assert_array_equal(file.read(1), ndmi)
    with rasterio.open(tmp_path / "sr" / "B11.tif") as file:  # bands keep theirs
        assert file.tags(1)["s2sr_model"] == "bicubic 1"
        assert file.nodata == 0
