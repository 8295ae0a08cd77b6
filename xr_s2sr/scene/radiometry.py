"""The meaning of pixel values: DN, reflectance or percent; offset, nodata and saturation marks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xr_s2sr.arguments import choice, shown
from xr_s2sr.errors import RadiometryError
from xr_s2sr.scene.validity import Validity, possible

Units: TypeAlias = Literal["dn", "reflectance", "percent"]

#: Reflectance per unit.
UNITS: dict[Units, float] = {"dn": 1e-4, "reflectance": 1.0, "percent": 1e-2}

#: DN that marks a saturated pixel in Sentinel-2 products (Special_Values in the product metadata).
SATURATED_DN = 65535


class By(Enum):
    """Sources of a scale, an offset or a nodata value; NOBODY where it follows from the rest alone."""

    USER = "argument"
    ATTRS = "attrs"
    ENCODING = "encoding"
    BASELINE = "offset by processing baseline"
    ASSUMED = "assumed"
    NOBODY = "nothing"


@dataclass(frozen=True)
class Origin:
    """Source of a number.

    Attributes
    ----------
    by : By
    detail : str
        The keys of the metadata, or why these were not followed; for people.
    """

    by: By
    detail: str = ""


@dataclass(frozen=True)
class Storage:
    """Integers that hold a variable's values: value = integer * step + base.

    Attributes
    ----------
    dtype : numpy dtype
        In native byte order, whatever that of the variable or its file.
    step, base : float
        1 and 0 where the variable itself holds the integers; else as xarray decoded it.
    nodata : float
        The integer that means "no data"; NaN if none does.
    """

    dtype: np.dtype[Any]
    step: float
    base: float
    nodata: float

    @property
    def saturated(self) -> float:
        """The value of a saturated pixel; inf where no integer marks it."""
        if self.dtype != np.uint16 or self.nodata == SATURATED_DN:
            return math.inf
        return SATURATED_DN * self.step + self.base

    def bounds(self) -> tuple[float, float]:
        """Return the smallest and largest value of a valid pixel: the integers' own, without the marks.

        In float32, so that clipping in float32 cannot step over them.
        """
        info = np.iinfo(self.dtype)
        low, high = int(info.min), int(info.max) - math.isfinite(self.saturated)
        if low <= self.nodata <= 0:  # reflectance is positive: nothing is lost below
            low = int(self.nodata) + 1
        elif 0 < self.nodata <= high:
            high = int(self.nodata) - 1
        # int(): numpy would compare a float32 and a Python number in float32
        if int(np.float32(high)) > high:
            high = int(np.nextafter(np.float32(high), np.float32(0)))
        if int(np.float32(low)) < low:
            low = int(np.nextafter(np.float32(low), np.float32(np.inf)))
        return low * self.step + self.base, high * self.step + self.base


@dataclass(frozen=True)
class Radiometry:
    """Translation between one variable's values and reflectance: reflectance = value * scale + offset.

    Attributes
    ----------
    dtype : numpy dtype
    scale, offset : float
        Reflectance per unit of the value; reflectance at value 0.
    nodata : float
        The value that means "no data"; NaN if only NaN does.
    top : float
        Values from here on are saturated; inf if only inf is.
    storage : Storage or None
        The integers that hold the values, or will when the variable is written; None for plain floats.
    scale_from, offset_from, nodata_from : Origin
    """

    dtype: np.dtype[Any]
    scale: float
    offset: float
    nodata: float
    top: float
    storage: Storage | None = None
    scale_from: Origin = Origin(By.ASSUMED)
    offset_from: Origin = Origin(By.NOBODY)
    nodata_from: Origin = Origin(By.NOBODY)

    @property
    def integer(self) -> bool:
        return self.dtype.kind in "iu"

    @property
    def validity(self) -> Validity:
        """Bounds of valid values."""
        return possible(self.scale, self.offset, self.nodata, self.top)

    @property
    def assumed_dn(self) -> bool:
        """True if the values were taken for DN, for want of anything that says so."""
        return self.scale == UNITS["dn"] and self.scale_from.by is By.ASSUMED

    @property
    def assumed_fill(self) -> int | None:
        """The integer that is nodata of floats that were read from integers, where their file names none."""
        return 0 if not self.integer and self.nodata_from.by is By.ASSUMED else None

    @property
    def source(self) -> str:
        """Sources of scale, offset and nodata value, in words."""
        scale = {By.USER: "units=", By.ATTRS: "attrs", By.ENCODING: "encoding (decoded)"}.get(self.scale_from.by)
        if scale is None:
            kind = "integers" if self.integer else "floats read from integers" if self.assumed_dn else "floats"
            scale = f"assumed: {kind} are {'DN / 10000' if self.assumed_dn else 'reflectance'}"
        by, detail = self.offset_from.by, self.offset_from.detail
        offset = ", no offset" if self.assumed_dn and not detail else ""
        offset += f", offset={detail}" if by is By.USER else f", {by.value} ({detail})" if by is By.BASELINE else ""
        by, detail = self.nodata_from.by, self.nodata_from.detail
        if by in (By.ATTRS, By.ENCODING):
            nodata = f"nodata from {by.value} {detail}"
        elif self.integer:
            nodata = "nodata 0 assumed" + (f": {detail}" if detail else "")
        else:
            nodata = "nodata is NaN" + (", and what was 0 assumed" if by is By.ASSUMED else "")
        return f"{scale}{offset}; {nodata}"

    @property
    def blank(self) -> float:
        """The value of an invalid pixel of the result.

        Floats whose attributes still name 0 as nodata (``ds.where(...)`` of a product) get NaN: as a reflectance, 0
        would pass for a dark pixel. So do those that were read from integers whose file names no nodata value.
        """
        unsaid = self.nodata == 0 or self.assumed_fill is not None
        return math.nan if not self.integer and unsaid else self.nodata

    def bounds(self) -> tuple[float, float]:
        """Return the smallest and largest value of a valid pixel, marks excluded; infinite for plain floats."""
        return (-math.inf, math.inf) if self.storage is None else self.storage.bounds()

    def storable(self, data: NDArray[Any]) -> NDArray[Any]:
        """Clip floats that will be written as integers, in place, to what those hold: xarray would wrap them around."""
        if self.integer or self.storage is None:
            return data
        low, high = self.bounds()
        saturated = np.isposinf(data)
        np.clip(data, low, high, out=data)
        data[saturated] = self.storage.saturated if math.isfinite(self.storage.saturated) else high
        return data

    def __str__(self) -> str:
        shift = f" {self.offset:+g}" if self.offset else ""
        return f"{self.dtype} x {self.scale:g}{shift}, nodata {self.nodata:g}"


def units_argument(value: object) -> Units | None:
    """Return `units`, in any case of letters; refuse another one."""
    return None if value is None else choice("units", value.lower() if isinstance(value, str) else value, UNITS)


def resolve_radiometry(da: xr.DataArray, units: Units | None = None, offset: float | None = None) -> Radiometry:
    """Work out a variable's radiometry from arguments, attributes, encoding and dtype, in this order.

    Parameters
    ----------
    da : DataArray
        One band.
    units : {"dn", "reflectance", "percent"}, optional
        The unit of the values, where it is known better than the metadata say.
    offset : float, optional
        Added to the values before they are scaled, in their own unit: -1000 for DN of processing baseline
        04.00 and later.

    Returns
    -------
    Radiometry

    Raises
    ------
    RadiometryError
        For a dtype that holds no numbers, or metadata that make no sense.

    Notes
    -----
    ``scale_factor`` and ``add_offset`` in ``attrs`` are not applied yet (rioxarray's ``open_rasterio``); in
    ``encoding`` they are (xarray's decoding). Integers without either are taken as DN / 10000 with 0 as
    nodata; floats as reflectance.
    """
    dtype = da.dtype
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise RadiometryError(
            f"{da.name!r} has dtype {dtype}; a band must hold integers or floats of at most 64 bits. "
            f'Convert it: ds["{da.name}"] = ds["{da.name}"].astype("float32")'
        )
    nodata, nodata_from = _nodata(da)
    scale, shift, by = _scale(da)
    if (units := units_argument(units)) is not None:
        scale, shift, by = UNITS[units], 0.0, By.USER
    if offset is not None:
        shift = offset * scale
    if not (math.isfinite(scale) and scale > 0 and math.isfinite(shift)):
        raise RadiometryError(
            f"{da.name!r} says scale_factor={scale!r}, add_offset={shift!r}; expected finite numbers, the first "
            'above 0. Say what the values are: upsample(units="dn")'
        )
    storage = _storage(da, nodata)
    # half a step below, for values that were decoded to float32
    top = math.inf if storage is None else storage.saturated - (storage.step / 2 if dtype.kind == "f" else 0)
    offset_from = Origin(By.NOBODY if offset is None else By.USER)
    return Radiometry(dtype, scale, shift, nodata, top, storage, Origin(by), offset_from, nodata_from)


def _scale(da: xr.DataArray) -> tuple[float, float, By]:
    for keys in (("scale_factor", "add_offset"), ("scale", "offset")):
        if keys[0] in da.attrs or (keys[1] in da.attrs and keys[0] == "scale_factor"):
            pair = [_number(da, key, default) for key, default in zip(keys, (1.0, 0.0), strict=True)]
            if pair == [1.0, 0.0]:
                break  # GDAL writes the identity where nothing is known
            return pair[0], pair[1], By.ATTRS
    unit = str(da.attrs.get("units", "")).strip().lower()
    if unit in ("%", "percent"):
        return UNITS["percent"], 0.0, By.ATTRS
    if unit in ("dn", "digital number", "digital numbers"):
        return UNITS["dn"], 0.0, By.ATTRS
    if da.dtype.kind == "f":
        decoded = _decoding(da)
        if decoded is not None and decoded[1:] == (1.0, 0.0):
            return UNITS["dn"], 0.0, By.ASSUMED
        if decoded is not None or da.encoding.get("scale_factor") is not None:
            return 1.0, 0.0, By.ENCODING
        return 1.0, 0.0, By.ASSUMED
    return UNITS["dn"], 0.0, By.ASSUMED


def _decoding(da: xr.DataArray) -> tuple[np.dtype[Any], float, float] | None:
    """Return the integer dtype, scale_factor and add_offset from which xarray decoded a float variable, or None."""
    encoding = da.encoding
    try:
        dtype = None if encoding.get("dtype") is None else np.dtype(encoding["dtype"])
    except TypeError:  # xarray says so when it writes
        return None
    if da.dtype.kind != "f" or dtype is None or dtype.kind not in "iu":
        return None
    step, base = _number(da, "scale_factor", 1.0, "encoding"), _number(da, "add_offset", 0.0, "encoding")
    return in_native_order(dtype), step, base


def in_native_order(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a dtype in the byte order of this machine: for numpy, those of the two orders are not equal."""
    return dtype.newbyteorder("=")


def _fill(da: xr.DataArray) -> float:
    """Return the nodata value of the encoding, NaN where it has none."""
    key = "_FillValue" if da.encoding.get("_FillValue") is not None else "missing_value"
    return _number(da, key, math.nan, "encoding")


def _storage(da: xr.DataArray, nodata: float) -> Storage | None:
    if da.dtype.kind != "f":
        return Storage(in_native_order(da.dtype), 1.0, 0.0, nodata)
    decoded = _decoding(da)
    if decoded is None or not decoded[1] > 0:
        return None
    fill = _fill(da)  # which xarray decoded to NaN; where it knew none, that is 0, which it decoded to a number
    return Storage(*decoded, 0.0 if math.isnan(fill) else fill)


def number_in(value: object) -> float:
    """Return the number that an attribute holds: as such, as text, or in an array.

    Raises
    ------
    ValueError
        If it holds none.
    """
    try:
        [number] = np.unique(np.asarray(value).reshape(-1).astype(float)).tolist()
        return float(number)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{shown(value)} is not one number") from None


def _number(da: xr.DataArray, key: str, default: float, place: Literal["attrs", "encoding"] = "attrs") -> float:
    value = getattr(da, place).get(key, default)
    if value is None and place == "encoding":
        return default
    try:
        return number_in(value)
    except ValueError:
        raise RadiometryError(
            f"{da.name!r} has {key}={shown(value)} in its {place}; expected one number. Correct it: "
            f'ds["{da.name}"].{place}["{key}"] = {default:g}, or say what the values are: upsample(units="dn")'
        ) from None


def validity_in_any_unit(da: xr.DataArray) -> Validity:
    """Return the bounds of valid values, as far as can be said before the unit of the pixels is settled.

    Raises
    ------
    RadiometryError
        If the attributes name a nodata value that is not a number.
    """
    nodata = _nodata(da)[0]
    try:
        scale = _scale(da)[0]
    except RadiometryError:  # read_scene says so
        return Validity(nodata)
    # any of the units, with the offset of any processing baseline
    smallest = min(scale, *UNITS.values())
    return possible(smallest, 0.0, nodata, margin=0.1) if smallest > 0 else Validity(nodata)


def _nodata(da: xr.DataArray) -> tuple[float, Origin]:
    nodata, origin = _nodata_told(da)
    if da.dtype.kind == "f":
        return nodata, origin
    info = np.iinfo(da.dtype)
    if nodata.is_integer() and info.min <= nodata <= info.max:
        return nodata, origin
    told = f"{nodata:g} (nodata from {origin.by.value} {origin.detail}) does not fit {da.dtype}"
    return 0.0, Origin(By.ASSUMED, told)


def _nodata_told(da: xr.DataArray) -> tuple[float, Origin]:
    for key in ("_FillValue", "nodata", "missing_value"):
        if da.attrs.get(key) is not None:
            return _number(da, key, math.nan), Origin(By.ATTRS, key)
    if da.dtype.kind == "f":
        decoded = _decoding(da)
        if decoded is not None and math.isnan(_fill(da)):
            return decoded[2], Origin(By.ASSUMED)
        return math.nan, Origin(By.NOBODY)
    for key in ("_FillValue", "missing_value"):
        if da.encoding.get(key) is not None:
            return _number(da, key, math.nan, "encoding"), Origin(By.ENCODING, key)
    return 0.0, Origin(By.ASSUMED)
