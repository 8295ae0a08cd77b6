"""Scenes on disk, whatever their form: ``xr_s2sr.open``, what the command line reads, and the files of a scene."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import xarray as xr

from xr_s2sr import arguments
from xr_s2sr.bands import BANDS, by_convention, resolve
from xr_s2sr.errors import GridError, InputError, S2SRError, warn
from xr_s2sr.io.guarded import check_codecs, check_plain
from xr_s2sr.io.rasters import (
    DIMS,
    axis_coords,
    lazy_pixels,
    lazy_variable,
    open_bands,
    open_image,
    unreadable,
)
from xr_s2sr.io.safe import open_safe
from xr_s2sr.io.safe_files import is_product, locate
from xr_s2sr.io.safe_metadata import identify
from xr_s2sr.io.subset import subset
from xr_s2sr.layouts.band_names import band_labels, split
from xr_s2sr.layouts.datatree import read_tree
from xr_s2sr.scene.crs import georeference, mapping_variable, read_crs
from xr_s2sr.scene.omissions import sounds_like_a_band
from xr_s2sr.scene.result import sources
from xr_s2sr.targets import check_path, linked

_EXPECTED = (
    "expected a SAFE folder or .zip, a .nc, a .zarr, a GeoTIFF whose bands are described, or a folder of one GeoTIFF "
    "or JP2 for each band"
)
_RASTERS = (".tif", ".tiff", ".jp2")
_PART = re.compile(r"(?:^|[_.\- ])[bB]\d")
#: Folders of a product's images by pixel size.
_BY_GSD = re.compile(r"R?[126]0m", re.IGNORECASE)
_MAJA = re.compile(r"_[FS]RE_B\d+A?$")


def open_any(
    path: str | PathLike[str],
    bands: str | Iterable[str] | None = None,
    bbox: Iterable[float] | None = None,
    chunks: int | Mapping[Any, Any] | None = None,
) -> xr.Dataset:
    """Open a scene on disk, in any of the forms that the command line takes; pixels are read when they are used.

    Parameters
    ----------
    path : str or path
        A SAFE product (folder, ``.zip`` or ``MTD_MSIL2A.xml``, see :func:`open_safe`), a NetCDF (``.nc``), a Zarr
        (``.zarr``, also one of EOPF), a GeoTIFF of several bands whose descriptions name them, or a folder of one
        GeoTIFF or JP2 for each band, named by it, which may lie in folders R10m, R20m and R60m.
    bands, bbox, chunks
        As in :func:`open_safe`.

    Returns
    -------
    Dataset
        One variable for each band, with the values of the files. Bands of separate files lie on their native grids:
        ``(y, x)``, ``(y_20m, x_20m)`` and ``(y_60m, x_60m)``.

    Raises
    ------
    InputError
        If `path` is none of these, does not exist, or is damaged (:class:`ProductError`, BandError and GridError are
        of this kind).
    ArgumentTypeError
        If an argument is of the wrong type.
    DependencyError
        If the package is missing that reads the form, or `chunks` is given and dask is not installed.

    See Also
    --------
    open_safe : SAFE products alone, with what their attributes mean.

    Notes
    -----
    xarray knows the same as its engine "s2sr": ``xr.open_dataset(path, engine="s2sr")``.

    Examples
    --------
    >>> ds = xr_s2sr.open("S2B_MSIL2A_20230823T095559_N0509_R122_T33UVR.SAFE")  # doctest: +SKIP
    >>> sr = ds.s2sr.upsample()  # doctest: +SKIP
    """
    path = arguments.path("path", path, "S2B_MSIL2A_20230823T095559.SAFE")
    kind = path.suffix.lower()
    if kind in (".nc", ".zarr"):
        ds = _open_dataset(path)
    elif is_product(path):
        return open_safe(path, bands, bbox, chunks)
    elif path.is_dir():
        ds = _open_folder(path)
    elif kind in (".tif", ".tiff") and path.exists():
        ds = _open_stack(path)
    else:
        raise _no_scene(path)
    return subset(ds, bands, bbox, chunks, str(path))


def _no_scene(path: Path) -> InputError:
    """Return the error for a path that is no scene."""
    if re.match(r"\w+:/", str(path)) and not path.exists():
        return InputError(
            f"{path} is an address; expected a path on this computer. Open it by a library that reads addresses, such "
            'as ds = xr.open_zarr("https://..."), or odc.stac.load for a STAC catalogue: ds.s2sr takes what they give'
        )
    return InputError(f"{path} {'is not a scene that can be read' if path.exists() else 'does not exist'}; {_EXPECTED}")


def _open_dataset(path: Path) -> xr.Dataset:
    """Open a NetCDF file or a Zarr store."""
    if not path.exists():
        raise _no_scene(path)
    check_plain(path)
    check_codecs(path)
    try:
        engine = "zarr" if path.suffix.lower() == ".zarr" else None
        with warnings.catch_warnings():  # a store without consolidated metadata is read all the same
            warnings.filterwarnings("ignore", "Failed to open Zarr store with consolidated metadata", RuntimeWarning)
            ds = xr.open_dataset(path, engine=engine, decode_coords="all", chunks=None)
            # EOPF keeps each resolution in a group of its own
            ds = ds if ds.data_vars or engine is None else read_tree(xr.open_datatree(path, engine=engine))[0]
        return _guarded(ds, path, _no_dataset)
    except (S2SRError, MemoryError, Warning):  # said already, or whatever the file is
        raise
    except Exception as error:  # any, for metadata that make no sense
        raise _no_dataset(str(path), error) from error


def _guarded(ds: xr.Dataset, path: Path, failed: Callable[..., InputError]) -> xr.Dataset:
    """Return a Dataset that was opened lazily; the error for what cannot be read later, by `failed`, names the file."""
    out = ds.copy()
    for name, da in ds.data_vars.items():
        if da.ndim >= 2:
            pixels = lazy_pixels(da.variable, str(path), partial(failed, what=f"{name!r} in "))
            out[name] = xr.Variable(da.dims, pixels, da.attrs, da.encoding)
    return out


def _no_dataset(path: str, error: BaseException, what: str = "") -> InputError:
    """Return the error for a Dataset that cannot be opened, or of which a part cannot be read."""
    reason = (str(error) or type(error).__name__).partition("\n")[0][:300]
    return InputError(
        f"{what}{path} cannot be read: {reason}; expected a whole Dataset, as xarray writes it, and a library that "
        "reads it. Download or copy it again, or: pip install netCDF4 zarr"
    )


def _open_stack(path: Path) -> xr.Dataset:
    """Open the bands of one GeoTIFF, by their descriptions."""
    image = open_bands(str(path))
    if isinstance(names := image.attrs.get("long_name"), str):  # of one band
        image.attrs["long_name"] = (names,)
    found = band_labels(image)
    if found is None:
        names = image.attrs.get("long_name", ())
        said = f"described as {', '.join(map(repr, names))}" if any(names) else "not described"
        raise InputError(
            f"{path} holds {image.sizes['band']} bands, which are {said}; expected descriptions that name them, such "
            "as B02, or a file for each band in a folder: xr_s2sr.open(folder). Name the bands yourself: ds = "
            f'rioxarray.open_rasterio("{path.name}").assign_coords(band=["B02", "B03", ...])'
        )
    return _guarded(split(image, *found), path, unreadable)


def _open_folder(path: Path) -> xr.Dataset:
    """Open the files that carry a band's name, each band at its native resolution where there are several."""
    named: dict[str, list[Path]] = {}
    entries = sorted(path.iterdir())
    entries += sorted(file for sub in entries if _BY_GSD.fullmatch(sub.name) and sub.is_dir() for file in sub.iterdir())
    files = [file for file in entries if file.suffix.lower() in _RASTERS]
    moved = next((f"mv {file} {file.with_stem('B12')}" for file in files if file.stem.lower() == "swir_2"), "")
    by_stem = by_convention((file.stem for file in files), moved)
    for file in entries:
        check_plain(file)
    for file in files:
        named.setdefault(by_stem.get(file.stem) or _named(file.stem) or "", []).append(file)
    unnamed = [file for file in named.pop("", []) if not _PART.search(file.stem)]
    if not any(what in BANDS for what in named):
        products = [p.name for p in entries if p.suffix.lower() in (".safe", ".zip")]
        hint = f". It holds {', '.join(products[:3])}: open that" if products else ""
        raise InputError(
            f"{path} holds no GeoTIFF or JP2 whose name tells its band, such as B05.tif or T32TQM_B05_20m.jp2; "
            f"{_EXPECTED}{hint}"
        )
    if ignored := sorted(file.name for file in unnamed if sounds_like_a_band(file.stem)):
        warn(
            f"not opened, as their names do not tell their band: {', '.join(ignored)}. Name the bands among them: "
            f"mv {path / ignored[0]} {path / 'B05.tif'}, say"
        )
    chosen = {what: _native(what, several) for what, several in named.items()}
    _check_one_place(chosen)
    variables: dict[str, xr.Variable] = {}
    coords: dict[str, xr.Variable] = {}
    for what, (file, image, dims) in chosen.items():
        # MAJA's files of reflectance have no tag for it
        nodata = {"_FillValue": -10000} if _MAJA.search(file.stem) and image.dtype == "int16" else {}
        variables[what] = lazy_variable(image, str(file), dims, nodata | image.attrs)
        coords |= axis_coords(dims, image["y"], image["x"])
    crs = read_crs(next(iter(chosen.values()))[1])
    if crs is None:
        return xr.Dataset(variables, coords)
    ds = xr.Dataset(variables, coords | {"spatial_ref": mapping_variable(crs)})
    fine = next((band for band in BANDS if band in ds and ds[band].dims == DIMS[10]), None)
    return ds if fine is None else georeference(ds, chosen[fine][1].rio.transform())


