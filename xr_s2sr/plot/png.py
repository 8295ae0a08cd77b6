"""Before and after as a PNG: native pixels on the left, 10 m on the right. Only its titles need matplotlib."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any, TypeAlias

import numpy as np
import rasterio
from numpy.typing import ArrayLike, NDArray
from rasterio.errors import NotGeoreferencedWarning

from xr_s2sr import arguments
from xr_s2sr.errors import InputError
from xr_s2sr.plot.pyplot import line_of_text
from xr_s2sr.replacing import write_bytes
from xr_s2sr.scene.validity import Validity, valid

RGB8: TypeAlias = NDArray[np.uint8]
NODATA_COLOUR = (112, 64, 144)  # a violet that no grey image has
#: Rows of pixels that a line of text takes.
TITLE = 18


def stretch(band: ArrayLike, low: float, high: float) -> RGB8:
    """Scale linearly, `low` to 0 and `high` to 255, clipped, keeping the shape; NaN becomes 0.

    Parameters
    ----------
    band : array_like
        Any shape and unit.
    low, high : float
        In the unit of `band`; where they are equal, all above is 255.

    Returns
    -------
    ndarray of uint8
    """
    values = np.asarray(band, np.float64)
    scaled = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    grey: RGB8 = np.rint(255 * np.where(np.isnan(scaled), 0, scaled)).astype(np.uint8)
    return grey


def painted(bands: NDArray[np.float64], ends: Iterable[tuple[float, float]], nodata: float = 0) -> RGB8:
    """Return a picture of shape (3, y, x), grey or a composite, each band stretched, with the colour of nodata."""
    shown = np.stack([stretch(band, low, high) for band, (low, high) in zip(bands, ends, strict=True)])
    return np.where(_invalid(bands, nodata), np.array(NODATA_COLOUR, np.uint8)[:, None, None], shown)


def rgb(red: ArrayLike, green: ArrayLike, blue: ArrayLike, *, nodata: float = 0) -> NDArray[np.float64]:
    """Stack three bands to a composite, a row for :func:`before_after`.

    Parameters
    ----------
    red, green, blue : array_like, shape (y, x)
        For instance B12, B8A, B04, or B04, B03, B02. A coarser one is repeated onto the finest grid.
    nodata : float, default 0
        A pixel that is nodata in one band is nodata in all.

    Returns
    -------
    ndarray of float64, shape (3, y, x)

    Raises
    ------
    InputError
        If the shapes are not multiples of each other.
    """
    bands = [np.asarray(band, np.float64) for band in (red, green, blue)]
    shapes = [band.shape for band in bands]
    finest = max(shapes)
    if any(len(s) != 2 or 0 in s or finest[0] % s[0] or finest[1] * s[0] != finest[0] * s[1] for s in shapes):
        raise InputError(f"shapes are {shapes}; expected (y, x) each, whole multiples: rgb(ds.B12, ds.B8A, ds.B04)")
    stack = np.stack([band.repeat(finest[0] // len(band), 0).repeat(finest[0] // len(band), 1) for band in bands])
    return np.where(_invalid(stack, nodata), nodata, stack)


def before_after(
    rows: Sequence[tuple[Any, ...]],
    path: str | PathLike[str],
    *,
    zoom: int = 4,
    nodata: float = 0,
    percentiles: tuple[float, float] = (2, 98),
    gutter: int = 8,
    titles: Sequence[Sequence[str]] = (),
) -> None:
    """Write pictures side by side to a PNG: each row a native band, its 10 m result, and the truth if given.

    Parameters
    ----------
    rows : sequence of (before, after, factor) or (before, after, factor, truth)
        Arrays or DataArrays of shape (y, x), or (3, y, x) from :func:`rgb`; `factor` says how many 10 m pixels
        a pixel of `before` is wide (1, 2 or 6). A row is stretched by the percentiles of its `before`.
    path : path-like
        The ``.png``; an existing one is replaced.
    zoom, gutter : int, default 4 and 8
        Pixels of the picture to a 10 m pixel, and of white between pictures.
    nodata : float, default 0
        Shown, like NaN, in ``NODATA_COLOUR``.
    percentiles : (float, float), default (2, 98)
        Become black and white.
    titles : sequence of sequence of str, optional
        For each row a line of text above each of its pictures, cut off where it is wider. Needs matplotlib.

    Raises
    ------
    InputError
        If there are no rows, a row's shapes and factor disagree, or `titles` are not as many as the pictures.
    DependencyError
        If there are `titles` and no matplotlib.
    """
    strips = [_strip(*row, zoom=zoom, nodata=nodata, percentiles=percentiles, gutter=gutter) for row in rows]
    if not strips:
        raise InputError("rows is empty; expected one or more: before_after([(ds.B11, sr.B11, 2)], path)")
    if titles:
        pictures, texts = [2 + len(row[3:]) for row in rows], [len(line) for line in titles]
        if pictures != texts:
            raise InputError(f"titles are {texts} texts for rows of {pictures} pictures; expected one for each")
        strips = [_titled(strip, line, gutter) for strip, line in zip(strips, titles, strict=True)]
    width = max(strip.shape[2] for strip in strips)
    padded = [np.pad(s, ((0, 0), (0, gutter), (0, width - s.shape[2])), constant_values=255) for s in strips]
    image = np.concatenate(padded, axis=1)[:, : -gutter or None]
    write_bytes(arguments.path("path", path, "a.png"), encode(image), (".png",))


def encode(image: RGB8) -> bytes:
    """Return a picture of shape (3, y, x) as the bytes of a PNG."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.MemoryFile() as file:
            with file.open(
                driver="PNG", width=image.shape[2], height=image.shape[1], count=3, dtype="uint8", zlevel=9
            ) as png:
                png.write(image)
            return bytes(file.read())


