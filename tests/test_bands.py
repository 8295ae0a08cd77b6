"""Which name means which band; names in use elsewhere, written out here by hand."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from holders import at_10_m, stacked
from hypothesis import given
from hypothesis import strategies as st
from scenes import GSD

import xr_s2sr
from xr_s2sr import BANDS, S2SRError
from xr_s2sr.bands import BY_GSD, by_convention, resolve, resolve_requested
from xr_s2sr.errors import BandError

pytestmark = pytest.mark.usefixtures("small_defaults")

# wavelengths rounded as GDAL prints them; STAC common names; Digital Earth Australia; others
ALIASES = {
    "B01": "443 coastal nbart_coastal_aerosol aerosol coastal_aerosol",
    "B02": "490 blue nbart_blue",
    "B03": "560 green nbart_green",
    "B04": "665 red nbart_red",
    "B05": "705 rededge1 nbart_red_edge_1 rededge071",
    "B06": "740 rededge2 nbart_red_edge_2 rededge075",
    "B07": "783 rededge3 nbart_red_edge_3 rededge078",
    "B08": "842 nir nbart_nir_1",
    "B8A": "865 nir08 nbart_nir_2 narrow_nir",
    "B09": "945 nir09 water_vapour water_vapor",
    "B10": "1375 cirrus",
    "B11": "1610 swir16 nbart_swir_2 swir1",
    "B12": "2190 swir22 nbart_swir_3 swir2 nbar_swir_3 swir_3",
}


def spellings() -> list[tuple[str, str]]:
    pairs = []
    for band, words in ALIASES.items():
        wavelength, *names = words.split()
        short = "B" + band[1:].lstrip("0")
        gsd = GSD[band]
        names += [band, short, band.lower(), short.lower(), f"{band}_{gsd}m", f"{short}_{gsd}m", f"{band.lower()}_20m"]
        names += [f"{band}-60m", f"{band} 10m", f"{short}, central wavelength {wavelength} nm"]
        pairs += [(name, band) for name in dict.fromkeys(names)]
    return pairs


@pytest.mark.parametrize(("name", "band"), spellings())
def test_name_of_a_band(name: str, band: str) -> None:
    assert resolve(name) == band


@given(st.sampled_from(spellings()), st.data())
def test_case_and_blanks_do_not_matter(pair: tuple[str, str], data: st.DataObject) -> None:
    name, band = pair
    upper = data.draw(st.lists(st.booleans(), min_size=len(name), max_size=len(name)))
    mixed = "".join(c.upper() if u else c.lower() for c, u in zip(name, upper, strict=True))
    assert resolve(f"  {mixed} ") == band


OTHERS = ["SCL", "AOT", "WVP", "B13", "B00", "B0", "B", "B8B", "B1A", "B012A", "B21", "B99", "band", "band 5", "visual"]
OTHERS += ["", " ", "B05_clouds", "xB05", "B05 B06", "spatial_ref", "rededge", "swir", "nir10", "-B05", "B-5"]


@pytest.mark.parametrize("name", [*OTHERS, 5, 5.0, None, ("B05",), b"B05", np.int64(5), True])
def test_no_band(name: object) -> None:
    assert resolve(name) is None


@given(st.text(max_size=12))
def test_any_text_is_a_band_or_none(name: str) -> None:
    assert resolve(name) in {None, *BANDS}


CONVENTIONS = [
    ("blue swir_2 swir_3", {"swir_2": "B11", "swir_3": "B12"}),
    ("SWIR_2 nbart_red", {"SWIR_2": "B11"}),
    ("nbar_blue swir_2", {"swir_2": "B11"}),
    ("swir2 swir3", {"swir2": "B11", "swir3": "B12"}),
    ("swir_1 swir_2", {"swir_2": "B12"}),
    ("swir16 swir_2", {"swir_2": "B12"}),
    ("B11 swir_2", {"swir_2": "B12"}),
    ("swir2 red", {"swir2": "B12"}),
    ("nbart_swir_2 nbart_swir_3", {}),
    ("B11 B12 SCL", {}),
]


@pytest.mark.parametrize(("names", "bands"), CONVENTIONS, ids=[row[0] for row in CONVENTIONS])
def test_a_convention_is_told_by_the_names_beside(names: str, bands: dict[str, str]) -> None:
    assert by_convention(names.split()) == bands
    assert by_convention([*reversed(names.split()), 5, None]) == bands


AUSTRALIAN = {
    "B02": "blue", "B03": "green", "B04": "red", "B05": "red_edge_1", "B06": "red_edge_2", "B07": "red_edge_3",
    "B08": "nir_1", "B8A": "nir_2", "B11": "swir_2", "B12": "swir_3",
}  # fmt: skip


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("form", ["native", "10 m", "array"])
def test_digital_earth_australia(scene: xr.Dataset, form: str, lazy: bool) -> None:
    """Its swir_2 is B11 and its swir_3 is B12, also when they are asked for, compared and scored."""
    scene = scene.drop_vars(["B01", "B09"])
    expected = scene.s2sr.upsample()
    ds = (scene if form == "native" else at_10_m(scene)).rename(AUSTRALIAN)
    ds = ds.chunk() if lazy else ds
    given = stacked(ds) if form == "array" else ds
    assert (given.s2sr.bands["B11"], given.s2sr.bands["B12"]) == ("swir_2", "swir_3")
    assert "'swir_2' is B11, by the names beside it" in str(given.s2sr.validate())
    sr = given.s2sr.upsample()
    one = given.s2sr.upsample("SWIR_2")  # alone it keeps what it is
    assert dict(one.s2sr.bands) == {"B11": "swir_2"}
    if form == "array":
        sr, one = sr.to_dataset("band"), one.to_dataset("band")
    assert list(sr) == list(ds)
    for band, name in AUSTRALIAN.items():
        np.testing.assert_array_equal(sr[name], expected[band], err_msg=name)
    np.testing.assert_array_equal(one.swir_2, expected.B11)
    if not lazy and form != "array":
        assert one.s2sr.consistency(ds).band.values.tolist() == ["B11"]
        assert ds.s2sr.evaluate("bicubic", bands="swir_2").dataset.band.values.tolist() == ["B11"]
        small = ds.s2sr.degrade(2)
        assert {name for name in ds if name not in small} == set()
        assert dict(small[["swir_2"]].s2sr.bands) == {"B11": "swir_2"}
        assert xr_s2sr.plot.swipe(ds, sr, "swir_2").titles[1] == "B11, restored to 10 m"
        parts = ds[[n for n in ds if ds[n].dims == ("y", "x")]], ds[[n for n in ds if ds[n].dims != ("y", "x")]]
        if form == "native":
            together = xr_s2sr.combine(parts[0], parts[1].rename(y_20m="y", x_20m="x"))
            np.testing.assert_array_equal(together.s2sr.upsample("B11").B11, expected.B11)


def test_what_is_asked_for_means_what_it_means_beside_the_names_of_the_scene(scene: xr.Dataset) -> None:
    """As after combine(), which names swir_2 by band: B11 beside swir_3."""
    ds = scene.rename(B12="swir_3")
    assert list(ds.s2sr.upsample("swir_2", model="bicubic")) == ["B11"]
    assert list(scene.s2sr.upsample("swir_2", model="bicubic")) == ["B12"]
    plain, sharper, expected = (
        one.s2sr.upsample("B11", model="bicubic", adapt=True, mtf=mtf).B11
        for one, mtf in ((ds, None), (ds, {"swir_2": 0.4}), (scene, {"B11": 0.4}))
    )
    np.testing.assert_array_equal(sharper, expected)
    assert not np.array_equal(sharper, plain)


def test_one_band_asked_for_of_a_scene_in_which_another_comes_twice(scene: xr.Dataset) -> None:
    twice = scene.assign(rededge1=scene.B05)
    assert list(twice.s2sr.upsample("B11", model="bicubic")) == ["B11"]
    with pytest.raises(BandError, match=r"both 'B05' and 'rededge1' are band B05. Keep one: ds = ds.drop_vars"):
        twice.s2sr.upsample("B05", model="bicubic")


def test_two_values_for_the_mtf_of_a_band(scene: xr.Dataset) -> None:
    with pytest.raises(BandError, match=r"mtf has two values for B05, one of them under 'rededge1'; expected one"):
        scene.s2sr.upsample(["B05", "B11"], mtf={"B05": 0.2, "rededge1": 0.3, "B11": 0.1})


@pytest.mark.parametrize("form", ["dataset", "array"])
@pytest.mark.parametrize("beside", [(), ("swir_1", "swir_3")])
def test_nothing_tells_the_convention(scene: xr.Dataset, form: str, beside: tuple[str, ...]) -> None:
    cube = at_10_m(scene).drop_vars("B11").rename(B12="swir_2")
    cube = cube.assign(dict.fromkeys(beside, cube.B05))
    given = stacked(cube) if form == "array" else cube
    message = r"'swir_2' is B12 where .* B11 where .*Name it by band, B12 or B11: (ds|da) = "
    with pytest.raises(BandError, match=message) as refused:
        given.s2sr.upsample()
    assert "'swir_2' is B12 where" in str(given.s2sr.validate())
    if beside:
        return
    line = str(refused.value).split("B12 or B11: ")[1]
    space = {"ds": given, "da": given}
    exec(line, space)
    sr = space[line[:2]].s2sr.upsample("B12", model="bicubic")
    expected = scene.s2sr.upsample("B12", model="bicubic").B12
    np.testing.assert_array_equal(sr.sel(band="B12") if form == "array" else sr.B12, expected)


def test_labels_that_contradict_each_other(scene: xr.Dataset) -> None:
    """Numbers of positions, such as B1 for the first, beside descriptions."""
    right = stacked(at_10_m(scene))
    da = right.assign_coords(band=[f"B{k}" for k in range(1, 13)]).assign_attrs(long_name=tuple(right.band.values))
    with pytest.raises(
        BandError, match=r"position 0 along 'band' is 'B1' by one label and 'B02' by another"
    ) as refused:
        da.s2sr.upsample()
    line = str(refused.value).split("wrong: ")[1].split(", or ")[0]
    space = {"da": da}
    exec(line, space)
    sr = space["da"].s2sr.upsample("B05", model="bicubic")
    np.testing.assert_array_equal(sr[0], scene.s2sr.upsample("B05", model="bicubic").B05)


def test_table() -> None:
    assert {band.id: band.gsd for band in BANDS.values()} == GSD
    assert list(BANDS) == sorted(GSD, key=lambda band: int(ALIASES[band].split()[0]))
    for band in BANDS.values():
        assert band.wavelength == pytest.approx(float(ALIASES[band.id].split()[0]), rel=0.015)
    assert BY_GSD == {
        10: ("B02", "B03", "B04", "B08"),
        20: ("B05", "B06", "B07", "B8A", "B11", "B12"),
        60: ("B01", "B09"),
    }
    with pytest.raises(AttributeError, match="cannot assign to field 'gsd'"):
        BANDS["B02"].gsd = 20  # type: ignore[misc]


def test_no_alias_twice() -> None:
    aliases = [alias for band in BANDS.values() for alias in band.aliases]
    assert len(aliases) == len(set(aliases))
    assert all(alias == alias.lower() for alias in aliases)


def test_requested_keeps_order_and_drops_repetition() -> None:
    assert resolve_requested(["swir16", "B5", "b11", "red", "B05_20m"]) == ["B11", "B05", "B04"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rededge", r"'rededge' is not a Sentinel-2 band; did you mean 'rededge\d'\?"),
        ("swir", r"'swir' is not a Sentinel-2 band; did you mean 'swir\d+'\?"),
        ("B1l", r"did you mean 'B\d\d'\?"),
        ("B13", r"did you mean 'B\d\d'\?"),
        ("grean", "did you mean 'green'"),
        ("GREAN", "did you mean 'green'"),
        ("SCL", r"'SCL' is not a Sentinel-2 band; ask for some of B01, .*B12, or \"swir16\""),
        (5, r"5 is not a Sentinel-2 band"),
        (None, r"None is not a Sentinel-2 band"),
    ],
)
def test_requested_unknown(name: object, message: str) -> None:
    with pytest.raises(BandError, match=message) as caught:
        resolve_requested(["B05", name])
    assert isinstance(caught.value, S2SRError)
    assert isinstance(caught.value, ValueError)


def test_two_variables_for_one_band(scene: xr.Dataset) -> None:
    twice = scene.assign(swir16=scene.B11, b11_20m=scene.B11)
    message = r"both 'B11' and 'swir16' are band B11. Keep one: ds = ds.drop_vars\('swir16'\)"
    for use in (lambda: twice.s2sr.upsample(), lambda: twice.s2sr.bands, lambda: twice.s2sr.upsample(["B05"])):
        with pytest.raises(BandError, match=message):
            use()
    assert "'b11_20m'" in str(twice.s2sr.validate())


def test_bands_of_a_dataset(scene: xr.Dataset) -> None:
    renamed = scene.rename(B11="swir16", B04="Red", B01="B1, central wavelength 443 nm").assign(SCL=scene.B05)
    found = renamed.s2sr.bands
    assert list(found) == [band for band in BANDS if band != "B10"]
    assert (found["B11"], found["B04"], found["B01"]) == ("swir16", "Red", "B1, central wavelength 443 nm")
    assert dict(xr.Dataset().s2sr.bands) == {}
