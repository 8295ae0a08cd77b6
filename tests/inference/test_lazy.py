"""dask-backed scenes: nothing is computed before its time, and then exactly what is computed in memory."""

from __future__ import annotations

import gc
import pickle
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import rioxarray
import xarray as xr
from drawn_scenes import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scenes import DIMS, FINE, GSD, LEFT, RED_EDGE, SIXTY, TOP, TWELVE, as_float, centres, crop, native, spoil
from toy_models import CARD_20, save

import xr_s2sr
from xr_s2sr import S2SRWarning, models
from xr_s2sr.errors import ArgumentTypeError, EngineError, InputError, ModelError, RadiometryError
from xr_s2sr.inference import engine, lazy, region
from xr_s2sr.inference.chunks import run_here
from xr_s2sr.inference.windows import make_plan
from xr_s2sr.planning import ModelRun
from xr_s2sr.spans import Span

SIZE = 126
CPU: dict[str, Any] = {"device": "cpu"}
COARSE = (*RED_EDGE, *SIXTY)


@pytest.fixture(scope="module")
def scene() -> xr.Dataset:
    return xr_s2sr.tutorial.synthetic_scene(SIZE, seed=1)[0]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Threads in which a network has run."""
    ran: list[str] = []
    original = engine.OrtRunner.run

    def counted(self: engine.OrtRunner, inputs: Any) -> Any:
        ran.append(threading.current_thread().name)
        return original(self, inputs)

    monkeypatch.setattr(engine.OrtRunner, "run", counted)
    return ran


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail the test if a graph is computed or a session is opened."""

    def computed(*args: Any, **kwargs: Any) -> None:
        pytest.fail("a graph was computed")

    def opened(*args: Any, **kwargs: Any) -> None:
        pytest.fail("a session was opened")

    monkeypatch.setattr("xr_s2sr.inference.engine._open", opened)
    with dask.config.set(scheduler=computed):
        yield


def same(one: xr.Dataset, other: xr.Dataset) -> None:
    """Identical, and of equal encodings."""
    xr.testing.assert_identical(one.compute(), other.compute())
    assert list(one) == list(other)
    for name in one.data_vars:
        assert one[name].dtype == other[name].dtype
        assert one[name].encoding == other[name].encoding


def virtual(n: int = 10980, chunk: int = 1830, dates: int = 0) -> xr.Dataset:
    """A scene whose pixels nobody has."""
    lead = ("time",) if dates else ()
    ds = xr.Dataset()
    for band in TWELVE:
        gsd = GSD[band]
        side, step = n * 10 // gsd, chunk * 10 // gsd
        shape, chunks = (*(dates,) * len(lead), side, side), (*(1,) * len(lead), step, step)
        y, x = DIMS[gsd]
        data = da.zeros(shape, np.uint16, chunks=chunks, name=f"nobody-{band}")
        ds[band] = xr.DataArray(
            data, {y: (y, centres(gsd, side, TOP, -1)), x: (x, centres(gsd, side, LEFT, 1))}, (*lead, y, x)
        )
    return ds


def read(path: Path) -> xr.Dataset:
    return xr.open_zarr(path, decode_coords="all", consolidated=False)


def tasks(ds: xr.Dataset) -> dict[Any, Any]:
    return dict(ds.__dask_graph__())


# -- nothing before its time ------------------------------------------------------------------------------------------


def test_nothing_is_computed(idle: None) -> None:
    ds = native((600, 720), lead={"time": [0, 1]}).chunk(time=2, y=100, x=200)
    eager = native((600, 720)).isel(y=slice(0))
    sr = ds.s2sr.upsample(chunks=300)
    assert list(sr) == list(ds)
    for name, v in sr.data_vars.items():
        assert v.chunks == ((1, 1), (300, 300), (240, 240, 240))
        assert v.dtype == ds[name].dtype == eager[name].dtype
        assert v.dims == ("time", "y", "x")
        assert v.coords["y"].identical(sr.y)
        if GSD[str(name)] > 10:
            assert v.attrs["long_name"] == f"band {name}"
            assert v.attrs["s2sr_model"].startswith("s2sr-")
            assert v.attrs["s2sr_native_gsd"] == GSD[str(name)]
    assert sr.chunks == {"time": (1, 1), "y": (300, 300), "x": (240, 240, 240)}
    assert sr.rio.crs == ds.rio.crs
    assert sr.y.variable.identical(ds.y.variable)
    report = ds.s2sr.validate()
    assert report
    assert "would restore" in str(report)


