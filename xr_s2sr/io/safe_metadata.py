"""Metadata of a SAFE product: its bands and their files, the tile's place, and the meaning of its DN.

Element names are those of ESA's Product Specification, from the first products (PSD 12) on; of Sen2Cor's older L2A,
whose names begin with ``L2A_`` or end with ``_2A``, too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np
from affine import Affine

from xr_s2sr.bands import BANDS, resolve
from xr_s2sr.errors import ProductError
from xr_s2sr.io.safe_files import Files
from xr_s2sr.scene.crs import parse_crs

#: Level, element of the offsets, and elements of the quantification, by the root of the product's metadata.
_LEVELS = {
    "Level-1C_User_Product": ("L1C", "RADIO_ADD_OFFSET", ("QUANTIFICATION_VALUE",)),
    "Level-2A_User_Product": ("L2A", "BOA_ADD_OFFSET", ("BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE")),
}
#: What is said of images that are no bands, besides the size of their counts.
_COMPANIONS: dict[str, dict[str, Any]] = {
    "SCL": {"long_name": "scene classification"},
    "CLD": {"long_name": "cloud probability", "units": "percent"},
    "SNW": {"long_name": "snow probability", "units": "percent"},
    "AOT": {"long_name": "aerosol optical thickness at 550 nm", "units": "1"},
    "WVP": {"long_name": "water vapour", "units": "cm"},
}
#: Masks that only the tile's metadata list, by their type there.
_MASKS = {"MSK_CLDPRB": "CLD", "MSK_SNWPRB": "SNW"}
_BAND = re.compile(r"(?:^|_)(?P<what>B0[1-9]|B1[0-2]|B8A)(?:_(?P<gsd>[126]0)m)?$")
#: As ESA writes them, in the century of Sentinel-2: numpy takes "now" and "today" too, and others wrap around.
_TIME = re.compile(r"20\d\d-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d{1,9})?)?Z?", re.ASCII)
_COMPANION = re.compile(r"(?:^|_)(?P<what>SCL|CLD|SNW|AOT|WVP)(?:_\w+)?_(?P<gsd>[126]0)m$")
#: As ESA writes them. Python's float() takes more: "nan", "1_000", digits of other scripts.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Image:
    """One file of a product.

    Attributes
    ----------
    gsd : int
    name : str or None
        In the product; None if it is not there.
    listed_name : str
        By the metadata, for messages.
    attrs : dict
        What is said of its pixels.
    detectors : Image or None
        A raster that is 0 where no detector looked.
    """

    gsd: int
    name: str | None
    listed_name: str
    attrs: dict[str, Any] = field(default_factory=dict)
    detectors: Image | None = None


@dataclass(frozen=True)
class Product:
    """The metadata of one tile.

    Attributes
    ----------
    attrs : dict
        Attributes of a Dataset that describe its product.
    time : numpy.datetime64 or None
        When the datatake began.
    crs : rasterio CRS
    corner : (float, float)
        Left and upper edge, in metres.
    shapes : dict of int to (int, int)
        Rows and columns by GSD.
    offsets : dict of str to float
        Added to the DN, by band.
    bands, companions : dict of str to Image
        Bands at their native resolution; SCL, CLD, SNW, AOT and WVP at their finest.
    """

    attrs: dict[str, Any]
    time: np.datetime64 | None
    crs: Any
    corner: tuple[float, float]
    shapes: Mapping[int, tuple[int, int]]
    offsets: Mapping[str, float]
    bands: Mapping[str, Image]
    companions: Mapping[str, Image]

    def transform(self, gsd: int) -> Affine:
        """Return the place of pixels of a size."""
        left, upper = self.corner
        return Affine(gsd, 0, left, 0, -gsd, upper)


def identify(stem: str) -> tuple[str, int | None] | None:
    """Return the band or companion that a file name without suffix stands for, and its pixel size or None."""
    match = _BAND.search(stem) or _COMPANION.search(stem)
    return None if match is None else (match["what"], None if match["gsd"] is None else int(match["gsd"]))


def read_product(files: Files) -> Product:
    """Read the product's metadata and those of its tile.

    Raises
    ------
    ProductError
        For broken XML, an unknown level, several granules of which none was chosen, or elements that are not there.
    """
    main = Xml(files, files.metadata)
    tag = main.root.tag
    if tag not in _LEVELS:
        level = tag.partition("_")[0] if tag.startswith("Level-") else f"<{tag}>"
        raise ProductError(
            f"{main.where} is of {level}; expected Level-1C or Level-2A. Download the product of one of these levels"
        )
    level, offset_tag, quantification_tags = _LEVELS[tag]
    granule, listed = _granule(main, files.granule)
    tile = Xml(files, files.tile_metadata(granule))
    there = _by_stem(files.names, granule)
    bands, companions = _images(listed, granule, there)
    detectors: dict[str, Image] = {}
    physical = _physical_bands(main)
    for mask in tile.all("MASK_FILENAME"):
        name = (mask.text or "").strip()
        kind = mask.get("type", "")
        # before baseline 04.00 the masks are polygons in GML
        if not name.endswith(".jp2"):
            continue
        if kind == "MSK_DETFOO" and (band := physical.get(mask.get("bandId", ""))):
            detectors[band] = _image(BANDS[band].gsd, name, granule, there)
        elif kind in _MASKS and (gsd := re.search(r"_([126]0)m$", PurePosixPath(name).stem)):
            _keep_finest(companions, _MASKS[kind], _image(int(gsd[1]), name, granule, there))
    quantification = main.quantification(*quantification_tags)
    offsets = _offsets(main, offset_tag, physical, bands)
    for band, image in bands.items():
        attrs = {
            "wavelength_nm": BANDS[band].wavelength,
            "scale_factor": 1 / quantification,
            "add_offset": offsets[band] / quantification,
            "_FillValue": 0,
        }
        bands[band] = replace(image, attrs=attrs, detectors=detectors.get(band))
    for what, image in companions.items():
        attrs = dict(_COMPANIONS[what])
        tags = f"{what}_QUANTIFICATION_VALUE", f"L2A_{what}_QUANTIFICATION_VALUE"
        if main.text(*tags) is not None:
            attrs["scale_factor"] = 1 / main.quantification(*tags)
        companions[what] = replace(image, attrs=attrs)
    return Product(
        _attrs(main, tile, files, level),
        _time(main),
        _crs(tile),
        (tile.number("ULX"), tile.number("ULY")),
        _shapes(tile),
        offsets,
        bands,
        companions,
    )


def _granule(main: Xml, asked: str | None) -> tuple[str, list[str]]:
    """Return the folder of the one granule, and the images it is said to have."""
    granules: dict[str, list[str]] = {}
    for element in main.all("Granule", "Granules"):
        images = [(child.text or "").strip() for child in element if child.tag.startswith("IMAGE_")]
        parts = PurePosixPath(images[0]).parts if images else ()
        # compact products give paths; older ones bare names, below a folder named by the identifier
        folder = parts[1] if len(parts) > 2 and parts[0] == "GRANULE" else element.get("granuleIdentifier", "")
        granules.setdefault(folder, []).extend(images)
    if asked is None and len(granules) == 1:
        asked = next(iter(granules))
    if asked is None or asked not in granules:
        count = f"{len(granules)} granules" if len(granules) != 1 else "one granule"
        listed = f": {', '.join(sorted(granules))}" if granules else ""
        expected = "expected one" if asked is None else f"but not {asked}"
        root = main.where.rpartition("/")[0]
        hint = f'. Open one: open_safe("{root}/GRANULE/{min(granules)}")' if granules else ". Download it again"
        raise ProductError(f"{main.where} lists {count}{listed}; {expected}{hint}")
    return asked, granules[asked]


def _by_stem(names: Iterable[str], granule: str) -> dict[str, str]:
    """Return the JP2 files of a granule, by their names without folder and suffix."""
    inside = (PurePosixPath(name) for name in names if name.startswith(f"GRANULE/{granule}/"))
    return {path.stem: path.as_posix() for path in inside if path.suffix.lower() == ".jp2"}


def _image(gsd: int, name: str, granule: str, there: Mapping[str, str]) -> Image:
    """Return a file of the metadata, looked up by its bare name: the folder is not always given."""
    bare = PurePosixPath(name.removesuffix(".jp2")).name
    name = f"{name.removesuffix('.jp2')}.jp2"
    return Image(gsd, there.get(bare), name if "/" in name else f"GRANULE/{granule}/IMG_DATA/{name}")


def _images(listed: Iterable[str], granule: str, there: Mapping[str, str]) -> tuple[dict[str, Image], dict[str, Image]]:
    """Return the bands at native resolution, and companions at their finest."""
    bands: dict[str, Image] = {}
    companions: dict[str, Image] = {}
    for name in listed:
        identified = identify(PurePosixPath(name).name)
        if identified is None:
            continue
        what, gsd = identified
        if what not in BANDS:
            _keep_finest(companions, what, _image(gsd or 0, name, granule, there))
        elif gsd in (None, BANDS[what].gsd):
            bands[what] = _image(BANDS[what].gsd, name, granule, there)
    return {band: bands[band] for band in BANDS if band in bands}, companions


def _keep_finest(companions: dict[str, Image], what: str, image: Image) -> None:
    """Keep the image of a companion with the smallest pixels, of those that are there if any is."""
    known = companions.get(what)
    if known is None or (image.name is not None, -image.gsd) > (known.name is not None, -known.gsd):
        companions[what] = image


def _physical_bands(main: Xml) -> dict[str, str]:
    """Return bands by the number that the metadata use for them; by ESA's own numbering where they do not say."""
    named = {e.get("bandId", ""): resolve(e.get("physicalBand")) for e in main.all("Spectral_Information")}
    return {str(k): band for k, band in enumerate(BANDS)} | {k: band for k, band in named.items() if band is not None}


