"""A STAC item that describes the GeoTIFFs of a result: place, time, bands, and the models that restored them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from xr_s2sr.arguments import shown
from xr_s2sr.bands import BANDS, Output, resolve
from xr_s2sr.errors import DependencyError, InputError
from xr_s2sr.scene.radiometry import number_in
from xr_s2sr.version import __version__

_SCHEMAS = "https://stac-extensions.github.io/{}/schema.json"
EXTENSIONS = tuple(map(_SCHEMAS.format, ("projection/v2.0.0", "raster/v1.1.0", "eo/v1.1.0", "processing/v1.2.0")))
COG = "image/tiff; application=geotiff; profile=cloud-optimized"

#: Common names of the STAC extension "eo", which knows one for the three red-edge bands.
COMMON_NAMES = {
    "B01": "coastal", "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge", "B06": "rededge",
    "B07": "rededge", "B08": "nir", "B8A": "nir08", "B09": "nir09", "B10": "cirrus", "B11": "swir16", "B12": "swir22",
}  # fmt: skip

#: The names that version 2 of that extension gives these three, by their wavelength.
_RED_EDGE = {0.7041: "rededge071", 0.7405: "rededge075", 0.7828: "rededge078"}

#: Attributes of a Dataset that may tell when the scene was taken, besides a scalar coordinate.
TIME_ATTRS = ("datetime", "time", "date", "time_coverage_start")
#: Bytes of a file that could be an item.
ITEM_LIMIT = 2**24
#: Points along each side of the footprint, as straight lines in a UTM zone are curves in degrees.
POINTS = 8


def item_text(
    ds: xr.Dataset, stacks: Mapping[str, xr.DataArray], files: Mapping[str, str], name: str, when: str | None = None
) -> str:
    """Return the JSON of a STAC item for GeoTIFFs; no pixel is computed.

    Parameters
    ----------
    ds : Dataset
        The result that was written.
    stacks : mapping of str to DataArray
        The bands of each file: named by ``long_name``, with CRS and nodata.
    files : mapping of str to str
        Name of each file, beside the item.
    name : str
        Id of the item.
    when : str, optional
        When the scene was taken, in place of what `ds` says.

    Raises
    ------
    DependencyError
        If pystac is not installed.
    InputError
        If there is no CRS, or nothing tells when the scene was taken.
    """
    try:
        import pystac
    except ImportError as error:
        raise DependencyError("a STAC item needs pystac. Install it: pip install pystac") from error
    first = next(iter(stacks.values()))
    if first.rio.crs is None:
        raise InputError(
            "the Dataset has no CRS, from which the footprint of a STAC item follows; expected one. Write it: "
            'sr = sr.rio.write_crs("EPSG:326xx")'
        )
    geometry, box = footprint(first.rio.crs, first.rio.bounds())
    properties = {"gsd": abs(float(first.rio.resolution()[0])), **_mission(ds), **_processing(ds)}
    item = pystac.Item(name, geometry, box, acquired(ds, when), properties, stac_extensions=list(EXTENSIONS))
    for key, stack in stacks.items():
        names = list(stack.attrs["long_name"])
        title = ", ".join(names)
        eo, raster = [_eo_band(ds, n) for n in names], _raster(ds, stack)
        both = [_common_band(*pair) for pair in zip(eo, raster, strict=True)]
        extra = {**_projection(stack), "bands": both, "eo:bands": eo, "raster:bands": raster}
        item.add_asset(
            key or "data",
            pystac.Asset(f"./{files[key]}", title, media_type=COG, roles=["data"], extra_fields=extra),
        )
    text: str = json.dumps(item.to_dict(include_self_link=False, transform_hrefs=False), indent=2, allow_nan=False)
    return text


def check_replaceable(path: Path) -> None:
    """Refuse to write an item over what is none.

    Raises
    ------
    InputError
    """
    if not path.is_file():
        return
    try:
        known = path.stat().st_size < ITEM_LIMIT and "stac_version" in json.loads(path.read_bytes())
    except (ValueError, TypeError, RecursionError, OSError):
        known = False
    if not known:
        raise InputError(
            f"{path} is there already and is no STAC item, so it is not replaced; give the GeoTIFF another name, or "
            f"move that file: mv {path.name} {path.stem}_other.json"
        )


def acquired(ds: xr.Dataset, when: str | None = None) -> datetime:
    """Return when a scene was taken, in UTC: what is given here, or the Dataset's time or attributes say.

    Raises
    ------
    InputError
        If nothing tells, or what tells is not a time.
    """
    times = {str(key): c for key, c in ds.coords.items() if c.ndim == 0 and c.dtype.kind == "M" and c.notnull()}
    value: Any = when
    if when is None and times:
        value = times.get("time", next(iter(times.values()))).values
    elif when is None:
        value = next((ds.attrs[key] for key in TIME_ATTRS if ds.attrs.get(key)), None)
    if value is None:
        raise InputError(
            "nothing says when the scene was taken, which a STAC item must; expected a scalar coordinate time. Add it: "
            'sr = sr.assign_coords(time=np.datetime64("2024-06-01T10:00:00")), or say it: '
            'to_cog(stac="2024-06-01T10:00:00Z")'
        )
    try:
        if not re.match(r"\d{4}-?\d\d-?\d\d", str(value)):
            raise ValueError("no date")  # pandas would take "now"
        moment = pd.Timestamp(str(value))  # of a number, it would count nanoseconds
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(
            f"{shown(value)} is not a date and time; expected such as 2024-06-01T10:00:00Z, in UTC: "
            'to_cog(stac="2024-06-01T10:00:00Z")'
        ) from error
    moment = moment.tz_localize(UTC) if moment.tzinfo is None else moment.tz_convert(UTC)
    taken: datetime = moment.floor("us").to_pydatetime()
    return taken


def footprint(crs: Any, bounds: tuple[float, float, float, float]) -> tuple[dict[str, Any], list[float]]:
    """Return the geometry and the bounding box of a rectangle in a CRS, in degrees; in two parts at 180 degrees.

    Parameters
    ----------
    crs : rasterio CRS
    bounds : (float, float, float, float)
        left, bottom, right, top
    """
    from rasterio.warp import transform_geom

    left, bottom, right, top = bounds
    corners = np.array([(left, top), (left, bottom), (right, bottom), (right, top), (left, top)])
    steps = np.linspace(0, 1, POINTS, endpoint=False)[:, np.newaxis]
    sides = [a + (b - a) * steps for a, b in pairwise(corners)]
    whole = {"type": "Polygon", "coordinates": [np.concatenate([*sides, corners[:1]]).tolist()]}
    geometry: dict[str, Any] = transform_geom(crs, "EPSG:4326", whole, precision=7)
    if geometry["type"] == "Polygon":
        parts = [np.array(geometry["coordinates"][0])]
    else:  # cut at 180 degrees, by which GDAL may turn rings clockwise
        parts = [np.array(part[0]) for part in geometry["coordinates"]]
        turned = [np.sum(ring[:-1, 0] * ring[1:, 1] - ring[1:, 0] * ring[:-1, 1]) < 0 for ring in parts]
        parts = [ring[::-1] if back else ring for ring, back in zip(parts, turned, strict=True)]
        parts.sort(key=lambda ring: -ring[0, 0])
        geometry["coordinates"] = [[ring.tolist()] for ring in parts]
    _, south = np.concatenate(parts).min(0)
    _, north = np.concatenate(parts).max(0)
    return geometry, [float(side) for side in (parts[0][:, 0].min(), south, parts[-1][:, 0].max(), north)]


def _mission(ds: xr.Dataset) -> dict[str, Any]:
    """Return what the attributes of a product tell of satellite, level and clouds."""
    found: dict[str, Any] = {}
    platform = str(ds.attrs.get("platform", "")).lower()
    if platform.startswith("sentinel-2"):
        found |= {"platform": platform, "constellation": "sentinel-2", "instruments": ["msi"]}
    cloud = ds.attrs.get("cloud_cover")
    if isinstance(cloud, int | float) and 0 <= cloud <= 100:
        found["eo:cloud_cover"] = float(cloud)
    return found


def _processing(ds: xr.Dataset) -> dict[str, Any]:
    """Return the software, each model with its version and SHA-256, and which bands it restored."""
    restored: dict[tuple[str, str], list[str]] = {}
    for name, variable in ds.data_vars.items():
        if (model := variable.attrs.get("s2sr_model")) and not Output.of(name).error:
            sha256 = variable.attrs.get("s2sr_model_sha256") or ""
            restored.setdefault((str(model), str(sha256)), []).append(str(name))
    software, models = {"xr_s2sr": __version__}, []
    for (model, sha256), bands in restored.items():
        title, _, version = model.rpartition(" ")
        models.append({"name": title, "version": version, **({"sha256": sha256} if sha256 else {}), "bands": bands})
        software[title] = f"{version} (sha256 {sha256})" if sha256 else version
    parts = [f"{', '.join(bands)}: restored by {model}" for (model, _), bands in restored.items()]
    source = f"From {ds.attrs['product']}. " if ds.attrs.get("product") else ""
    lineage = f"{source}Sentinel-2 bands brought to one grid by xr_s2sr. {'; '.join(parts)}".strip()
    found: dict[str, Any] = {"processing:software": software, "processing:lineage": lineage}
    if str(level := ds.attrs.get("level", "")) in ("L1C", "L2A"):
        found["processing:level"] = level
    return found | ({"s2sr:models": models} if models else {})


def _projection(stack: xr.DataArray) -> dict[str, Any]:
    """Return the fields of the STAC extension for projections."""
    crs, transform = stack.rio.crs, stack.rio.transform()
    code = crs.to_epsg()
    place = {"proj:code": f"EPSG:{code}"} if code else {"proj:code": None, "proj:wkt2": crs.to_wkt(version="WKT2:2019")}
    return {
        **place,
        "proj:shape": [int(size) for size in stack.shape[-2:]],
        "proj:transform": [float(number) for number in tuple(transform)[:6]],
        "proj:bbox": [float(number) for number in stack.rio.bounds()],
    }


def _eo_band(ds: xr.Dataset, name: str) -> dict[str, Any]:
    """Return name, wavelength and origin of one band; of other variables the name."""
    attrs = ds[name].attrs
    about: dict[str, Any] = {"name": name}
    if band := attrs.get("s2sr_band") or resolve(name):
        about |= {"common_name": COMMON_NAMES[band], "center_wavelength": round(BANDS[band].wavelength / 1000, 4)}
        if "s2sr_model" in attrs:
            about["description"] = f"restored from {attrs.get('s2sr_native_gsd')} m by {attrs['s2sr_model']}"
    elif isinstance(attrs.get("long_name"), str):
        about["description"] = attrs["long_name"]
    return about


def _common_band(eo: dict[str, Any], raster: dict[str, Any]) -> dict[str, Any]:
    """Return one band in the way of STAC 1.1: what its core does not name has the prefix of an extension."""
    core = {"name", "description", "data_type", "nodata"}
    found = {f"eo:{key}" if key not in core else key: value for key, value in eo.items()}
    found |= {f"raster:{key}" if key not in core else key: value for key, value in raster.items()}
    if finer := _RED_EDGE.get(eo.get("center_wavelength", 0)):
        found["eo:common_name"] = finer
    return found


def _raster(ds: xr.Dataset, stack: xr.DataArray) -> list[dict[str, Any]]:
    """Return type, nodata, and the scale and offset that the bands' attributes tell."""
    nodata = float(stack.rio.nodata)
    shown: Any = "nan" if math.isnan(nodata) else int(nodata) if nodata.is_integer() else nodata
    common = {
        "data_type": stack.dtype.newbyteorder("=").name,
        "nodata": shown,
        "spatial_resolution": abs(float(stack.rio.resolution()[0])),
    }
    keys = {"scale": "scale_factor", "offset": "add_offset"}
    return [
        common | {key: number_in(ds[name].attrs[attr]) for key, attr in keys.items() if attr in ds[name].attrs}
        for name in stack.attrs["long_name"]
    ]
