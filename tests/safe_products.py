"""Miniature SAFE products: structure, names and XML elements as ESA has them, images as real JP2.

Elements and names follow products of processing baselines 01.03, 02.05 and 05.09; what nobody reads is left out.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
import xarray as xr
from affine import Affine
from scenes import GSD

TILE, DATE, EPSG = "T33UVR", "20230823T095559", 32633
#: ESA's numbering.
ORDER = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
COMPANIONS = {"SCL": 20, "CLD": 20, "SNW": 20, "AOT": 10, "WVP": 10}


@dataclass
class Product:
    """What to write.

    Attributes
    ----------
    scene : Dataset
        uint16 DN by band, on y, x / y_20m, x_20m / y_60m, x_60m.
    level : str
        "L1C" or "L2A".
    baseline : str
    offsets : dict of str to int
        By band; empty for none, as before baseline 04.00.
    compact : bool
        The names of December 2016 and later.
    sen2cor : bool
        L2A as Sen2Cor 2.3 wrote it: elements L2A_..., masks listed among the images.
    detectors : dict of str to array
        Footprint masks by band; by default 1 everywhere. Written from baseline 04.00 on.
    skip : tuple of str
        Bands and companions that the metadata list, but that are not there.
    """

    scene: xr.Dataset
    level: str = "L2A"
    baseline: str = "05.09"
    offsets: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(ORDER, -1000))
    compact: bool = True
    sen2cor: bool = False
    detectors: Mapping[str, np.ndarray] = field(default_factory=dict)
    skip: tuple[str, ...] = ()
    tile: str = TILE

    @property
    def bands(self) -> list[str]:
        return [band for band in ORDER if band in self.scene and not (self.level == "L2A" and band == "B10")]

    @property
    def name(self) -> str:
        if self.compact:
            number = self.baseline.replace(".", "")
            return f"S2B_MSI{self.level}_{DATE}_N{number}_R122_{self.tile}_20230823T124759.SAFE"
        kind = "OPER" if self.level == "L1C" else "USER"
        return f"S2A_{kind}_PRD_MSI{self.level}_PDMC_20160101T000000_R122_V{DATE}_{DATE}.SAFE"

    @property
    def granule(self) -> str:
        if self.compact:
            return f"{self.level}_{self.tile}_A033753_{DATE}"
        kind = "OPER" if self.level == "L1C" else "USER"
        return f"S2A_{kind}_MSI_{self.level}_TL_SGS__{DATE}_A002779_{self.tile}_N{self.baseline}"

    @property
    def metadata(self) -> str:
        if self.compact:
            return f"MTD_MSI{self.level}.xml"
        kind = "OPER" if self.level == "L1C" else "USER"
        return f"S2A_{kind}_MTD_SAF{self.level}_PDMC_20160101T000000_R122_V{DATE}_{DATE}.xml"

    @property
    def tile_metadata(self) -> str:
        return "MTD_TL.xml" if self.compact else self.granule.replace("_MSI_", "_MTD_").rpartition("_N")[0] + ".xml"

    @property
    def masks(self) -> bool:
        """Whether masks are rasters."""
        return float(self.baseline) >= 4

    def image(self, what: str, gsd: int) -> str:
        """An image by its place in the product, without suffix."""
        if self.level == "L1C":
            base = f"{self.tile}_{DATE}_{what}" if self.compact else f"{self.granule.rpartition('_N')[0]}_{what}"
            return f"GRANULE/{self.granule}/IMG_DATA/{base}"
        folder = "QI_DATA" if what in ("CLD", "SNW") else f"IMG_DATA/R{gsd}m"
        if not self.compact:
            stem = self.granule.rpartition("_N")[0]
            base = stem.replace("_MSI_", f"_{what}_") if what in COMPANIONS else f"{stem}_{what}"
        elif self.sen2cor:
            base = f"L2A_{self.tile}_{DATE}_{what}"
        elif what in ("CLD", "SNW"):
            base = f"MSK_{what}PRB"
        else:
            base = f"{self.tile}_{DATE}_{what}"
        return f"GRANULE/{self.granule}/{folder}/{base}_{gsd}m"

    def images(self) -> list[tuple[str, int]]:
        """Every image with its pixel size, coarser copies of level 2A included."""
        if self.level == "L1C":
            return [(band, GSD[band]) for band in self.bands]
        sizes = [(band, gsd) for band in self.bands for gsd in (10, 20, 60) if gsd >= GSD[band]]
        if "B01" in self.bands:
            sizes.append(("B01", 20))  # a finer copy, of baseline 04.00 and later
        return sizes + [(what, gsd) for what, finest in COMPANIONS.items() for gsd in (10, 20, 60) if gsd >= finest]


def companion(what: str, gsd: int, shape: tuple[int, int]) -> np.ndarray:
    """Pixels of a mask, known to the tests."""
    rng = np.random.default_rng([gsd, *what.encode()])
    dtype, top = ("uint16", 3000) if what in ("AOT", "WVP") else ("uint8", 12)
    return rng.integers(0, top, shape).astype(dtype)


def write_product(folder: Path, product: Product) -> Path:
    """Write a product; returns its .SAFE folder."""
    root = folder / product.name
    scene = product.scene
    shapes = {gsd: scene[band].shape for band, gsd in GSD.items() if band in scene}
    shapes.setdefault(60, tuple(n // 6 for n in shapes[10]))
    for what, gsd in product.images():
        if what in product.skip:
            continue
        if what in scene:
            # a copy at another resolution must never be taken: its pixels are wrong
            native = gsd == GSD[what]
            pixels = scene[what].values if native else np.full(shapes[gsd], 7, np.uint16)
        else:
            pixels = companion(what, gsd, shapes[gsd])
        write_jp2(root / f"{product.image(what, gsd)}.jp2", pixels, gsd, scene)
    if product.masks:
        for band in product.bands:
            mask = product.detectors.get(band, np.ones(shapes[GSD[band]], np.uint8))
            write_jp2(root / detector_mask(product, band), mask, GSD[band], scene)
    write_xml(root / product.metadata, product_xml(product))
    write_xml(root / "GRANULE" / product.granule / product.tile_metadata, tile_xml(product, shapes))
    write_xml(root / "INSPIRE.xml", "<gmd:MD_Metadata xmlns:gmd='http://www.isotc211.org/2005/gmd'/>")
    (root / "manifest.safe").write_text("<xfdu/>")
    return root


def detector_mask(product: Product, band: str) -> str:
    return f"GRANULE/{product.granule}/QI_DATA/MSK_DETFOO_{band}.{'jp2' if product.masks else 'gml'}"


def write_jp2(path: Path, pixels: np.ndarray, gsd: int, scene: xr.Dataset) -> None:
    """Lossless."""
    path.parent.mkdir(parents=True, exist_ok=True)
    left, top = corner(scene)
    shape = dict(zip(("height", "width"), pixels.shape, strict=True))
    place = {"crs": f"EPSG:{EPSG}", "transform": Affine(gsd, 0, left, 0, -gsd, top)}
    options = {"REVERSIBLE": "YES", "QUALITY": "100", "driver": "JP2OpenJPEG"}
    with rasterio.open(path, "w", count=1, dtype=pixels.dtype, **options, **shape, **place) as file:
        file.write(pixels, 1)


def corner(scene: xr.Dataset) -> tuple[float, float]:
    return float(scene.x[0]) - 5, float(scene.y[0]) + 5


def write_xml(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n{text}', encoding="utf-8")


def zipped(root: Path, path: Path, mode: int = zipfile.ZIP_STORED) -> Path:
    """The product as it is downloaded: one folder in a zip."""
    with zipfile.ZipFile(path, "w", mode) as archive:
        for file in sorted(root.rglob("*")):
            archive.write(file, file.relative_to(root.parent))
    return path


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines)


def product_xml(product: Product) -> str:
    """The product's own metadata."""
    old, level, digits = "L2A_" if product.sen2cor else "", product.level, product.level[1:]
    if product.compact:
        tag = "IMAGE_FILE_2A" if product.sen2cor else "IMAGE_FILE"
        names = [product.image(what, gsd) for what, gsd in product.images()]
        if not product.sen2cor:  # those masks stand in the tile's metadata only
            names = [name for name in names if "/QI_DATA/" not in name]
    else:
        tag = "IMAGE_ID_2A" if level == "L2A" else "IMAGE_ID"
        names = [product.image(what, gsd).rpartition("/")[2] for what, gsd in product.images()]
    granule = "Granule" if product.compact else "Granules"
    identifier = product.granule
    if product.compact:
        identifier = f"S2B_OPER_MSI_{level}_TL_2BPS_{DATE}_A033753_{product.tile}_N{product.baseline}"
    listed = _lines(f"<{tag}>{name}</{tag}>" for name in names)
    uri = f"<PRODUCT_URI>{product.name}</PRODUCT_URI>" if product.compact else "<PRODUCT_URI/>"
    if product.sen2cor:
        uri = f"<PRODUCT_URI_1C>{product.name.replace('L2A', 'L1C')}</PRODUCT_URI_1C>"
        uri += f"<PRODUCT_URI_2A>{product.name}</PRODUCT_URI_2A>"
    units = ("BOA", 10000), ("AOT", 1000.0), ("WVP", 1000.0)
    values = _lines(f'<{old}{k}_QUANTIFICATION_VALUE unit="none">{v}</{old}{k}_QUANTIFICATION_VALUE>' for k, v in units)
    quantification = f"<QUANTIFICATION_VALUES_LIST>{values}</QUANTIFICATION_VALUES_LIST>"
    if level == "L1C":
        quantification = '<QUANTIFICATION_VALUE unit="none">10000</QUANTIFICATION_VALUE>'
    tags = ("Radiometric_Offset_List", "RADIO_ADD_OFFSET")
    if level == "L2A":
        tags = ("BOA_ADD_OFFSET_VALUES_LIST", "BOA_ADD_OFFSET")
    numbered = _lines(
        f'<{tags[1]} band_id="{k}">{product.offsets[band]}</{tags[1]}>'
        for k, band in enumerate(ORDER)
        if band in product.offsets
    )
    offsets = f"<{tags[0]}>{numbered}</{tags[0]}>" if product.offsets else ""
    spectral = _lines(
        f'<Spectral_Information bandId="{k}" physicalBand="{band.replace("B0", "B")}">'
        f"<RESOLUTION>{GSD[band]}</RESOLUTION></Spectral_Information>"
        for k, band in enumerate(ORDER)
    )
    query = '<Query_Options completeSingleTile="true"><PRODUCT_FORMAT>SAFE_COMPACT</PRODUCT_FORMAT></Query_Options>'
    if not product.compact:
        band_list = _lines(f"<BAND_NAME>{band.replace('B0', 'B')}</BAND_NAME>" for band in product.bands)
        query = f"<Query_Options><Band_List>{band_list}</Band_List></Query_Options>"
    platform = "Sentinel-2B" if product.compact else "Sentinel-2A"
    return f"""<n1:Level-{digits}_User_Product
 xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-{digits}.xsd">
<n1:General_Info>
<{old}Product_Info>
<PRODUCT_START_TIME>2023-08-23T09:55:59.024Z</PRODUCT_START_TIME>
<PRODUCT_STOP_TIME>2023-08-23T09:55:59.024Z</PRODUCT_STOP_TIME>
{uri}
<PROCESSING_LEVEL>Level-{digits}{"p" if product.sen2cor else ""}</PROCESSING_LEVEL>
<PRODUCT_TYPE>S2MSI{digits}</PRODUCT_TYPE>
<PROCESSING_BASELINE>{product.baseline}</PROCESSING_BASELINE>
<Datatake datatakeIdentifier="GS2B_{DATE}_033753_N{product.baseline}">
<SPACECRAFT_NAME>{platform}</SPACECRAFT_NAME>
<DATATAKE_TYPE>INS-NOBS</DATATAKE_TYPE>
<DATATAKE_SENSING_START>2023-08-23T09:55:59.024Z</DATATAKE_SENSING_START>
<SENSING_ORBIT_NUMBER>122</SENSING_ORBIT_NUMBER>
<SENSING_ORBIT_DIRECTION>DESCENDING</SENSING_ORBIT_DIRECTION>
</Datatake>
{query}
<{old}Product_Organisation>
<Granule_List>
<{granule} datastripIdentifier="DS" granuleIdentifier="{identifier}" imageFormat="JPEG2000">
{listed}
</{granule}>
</Granule_List>
</{old}Product_Organisation>
</{old}Product_Info>
<{old}Product_Image_Characteristics>
<Special_Values><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX>
</Special_Values>
<Special_Values><SPECIAL_VALUE_TEXT>SATURATED</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>65535</SPECIAL_VALUE_INDEX>
</Special_Values>
{quantification}
{offsets}
<Spectral_Information_List>
{spectral}
</Spectral_Information_List>
</{old}Product_Image_Characteristics>
</n1:General_Info>
<n1:Quality_Indicators_Info>
<Cloud_Coverage_Assessment>6.859297</Cloud_Coverage_Assessment>
</n1:Quality_Indicators_Info>
</n1:Level-{digits}_User_Product>
"""


