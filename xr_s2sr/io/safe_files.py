"""The files of a SAFE product: in a folder, or in a zip that is read without unpacking."""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path, PurePosixPath

from xr_s2sr.errors import ProductError
from xr_s2sr.io.guarded import check_plain, read_limited, read_metadata

#: The product's own metadata: MTD_MSIL1C.xml, or S2A_OPER_MTD_SAFL1C_PDMC_....xml before December 2016.
_PRODUCT_XML = re.compile(r"(MTD_MSIL\w+|\w+_MTD_SAFL\w+)\.xml")
#: The metadata of one tile, in its granule's folder.
_TILE_XML = re.compile(r"(MTD_TL|\w+_MTD_L\w+_T\w+(\.\d+)?)\.xml")

#: Raised for a zip that is damaged, encrypted (RuntimeError), or packed in a way that Python does not know.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, KeyError, UnicodeDecodeError)

_EXPECTED = "expected a .SAFE folder or a .zip of one, its MTD_MSIL1C.xml or MTD_MSIL2A.xml, or one of its granules"


@dataclass(frozen=True)
class Files:
    """The files of one product.

    Attributes
    ----------
    root : str
        The product's folder, as GDAL opens it.
    names : tuple of str
        All files, relative to the root.
    metadata : str
        The product's own metadata, one of `names`.
    granule : str or None
        Folder of the granule that was asked for, below GRANULE.
    archive, inside : Path, str
        The zip, and the product's folder in it with a slash at its end, if it lies in one; None, "" for a folder.
    """

    root: str
    names: tuple[str, ...]
    metadata: str
    granule: str | None
    archive: Path | None = None
    inside: str = ""

    def __post_init__(self) -> None:
        masks = [name for name in self.names if name.lower().endswith(".msk")]
        if masks:  # GDAL opens what lies beside an image as .msk by its content, whichever driver opens the image
            raise ProductError(
                f"{self.root} holds the mask file {masks[0]}, which ESA's products do not have and which could name "
                "any other file; expected the files of a SAFE product. Remove it"
            )

    def path(self, name: str) -> str:
        """Return the path of a file as GDAL opens it."""
        return f"{self.root}/{name}"

    def read(self, name: str) -> bytes:
        """Return the content of a metadata file."""
        if self.archive is None:
            return read_metadata(Path(self.root, name))
        with _opened(self.archive) as archive, archive.open(self.inside + name) as file:
            return read_limited(file, f"{name} in {self.archive}")

    def tile_metadata(self, granule: str) -> str:
        """Return the name of the metadata file of one granule's tile."""
        folder = f"GRANULE/{granule}/"
        tiles = [name for name in self.names if name.startswith(folder) and _TILE_XML.fullmatch(name, len(folder))]
        if len(tiles) != 1:
            raise ProductError(
                f"{self.root} has {len(tiles)} tile metadata files in {folder[:-1]}; expected one MTD_TL.xml. Download "
                "the product again"
            )
        return tiles[0]


def is_product(path: Path) -> bool:
    """Tell whether a path is meant as a SAFE product, complete or not."""
    if any(parent.suffix.lower() in (".zip", ".safe") for parent in (path, *path.parents)):
        return True
    return path.suffix.lower() == ".xml" or (path.is_dir() and bool(_metadata_of(os.listdir(path))))


def locate(path: Path) -> Files:
    """Find a product from its folder, its zip, its metadata file, or a granule in it.

    Raises
    ------
    ProductError
    """
    archive = next((p for p in (path, *path.parents) if p.is_file() and _is_zip(p)), None)
    if archive is not None:
        return _in_zip(archive, path.relative_to(archive).as_posix())
    if not path.exists():
        raise ProductError(f"{path} does not exist; {_EXPECTED}")
    start = path if path.is_dir() else path.parent
    # a granule's images lie up to four folders below the product
    for folder in (start, *start.parents[:4]) if path.is_dir() or path.suffix.lower() == ".xml" else ():
        metadata = _metadata_of(os.listdir(folder))
        if metadata:
            inside = [Path(top, file) for top, _, files in os.walk(folder) for file in files]
            for file in inside:
                check_plain(file)
            listed = tuple(sorted(file.relative_to(folder).as_posix() for file in inside))
            granule = _granule(start.relative_to(folder).as_posix())
            return Files(str(folder), listed, _only(metadata, folder), granule)
    products = sorted(p.name for p in start.iterdir() if p.suffix.lower() == ".safe")
    hint = f". It holds {', '.join(products[:3])}: open that" if products else ""
    raise ProductError(
        f"{path} is not a SAFE product, as it has no MTD_MSIL1C.xml or MTD_MSIL2A.xml; {_EXPECTED}{hint}"
    )