#: A file, its image, and the dimensions of its resolution.
_Chosen = tuple[Path, xr.DataArray, tuple[str, str]]


def _named(stem: str) -> str | None:
    """Return the band or companion that a file name stands for; None for a name with several, or without any."""
    if stem.startswith("MSK_"):  # a product's masks are named by their band
        return None
    parts = {band for part in re.split(r"[_.\- ]", stem) if re.match(r"[bB]\d", part) and (band := resolve(part))}
    if len(parts) > 1:
        return None
    known = identify(stem)
    return parts.pop() if parts else resolve(stem) if known is None else known[0]


def _native(what: str, files: list[Path]) -> _Chosen:
    """Return the file of a band's native pixel size among several; of a companion, the finest."""
    images = {file: open_image(str(file)) for file in files}
    sizes = {file: round(abs(float(image.rio.resolution()[0]))) for file, image in images.items()}
    native = BANDS[what].gsd if what in BANDS else min(sizes.values())
    best = [file for file in files if sizes[file] == native] or files
    if len(best) > 1:
        one, other = (file.name for file in best[:2])
        fix = "Give each scene a folder"
        if one.replace("_FRE_", "_SRE_") == other:
            fix = (
                "They are of one scene, with and without the correction of slopes. Give one kind a folder: "
                "mkdir FRE && cp *_FRE_B*.tif FRE"
            )
        raise InputError(
            f"{one} and {other} in {files[0].parent} are both {what}; expected the files of one scene. {fix}"
        )
    [file] = best
    return file, images[file], DIMS.get(sizes[file], DIMS[native if what in BANDS else 10])