def _offsets(main: Xml, tag: str, physical: Mapping[str, str], bands: Iterable[str]) -> dict[str, float]:
    """Return the offsets to add to the DN, by band; 0 where there is no list, as before baseline 04.00."""
    numbered = {e.get("band_id", ""): main.as_number(e.text, tag) for e in main.all(tag)}
    offsets = {band: numbered[number] for number, band in physical.items() if number in numbered}
    if not numbered:
        return dict.fromkeys(bands, 0.0)
    absent = [band for band in bands if band not in offsets]
    if absent:
        raise main.wrong(f"lists a <{tag}> for some bands, but none for {', '.join(absent)}", "one for each")
    return {band: offsets[band] for band in bands}


def _crs(tile: Xml) -> Any:
    """Return the CRS that the tile's metadata give."""
    code = tile.required("HORIZONTAL_CS_CODE")
    crs = parse_crs(code) if code.startswith("EPSG:") else None
    if crs is None:
        raise ProductError(
            f"the tile's metadata give the <HORIZONTAL_CS_CODE> {code[:80]!r}; expected one such as EPSG:32633. "
            "Download the product again"
        )
    return crs


def _shapes(tile: Xml) -> dict[int, tuple[int, int]]:
    """Return rows and columns by pixel size."""
    shapes = {}
    for size in tile.all("Size"):
        counts = {child.tag: int(tile.as_number(child.text, child.tag)) for child in size}
        shapes[int(tile.as_number(size.get("resolution"), "Size"))] = counts.get("NROWS", 0), counts.get("NCOLS", 0)
    if not {10, 20, 60} <= shapes.keys():
        listed = ", ".join(map(str, sorted(shapes))) or "no resolution"
        raise tile.wrong(f"gives the <Size> at {listed}", "10, 20 and 60 m")
    return shapes


