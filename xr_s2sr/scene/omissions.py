"""Ancillary variables, masks, classes, angles: which come along, which may be bands, and warnings of what does not."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xr_s2sr.bands import resolve
from xr_s2sr.errors import S2SRError, warn
from xr_s2sr.scene.crs import is_utm, read_crs
from xr_s2sr.scene.grid import loading
from xr_s2sr.scene.offsets import unsaid
from xr_s2sr.scene.pixels import middle
from xr_s2sr.scene.radiometry import validity_in_any_unit
from xr_s2sr.scene.result import ResultGrid
from xr_s2sr.scene.scene import NativeScene
from xr_s2sr.scene.validity import valid
from xr_s2sr.spans import Span


def off_grid(scene: NativeScene, grids: Iterable[xr.DataArray] = ()) -> list[str]:
    """Return the names of the ancillary variables that lie neither on the 10 m grid nor on those of other variables."""
    known = [{*da.dims} for da in (scene.fine, *grids)]
    return [str(name) for name in scene.names.ancillary if not any({*scene.ds[name].dims} <= dims for dims in known)]


#: Parts of the names of bands, between other words; RED_EDGE tells its number.
_BAND = re.compile(
    r"(?<![a-z])(band[ _-]?\d+a?|b\d{1,2}a?|(?P<edge>(vegetation )?red ?edge|vre|re)[ _-]?(?P<number>\d?)|"
    r"(narrow )?nir|nnir|n2|swir|coastal|aerosol|water vapou?r|cirrus)(?![a-z])"
)
_EDGES = {"1": "B05", "2": "B06", "3": "B07"}
#: Parts of the names of what comes beside bands: classes, masks, probabilities, atmosphere, angles, indices.
_OTHER = re.compile(
    r"scl|class|mask|msk|qa|qual|flag|cloud|cld|snow|snw|prob|shadow|aot|optical|wvp|tci|visual|angle|azimuth|zenith|"
    r"oa |dem|elevation|slope|aspect|height|nd[a-z]{2}i?(?![a-z])|index|count|footprint|contiguity|uncertainty|error"
)
#: More different values than that in a part of an image are no classes.
CLASSES = 25
#: Side of the part that is looked at, in pixels.
PART = 144


def unknown_bands(ds: xr.Dataset, names: Iterable[Hashable]) -> list[str]:
    """Return those of some variables that are no bands which may be bands: by what the name says, or by pixels.

    Pixels in memory say so where they are copies of 20 m or 60 m pixels, and no classes. No other pixel is read.
    """
    return [
        str(name)
        for name in names
        if ds[name].ndim >= 2
        and ds[name].dtype.kind in "uif"
        and ds[name].dtype.itemsize > 1
        # GDAL's bands are numbered, and described
        and not _OTHER.search(_plain(f"{name} {ds[name].attrs.get('long_name', '')}"))
        and (sounds_like_a_band(name) or _repeated(ds[name]))
    ]


def sounds_like_a_band(name: Hashable) -> bool:
    """Tell whether a name that is not a band's holds the name of one, and none of what comes beside bands."""
    return bool(_BAND.search(_plain(name))) and not _OTHER.search(_plain(name))


def renaming(names: Iterable[str]) -> str:
    """Return the line that names bands, with the ids that their names suggest, or "B.." where they do not."""
    listed = ", ".join(f'{name!r}: "{_guess(name) or "B.."}"' for name in names)
    return f"ds = ds.rename({{{listed}}})"


def _plain(name: Hashable) -> str:
    """Return a name in lower case, with blanks between its words."""
    return re.sub(r"[ _.-]+", " ", str(name)).strip().lower()


def _guess(name: str) -> str | None:
    """Return the id of the band that a name seems to mean, or None where it might be several."""
    found = _BAND.search(_plain(name))
    if found is None:
        return None
    if found["edge"]:
        return _EDGES.get(found["number"])
    text = found[0]
    if "nir" in text or text == "n2":
        return "B8A" if re.search("n2|nnir|narrow", _plain(name)) else None
    if text == "swir":
        number = re.search(r"swir ?(16|22)(?!\d)", _plain(name))
        return None if number is None else resolve(f"swir{number[1]}")
    number = re.search(r"\d+a?", text)
    return resolve(text.replace(" ", "_") if number is None else f"b{number[0]}")


