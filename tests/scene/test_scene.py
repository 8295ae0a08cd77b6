"""A part of a scene, taken from the whole: the same as when the part is read alone."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scenes import DIMS, FINE, RED_EDGE, SIXTY, TWELVE, native

from xr_s2sr.scene.scene import NativeScene, read_scene


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


def known(scene: NativeScene) -> str:
    """All but the Dataset; by reprs: from Python 3.13 on, a dataclass that holds NaN differs from its equal."""
    return repr((scene.variables, scene.bands, scene.reference, scene.crs, scene.notes, scene.problems))


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("bands", [TWELVE, (*FINE, *SIXTY), ("B02", *RED_EDGE), (*FINE, "B11"), ("B02",)])
def test_a_part_is_what_reading_it_gives(name: str, bands: tuple[str, ...]) -> None:
    ds = SCENES[name]()
    whole = read_scene(ds)
    assert known(whole.only(bands)) == known(read_scene(ds[list(bands)]))


@pytest.mark.parametrize("bands", [("B03", "B05"), ("B05",), (*FINE, "B05"), (*FINE, "B09")])
@pytest.mark.parametrize("broken", [False, True])
def test_without_the_reference_or_beside_a_problem(bands: tuple[str, ...], broken: bool) -> None:
    """Coordinates are then those of another band, and a problem is told of another band."""
    ds = native()
    ds = ds.assign_coords(x_60m=ds.x_60m + 3) if broken else ds
    whole = read_scene(ds)
    assert bool(whole.problems) == broken
    part = whole.only(bands)
    assert known(part) == known(read_scene(ds[list(bands)]))
    assert part.ds is whole.ds
