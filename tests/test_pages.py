"""Every Python block of every page, typed in order, page by page: with what the page asks for, and nothing else.

Cells that are run when the pages are built are run here only where a block needs what they made. What lies outside of
this machine (a catalogue, a product) is put in its place, small; a block that needs more than that is marked on its
page, by ``% not run by the tests: why`` on the line above it, which no reader sees.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from shutil import copyfile, copytree
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import xarray as xr
from eopf_products import product
from holders import COMMON, GDAL_ORDER, at_10_m, gdal_description, stac_item, with_offset, write_geotiff
from safe_products import Product, write_product, zipped

import xr_s2sr

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
#: A block or a cell: the mark above it, whether it is a cell, its options, its code.
BLOCK = re.compile(
    r"^(?:% not run by the tests: (.*)\n|<!-- not run by the tests: (.*) -->\n)?"
    r"```(python|\{code-cell\} python)\n((?::[^\n]*\n)*)(.*?)^```$",
    re.M | re.S,
)
#: Pages whose blocks go on from their cells. All others are typed without these.
WITH_CELLS = {"lazy", "quickstart", "zarr"}
#: Scenes in the place of the tutorial's: the same, smaller.
SIDE = 120

pytestmark = [
    pytest.mark.skipif(not DOCS.is_dir(), reason="the documentation is not there"),
    pytest.mark.filterwarnings("ignore:The 'shapely.ops:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Dataset has no geotransform"),
    # the masks of a product, which readers are told of as well
    pytest.mark.filterwarnings("ignore:left out, as they are not bands:xr_s2sr.errors.S2SRWarning"),
]


def blocks(page: Path) -> list[tuple[str, bool, str]]:
    """Return the mark, whether it is a cell, and the code of each block, but of cells that readers do not see."""
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [
        (one or other, kind != "python", code)
        for one, other, kind, options, code in found
        if "remove-cell" not in options
    ]


def pages() -> list[Path]:
    """Return the pages that have blocks besides cells."""
    every = [ROOT / "README.md", *sorted(DOCS.glob("*.md")), *sorted((DOCS / "tutorials").glob("*.md"))]
    return [page for page in every if any(not cell for _, cell, _ in blocks(page))]


class SatpyScene(dict[str, xr.DataArray]):
    """As satpy's, iterated by array."""

    def load(self, names: list[str]) -> None:
        for name in {*self.keys()} - {*names}:
            del self[name]

    def __iter__(self) -> Any:
        return iter(self.values())


