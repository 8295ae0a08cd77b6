"""Arrays become a Dataset again: its grid, coordinates, attributes, encoding, provenance, and standard errors."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import xarray as xr
from affine import Affine

from xr_s2sr.bands import BANDS, Output, uncertainty_of
from xr_s2sr.errors import GridError, InputError, S2SRError
from xr_s2sr.scene.crs import georeference
from xr_s2sr.scene.grid import Axis, Grid, degraded_by, read_axis
from xr_s2sr.scene.pixels import mean_of_band
from xr_s2sr.scene.radiometry import Radiometry, Storage
from xr_s2sr.scene.scene import NativeScene, SceneBand
from xr_s2sr.spans import Extent

#: Parts of an encoding that still describe the result; chunks, source and compression of the input file do not.
KEPT_ENCODING = (
    "dtype",
    "scale_factor",
    "add_offset",
    "_FillValue",
    "missing_value",
    "grid_mapping",
    "units",
    "calendar",
)

#: Attributes that describe a grid: satpy's, stackstac's, EOPF's, GeoZarr's.
GRID_ATTRS = (
    "area",
    "resolution",
    "transform",
    "proj:transform",
    "proj:shape",
    "proj:bbox",
    "spatial:transform",
    "spatial:shape",
    "spatial:bbox",
)


#: The ancillary variables that come along: those on the 10 m grid, or all.
Keep: TypeAlias = Literal["fine", "all"]
KEEP: tuple[Keep, ...] = ("fine", "all")


@dataclass(frozen=True)
class ResultGrid:
    """The grid of a result.

    Attributes
    ----------
    grid : Grid
        The 10 m grid of the scene.
    covered : (Span, Span)
        The part of it that the result covers: whole pixels of the result.
    step : int
        Pixel size of the result over 10 m: 1 or 2.
    reference : DataArray
        A variable on the grid of the result, whose coordinates and attributes of the grid others get.
    native : (slice, slice), optional
        The part of the native 20 m grid that is the result's; None if the result is not on that.
    """

    grid: Grid
    covered: Extent
    step: int
    reference: xr.DataArray
    native: tuple[slice, slice] | None = None

    @property
    def transform(self) -> Affine:
        corner = self.grid.corner(self.covered[0].start, self.covered[1].start)
        return Affine(corner.a * self.step, 0.0, corner.c, 0.0, corner.e * self.step, corner.f)

    def variable(self, native: xr.DataArray, data: Any, origin: Mapping[str, Any]) -> xr.DataArray:
        """Return new pixels of a band with its name, attrs and encoding.

        Parameters
        ----------
        native : DataArray
            The band's variable in the input.
        data : array, shape (..., y, x)
            On the grid of the result.
        origin : mapping
            More attributes, which say where the pixels come from.
        """
        like, gone = self.reference, set(native.dims[-2:])
        own = {k: c for k, c in native.coords.items() if not gone & set(c.dims) and k not in like.coords}
        out = like.copy(deep=False, data=data).assign_coords(own).rename(native.name)
        # what describes the grid is that of the result's
        kept = {key: value for key, value in native.attrs.items() if key not in GRID_ATTRS}
        out.attrs = kept | {key: like.attrs[key] for key in GRID_ATTRS if key in like.attrs} | dict(origin)
        out.encoding = {key: native.encoding[key] for key in KEPT_ENCODING if key in native.encoding}
        return out

    def from_fine(self, da: xr.DataArray) -> xr.DataArray:
        """Return the covered part of a variable on the 10 m grid, and itself where it is not on it.

        For a result at 20 m, one pixel of each four, the upper left: of classes and masks there is no mean.
        """
        part = fine_part(da, self.covered, self.grid, self.step)
        dims = dict(zip((self.grid.y.dim, self.grid.x.dim), self.reference.dims[-2:], strict=True))
        if self.step == 1 or not {*dims} & {*da.dims}:
            return part
        bare = part.drop_vars(list(part.coords)).rename({old: new for old, new in dims.items() if old in part.dims})
        return _on_grid_of(self.reference, part, bare.variable)

    def from_native(self, da: xr.DataArray) -> xr.DataArray | None:
        """Return the covered part of a variable on the native 20 m grid if that is the result's; else None."""
        if self.native is None or not {*da.dims} <= {*self.reference.dims}:
            return None
        cuts = dict(zip(self.reference.dims[-2:], self.native, strict=True))
        if all(da.sizes.get(dim, size) == size for dim, size in self.reference.sizes.items()):
            return da
        return da.isel(cuts, missing_dims="ignore")