def _check_one_place(chosen: Mapping[str, _Chosen]) -> None:
    """Refuse files of one resolution that differ in grid, and files that differ in CRS."""
    first: dict[tuple[str, ...], tuple[Path, Any]] = {}
    for file, image, dims in chosen.values():
        for what, alike, place in (
            ("CRS", (), read_crs(image)),
            ("grid", dims, (image.shape, image.rio.transform())),
        ):
            known, other = first.setdefault(alike, (file, place))
            if place != other:
                raise GridError(
                    f"{known.name} and {file.name} in {file.parent} differ in their {what}; expected the bands of one "
                    "tile. Give each scene a folder"
                )


def home_of(path: Path) -> Path:
    """Return what a scene lies in: the file or folder that was named, or the product of which it is a part."""
    if not is_product(check_path(path)):
        return path
    files = locate(path)
    return Path(files.root) if files.archive is None else files.archive


def inputs(path: Path | None, ds: xr.Dataset, models: Iterable[str] | None) -> set[Path]:
    """Return the files and folders that a scene on disk and models are read from.

    Parameters
    ----------
    path : Path or None
        Of the scene; None if it is not on disk.
    ds : Dataset
        The scene, as it was opened.
    models : iterable of str, optional
        Names of models, of which some may be files.
    """
    found = {Path(name) for name in models or () if Path(name).is_file()} | read_from(ds)
    if path is None:
        return found
    home = home_of(path)
    # of a folder of files, only those are read that `ds` names
    whole = home.is_dir() and (is_product(path) or home.suffix.lower() == ".zarr")
    return found | {path, home} | (linked(home) if whole else set())


def read_from(ds: xr.Dataset) -> set[Path]:
    """Return the files on disk from which a scene, or the scene of a result, was read."""
    return {Path(name) for name in sources(ds) if "\0" not in name and Path(name).is_file()}