class World:
    """What lies outside of the pages, small."""

    def __init__(self, folder: Path) -> None:
        self.scene, self.truth = xr_s2sr.tutorial.synthetic_scene(SIDE)
        self.items, self.files = folder / "items", folder / "files"
        self.files.mkdir()

    def synthetic_scene(self, *args: Any, **kwargs: Any) -> tuple[xr.Dataset, xr.Dataset]:
        return self.scene.copy(), self.truth.copy()

    def search(self) -> list[Any]:
        """Find an item of Earth Search's Collection 1: DN with an offset, under common names."""
        pytest.importorskip("odc.stac", reason="odc-stac is not installed")
        classes = self.scene.B05.copy(data=self.scene.B05.values.astype("uint8") % 11 + 1)
        shifted = with_offset(self.scene.rio.write_crs(32633)).assign(SCL=classes.drop_attrs())
        return [stac_item(self.items, shifted, "2024-06-01T10:00:00Z", COMMON | {"SCL": "scl"})]

    def modules(self) -> dict[str, ModuleType]:
        """Clients of services, and a reader that few have installed."""
        collection = SimpleNamespace(item_collection=self.search)
        client = SimpleNamespace(open=lambda url, **how: SimpleNamespace(search=lambda **query: collection))
        percent = {
            str(name): (da.where(da > 0) * 0.01).rename({da.dims[0]: "y", da.dims[1]: "x"}).assign_attrs(units="%")
            for name, da in self.scene.drop_attrs().data_vars.items()
        }
        given = {
            "pystac_client": {"Client": client},
            "satpy": {"Scene": lambda filenames: SatpyScene(percent), "find_files_and_readers": lambda **where: {}},
            "ee": {"Initialize": lambda project: None},
        }
        made = {}
        for name, members in given.items():
            made[name] = ModuleType(name)
            vars(made[name]).update(members)
        return made

    def write(self) -> None:
        """Write the files that the pages name."""
        ds = self.scene.rio.write_crs(32633)
        product(ds).to_zarr(self.files / "product.zarr", zarr_format=2)
        every = at_10_m(ds)
        write_geotiff(self.files / "all_bands.tif", *every.data_vars.values(), descriptions=tuple(every), crs=32633)
        for gsd, bands in GDAL_ORDER.items():
            described = tuple(map(gdal_description, bands))
            write_geotiff(self.files / f"{gsd}.tif", *(ds[b] for b in bands), descriptions=described)
        root = write_product(self.files, Product(with_offset(ds)))
        zipped(root, self.files / "S2B_MSIL2A_20230823T095559_N0509_R122_T34UCF_20230823T124759.zip")
        root = root.rename(self.files / "S2B_MSIL2A_20230823T095559_N0509_R122_T33UVR_20230823T124759.SAFE")
        copytree(root, self.files / "products" / root.name)
        (self.files / "runs" / "net20").mkdir(parents=True)
        for name in ("my.onnx", "runs/net20/s2sr-20m.onnx"):
            copyfile(xr_s2sr.models.packaged()["s2sr-20m-fast"], self.files / name)
        copyfile(ROOT / "tests" / "fixtures" / "dsen2_keras.h5", self.files / "s2_032_lr_1e-04.hdf5")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    pytest.importorskip("zarr", reason="zarr is not installed")
    world = World(tmp_path_factory.mktemp("world"))
    world.write()
    return world


@pytest.fixture
def world(made: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Put the world in place of the real one, and go to where its files are."""
    import rioxarray
    from xarray.backends import list_engines

    from xr_s2sr.io.xarray_backend import S2SRBackend

    list_engines().setdefault("s2sr", S2SRBackend())  # where the package is not installed
    monkeypatch.chdir(copytree(made.files, tmp_path / "here"))
    for name, module in made.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(xr_s2sr.tutorial, "synthetic_scene", made.synthetic_scene)
    opened, dataset = rioxarray.open_rasterio, xr.open_dataset

    def rasterio(path: Any, **how: Any) -> Any:
        said = re.fullmatch(r"SENTINEL2_L2A:.*:(\d+)m:EPSG_32633", str(path))
        return opened(f"{said[1]}.tif" if said else path, **how)

    def earth_engine(path: Any, **how: Any) -> Any:
        cube = at_10_m(made.scene).expand_dims(time=[0, 1])
        return cube if str(path).startswith("ee://") else dataset(path, **how)

    monkeypatch.setattr(rioxarray, "open_rasterio", rasterio)
    monkeypatch.setattr(xr, "open_dataset", earth_engine)
    return made


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_blocks_run_as_typed(page: Path, world: World) -> None:
    """`ds` is the reader's scene; all else the page says itself."""
    typed: dict[str, Any] = {"__name__": "__main__", "ds": world.scene.copy()}
    for mark, cell, code in blocks(page):
        if mark or (cell and page.stem not in WITH_CELLS):
            continue
        lines = [line for line in code.splitlines() if not line.startswith("%")]
        exec(compile("\n".join(lines), str(page.name), "exec"), typed)
    for name in ("sr", "swir", "both"):
        if name in typed:
            assert {*typed[name].sizes} >= {"y", "x"}


def test_few_blocks_are_not_run() -> None:
    marks = [(page.stem, mark) for page in pages() for mark, _, _ in blocks(page) if mark]
    assert len(marks) <= 7
    assert all(len(mark) > 10 for _, mark in marks)


def test_every_form_of_data_has_its_block() -> None:
    page = (DOCS / "holders.md").read_text(encoding="utf-8")
    sections = {part.splitlines()[0] for part in re.split(r"^## ", page, flags=re.M)[1:] if "```python" in part}
    assert {"odc-stac", "stackstac and cubo", "EOPF Zarr", "GDAL and rioxarray", "satpy", "Earth Engine"} <= sections