def fine_part(da: xr.DataArray, covered: Extent, grid: Grid, step: int = 1) -> xr.DataArray:
    """Return the covered part of a variable on the 10 m grid; itself if that is all of it or it is not on the grid."""
    if (len(covered[0]), len(covered[1])) == grid.shape and step == 1:
        return da
    cuts = (slice(span.start, span.stop, step) for span in covered)
    return da.isel(dict(zip((grid.y.dim, grid.x.dim), cuts, strict=True)), missing_dims="ignore")


def result_grid(scene: NativeScene, covered: Extent, resolution: int = 10) -> ResultGrid:
    """Work out the grid of a result.

    Parameters
    ----------
    scene : NativeScene
    covered : (Span, Span)
        The part of the 10 m grid that the result covers; for 20 m, whole pixels of those.
    resolution : {10, 20}
    """
    step = resolution // 10
    if step == 1:
        return ResultGrid(scene.grid, covered, step, fine_part(scene.fine, covered, scene.grid))
    coarse = next((band for band in scene.bands.values() if band.factor == step), None)
    if coarse is None:
        return ResultGrid(scene.grid, covered, step, _averaged_coordinates(scene, covered))
    rows, cols = coarse.below(covered)
    native = scene[coarse.id]
    whole = (len(covered[0]) // step, len(covered[1]) // step) == coarse.grid.shape
    part = native if whole else native.isel(dict(zip(native.dims[-2:], (rows, cols), strict=True)))
    return ResultGrid(scene.grid, covered, step, part, (rows, cols))


def whole_pixels(scene: NativeScene, covered: Extent, factor: int) -> Extent:
    """Return the part of an extent that consists of whole pixels of 10 m times a factor.

    Raises
    ------
    GridError
        If there are none.
    """
    coarse = min((b for b in scene.bands.values() if b.factor >= factor), key=lambda b: b.factor, default=None)
    if coarse is None:
        raise GridError(
            f"no band of {10 * factor} m or 60 m tells where pixels of {10 * factor} m lie; expected one. Load one "
            'too, such as B05, or average: ds.coarsen(y=2, x=2, boundary="trim").mean()'
        )
    rows, cols = (span.whole(anchor, factor, factor) for span, anchor in zip(covered, coarse.start, strict=True))
    if not (len(rows) and len(cols)):
        raise GridError(
            f"the bands have {len(covered[0])} x {len(covered[1])} pixels of 10 m in common, which hold no whole "
            f"pixel of {10 * factor} m; expected some. Select a larger area, or leave resolution out"
        )
    return rows, cols


def _averaged_coordinates(scene: NativeScene, covered: Extent) -> xr.DataArray:
    """Return a 10 m band's upper left pixels of each four on the grid of their centres, on dims of its own."""
    fine, grid = scene.fine, scene.grid
    part = fine_part(fine, covered, grid, 2)
    dims: dict[Hashable, str] = {}
    centres = {}
    for axis, span in zip((grid.y, grid.x), covered, strict=True):
        name = f"{axis.dim}_20m"
        while name in scene.ds.variables or name in scene.ds.dims:
            name += "_"
        dims[axis.dim] = name
        places = axis.edge + axis.step * (span.start + 2 * np.arange(len(span) // 2) + 1)
        centres[name] = (name, places, fine[axis.dim].attrs)
    coords = {key: coord for key, coord in part.coords.items() if not {*dims} & {*coord.dims}}
    attrs = {key: value for key, value in fine.attrs.items() if key not in GRID_ATTRS}
    bare = part.drop_vars(list(part.coords)).rename(dims)
    return bare.assign_coords({**coords, **centres}).drop_attrs(deep=False).assign_attrs(attrs)


#: In the encoding of a result: the files of its scene, which to_cog does not replace.
SOURCES = "s2sr_sources"


def restored_variable(
    scene: NativeScene, target: ResultGrid, band: str, data: Any, provenance: Mapping[str, str | int]
) -> xr.DataArray:
    """Return a restored band with its native variable's name, attrs and encoding, on the grid of the result.

    Parameters
    ----------
    scene : NativeScene
    target : ResultGrid
    band : str
    data : array, shape (..., y, x)
    provenance : mapping of str to str
        Attributes that say what restored the band.
    """
    gsd = BANDS[band].gsd * degraded_by(scene.fine)
    out = target.variable(scene[band], data, {"s2sr_native_gsd": gsd, **provenance})
    fill = scene.bands[band].radiometry.assumed_fill
    if fill is not None:  # else NaN could not be written
        out.encoding["_FillValue"] = fill
    return out


def dataset(
    scene: NativeScene,
    target: ResultGrid,
    restored: dict[str, xr.DataArray],
    wanted: list[str] | None,
    keep: Keep = "fine",
    beside: Iterable[xr.DataArray] = (),
) -> xr.Dataset:
    """Put the restored bands in the place of the native ones, beside what else is wanted of the input.

    Parameters
    ----------
    target : ResultGrid
    restored : dict of str to DataArray
        By band id.
    wanted : list of str, optional
        Band ids that were asked for by name; None: also every variable that lies on the 10 m grid, or on that of the
        result.
    keep : {"fine", "all"}
        "all": variables that are not bands come along in any case, coarser ones on the grid of the result.
    beside : iterable of DataArray
        More variables of the result, on its grid; they take the place of others of their names.
    """
    by_name = {name: band for band, name in scene.variables.items()}
    ds, fine = scene.ds, {*scene.fine.dims}
    variables: dict[Hashable, xr.DataArray] = {}
    for name, variable in ds.data_vars.items():
        band, extra = by_name.get(str(name)), name in scene.names.ancillary
        asked = wanted is None or band in wanted or (extra and keep == "all")
        if band in restored:
            variables[name] = restored[band]
        elif set(variable.dims) <= fine:
            if asked:
                averaged = band is not None and target.step > 1
                variables[name] = _averaged(variable, scene, target, band) if averaged else target.from_fine(variable)
        elif (native := target.from_native(variable)) is not None:
            if asked:
                variables[name] = native
        elif extra and keep == "all":
            near = to_fine_grid(variable, target.reference)
            if near is not None:
                variables[name] = near
    variables |= {variable.name: variable for variable in beside}
    out = georeference(xr.Dataset(variables, attrs=ds.attrs), target.transform)
    sizes = target.reference.sizes
    if target.step > 1 or any(ds.sizes[dim] != sizes[dim] for dim in sizes if dim in ds.sizes):
        out.attrs = {key: value for key, value in out.attrs.items() if key not in GRID_ATTRS}
    if files := sources(ds):
        out.encoding[SOURCES] = sorted(files)
    return out


def to_fine_grid(da: xr.DataArray, reference: xr.DataArray) -> xr.DataArray | None:
    """Bring a coarser variable to the 10 m grid by nearest neighbour; None if it does not cover the grid.

    A variable whose last two dims are not spatial comes back as it is.
    """
    rows, cols = reference.dims[-2:]
    if da.ndim < 2 or any(dim not in da.coords for dim in da.dims[-2:]):
        return da
    index: dict[Hashable, xr.Variable] = {}
    for dim, fine in zip(da.dims[-2:], (rows, cols), strict=True):
        try:
            at = _within(read_axis(da, dim), read_axis(reference, fine, 10.0))
        except S2SRError:
            return None  # not a regular grid
        if at is None:
            return None
        index[dim] = xr.Variable(fine, at)
    return _on_grid_of(reference, da, da.variable.isel(index).transpose(*da.dims[:-2], rows, cols))


def _on_grid_of(like: xr.DataArray, da: xr.DataArray, pixels: xr.Variable) -> xr.DataArray:
    """Return new pixels of an array with the coordinates of another one, and those of its own that are of no grid."""
    dims, lead = {*pixels.dims}, {*pixels.dims} - {*like.dims[-2:]}
    near = like.drop_vars([key for key, coord in like.coords.items() if not {*coord.dims} <= dims])
    own = {key: coord for key, coord in da.coords.items() if key not in like.coords and {*coord.dims} <= lead}
    return xr.DataArray(pixels, near.coords, name=da.name).assign_coords(own)


def _within(coarse: Axis, fine: Axis) -> np.ndarray | None:
    """Return the coarse pixel that holds each fine pixel's centre; None if some lie outside."""
    centres = fine.first + fine.step * np.arange(fine.size)
    at = np.floor((centres - coarse.edge) / coarse.step).astype(int)
    return at if at.size and at.min() >= 0 and at.max() < coarse.size else None


def sources(ds: xr.Dataset) -> set[str]:
    """Return the names of the files from which a Dataset was read, or from which its own scene was.

    As far as xarray, rioxarray and `dataset` noted them.
    """
    told = [encoding.get("source") for encoding in (ds.encoding, *(v.encoding for v in ds.variables.values()))]
    return {name for name in (*told, *ds.encoding.get(SOURCES, ())) if isinstance(name, str)}


def _averaged(variable: xr.DataArray, scene: NativeScene, target: ResultGrid, band: str | None) -> xr.DataArray:
    """Return a 10 m band as the means of its pixels."""
    own = scene.bands[band or ""]
    data = mean_of_band(fine_part(variable, target.covered, scene.grid).variable.data, own)
    return target.variable(variable, data, {"s2sr_native_gsd": BANDS[own.id].gsd * degraded_by(variable)})


#: How standard errors are stored: as float32; as uint16 in steps of :data:`STEP`; as the bands themselves are, for
#: arrays that hold all in one dtype.
ErrorForm: TypeAlias = Literal["float32", "uint16", "band"]

#: Reflectance that is 1 in uint16: 0.1 DN; the largest is 0.655.
STEP = 1e-5

_UNITS = {1.0: "1", 1e-2: "percent", 1e-4: "DN"}


def error_form(uncertainty: bool | Literal["uint16"], *, stacked: bool) -> ErrorForm | None:
    """Return the form that the argument `uncertainty` asks for; `stacked` bands share one dtype.

    Raises
    ------
    InputError
        If stacked bands are to have another dtype.
    """
    if stacked and uncertainty == "uint16":
        raise InputError(
            'uncertainty="uint16" is for one variable a band, and the bands are stacked in one array; expected '
            'uncertainty=True, or one variable a band: xr_s2sr.combine(da).s2sr.upsample(uncertainty="uint16")'
        )
    if not uncertainty:
        return None
    return "band" if stacked else "uint16" if uncertainty == "uint16" else "float32"


def error_radiometry(band: Radiometry, form: ErrorForm) -> Radiometry:
    """Return how the standard errors of a band are stored: in its unit, so with its scale and without its offset."""
    if form == "band":
        return replace(band, offset=0.0, top=math.inf)
    if form == "uint16":
        dtype = np.dtype(np.uint16)
        return Radiometry(dtype, STEP, 0.0, 0.0, math.inf, Storage(dtype, 1.0, 0.0, 0.0))
    return Radiometry(np.dtype(np.float32), band.scale, 0.0, math.nan, math.inf)


def output_radiometry(bands: Mapping[str, SceneBand], output: Output, form: ErrorForm | None) -> Radiometry:
    """Return how an output of a model run is stored."""
    own = bands[output.band].radiometry
    return error_radiometry(own, form) if output.error and form else own


def error_variable(band: xr.DataArray, radiometry: Radiometry, data: Any, form: ErrorForm) -> xr.DataArray:
    """Return the standard errors of a restored band as a variable beside it.

    Parameters
    ----------
    band : DataArray
        The restored band, which gets the name of the result among its ``ancillary_variables``.
    radiometry : Radiometry
        The band's.
    data : array, shape (..., y, x)
    form : {"float32", "uint16", "band"}
    """
    name = uncertainty_of(band.name)
    listed = str(band.attrs.get("ancillary_variables", "")).split()
    band.attrs["ancillary_variables"] = " ".join(dict.fromkeys([*listed, name]))
    out = band.copy(deep=False, data=data).rename(name)
    out.attrs = {key: value for key, value in band.attrs.items() if key in GRID_ATTRS or str(key).startswith("s2sr_")}
    title, standard = band.attrs.get("long_name"), band.attrs.get("standard_name")
    out.attrs["long_name"] = f"standard error of {title if isinstance(title, str) else band.name}"
    if isinstance(standard, str) and " " not in standard:  # one modifier at most
        out.attrs["standard_name"] = f"{standard} standard_error"
    scale = next((float(band.attrs[key]) for key in ("scale_factor", "scale") if key in band.attrs), None)
    units = band.attrs.get("units", "1" if scale not in (None, 1.0) else _UNITS.get(radiometry.scale))
    if units is not None:
        out.attrs["units"] = units
    if form == "uint16":
        # of the values that the band's own attributes say are still to be scaled, the step is scaled alike
        out.attrs |= {"scale_factor": STEP / radiometry.scale * (scale or 1.0), "_FillValue": np.uint16(0)}
    elif scale is not None:
        out.attrs["scale_factor"] = scale
    if form == "band":
        out.attrs |= {key: band.attrs[key] for key in ("_FillValue", "nodata", "missing_value") if key in band.attrs}
    elif "grid_mapping" in band.encoding:
        out.encoding = {"grid_mapping": band.encoding["grid_mapping"]}
    else:
        out.encoding = {}
    return out