def _in_zip(path: Path, asked: str) -> Files:
    """Find a product in a zip: the only one, or the one that was asked for."""
    with _opened(path) as archive:
        names = sorted(name for name in archive.namelist() if not name.endswith("/"))
    outside = [name for name in names if name.startswith("/") or {"..", "\\"} & {*name.split("/"), *name}]
    if outside:
        raise ProductError(f"{path} holds {outside[0]!r}, which leads out of it; expected the zip of a SAFE product")
    asked = "" if asked == "." else asked
    product_xml = [PurePosixPath(name) for name in names if _PRODUCT_XML.fullmatch(PurePosixPath(name).name)]
    folders = sorted({name.parent.as_posix() for name in product_xml})
    if asked:  # a product, or a part of one
        folders = [f for f in folders if f == "." or f"{asked}/".startswith(f"{f}/") or f.startswith(f"{asked}/")]
    if len(folders) != 1:
        what = f"holds the products {', '.join(folders)}" if folders else "holds no MTD_MSIL1C.xml or MTD_MSIL2A.xml"
        hint = f'. Open one: open_safe("{path}/{folders[0]}")' if folders else ""
        raise ProductError(f"{path} {what}; {_EXPECTED}{hint}")
    inside = "" if folders[0] == "." else f"{folders[0]}/"
    listed = tuple(name.removeprefix(inside) for name in names if name.startswith(inside))
    metadata = _only(_metadata_of(listed), path)
    root = f"{_vsizip(path)}/{inside}".rstrip("/")
    return Files(root, listed, metadata, _granule(asked.removeprefix(inside)), path, inside)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip; the error for what cannot be read in the block names it."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except _UNREADABLE as error:
        reason = str(error).partition("\n")[0]
        raise ProductError(
            f"{path} is not a readable zip: {reason}; expected the zip of a SAFE product. Download it again"
        ) from error


def _vsizip(path: Path) -> str:
    """Return the path of a zip as GDAL opens it."""
    opened = list(accumulate((c == "{") - (c == "}") for c in str(path)))
    if min(opened) >= 0 == opened[-1]:  # braces keep GDAL from looking for the end of the name; it counts them
        return f"/vsizip/{{{path}}}"
    if path.suffix.lower() == ".zip":
        return f"/vsizip/{path}"
    raise ProductError(
        f"{path} has braces that do not close each other, which GDAL does not read; expected a path without "
        f"them. Rename it: mv '{path}' product.zip"
    )


def _is_zip(path: Path) -> bool:
    """Tell whether a path is a zip, by its name or its content."""
    return path.suffix.lower() == ".zip" or zipfile.is_zipfile(path)


def _metadata_of(names: list[str] | tuple[str, ...]) -> list[str]:
    """Return the names among these that are those of a product's own metadata."""
    return [name for name in names if _PRODUCT_XML.fullmatch(name)]


def _only(metadata: list[str], where: Path) -> str:
    """Return the one file of product metadata; refuse several."""
    if len(metadata) > 1:
        raise ProductError(
            f"{where} holds several product metadata files: {', '.join(sorted(metadata))}; expected one. "
            "Keep each product in a folder of its own"
        )
    return metadata[0]


def _granule(relative: str) -> str | None:
    """Return the granule's folder in a path relative to the product."""
    parts = PurePosixPath(relative).parts
    return parts[1] if len(parts) > 1 and parts[0] == "GRANULE" else None
