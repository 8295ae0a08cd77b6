"""SceneInfo of a part of a Dataset, taken from that of the whole: the same as of the part inspected alone."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scenes import DIMS, FINE, RED_EDGE, SIXTY, TWELVE, native

from xr_s2sr.scene.info import inspect_scene


def with_cirrus() -> xr.Dataset:
    return native().assign(B10=(DIMS[60], np.full((10, 12), 100, np.uint16)))


def mixed_units() -> xr.Dataset:
    ds = native()
    return ds.assign(B11=(ds.B11 * 1e-4).assign_attrs(units="1"))


def at_two_baselines() -> xr.Dataset:
    ds = native(lead={"time": np.array(["2021-06-01", "2022-06-01"], "datetime64[ns]")})
    return ds.assign_coords({"s2:processing_baseline": ("time", ["03.01", "04.00"])})


SCENES = {
    "plain": native,
    "cirrus": with_cirrus,
    "mixed units": mixed_units,
    "two baselines": at_two_baselines,
    "degraded": lambda: native((144, 144)).s2sr.degrade(2),
    "ends anywhere": lambda: native((72, 72)).isel(y=slice(7, 65), x_20m=slice(2, None), y_60m=slice(1, 9)),
}


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("bands", [TWELVE, (*FINE, *SIXTY), ("B02", *RED_EDGE), (*FINE, "B11"), ("B02",)])
def test_a_part_is_what_surveying_it_gives(name: str, bands: tuple[str, ...]) -> None:
    ds = SCENES[name]()
    whole = inspect_scene(ds)
    before = repr(whole)
    part = whole.part(bands)
    # by their reprs: from Python 3.13 on, a dataclass that holds NaN differs from its equal
    assert repr(part) == repr(inspect_scene(ds[list(bands)]))
    part.notes.append("more")
    part.left_out.append("more")
    part.bands.clear()
    assert repr(whole) == before


def test_no_part_without_the_reference_or_beside_a_problem() -> None:
    ds = native()
    assert inspect_scene(ds).part(["B03", "B05"]) is None  # coordinates are those of another band
    assert inspect_scene(ds.drop_vars(list(FINE))).part(["B05"]) is None
    broken = inspect_scene(ds.assign_coords(x_60m=ds.x_60m + 3))
    assert broken.problems
    assert broken.part([*FINE, "B05"]) is None
