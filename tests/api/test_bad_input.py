"""What is refused, in which words, before any pixel is computed; and what looks odd but is fine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scenes import FINE, GSD, RED_EDGE, SIXTY, TWELVE, native

import xr_s2sr
from xr_s2sr import S2SRError, S2SRWarning
from xr_s2sr.errors import ArgumentTypeError, BandError, GridError, InputError, ModelError, RadiometryError

pytestmark = pytest.mark.usefixtures("small_defaults")

Change = Callable[[xr.Dataset], Any]


def assign(**coords: Callable[[xr.DataArray], Any]) -> Change:
    """Coordinates changed by name."""
    return lambda ds: ds.assign_coords({dim: (dim, np.asarray(f(ds[dim]))) for dim, f in coords.items()})


def band(name: str, change: Callable[[xr.DataArray], xr.DataArray]) -> Change:
    return lambda ds: ds.assign({name: change(ds[name])})


def smooth_at_10_m(ds: xr.Dataset) -> xr.Dataset:
    """20 m bands interpolated onto the 10 m grid, as many tools can be told to do."""
    return ds.assign({b: ds[b].interp(y_20m=ds.y, x_20m=ds.x, kwargs={"fill_value": "extrapolate"}) for b in RED_EDGE})


def own_dims(ds: xr.Dataset) -> xr.Dataset:
    return ds.assign(B03=ds.B03.rename(y="y_green", x="x_green"))


DEGREE = 1 / 111_320.0

SCENES: list[tuple[str, Change, type[S2SRError], str]] = [
    ("no rows", lambda ds: ds.isel(y=slice(0)), GridError, "'B02' is empty: dimension 'y' has no pixels"),
    ("no columns at 20 m", lambda ds: ds.isel(x_20m=slice(0)), GridError, "'B05' is empty: dimension 'x_20m'"),
    ("no variables", lambda ds: xr.Dataset(), BandError, "no Sentinel-2 band among the variables .none..*ds.rename"),
    ("foreign names", lambda ds: ds.rename({b: f"v{b}" for b in TWELVE}), BandError, "no Sentinel-2 band .*'vB02'"),
    ("numbers for names", lambda ds: xr.Dataset({5: ds.B05}), BandError, r"no Sentinel-2 band among .* \(5\)"),
    ("object", band("B05", lambda v: v.astype(object)), RadiometryError, "'B05' has dtype object; a band must hold"),
    ("complex", band("B05", lambda v: v.astype(complex)), RadiometryError, "'B05' has dtype complex128"),
    ("bool", band("B05", lambda v: v > 0), RadiometryError, "'B05' has dtype bool"),
    ("times", band("B05", lambda v: v.astype("M8[ns]")), RadiometryError, "'B05' has dtype datetime64.ns."),
    ("strings", band("B05", lambda v: v.astype(str)), RadiometryError, "'B05' has dtype <U"),
    ("unsorted", assign(y=lambda c: np.roll(c, 3)), GridError, r"'y' is not equally spaced .*ds.sortby\(\"y\"\)"),
    ("unsorted 60 m", assign(x_60m=lambda c: np.roll(c, 1)), GridError, "'B01': the coordinate 'x_60m' is not equally"),
    ("a gap", lambda ds: ds.isel(x=[*range(10), *range(20, 60)]), GridError, "'x' is not equally spaced"),
    ("repeated", assign(x=lambda c: np.full(60, c[0])), GridError, "the coordinate 'x' is constant"),
    ("NaN", assign(x_20m=lambda c: np.where(c > c[3], np.nan, c)), GridError, "'B05': .*'x_20m' holds NaN or inf"),
    ("no coordinates", lambda ds: ds.drop_vars(["y", "x"]), GridError, r"no coordinate along 'y'.*assign_coords"),
    ("none at 60 m", lambda ds: ds.drop_vars("x_60m"), GridError, "'B01' has no coordinate along 'x_60m'"),
    ("words", assign(y=lambda c: [f"row{k}" for k in range(60)]), GridError, "'y' holds <U5, expected metres as n"),
    ("0-d", band("B05", lambda v: v[0, 0].drop_vars(["y_20m", "x_20m"])), GridError, "'B05' has dims .*two spatial"),
    ("1-d", band("B05", lambda v: v[0]), GridError, "'B05' has dims .'x_20m',.; a band needs two spatial dimensions"),
    ("1-d guide", band("B03", lambda v: v[0]), GridError, "'B03' has dims .*a band needs two spatial dimensions"),
    ("twice", lambda ds: ds.assign(swir16=ds.B11), BandError, "both 'B11' and 'swir16' are band B11. Keep one"),
    ("half a pixel", assign(x_20m=lambda c: c + 5), GridError, r"20 m grid of 'B05' does not nest .*0.50 pixels off"),
    ("3 m", assign(y_60m=lambda c: c - 3), GridError, "60 m grid of 'B01' does not nest .*0.30 pixels off along 'y'"),
    ("60 m by 10 m", assign(x_60m=lambda c: c + 10), GridError, "60 m grid of 'B01' does not fall on the 20 m grid"),
    ("20 m by 10 m", assign(x_20m=lambda c: c + 10), GridError, "60 m grid of 'B01' does not fall on the 20 m grid of"),
    ("topleft", lambda ds: ds.assign_coords({d: ds[d] - (ds[d][1] - ds[d][0]) / 2 for d in ds.dims}),
     GridError, "share coordinates along 'y', as upper left corners would; expected pixel centres"),
    ("degrees", assign(y=lambda c: 48 + DEGREE * (c - c[0]), x=lambda c: 11 + DEGREE * (c - c[0])),
     GridError, "'B02' has a spacing of 8.98.*looks like degrees; expected metres on a UTM grid"),
    ("degrees at 20 m", assign(x_20m=lambda c: DEGREE * c), GridError, "'B05' has a spacing of 0.000179.*like degrees"),
    ("20 m guides", lambda ds: ds.drop_vars(FINE).assign(dict.fromkeys(FINE, ds.B05)), GridError,
     "'B02' is a 10 m band with a spacing of 20 along 'y_20m'; expected 10. Load each band at its native"),
    ("smooth at 10 m", smooth_at_10_m, GridError, "'B05' is a 20 m band with a spacing of 10 along 'y'; expected 20, "
     r"or exact copies of such pixels; these were .*odc.stac.load\(items, bands=\[\"B05\"\], resolution=20\)"),
    ("60 m at 20 m", lambda ds: ds.assign(B01=ds.B05), GridError, "'B01' is a 60 m band with a spacing of 20"),
    ("guide on dims of its own", own_dims, GridError, "10 m bands 'B02' and 'B03' have dims of their own"),
    ("one guide missing", lambda ds: ds.drop_vars("B08"), BandError, "missing B08, which the model 's2sr-60m' needs"),
    ("no guide", lambda ds: ds.drop_vars(FINE), BandError, "missing B02, B03, B04, B08, which .*s2sr-60m"),
    ("only guides", lambda ds: ds[list(FINE)], BandError, "nothing to upsample: no 20 m or 60 m band .found: B02, B03"),
    ("only one 60 m band", lambda ds: ds.drop_vars(["B09", *RED_EDGE]), BandError, "missing B09, which the model"),
    ("dates of one band", band("B05", lambda v: v.expand_dims(time=2)), GridError, "'B05' has the leading dimensions"),
    ("dates of guides", lambda ds: ds.assign({b: ds[b].expand_dims(time=2) for b in FINE}), GridError,
     r"'B01' has the leading dimensions \{\}, 'B02' \{'time': 2\}; expected the same"),
    ("apart", lambda ds: ds.isel(y=slice(6), y_20m=slice(20, None)), GridError, "the resolutions do not overlap"),
    ("float DN", lambda ds: ds.astype("float32"), RadiometryError, r"has a median of .*upsample\(units='dn'\)"),
    ("percent", lambda ds: (ds * 0.01).astype("float32"), RadiometryError, r"upsample\(units='percent'\)"),
    ("scale 0", band("B12", lambda v: v.assign_attrs(scale_factor=0)), RadiometryError, "'B12' says scale_factor=0"),
    ("scale 'x'", band("B12", lambda v: v.assign_attrs(scale_factor="x")), RadiometryError, "has scale_factor='x'"),
    ("an upsampled one", lambda ds: native((60, 60), bands=FINE).assign({b: native((60, 60)).B02 for b in RED_EDGE}),
     GridError, "'B05' is a 20 m band with a spacing of 10"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "kind", "message"), [row[1:] for row in SCENES], ids=[row[0] for row in SCENES])
def test_scene(change: Change, kind: type[S2SRError], message: str, no_pixels: None) -> None:
    ds = change(native((60, 60)))
    with pytest.raises(kind, match=message) as caught:
        ds.s2sr.upsample()
    assert isinstance(caught.value, ValueError | NotImplementedError)
    report = ds.s2sr.validate()
    assert not report
    assert any(str(caught.value).startswith(str(problem)) for problem in report.problems)


ARGUMENTS: list[tuple[dict[str, Any], type[S2SRError], str]] = [
    ({"bands": "B13"}, BandError, "'B13' is not a Sentinel-2 band; did you mean"),
    ({"bands": ["B05", "SCL"]}, BandError, "'SCL' is not a Sentinel-2 band"),
    ({"bands": "B05,B11"}, BandError, "'B05,B11' is not a Sentinel-2 band"),
    ({"bands": []}, InputError, r"bands is empty; name some bands, such as bands=\[\"B05\", \"B11\"\]"),
    ({"bands": 5}, ArgumentTypeError, "bands=5 is a int; expected band names"),
    ({"bands": [5]}, BandError, "5 is not a Sentinel-2 band"),
    ({"bands": [["B05"]]}, BandError, "is not a Sentinel-2 band"),
    ({"bands": "B10"}, BandError, "asked for B10, but the Dataset holds B01, B02"),
    ({"model": "no-such-model"}, ModelError, "no model 'no-such-model': it is neither a file nor one of .*s2sr-20m"),
    ({"model": "missing.onnx"}, ModelError, "no model 'missing.onnx'.*Give the path of an ONNX file"),
    ({"model": Path("missing.onnx")}, ModelError, "no model 'missing.onnx'"),
    ({"model": Path(__file__).parent}, ModelError, "no model .*it is neither a file"),
    ({"model": 3}, ArgumentTypeError, "model=3 is a int; expected a name, a path or a list of them"),
    ({"model": [3]}, ArgumentTypeError, r"model=\[3\] is a list; expected a name, a path"),
    ({"model": b"m.onnx"}, ArgumentTypeError, "model=b'm.onnx' is a bytes"),
    ({"model": []}, InputError, "model is an empty list; leave it out for the packaged models"),
    ({"model": {"a": 1}}, ArgumentTypeError, "is a dict; expected a name"),
    ({"model": "s2sr-20m", "bands": ["B01"]}, ModelError, "restores B05, .*none of which is left to restore .B01"),
    ({"model": ["s2sr-20m", "s2sr-20m", "s2sr-60m"], "bands": ["B05"]}, ModelError, "restores B01, B09, none of which"),
    ({"device": "gpu"}, InputError, "device='gpu' is unknown; choose one of 'auto', 'cpu', 'cuda'"),
    ({"device": None}, InputError, "device=None is unknown; choose one of"),
    ({"device": ["cpu"]}, InputError, "is unknown; choose one of"),
    ({"device": 0}, InputError, "device=0 is unknown; choose one of"),
    ({"threads": 0}, InputError, "threads=0 is too small; expected 1 or more"),
    ({"threads": 1.5}, ArgumentTypeError, "threads=1.5 is a float; expected an integer, such as threads=1"),
    ({"threads": "2"}, ArgumentTypeError, "threads='2' is a str; expected an integer"),
    ({"threads": True}, ArgumentTypeError, "threads=True is a bool; expected an integer"),
    ({"tile": 0}, InputError, "tile=0 is too small; expected 1 or more"),
    ({"tile": -6}, InputError, "tile=-6 is too small"),
    ({"tile": None}, ArgumentTypeError, "tile=None is a NoneType; expected an integer"),
    ({"tile": 720.0}, ArgumentTypeError, "tile=720.0 is a float"),
    ({"tile": (720, 720)}, ArgumentTypeError, r"tile=\(720, 720\) is a tuple"),
    ({"margin": -1}, InputError, "margin=-1 is too small; expected 0 or more"),
    ({"margin": "24"}, ArgumentTypeError, "margin='24' is a str; expected an integer"),
    ({"margin": np.bool_(True)}, ArgumentTypeError, "margin=.*True.* is a bool"),
    ({"units": "counts"}, InputError, "units='counts' is unknown; choose one of 'dn', 'reflectance', 'percent'"),
    ({"units": 1e-4}, InputError, "units=0.0001 is unknown"),
    ({"units": ["dn"]}, InputError, "is unknown; choose one of 'dn'"),
    ({"units": ""}, InputError, "units='' is unknown"),
    ({"offset": "-1000"}, ArgumentTypeError, "offset='-1000' is a str; expected a number, such as offset=-1000"),
    ({"offset": np.nan}, InputError, "offset=nan is not finite; expected a number"),
    ({"offset": np.inf}, InputError, "offset=inf is not finite"),
    ({"offset": [-1000]}, ArgumentTypeError, r"offset=\[-1000\] is a list"),
    ({"offset": True}, ArgumentTypeError, "offset=True is a bool"),
    ({"offset": 1j}, ArgumentTypeError, "offset=1j is a complex"),
    ({"units": "reflectance"}, RadiometryError, r"has a median of .*units='dn'"),
    ({"offset": 60000}, RadiometryError, r"would be a reflectance of .*upsample\(offset=0\)"),
    ({"progress": "yes"}, ArgumentTypeError, "progress='yes' is a str; expected True, False, None or a function"),
    ({"progress": 1}, ArgumentTypeError, "progress=1 is a int"),
]


@pytest.mark.parametrize(("said", "kind", "message"), ARGUMENTS, ids=[str(row[0])[:50] for row in ARGUMENTS])
def test_argument(
    scene: xr.Dataset, said: dict[str, Any], kind: type[S2SRError], message: str, no_pixels: None
) -> None:
    with pytest.raises(kind, match=message) as caught:
        scene.s2sr.upsample(**said)
    assert isinstance(caught.value, TypeError if kind is ArgumentTypeError else ValueError)
    assert isinstance(caught.value, S2SRError)


@pytest.mark.parametrize("said", [{"units": "counts"}, {"offset": "x"}, {"offset": np.nan}])
def test_argument_of_validate(scene: xr.Dataset, said: dict[str, Any]) -> None:
    """It raises on no data; but what was mistyped is told at once."""
    with pytest.raises(S2SRError, match=r"is unknown|is a str|is not finite"):
        scene.s2sr.validate(**said)


@pytest.mark.parametrize("thing", [None, 5, "scene.nc", np.zeros((4, 60, 60)), [native]])
def test_no_dataset(thing: Any) -> None:
    message = f"expected an xarray Dataset with one variable per band, not a {type(thing).__name__}"
    for function in (xr_s2sr.upsample, xr_s2sr.validate):
        with pytest.raises(ArgumentTypeError, match=message):
            function(thing)


def test_data_array_and_the_fix(scene: xr.Dataset) -> None:
    stack = scene[list(FINE)].to_array("n").assign_coords(n=range(4))
    with pytest.raises(BandError, match=r"whose labels are bands. Name them: da = da.assign_coords\(band="):
        xr_s2sr.upsample(stack)
    named = stack.assign_coords(n=["B02", "B03", "B04", "B08"])
    xr.testing.assert_equal(xr_s2sr.upsample(named, ["B03"]), named.isel(n=[1]))


def test_only_the_first_arguments_go_by_position(scene: xr.Dataset) -> None:
    with pytest.raises(TypeError, match="positional argument"):
        scene.s2sr.upsample(["B05"], "bicubic")
    with pytest.raises(TypeError, match="unexpected keyword argument 'band'"):
        scene.s2sr.upsample(band="B05")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "carries no model card; expected JSON under 'xr_s2sr'"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "is not an ONNX file|carries no model card"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is not an ONNX file|carries no model card"),
        (b"<!DOCTYPE html><html>404 Not Found</html>", "is not an ONNX file|carries no model card"),
    ],
)
def test_file_that_is_no_model(
    scene: xr.Dataset, tmp_path: Path, content: bytes, message: str, no_pixels: None
) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        scene.s2sr.upsample(model=tmp_path / "m.onnx")
    assert "m.onnx" in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_more_problems_are_counted() -> None:
    ds = native((60, 60))
    ds = ds.assign(B03=ds.B03.astype(bool), B04=ds.B04.astype(complex))
    with pytest.raises(RadiometryError, match=r"'B03' has dtype bool.*\(and 1 more: see ds.s2sr.validate\(\)\)$"):
        ds.s2sr.upsample()
    assert len(ds.s2sr.validate().problems) == 2


def test_missing_and_misaligned_are_both_reported() -> None:
    ds = native((60, 60)).drop_vars("B03")
    text = str(ds.assign_coords(x_60m=ds.x_60m + 3).s2sr.validate())
    assert "problem: the 60 m grid of 'B01' does not nest" in text
    assert "problem: missing B03, which the model" in text


# -- odd, but fine -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
@pytest.mark.parametrize("model", [None, "bicubic"])
def test_nothing_but_nodata(dtype: str, model: str | None) -> None:
    ds = native((60, 60), dtype=dtype, scale=1e-4 if dtype == "float32" else 1)
    ds = ds.map(lambda v: v.where(False) if dtype == "float32" else v * np.array(0, dtype))
    sr = ds.s2sr.upsample(model=model)
    for band in (*RED_EDGE, *SIXTY):
        assert sr[band].dtype == dtype
        assert bool(np.isnan(sr[band]).all() if dtype == "float32" else (sr[band] == 0).all())


def test_nothing_but_saturation(scene: xr.Dataset) -> None:
    sr = scene.map(lambda v: v * np.uint16(0) + np.uint16(65535)).s2sr.upsample(model="bicubic")
    assert all(bool((v == 65535).all()) for v in sr.data_vars.values())


@pytest.mark.usefixtures("packaged_defaults")
@pytest.mark.parametrize("value", [1, 500, 12000])
def test_constant_image(value: int) -> None:
    ds = native((60, 60)).map(lambda v: v * np.uint16(0) + np.uint16(value))
    cubic = ds.s2sr.upsample(model="bicubic")
    assert all(bool((v == value).all()) for v in cubic.data_vars.values())
    sr = ds.s2sr.upsample()
    for band in RED_EDGE:
        assert abs(float(sr[band].mean()) - value) < 0.25 * value + 100
        assert float(sr[band].std()) < 0.05 * value + 30


@pytest.mark.parametrize("model", [None, "bicubic"])
@pytest.mark.parametrize("lead", [{}, {"time": [0, 1]}])
def test_one_60_m_pixel(model: str | None, lead: dict[str, Any]) -> None:
    ds = native((6, 6), lead=lead)
    assert ds.sizes["x_60m"] == 1
    assert ds.s2sr.validate()
    sr = ds.s2sr.upsample(model=model)
    for band in TWELVE:
        assert sr[band].shape == (*(len(v) for v in lead.values()), 6, 6)
        assert (sr[band] > 0).all()
    if model == "bicubic":
        np.testing.assert_array_equal(sr.B01, ds.B01.values.repeat(6, -1).repeat(6, -2))


@pytest.mark.parametrize("shape", [(6, 60), (60, 6), (12, 18)])
def test_thin(shape: tuple[int, int]) -> None:
    ds = native(shape)
    sr = ds.s2sr.upsample()
    assert sr.B01.shape == sr.B05.shape == shape


def test_one_20_m_pixel_of_a_scene() -> None:
    ds = native((6, 6)).isel(y_20m=[1], x_20m=[1])
    with pytest.warns(xr_s2sr.S2SRWarning, match="rows 2:4 and columns 2:4 of 6 x 6"):
        sr = ds.s2sr.upsample()
    assert all(sr[band].shape == (2, 2) for band in GSD if band != "B10")


def test_other_rubbish_in_the_dataset_is_left_alone(scene: xr.Dataset) -> None:
    scene["SCL"] = (("y_20m", "x_20m"), np.full((30, 36), "cloud"))
    scene["tokens"] = (("n",), np.array([object()]))
    scene["mask"] = (("y", "x"), np.zeros((60, 72), bool))
    with pytest.warns(
        S2SRWarning, match="left out, as they are not bands and not on the 10 m grid: SCL, tokens. Bring"
    ):
        sr = scene.s2sr.upsample(model="bicubic")
    assert "mask" in sr
    assert "SCL" not in sr
    assert "tokens" not in sr
