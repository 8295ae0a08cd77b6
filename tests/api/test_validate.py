"""``validate``, ``bands`` and how the accessor prints."""

from __future__ import annotations

import re

import numpy as np
import pytest
import xarray as xr
from scenes import FINE, native

import xr_s2sr


def test_report(scene: xr.Dataset) -> None:
    report = scene.rename(B11="swir16").isel(x_20m=slice(2, None)).s2sr.validate()
    assert report
    text = str(report)
    lines = text.splitlines()
    assert lines[0].split() == ["band", "variable", "GSD", "size", "starts", "at", "values"]
    assert lines[1].split(None, 2)[:2] == ["B01", "B01"]
    (swir,) = [line for line in lines if "swir16" in line]
    assert " ".join(swir.split()) == "B11 swir16 20 m 30 x 34 0, 4 uint16 x 0.0001, nodata 0"
    assert "CRS: EPSG:32632" in text
    assert "note: radiometry: assumed: integers are DN / 10000, no offset; nodata 0 assumed" in text
    assert lines[-1] == "upsample() would restore B01, B05, B06, B07, B8A, B09, B11, B12 on 60 x 68 pixels of 10 m"
    assert repr(report) == text
    assert report.problems == ()


def test_report_follows_units_and_offset(scene: xr.Dataset) -> None:
    text = str(scene.s2sr.validate(units="dn", offset=-1000))
    assert "uint16 x 0.0001 -0.1, nodata 0" in text
    assert "assumed: integers" not in text


def _broken() -> dict[str, tuple[xr.Dataset, str]]:
    ds = native((60, 60))
    return {
        "empty": (xr.Dataset(), r"no Sentinel-2 band among the variables \(none\)"),
        "foreign": (xr.Dataset({"t2m": 1.0}), r"no Sentinel-2 band among the variables \('t2m'\)"),
        "scalar": (xr.Dataset({"B05": 1.0, "B02": 2.0}), "needs two spatial dimensions"),
        "no coords": (ds.drop_vars(list(ds.coords)), "has no coordinate along 'y'"),
        "no guides": (ds.drop_vars(list(FINE)), "missing B02, B03, B04, B08"),
        "one guide": (ds.drop_vars("B03"), "missing B03"),
        "no coarse": (ds[list(FINE)], "nothing to upsample"),
        "misaligned": (ds.assign_coords(x_20m=ds.x_20m + 3), "does not nest"),
        "twice": (ds.assign(red=ds.B04), "both 'B04' and 'red' are band B04"),
        "object": (ds.assign(B05=ds.B05.astype(object)), "has dtype object"),
        "float DN": (ds.astype("float32"), "has a median of"),
        "apart": (ds.isel(y=slice(10), y_60m=slice(5, None)), "do not overlap"),
        "zero": (ds.isel(y=slice(0)), "is empty: dimension 'y' has no pixels"),
        "nan": (ds.assign_coords(y=np.full(60, np.nan)), "holds NaN or inf"),
        "strings": (ds.assign_coords(y=[str(k) for k in range(60)]), "expected metres as numbers"),
        "scale": (ds.assign(B05=ds.B05.assign_attrs(scale_factor="x")), "has scale_factor='x'"),
        "number name": (xr.Dataset({5: ("x", [1])}), r"no Sentinel-2 band among the variables \(5\)"),
    }


@pytest.mark.parametrize("case", list(_broken()))
def test_validate_raises_on_nothing(case: str, no_pixels: None) -> None:
    ds, message = _broken()[case]
    report = ds.s2sr.validate()
    assert not report
    assert report.problems
    text = str(report)
    assert re.search("problem: .*" + message, text), text
    assert text.endswith("upsample() would not run: see the problems")
    assert report._repr_html_().startswith("<table")
    with pytest.raises(xr_s2sr.S2SRError) as caught:  # one of those, the same words
        ds.s2sr.upsample()
    assert any(str(caught.value).startswith(str(problem)) for problem in report.problems)


def test_html_is_escaped(scene: xr.Dataset) -> None:
    evil = "B1, central wavelength <script>alert(1)</script>"
    html = scene.rename(B01=evil).s2sr.validate()._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert html.count("<tr") == 13
    assert len(html) < 8000


def test_long_names_are_shown_whole(scene: xr.Dataset) -> None:
    name = "B1, central wavelength 443 nm" + ", resampled" * 20
    report = scene.rename(B01=name).s2sr.validate()
    assert name in str(report)
    assert name in report._repr_html_()


def test_repr(scene: xr.Dataset) -> None:
    assert repr(scene[["B05", "B02"]].s2sr) == "<s2sr: B02, B05; .upsample(), .validate()>"
    assert repr(xr.Dataset().s2sr) == "<s2sr: no band; .upsample(), .validate()>"
    assert "both 'B04' and 'red'" in repr(scene.assign(red=scene.B04).s2sr)


def test_html_of_the_accessor(scene: xr.Dataset) -> None:
    ds = scene.rename(B11="swir16").assign(B10=scene.B09)
    html = ds.s2sr._repr_html_()
    rows = [re.findall("<t[hd]>(.*?)</t[hd]>", row) for row in html.split("</tr>")]
    by_band = {row[0]: row[1:] for row in rows if row and row[0].startswith("B")}
    assert list(by_band) == ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"]
    values = "uint16 x 0.0001, nodata 0"
    assert by_band["B02"] == ["B02", "10 m", "60 x 72", values, "native, passed through"]
    assert by_band["B11"] == ["swir16", "20 m", "30 x 36", values, "s2sr-20m"]
    assert by_band["B01"] == ["B01", "60 m", "10 x 12", values, "s2sr-60m"]
    assert by_band["B10"][-1] == "no packaged model"
    assert "<li>CRS: EPSG:32632</li>" in html
    assert len(html) < 8000


def test_html_of_the_accessor_is_escaped(scene: xr.Dataset) -> None:
    evil = "B1, central wavelength <script>alert(1)</script>"
    html = scene.rename(B01=evil).assign(red=scene.B04).s2sr._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "<li>problem: both &#x27;B04&#x27; and &#x27;red&#x27; are band B04" in html


@pytest.mark.parametrize("case", list(_broken()))
def test_html_of_the_accessor_raises_on_nothing(case: str, no_pixels: None) -> None:
    ds, _ = _broken()[case]
    assert ds.s2sr._repr_html_().startswith(("<table", "<p>"))


def test_html_of_the_accessor_computes_nothing(scene: xr.Dataset) -> None:
    dask = pytest.importorskip("dask", reason="needs the extra 'dask'")

    def refuse(*args: object, **how: object) -> None:
        pytest.fail("dask was computed")

    with dask.config.set(scheduler=refuse):
        html = scene.chunk().s2sr._repr_html_()
    assert "s2sr-60m" in html