def tile_xml(product: Product, shapes: Mapping[int, tuple[int, int]]) -> str:
    """The metadata of the tile."""
    level, (left, top) = product.level, corner(product.scene)
    place = _lines(
        f'<Size resolution="{gsd}"><NROWS>{shapes[gsd][0]}</NROWS><NCOLS>{shapes[gsd][1]}</NCOLS></Size>'
        f'<Geoposition resolution="{gsd}"><ULX>{left:.0f}</ULX><ULY>{top:.0f}</ULY><XDIM>{gsd}</XDIM>'
        f"<YDIM>-{gsd}</YDIM></Geoposition>"
        for gsd in (10, 20, 60)
    )
    masks = [("MSK_DETFOO", f' bandId="{ORDER.index(band)}"', detector_mask(product, band)) for band in product.bands]
    if level == "L2A" and product.compact and not product.sen2cor:
        masks += [
            (f"MSK_{what}PRB", "", f"{product.image(what, gsd)}.jp2") for what in ("CLD", "SNW") for gsd in (20, 60)
        ]
    listed = _lines(f'<MASK_FILENAME{number} type="{kind}">{name}</MASK_FILENAME>' for kind, number, name in masks)
    digits = level[1:]
    return f"""<n1:Level-{digits}_Tile_ID
 xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_Level-{digits}_Tile_Metadata.xsd">
<n1:General_Info>
<TILE_ID metadataLevel="Brief">S2B_OPER_MSI_{level}_TL_2BPS_{DATE}_A033753_{product.tile}_N{product.baseline}</TILE_ID>
<SENSING_TIME metadataLevel="Standard">2023-08-23T10:05:35.271949Z</SENSING_TIME>
</n1:General_Info>
<n1:Geometric_Info>
<Tile_Geocoding metadataLevel="Brief">
<HORIZONTAL_CS_NAME>WGS84 / UTM zone 33N</HORIZONTAL_CS_NAME>
<HORIZONTAL_CS_CODE>EPSG:{EPSG}</HORIZONTAL_CS_CODE>
{place}
</Tile_Geocoding>
</n1:Geometric_Info>
<n1:Quality_Indicators_Info metadataLevel="Standard">
<Image_Content_QI><CLOUDY_PIXEL_PERCENTAGE>6.859297</CLOUDY_PIXEL_PERCENTAGE></Image_Content_QI>
<Pixel_Level_QI geometry="FULL_RESOLUTION">
{listed}
</Pixel_Level_QI>
</n1:Quality_Indicators_Info>
</n1:Level-{digits}_Tile_ID>
"""