def _strip(
    before: ArrayLike, after: ArrayLike, factor: int, *truth: ArrayLike,
    zoom: int, nodata: float, percentiles: tuple[float, float], gutter: int,
) -> RGB8:  # fmt: skip
    """Paint one row of the picture, shape (3, height, width), each band stretched as in `before`."""
    native, *fine = (np.asarray(image, np.float64) for image in (before, after, *truth))
    wanted = (*native.shape[:-2], *(factor * n for n in native.shape[-2:]))
    if native.shape[:-2] not in ((), (3,)) or native.ndim < 2 or any(image.shape != wanted for image in fine):
        shapes = f"before {native.shape}, factor {factor}, after {', '.join(str(image.shape) for image in fine)}"
        raise InputError(f"a row has {shapes}; expected after {wanted}, (y, x) or (3, y, x): (ds.B11, sr.B11, 2)")
    kept = [band[valid(band, Validity(nodata))] for band in native.reshape(-1, *native.shape[-2:])]
    ends = [np.percentile(values, percentiles) if values.size else (0, 1) for values in kept]
    parts = []
    for image, enlarge in ((native, zoom * factor), *((image, zoom) for image in fine)):
        bands = image.reshape(-1, *image.shape[-2:]).repeat(enlarge, 1).repeat(enlarge, 2)
        shown = painted(bands, ends, nodata)
        parts += [shown, np.full((3, bands.shape[1], gutter), 255, np.uint8)]
    return np.concatenate(parts[:-1], axis=2)


def _titled(strip: RGB8, line: Sequence[str], gutter: int) -> RGB8:
    """Put a line of text above each picture of a row."""
    pitch = (strip.shape[2] + gutter) // len(line)
    above = np.full((3, TITLE, strip.shape[2]), 255, np.uint8)
    for k, text in enumerate(line):
        above[..., k * pitch : (k + 1) * pitch - gutter] = line_of_text(text, pitch - gutter, TITLE)
    return np.concatenate([above, strip], axis=1)


def _invalid(bands: NDArray[np.float64], nodata: float) -> NDArray[np.bool_]:
    """Return the pixels (y, x) that are invalid in any band."""
    return np.asarray(np.any(~valid(bands, Validity(nodata)), axis=0))