def _repeated(da: xr.DataArray) -> bool:
    """Tell whether pixels in memory, in the middle of the image, are copies of larger ones, and no classes."""
    if da.chunks is not None or not da.variable._in_memory:
        return False
    try:
        validity = validity_in_any_unit(da)
    except S2SRError:
        return False
    image = middle(da.isel(dict.fromkeys(da.dims[:-2], 0)), PART).values
    there = valid(image, validity)
    if len(np.unique(image[there])) <= CLASSES:
        return False
    return all(_phases(image if axis else image.T, there if axis else there.T) for axis in (0, 1))


def _phases(image: NDArray[Any], there: NDArray[np.bool_]) -> bool:
    """Tell whether all columns that differ from the one before are an even number of columns apart."""
    edges = (image[:, 1:] != image[:, :-1]) & there[:, 1:] & there[:, :-1]
    return len({*(np.flatnonzero(edges.any(0)) % 2).tolist()}) == 1


def warn_of_omissions(
    scene: NativeScene, target: ResultGrid, left_out: Iterable[str], *, ancillary: bool, turned: tuple[bool, bool]
) -> None:
    """Warn of an offset that was assumed, of what is left out, and of an extent that is smaller, before anything runs.

    Parameters
    ----------
    scene : NativeScene
    target : ResultGrid
    left_out : iterable of str
        Bands that are not restored, with the reason.
    ancillary : bool
        Name the ancillary variables on no grid of the result, too.
    turned : (bool, bool)
        Whether rows and columns were turned over: they are counted as the user does.
    """
    for reason in (unsaid((scene[key], band.radiometry) for key, band in scene.bands.items()), *left_out):
        if reason:
            warn(reason)
    own = () if target.native is None else (target.reference,)
    if ancillary and (names := off_grid(scene, own)):
        grid = "10 m grid" if target.step == 1 else "10 m or 20 m grid"
        bands = unknown_bands(scene.ds, names)
        named = f". Name the bands among them: {renaming(bands)}" if bands else ""
        warn(
            f"left out, as they are not bands and not on the {grid}: {', '.join(names)}. Bring them along by "
            f'nearest neighbour with upsample(keep="all"), or drop them first{named}',
        )
    sizes = scene.grid.shape
    rows, cols = (
        Span(size - span.stop, size - span.start) if over else span
        for span, size, over in zip(target.covered, sizes, turned, strict=True)
    )
    # at 20 m, a border of one pixel may hold no whole one
    if any(size - len(span) >= 2 * target.step - 1 for size, span in zip(sizes, target.covered, strict=True)):
        warn(
            f"the bands' extents differ: the result covers rows {rows.start}:{rows.stop} and columns "
            f"{cols.start}:{cols.stop} of {sizes[0]} x {sizes[1]} pixels at 10 m",
        )


def warn_of_result(scene: NativeScene, result: xr.Dataset, *, everything: bool, stacked: bool) -> None:
    """Warn of what a result lacks, passes through though it may be a band, or was made from.

    Parameters
    ----------
    scene : NativeScene
    result : Dataset
    everything : bool
        Name the ancillary variables that do not cover the result.
    stacked : bool
        True if the scene has its bands in one array.
    """
    if everything and (uncovered := [name for name in off_grid(scene) if name not in result]):
        warn(f"left out, as they do not cover the result: {', '.join(uncovered)}. Load them over the same area")
    if names := unknown_bands(scene.ds, [name for name in result.data_vars if name in scene.names.ancillary]):
        line = 'da = da.assign_coords(band=["B02", "B03", ...])' if stacked else renaming(names)
        warn(
            f"passed through as they are, not restored, as their names are not those of bands: {', '.join(names)}. "
            f"Name the bands among them: {line}"
        )
    # in another CRS than a tile's, pixels were resampled, and grids nest that never did
    crs = read_crs(scene.fine) or read_crs(scene.ds)
    if crs is not None and not is_utm(crs):
        warn(
            f"the scene is in {crs.to_string()}, to which the pixels of Sentinel-2 were resampled: the result is worse "
            f"for it. Load it in the UTM zone of its tile, {loading(10)}, and reproject the result"
        )
