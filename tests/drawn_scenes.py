"""Scenes that hypothesis draws, with what each of their pixels is: the oracle of the property test."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scenes import DIMS, FINE, GSD, LEFT, TOP, TWELVE, centres, enlarged

VALID, MISSING, SATURATED = 0, 1, 2


def examples(number: int) -> int:
    """How many examples a slow test draws: of the profile "thorough", as many times more as of any test."""
    return number * settings.default.max_examples // 100


@dataclass(frozen=True)
class Encoding:
    """How reflectance is held: value = (reflectance - offset) / scale.

    Attributes
    ----------
    marks : mapping of float to int
        Values that are no reflectance, and whether they mean that the pixel is missing or saturated.
    missing, saturated : float
        What such pixels are in the result; NaN where no pixel of the input can be so.
    """

    dtype: str
    scale: float
    offset: float
    marks: Mapping[float, int]
    missing: float
    saturated: float
    attrs: Mapping[str, Any] = field(default_factory=dict)
    encoding: Mapping[str, Any] = field(default_factory=dict)

    @property
    def lowest(self) -> float:
        """The smallest reflectance that can be held; 0 or below."""
        decoded = self.encoding.get("dtype", self.dtype)
        base = self.offset if np.dtype(self.dtype).kind in "iu" else self.encoding.get("add_offset", 0.0)
        return base if np.dtype(decoded).kind == "u" else -math.inf

    def values(self, reflectance: NDArray[np.float64]) -> NDArray[Any]:
        held = (reflectance - self.offset) / self.scale
        return (np.rint(held) if np.dtype(self.dtype).kind in "iu" else held).astype(self.dtype)


NAN, INF = math.nan, math.inf
ASIDE = {NAN: MISSING, -INF: MISSING, INF: SATURATED}
PACKED = {"dtype": "uint16", "scale_factor": 1e-4, "add_offset": -0.1}
ENCODINGS = {
    "dn": Encoding("uint16", 1e-4, 0, {0: MISSING, 65535: SATURATED}, 0, 65535),
    "dn with an offset": Encoding(
        "uint16", 1e-4, -0.1, {0: MISSING, 65535: SATURATED}, 0, 65535, {"scale_factor": 1e-4, "add_offset": -0.1}
    ),
    "dn, nodata 65535": Encoding("uint16", 1e-4, 0, {65535: MISSING}, 65535, NAN, {"_FillValue": 65535}),
    # -9999 in nodata of -32768: nothing declares it, but no surface has such a reflectance
    "int16": Encoding("int16", 1e-4, 0, {-32768: MISSING, -9999: MISSING}, -32768, NAN, {"nodata": -32768}),
    "int16 with an offset": Encoding(
        "int16", 1e-4, 0.05, {-9999: MISSING}, -9999, NAN, {"scale_factor": 1e-4, "add_offset": 0.05, "nodata": -9999}
    ),
    "float32": Encoding("float32", 1, 0, ASIDE | {65535: MISSING}, NAN, INF),
    "float64, nodata -9999": Encoding("float64", 1, 0, ASIDE | {-9999: MISSING}, -9999, INF, {"_FillValue": -9999.0}),
    "percent": Encoding("float64", 1e-2, 0, ASIDE, NAN, INF, {"units": "%"}),
    "decoded float32": Encoding(
        "float32", 1, 0, {NAN: MISSING, INF: SATURATED}, NAN, 65535 * 1e-4 - 0.1, {}, {**PACKED, "_FillValue": 0}
    ),
    # what masked=True makes of a file without a nodata tag: its 0 is a number, and means nothing
    "decoded float32, no nodata": Encoding(
        "float32", 1e-4, 0, {0: MISSING, NAN: MISSING, INF: SATURATED}, NAN, 65535, {}, {"dtype": "uint16"}
    ),
    "decoded float64, nodata 65535": Encoding(
        "float64", 1, 0, {NAN: MISSING}, NAN, NAN, {}, {**PACKED, "_FillValue": 65535}
    ),
}


@dataclass(frozen=True)
class Drawn:
    """A scene as a user holds it.

    Attributes
    ----------
    ds : Dataset
    plain : Dataset
        The same without any invalid pixel.
    codes : dict of str to ndarray, shape (dates, y, x)
        By band, on the 10 m pixels of the whole area.
    covers : dict of str to ((int, int), (int, int))
        By band, the rows and columns of those that it covers.
    encodings : dict of str to Encoding
        By band.
    story : str
        How it is held, for the report of a failure.
    """

    ds: xr.Dataset
    plain: xr.Dataset
    codes: dict[str, NDArray[np.uint8]]
    covers: dict[str, tuple[tuple[int, int], tuple[int, int]]]
    encodings: dict[str, Encoding]
    story: str

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(self.story)  # hypothesis would print all pixels


@st.composite
def scenes(draw: st.DrawFn) -> Drawn:
    """Any scene of 36 to 96 pixels at 10 m a side."""
    shape = 6 * draw(st.integers(6, 16)), 6 * draw(st.integers(6, 16))
    dates = draw(st.sampled_from([None, None, 1, 2]))
    up, left = draw(st.booleans()), draw(st.sampled_from([False, False, True]))
    order = draw(st.sampled_from(["tyx", "tyx", "txy", "yxt", "xyt"]))
    replicated = draw(st.sets(st.sampled_from([20, 60])))
    held: dict[str, str] = {}
    if draw(st.integers(0, 3)):
        by_gsd = {gsd: draw(st.sampled_from(sorted(ENCODINGS))) for gsd in (10, 20, 60)}
        held = {band: by_gsd[GSD[band]] for band in TWELVE}
    else:
        held = {band: draw(st.sampled_from(sorted(ENCODINGS))) for band in TWELVE}
    byte_order = {gsd: draw(st.sampled_from("=<>")) for gsd in (10, 20, 60)}
    jitter = draw(st.sampled_from([0.0, 1e-5]))
    missing = draw(st.sets(st.sampled_from([band for band in TWELVE if band not in FINE]), max_size=5))
    polygons = draw(st.integers(0, 2)) if replicated else 0
    trims = {gsd: [draw(st.integers(0, most)) for _ in range(4)] for gsd, most in ((10, 9), (20, 4), (60, 1))}
    bands = [band for band in TWELVE if band not in missing]
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))

    encodings = {band: ENCODINGS[held[band]] for band in bands}
    dark = draw(st.booleans())
    filled = not polygons and min(shape) >= 48 and draw(st.integers(0, 3)) == 0
    whole, marked, codes = {}, {}, {}
    for band in bands:
        size = (dates or 1, *(n * 10 // GSD[band] for n in shape))
        reflectance = rng.uniform(0.06, 0.6, size)
        if dark:  # shadow in a corner, as dark as the type allows
            corner = reflectance[:, : size[1] // 3, : size[2] // 3]
            lowest = 0.0002 if encodings[band].lowest == 0 else -0.06
            corner[:] = rng.uniform(lowest, lowest + 0.02, corner.shape)
        whole[band] = encodings[band].values(reflectance)
        marked[band], codes[band] = whole[band].copy(), np.zeros(size, np.uint8)
    if filled:  # an area of one value in all bands, which a surface may have
        rows, cols = (12 + 6 * draw(st.integers(0, n // 6 - 8)) for n in shape)
        for band in bands:
            f = GSD[band] // 10
            at = slice(None), slice(rows // f, (rows + 24) // f), slice(cols // f, (cols + 24) // f)
            marked[band][at], codes[band][at] = encodings[band].values(np.array(0.7)), MISSING
    for _ in range(0 if filled else draw(st.integers(0, 4))):
        group = draw(st.sampled_from([[band] for band in bands] + [bands, [b for b in bands if b in FINE]]))
        rows, cols = (draw(_parts(n // 6)) for n in shape)  # of 60 m cells, in sixths
        date, pick = draw(st.integers(0, (dates or 1) - 1)), draw(st.integers(0, 9))
        for band in group:
            f = GSD[band] // 10
            at = date, *(slice(part[0] // f, max(part[0] // f + 1, part[1] // f)) for part in (rows, cols))
            mark, code = list(encodings[band].marks.items())[pick % len(encodings[band].marks)]
            marked[band][at], codes[band][at] = mark, code

    held_at = {band: 10 if GSD[band] in replicated else GSD[band] for band in bands}
    for pixels in (whole, marked, codes):
        for band in bands:
            pixels[band] = enlarged(pixels[band], GSD[band] // held_at[band])
    for _ in range(polygons):  # masked after they had been repeated: cells with valid and invalid pixels
        group = [band for band in bands if GSD[band] != held_at[band] and draw(st.booleans())]
        rows, cols = (slice(*draw(_parts(n // 6))) for n in shape)
        for band in group:
            mark = next(iter(encodings[band].marks))
            marked[band][-1, rows, cols], codes[band][-1, rows, cols] = mark, MISSING

    covers, coords, windows = {}, {}, {}
    flips = slice(None), slice(None, None, -1 if up else 1), slice(None, None, -1 if left else 1)
    dims = {own: {"t": "time", "y": rows, "x": cols} for own, (rows, cols) in DIMS.items()}
    axes = [key for key in order if key != "t" or dates]
    for own in {10, *(gsd for gsd in (20, 60) if gsd not in replicated)}:
        top, bottom, near, far = trims[own]
        rows, cols = (n * 10 // own for n in shape)
        window = slice(top, rows - bottom), slice(near, cols - far)
        windows[own] = window
        places = centres(own, rows, TOP, -1), centres(own, cols, LEFT, 1)
        for dim, at, cut, flip in zip(DIMS[own], places, window, flips[1:], strict=True):
            coords[dim] = (at + rng.uniform(-jitter, jitter, at.size))[cut][flip]
    if dates:
        coords["time"] = np.arange(dates)
    datasets = []
    for pixels in (marked, whole):
        variables = {}
        for band in bands:
            own = held_at[band]
            values = pixels[band][:, *windows[own]][flips]
            values = values.transpose(["tyx".index(key) for key in order]) if dates else values[0]
            if not dates and order.index("x") < order.index("y"):
                values = values.T
            covers[band] = tuple((s.start * own // 10, s.stop * own // 10) for s in windows[own])
            swapped = byte_order[GSD[band]]
            values = np.ascontiguousarray(values, values.dtype.newbyteorder(swapped))
            encoding = dict(encodings[band].encoding)
            if "dtype" in encoding:
                encoding["dtype"] = np.dtype(encoding["dtype"]).newbyteorder(swapped)
            attrs = dict(encodings[band].attrs)
            variables[band] = xr.Variable([dims[own][key] for key in axes], values, attrs, encoding)
        datasets.append(xr.Dataset(variables, coords).rio.write_crs(32632))
    story = (
        f"{shape}, dates {dates}, order {order}, y up {up}, x left {left}, replicated {replicated or None}, {held}, "
        f"dark {dark}, filled {filled}, bytes {byte_order}, jitter {jitter}, "
        f"without {sorted(missing)}, trims {trims}, missing and saturated "
        + str({band: [int((code == kind).sum()) for kind in (1, 2)] for band, code in codes.items() if code.any()})
    )
    fine = {band: enlarged(code, held_at[band] // 10) for band, code in codes.items()}
    return Drawn(*datasets, fine, covers, encodings, story)


@st.composite
def _parts(draw: st.DrawFn, cells: int) -> tuple[int, int]:
    """A stretch of 10 m pixels along an axis of so many 60 m cells."""
    start = draw(st.integers(0, 6 * cells - 1))
    return start, min(6 * cells, start + draw(st.sampled_from([1, 2, 6, 12, 20])))


@st.composite
def cuts(draw: st.DrawFn, size: int) -> tuple[int, ...]:
    """Chunks of any sizes along a dimension."""
    inner = sorted(draw(st.sets(st.integers(1, size - 1), max_size=2))) if size > 1 else []
    return tuple(np.diff([0, *inner, size]).tolist())