def _time(main: Xml) -> np.datetime64 | None:
    """Return when the datatake began, in UTC; None if nothing says so."""
    text = main.text("DATATAKE_SENSING_START", "PRODUCT_START_TIME")
    if text is None:
        return None
    try:
        if not _TIME.fullmatch(text):
            raise ValueError("no time as ESA writes it")
        return np.datetime64(text.removesuffix("Z"), "ns")
    except ValueError as error:
        raise ProductError(
            f"{main.where} says that the datatake began at {text!r}; expected a date such as 2023-08-23T09:55:59.024Z"
        ) from error


def _attrs(main: Xml, tile: Xml, files: Files, level: str) -> dict[str, Any]:
    """Return what the Dataset says of the product, as far as the metadata do."""
    uri = main.text("PRODUCT_URI", "PRODUCT_URI_2A", "PRODUCT_URI_1C")
    name = uri or files.inside or files.root.replace("\\", "/")
    code = re.search(r"_(T\d{2}[A-Z]{3})(?:_|$)", tile.text("TILE_ID") or "")
    orbit = main.text("SENSING_ORBIT_NUMBER")
    cloud = tile.text("CLOUDY_PIXEL_PERCENTAGE") or main.text("Cloud_Coverage_Assessment")
    attrs = {
        "product": PurePosixPath(name).name.removesuffix(".SAFE"),
        "level": level,
        "platform": main.text("SPACECRAFT_NAME"),
        "processing_baseline": main.text("PROCESSING_BASELINE"),
        "tile": None if code is None else code[1],
        "relative_orbit": None if orbit is None else int(main.as_number(orbit, "SENSING_ORBIT_NUMBER")),
        "orbit_direction": main.text("SENSING_ORBIT_DIRECTION"),
        "cloud_cover": None if cloud is None else tile.as_number(cloud, "CLOUDY_PIXEL_PERCENTAGE"),
    }
    return {key: value for key, value in attrs.items() if value is not None}