def test_a_full_tile_is_a_small_graph(idle: None) -> None:
    sr = virtual().s2sr.upsample()
    assert sr.chunks == {"y": (1830,) * 6, "x": (1830,) * 6}
    assert len(tasks(sr)) < 4000
    assert len(pickle.dumps(sr.__dask_graph__())) < 1e6
    assert len(tasks(dask.optimize(sr)[0])) < 4000


def test_hundreds_of_dates_stay_lazy(idle: None) -> None:
    sr = virtual(3660, dates=200).s2sr.upsample()
    assert sr.chunks["time"] == (1,) * 200
    own = [key for key in tasks(sr[["B05", "B06"]]) if str(key[0]).startswith("xr_s2sr-restore")]
    assert len(own) == 200 * 4  # one a date and chunk


def test_a_continent_is_planned_row_by_row(idle: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a chunk reads is worked out for rows and columns of chunks; no tiling is tried; the collector runs again."""
    cut, seen = lazy._blocks, []
    monkeypatch.setattr(lazy, "_blocks", lambda *given: seen.append(gc.isenabled()) or cut(*given))
    monkeypatch.setattr(region, "balanced_plan", None)
    sr = virtual(12 * 720, 720).s2sr.upsample(["B11"], adapt=False)
    assert len([key for key in tasks(sr) if str(key[0]).startswith("xr_s2sr-restore")]) == 12 * 12
    assert len(seen) <= 2 * 12 * 2  # rows and columns, two resolutions
    assert not any(seen)
    assert gc.isenabled()


@pytest.mark.parametrize("wanted", [(0, 7), (3, 4), (4, 4), (5, 30), (29, 30), (0, 30)])
def test_blocks_that_hold_what_is_wanted(wanted: tuple[int, int]) -> None:
    """An empty block among them, as dask allows, and an empty part."""
    bounds = lazy._bounds((4, 0, 6, 5, 15))
    pixels = np.arange(30)
    found = lazy._blocks(Span(*wanted), bounds)
    parts = [pixels[bounds[k].slice][part] for k, part in found]
    np.testing.assert_array_equal(np.concatenate([[], *parts]), pixels[slice(*wanted)])
    assert all(map(len, parts))


def contents(value: Any) -> Iterator[Any]:
    """All that is in a graph, inside of tasks, lists and mappings too."""
    yield value
    if isinstance(value, dict):
        for item in value.values():
            yield from contents(item)
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from contents(item)


def test_what_is_in_the_graph(idle: None, toys: list[Path]) -> None:
    own = {
        key: value
        for key, value in tasks(virtual(1200, 300).s2sr.upsample(COARSE, model=toys[0], chunks=600)).items()
        if str(key[0] if isinstance(key, tuple) else key).startswith("xr_s2sr")
    }
    kinds = {type(item) for item in contents(own)}
    assert not [kind for kind in kinds if issubclass(kind, np.ndarray | da.Array | xr.Dataset | engine.OrtRunner)]
    assert type(threading.Lock()) not in kinds
    # the packaged model as a name, the other as its bytes, once
    assert [value for value in own.values() if isinstance(value, bytes)] == [toys[0].read_bytes()]
    assert sum(isinstance(item, bytes) for item in contents(own)) == 1


def test_keys_are_deterministic(idle: None, toys: list[Path], tmp_path: Path) -> None:
    def keys(ds: xr.Dataset, **how: Any) -> set[Any]:
        return set(tasks(ds.s2sr.upsample("B05", **how)))

    ds = native((120, 120)).chunk(60)
    first = keys(ds, model=toys[0])
    assert keys(native((120, 120)).chunk(60), model=toys[0]) == first
    assert keys(ds, model=shutil.copy(toys[0], tmp_path / "copy.onnx")) == first
    other = save(tmp_path / "other.onnx", CARD_20, seed=1)
    assert keys(ds, model=toys[0], threads=2) == first  # the values are the same
    for different in (
        keys(ds),
        keys(ds, model=other),
        keys(ds, model="bicubic"),
        keys(ds, model=toys[0], units="percent"),
        keys(ds, model=toys[0], offset=1e-9),
        keys(ds, model=toys[0], margin=3),
        keys(ds, model=toys[0], tile=60),
        keys(ds, model=toys[0], device="cpu"),
        keys(ds, model=toys[0], chunks=60),
        keys(ds.assign(B02=ds.B02 + 1), model=toys[0]),
    ):
        assert not {k for k in different & first if str(k[0]).startswith("xr_s2sr") and isinstance(k, tuple)}


@pytest.mark.parametrize("lazy", [False, True])
def test_the_guard_of_other_tests_sees_every_window(scene: xr.Dataset, lazy: bool, no_pixels: None) -> None:
    ds = scene.chunk() if lazy else scene
    with pytest.raises(pytest.fail.Exception, match="pixels were computed"):
        ds.s2sr.upsample("B05", model="bicubic").compute()


# -- lazy is eager ----------------------------------------------------------------------------------------------------


@st.composite
def cutting(draw: st.DrawFn, n: int) -> tuple[int, ...]:
    """Chunks of any sizes along n pixels."""
    cuts = sorted(draw(st.sets(st.integers(1, n - 1), max_size=4)))
    return tuple(np.diff([0, *cuts, n]).tolist())


def chunked(ds: xr.Dataset, draw: Callable[[Any], Any]) -> xr.Dataset:
    """Each resolution in chunks of its own."""
    return ds.chunk({dim: draw(cutting(n)) if n > 1 else n for dim, n in ds.sizes.items() if dim != "band"})


def cropped(ds: xr.Dataset, draw: Callable[[Any], Any]) -> xr.Dataset:
    """Each resolution covers an area of its own."""
    edge = st.integers(0, 20)
    ends = {}
    for gsd, (rows, cols) in DIMS.items():
        for dim in (rows, cols):
            n = ds.sizes[dim]
            ends[dim] = slice(draw(edge) * 10 // gsd, n - draw(edge) * 10 // gsd)
    return ds.isel(ends)


@pytest.mark.filterwarnings("ignore:the bands' extents differ")
@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_chunking(scene: xr.Dataset, toys: list[Path], data: st.DataObject) -> None:
    ds = spoil(scene, seed=data.draw(st.integers(0, 3))) if data.draw(st.booleans()) else scene
    ds = as_float(ds) if data.draw(st.booleans()) else ds
    ds = cropped(ds, data.draw)
    cases = [(None, toys), (["B05", "B09"], toys), (["B11"], toys[:1]), (["B01", "B06"], [toys[1], "bicubic"])]
    bands, model = data.draw(st.sampled_from([*cases, (None, "bicubic")]))
    tile = data.draw(st.sampled_from([30, 720]))
    eager = ds.s2sr.upsample(bands, model=model, **CPU)
    chunks = data.draw(st.none() | st.integers(20, 140))
    sr = chunked(ds, data.draw).s2sr.upsample(bands, model=model, chunks=chunks, tile=tile, **CPU)
    for v in sr.data_vars.values():  # regular
        assert v.chunks is not None
        assert all({*sizes[:-1]} <= {sizes[0]} and sizes[-1] <= sizes[0] for sizes in v.chunks)
    same(sr, eager)


@pytest.mark.filterwarnings("ignore:the bands' extents differ")
@settings(max_examples=examples(12), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_chunking_blended(scene: xr.Dataset, blind: list[Path], toys: list[Path], data: st.DataObject) -> None:
    ds = cropped(spoil(scene, seed=2), data.draw)
    how = {
        "model": data.draw(st.sampled_from([blind, toys])),
        "margin": 6,
        "tile": data.draw(st.sampled_from([18, 48])),
    }
    eager = ds.s2sr.upsample(**how, **CPU)
    same(chunked(ds, data.draw).s2sr.upsample(chunks=data.draw(st.integers(20, 140)), **how, **CPU), eager)


def test_packaged_models(scene: xr.Dataset) -> None:
    ds = spoil(scene)
    same(ds.chunk(50).s2sr.upsample(chunks=60, **CPU), ds.s2sr.upsample(**CPU))


def test_dates(toys: list[Path]) -> None:
    ds = spoil_dates(native((60, 72), lead={"time": [3, 5, 8], "orbit": [1, 2]}))
    eager = ds.s2sr.upsample(model=toys, **CPU)
    for chunks in ({"time": 2}, {"time": 1, "orbit": 2, "y": 31}, {"y_20m": 7, "x": 11}):
        sr = ds.chunk(chunks).s2sr.upsample(model=toys, chunks=40, **CPU)
        assert sr.B05.chunks == ((1, 1, 1), (1, 1), (30, 30), (36, 36))
        same(sr, eager)


def spoil_dates(ds: xr.Dataset) -> xr.Dataset:
    ds = ds.copy(deep=True)
    ds.B02.values[1, 0, 10:20, :30] = 0
    ds.B11.values[2, 1, 3, 4] = 65535
    return ds


@pytest.mark.parametrize("kind", [">u2", "float16", "float64", "int32"])
def test_any_dtype(scene: xr.Dataset, toys: list[Path], kind: str) -> None:
    ds = crop(as_float(scene, kind) if kind.startswith("f") else scene.astype(kind), 60, 72)
    same(ds.chunk(40).s2sr.upsample(model=toys, chunks=30, **CPU), ds.s2sr.upsample(model=toys, **CPU))


def test_bands_of_one_job_keep_their_dtypes(scene: xr.Dataset, toys: list[Path]) -> None:
    ds = scene.assign(B06=as_float(scene).B06, B11=scene.B11.astype("int32"), B02=as_float(scene, "float64").B02)
    eager = ds.s2sr.upsample(model=toys, **CPU)
    assert {str(v.dtype) for v in eager.data_vars.values()} == {"uint16", "float32", "float64", "int32"}
    same(ds.chunk(50).s2sr.upsample(model=toys, chunks=60, **CPU), eager)


def test_floats_that_will_be_integers_again(scene: xr.Dataset, toys: list[Path], tmp_path: Path) -> None:
    ds = (crop(scene, 60, 72) / 10000).drop_attrs().chunk(17)
    encoding = {name: {"scale_factor": 1e-4, "_FillValue": 0, "dtype": "uint16"} for name in ds}
    ds.to_zarr(tmp_path / "in.zarr", encoding=encoding, consolidated=False)
    ds = read(tmp_path / "in.zarr")
    sr = ds.s2sr.upsample(model=toys, chunks=30, **CPU)
    xr.testing.assert_identical(sr.compute(), ds.compute().s2sr.upsample(model=toys, **CPU))
    sr.to_zarr(tmp_path / "out.zarr", consolidated=False)
    again = read(tmp_path / "out.zarr")
    assert again.B05.encoding["dtype"] == np.uint16
    np.testing.assert_allclose(again.B05, sr.B05, atol=5.1e-5)


def test_one_band_in_dask_is_enough(scene: xr.Dataset, toys: list[Path]) -> None:
    for band in ("B12", "B02"):
        sr = scene.assign({band: scene[band].chunk(50)}).s2sr.upsample(COARSE, model=toys, chunks=60, **CPU)
        assert sr.B05.chunks == ((42, 42, 42), (42, 42, 42))
        xr.testing.assert_equal(sr.compute(), scene.s2sr.upsample(COARSE, model=toys, **CPU))


def test_a_band_that_is_not_read_may_be_anything(scene: xr.Dataset) -> None:
    ds = scene.assign(B11=scene.B11.chunk(), extra=scene.B02.chunk(30))
    sr = ds.s2sr.upsample("B01", model="bicubic")
    assert sr.B01.chunks is None


def test_optional_inputs_may_be_missing(scene: xr.Dataset, tmp_path: Path) -> None:
    from dataclasses import replace

    model = save(tmp_path / "20.onnx", replace(CARD_20, optional=("B12", "B03")))
    ds = scene.drop_vars(["B12", "B03"])
    sr = ds.chunk(50).s2sr.upsample("B05", model=model, chunks=60, **CPU)
    assert sr.B05.attrs["s2sr_missing_inputs"] == "B03 B12"
    same(sr, ds.s2sr.upsample("B05", model=model, **CPU))


# -- once -------------------------------------------------------------------------------------------------------------


def test_one_run_a_chunk(scene: xr.Dataset, toys: list[Path], runs: list[str], tmp_path: Path) -> None:
    sr = scene.chunk(50).s2sr.upsample(model=toys, chunks=66, **CPU)
    assert runs == []
    sr.compute()
    assert len(runs) == 4 * 2  # chunks x models
    runs.clear()
    sr.to_zarr(tmp_path / "sr.zarr", consolidated=False)
    assert len(runs) == 8
    runs.clear()
    dask.compute(sr.B05, sr.B11.mean(), sr.B12 - sr.B05)
    assert len(runs) == 4
    runs.clear()
    xr.merge([sr[["B05", "B01"]], sr[["B11"]]]).compute()
    assert len(runs) == 8
    runs.clear()
    apart = [scene.chunk(50).s2sr.upsample(band, model=toys[0], chunks=66, **CPU) for band in ("B05", "B11")]
    xr.merge(apart).compute()
    assert len(runs) == 4
    assert not [name for name in runs if name.startswith("xr_s2sr")]  # dask's threads, none of ours


def test_a_corner_runs_what_touches_it(scene: xr.Dataset, toys: list[Path], runs: list[str]) -> None:
    eager = scene.s2sr.upsample(model=toys[0], bands=RED_EDGE, **CPU)
    runs.clear()
    sr = scene.chunk(50).s2sr.upsample(model=toys[0], bands=RED_EDGE, chunks=42, **CPU)
    for rows, cols, count in (
        (slice(42), slice(5), 1),
        (slice(41, 43), slice(84, None), 2),
        (slice(60, 61), slice(None), 3),
    ):
        runs.clear()
        xr.testing.assert_equal(sr.isel(y=rows, x=cols).compute(), eager.isel(y=rows, x=cols))
        assert len(runs) == count


def test_tile_bounds_the_windows_of_a_chunk(scene: xr.Dataset, toys: list[Path], runs: list[str]) -> None:
    scene.chunk().s2sr.upsample("B05", model=toys[0], tile=66, **CPU).compute()
    assert len(runs) == 4


def test_threads_inside_of_a_task(scene: xr.Dataset, toys: list[Path], runs: list[str]) -> None:
    scene.chunk().s2sr.upsample("B05", model=toys[0], tile=30, threads=2, **CPU).compute()
    assert all(name.startswith("xr_s2sr") for name in runs)


def test_one_session(scene: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = save(tmp_path / "own.onnx", CARD_20, seed=9)
    opened = []
    original = engine._open

    def counted(*args: Any, **named: Any) -> Any:
        opened.append(args)
        return original(*args, **named)

    monkeypatch.setattr(engine, "_open", counted)
    ds = native((60, 72), lead={"time": range(4)}).chunk(time=1)
    sr = ds.s2sr.upsample("B05", model=model, chunks=30, **CPU)
    model.unlink()  # its bytes are in the graph
    sr.compute()
    assert len(opened) == 1


# -- chunks and files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chunk", "asked", "sides"),
    [
        (1830, None, (1830,) * 6),  # as they are
        (2048, None, (*(2048,) * 5, 740)),
        (720, None, (*(720,) * 15, 180)),
        (512, None, (*(1536,) * 7, 228)),  # several of them
        (10980, None, (1830,) * 6),
        (5490, None, (1830,) * 6),
        (1830, 1000, (1002,) * 10 + (960,)),
        (1830, 2048, (1830,) * 6),
        (1830, 20000, (10980,)),
    ],
)
def test_chunks(idle: None, chunk: int, asked: int | None, sides: tuple[int, ...]) -> None:
    sr = virtual(chunk=chunk).s2sr.upsample("B05", chunks=asked, model="bicubic")
    assert sr.B05.chunks == (sides, sides)


def test_uneven_chunks_become_even(idle: None) -> None:
    ds = virtual(3000).chunk(y=(1000, 900, 1100), x=(2000, 1000))
    sr = ds.s2sr.upsample()
    assert sr.chunks == {"y": (1500, 1500), "x": (2000, 1000)}


@pytest.mark.filterwarnings("ignore:the bands' extents differ")
@pytest.mark.parametrize("start", [0, 5])
def test_zarr_to_zarr(scene: xr.Dataset, toys: list[Path], tmp_path: Path, start: int) -> None:
    encoding = {name: {"chunks": (30, 30)} for name in scene}
    scene.assign(SCL=scene.B02.astype("uint8")).to_zarr(tmp_path / "in.zarr", encoding=encoding, consolidated=False)
    ds = read(tmp_path / "in.zarr").isel(y=slice(start, None), y_60m=slice(1, None))
    for chunks in (None, 40, 66):
        sr = ds.s2sr.upsample(model=toys, chunks=chunks, **CPU)
        sr.to_zarr(tmp_path / "out.zarr", mode="w", consolidated=False)
        again = read(tmp_path / "out.zarr").load()
        xr.testing.assert_equal(again, ds.compute().s2sr.upsample(model=toys, **CPU))
        assert again.SCL.dtype == np.uint8


def test_regions(scene: xr.Dataset, toys: list[Path], runs: list[str], tmp_path: Path) -> None:
    """The resuming loop of the documentation: what is written is not computed again."""
    store = tmp_path / "sr.zarr"
    sr = scene.chunk().s2sr.upsample(model=toys[0], chunks=42, bands=RED_EDGE, **CPU)
    sr.to_zarr(store, compute=False, consolidated=False)

    def resume(stop: int) -> None:
        done = tmp_path / "sr.done"  # beside the store, which holds nothing foreign
        done.mkdir(exist_ok=True)
        start = 0
        for number, rows in enumerate(sr.chunks["y"][:stop]):
            part = sr.isel(y=slice(start, start + rows)).drop_vars("spatial_ref")
            start += rows
            if not (done / str(number)).exists():
                part.to_zarr(store, region="auto", consolidated=False)
                (done / str(number)).touch()

    resume(2)
    assert len(runs) == 6
    resume(3)
    assert len(runs) == 9
    xr.testing.assert_equal(
        read(store).compute(),
        scene.s2sr.upsample(RED_EDGE, model=toys[0], **CPU),
    )


def test_cog(scene: xr.Dataset, toys: list[Path], runs: list[str], tmp_path: Path) -> None:
    sr = scene.chunk(50).s2sr.upsample(model=toys, chunks=66, **CPU)
    path = sr.s2sr.to_cog(tmp_path / "sr.tif")
    assert len(runs) == 8
    eager = scene.s2sr.upsample(model=toys, **CPU)
    for ds, compress in ((sr, "deflate"), (eager, "none")):
        ds.s2sr.to_cog(path, compress=compress)
        with rioxarray.open_rasterio(path) as cog:
            assert cog.rio.crs == eager.rio.crs
            assert cog.rio.transform() == eager.rio.transform()
            assert cog.rio.nodata == 0
            assert cog.long_name == tuple(eager)
            np.testing.assert_array_equal(cog, eager.to_dataarray())
    assert [p.name for p in tmp_path.iterdir()] == ["sr.tif"]


def test_a_cog_is_there_or_not(scene: xr.Dataset, tmp_path: Path) -> None:
    def fails(block: np.ndarray) -> np.ndarray:
        raise OSError("gone")

    broken = scene.B02.chunk(50).data.map_blocks(fails, dtype="uint16", meta=np.empty((0, 0), "uint16"))
    with pytest.raises(OSError, match="gone"):
        scene.assign(B02=(scene.B02.dims, broken))[[*FINE]].s2sr.to_cog(tmp_path / "sr.tif")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda ds: ds.expand_dims(time=2), InputError, r"has the dimensions \('time', 'y', 'x'\) .*isel\(time=0\)"),
        (lambda ds: ds.assign(SCL=ds.B02 > 0), InputError, "'SCL' has the dimensions .* dtype bool"),
        (lambda ds: ds.assign(B03=as_float(ds[["B03"]]).B03), InputError, r"different nodata values .*sr\[\[...\]\]"),
        (lambda ds: ds.drop_vars(list(ds)), InputError, "nothing to write"),
        (lambda ds: ds.B02.values, ArgumentTypeError, r"expected what upsample\(\) gave, not a ndarray"),
    ],
)
def test_no_cog(
    scene: xr.Dataset, tmp_path: Path, change: Callable[[Any], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        xr_s2sr.to_cog(change(scene[[*FINE]]), tmp_path / "sr.tif")


# -- what is refused, and when ----------------------------------------------------------------------------------------


def test_pixels_that_contradict_their_unit(scene: xr.Dataset, toys: list[Path]) -> None:
    sr = scene.astype("float32").drop_attrs().chunk(50).s2sr.upsample("B05", model=toys[0], chunks=60, **CPU)
    with pytest.raises(RadiometryError, match=r"'B02' has a median of .*upsample\(units='dn'\)"):
        sr.compute()


def test_snow_is_no_contradiction(scene: xr.Dataset, toys: list[Path]) -> None:
    ds = scene.copy(deep=True)
    for name in ds.data_vars:
        ds[name].values[: ds[name].shape[0] // 2] //= 50
        ds[name].values[: ds[name].shape[0] // 2] += 19000
    same(ds.chunk(50).s2sr.upsample(model=toys, chunks=30, **CPU), ds.s2sr.upsample(model=toys, **CPU))


def test_chunks_in_memory(scene: xr.Dataset) -> None:
    with pytest.raises(InputError, match=r"chunks=60 is for dask arrays, and the bands are in memory.*ds.chunk\(\)"):
        scene.s2sr.upsample(model="bicubic", chunks=60)
    with pytest.raises(InputError, match="chunks=0 is too small"):
        scene.chunk().s2sr.upsample(model="bicubic", chunks=0)
    with pytest.raises(ArgumentTypeError, match="chunks='auto' is a str; expected an integer"):
        scene.chunk().s2sr.upsample(model="bicubic", chunks="auto")


def test_progress_is_dasks(scene: xr.Dataset) -> None:
    with pytest.warns(S2SRWarning, match=r"progress is not for dask arrays.*ProgressBar\(\)"):
        scene.chunk().s2sr.upsample(model="bicubic", progress=True)


def test_a_device_is_refused_where_it_is_missing(
    scene: xr.Dataset, toys: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "cuda_problem", lambda: "no CUDA driver with a device was found")
    sr = scene.chunk().s2sr.upsample("B05", model=toys[0], device="cuda")
    with pytest.raises(EngineError, match='device="cuda" was asked for, but no CUDA driver'):
        sr.compute()


def test_another_version_of_the_package(scene: xr.Dataset, toys: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    sr = scene.chunk().s2sr.upsample("B05", **CPU)
    load = models.load
    monkeypatch.setattr(models, "load", lambda name: load(toys[0]))
    with pytest.raises(ModelError, match=r"'s2sr-20m' is toy-20m .* here, but s2sr-20m .*Install one"):
        sr.compute()


# -- integers ---------------------------------------------------------------------------------------------------------


@given(st.integers(-40, 40), st.integers(1, 60), st.integers(1, 20))
def test_what_a_mirrored_read_touches(start: int, size: int, n: int) -> None:
    period = np.r_[np.arange(n), np.arange(n)[::-1]]
    seen = period[np.arange(start, start + size) % (2 * n)]
    span = Span(start, start + size).mirrored(n)
    assert 0 <= span.start <= seen.min()
    assert seen.max() < span.stop <= n
    if start >= 0 and start + size <= n:
        assert span == Span(start, start + size)
    # a mirror at the ends of the part gives the same
    part = np.arange(n)[span.slice]
    m = len(part)
    again = np.r_[part, part[::-1]][(np.arange(start, start + size) - span.start) % (2 * m)]
    np.testing.assert_array_equal(again, seen)


def test_what_blended_windows_read() -> None:
    plan = make_plan((120, 120), 24, None, 6)
    assert plan.read(0, Span(0, 10)) == Span(-6, 30)
    assert plan.read(0, Span(20, 21)) == Span(-6, 54)


def test_a_guide_is_the_packaged_one_of_the_process_that_works(tmp_path: Path) -> None:
    """Its path is that of the machine where upsample() was called; another file under its name is refused."""
    sixty, guide = models.load("s2sr-60m"), models.load(models.DEFAULTS[20])
    elsewhere = replace(guide, path=tmp_path / guide.path.name)
    run = ModelRun(sixty, ("B01",), adapt=True, guide=ModelRun(elsewhere, ("B05",), adapt=True))
    for packaged in (True, False):
        assert run_here(run, packaged).guide.model == guide
    other = replace(run, guide=replace(run.guide, model=replace(elsewhere, sha256="0" * 64)))
    with pytest.raises(ModelError, match=r"'s2sr-20m' is s2sr-20m .* here, but .*Install one version"):
        run_here(other, packaged=True)