class _Builder(ElementTree.TreeBuilder):
    """Refuses what could make a small file expand: ESA's metadata declare no document type."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Refuse a document type."""
        raise ProductError(f"it declares a DOCTYPE ({name})")


class Xml:
    """One metadata file; elements are found by name, whatever their namespace and place."""

    def __init__(self, files: Files, name: str) -> None:
        self.where = files.path(name)
        content = files.read(name)
        try:
            root = ElementTree.fromstring(content, ElementTree.XMLParser(target=_Builder()))
        except (ElementTree.ParseError, ProductError, LookupError, ValueError) as error:
            raise self.wrong(f"is not metadata of a SAFE product: {error}", "XML as ESA writes it") from error
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]  # without its namespace
        self.root = root

    def wrong(self, found: str, expected: str) -> ProductError:
        """Return the error for what a file of ESA does not say."""
        return ProductError(f"{self.where} {found}; expected {expected}. Download the product again")

    def all(self, *names: str) -> Iterator[ElementTree.Element]:
        """Yield the elements of these names."""
        for name in names:
            yield from self.root.iter(name)

    def text(self, *names: str) -> str | None:
        """Return the text of the first element of these names that has one."""
        return next((e.text.strip() for e in self.all(*names) if e.text and e.text.strip()), None)

    def required(self, *names: str) -> str:
        """Return the text of the first element of these names that has one; it must be there."""
        text = self.text(*names)
        if text is None:
            raise self.wrong(f"has no <{names[0]}>", "one")
        return text

    def number(self, *names: str) -> float:
        """Return the number that the first of these elements holds; it must be there."""
        return self.as_number(self.required(*names), names[0])

    def quantification(self, *names: str) -> float:
        """Return the number of counts that stand for 1."""
        value = self.number(*names)
        if not 1 <= value <= 1e6:
            raise self.wrong(f"says <{names[0]}> {value:g}", "a number from 1 to 1000000, such as 10000")
        return value

    def as_number(self, text: str | None, name: str) -> float:
        """Return a number of metadata: counts, metres and percent all stay far below 10 digits."""
        number = _NUMBER.fullmatch((text or "").strip())
        value = math.nan if number is None else float(number[0])
        if not abs(value) < 1e10:
            raise self.wrong(f"says <{name}> {(text or '')[:40]!r}", "a number such as 10000")
        return value
