"""Keras weights as ONNX files: the numbers of Keras, of plain numpy and of the published scores."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from keras_files import aesr, aesr_layers, bilinear, dsen2, dsen2_layers, write_model, write_weights_h5

import xr_s2sr
from xr_s2sr import cli, importers
from xr_s2sr.bands import BY_GSD
from xr_s2sr.errors import DependencyError, ModelError, S2SRError
from xr_s2sr.inference.engine import runner
from xr_s2sr.models import Model, load
from xr_s2sr.quality import degrade

FIXTURE = Path(__file__).parents[1] / "fixtures" / "dsen2_keras.h5"
SHARED = Path(__file__).parents[3] / "shared"
GUIDES = ("B04", "B03", "B02", "B08")
SIZES = {"b10": (4, 1), "b20": (6, 2), "b60": (2, 6)}


def random_inputs(names: tuple[str, ...], size: int = 12, seed: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {name: (bands, size // factor, size // factor) for name, (bands, factor) in SIZES.items()}
    return {name: rng.random((1, *shapes[name]), np.float32)[0] for name in names}


def run(model: Model, inputs: dict[str, np.ndarray]) -> np.ndarray:
    return runner(model, "cpu").run(inputs)


# -- the numbers --------------------------------------------------------------------------------------------------


def test_a_file_of_keras_gives_the_output_of_keras(tmp_path: Path) -> None:
    """The fixture: DSen2 with 1 block of 4 channels, weights and output of Keras 3.15, in Keras 2's layout."""
    h5py = pytest.importorskip("h5py")
    model = importers.keras(FIXTURE, tmp_path / "net.onnx")
    got = run(model, random_inputs(("b10", "b20")))
    with h5py.File(FIXTURE) as file:
        np.testing.assert_allclose(got, file["output"][()], atol=1e-5)


NETS = {
    "dsen2 20 m": (partial(dsen2_layers, 10, 6), dsen2, ("b10", "b20")),
    "dsen2 60 m": (partial(dsen2_layers, 12, 2, depth=1, width=3), dsen2, ("b10", "b20", "b60")),
    "dsen2 without blocks": (partial(dsen2_layers, 10, 6, depth=0), dsen2, ("b10", "b20")),
    "dsen2 of 7 blocks": (partial(dsen2_layers, 10, 6, depth=7, width=2), dsen2, ("b10", "b20")),
    "aesr 20 m": (partial(aesr_layers, 10, 6), aesr, ("b10", "b20")),
    "aesr 60 m": (partial(aesr_layers, 12, 2), aesr, ("b10", "b20", "b60")),
}


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("form", ["model", "weights", "weights.h5"])
def test_a_network_computes_what_numpy_computes(net: str, form: str, tmp_path: Path) -> None:
    make, reference, names = NETS[net]
    layers, path = make(), tmp_path / "net.hdf5"
    if form == "weights.h5":
        write_weights_h5(path, layers)
    else:
        write_model(path, layers, inside="model_weights" if form == "model" else "/")
    inputs = random_inputs(names)
    expected = reference(inputs, layers)
    np.testing.assert_allclose(run(importers.keras(path), inputs), expected, atol=2e-5)
    assert np.abs(expected - bilinear(inputs[names[-1]], SIZES[names[-1]][1])).max() > 0.1


def test_the_scaling_can_be_told(tmp_path: Path) -> None:
    layers, inputs = dsen2_layers(), random_inputs(("b10", "b20"))
    model = importers.keras(write_model(tmp_path / "net.hdf5", layers), scaling=0.5)
    np.testing.assert_allclose(run(model, inputs), dsen2(inputs, layers, 0.5), atol=2e-5)


@pytest.mark.filterwarnings("default")  # Keras has its own
def test_keras_itself_agrees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A DSen2 that Keras builds, saves and runs; skipped where Keras is absent."""
    pytest.importorskip("torch", reason="Keras needs a backend")
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    layers = keras.layers
    conv = partial(layers.Conv2D, kernel_size=3, padding="same", data_format="channels_first")
    ports = [keras.Input((bands, None, None)) for bands in (4, 6, 2)]
    x = conv(8, activation="relu")(layers.Concatenate(axis=1)(ports))
    for _ in range(6):
        x = layers.Add()([x, layers.Rescaling(0.1)(conv(8)(conv(8, activation="relu")(x)))])
    net = keras.Model(ports, layers.Add()([conv(2)(x), ports[-1]]))
    inputs = random_inputs(("b10", "b20", "b60"), 24)
    fine = [inputs["b10"], bilinear(inputs["b20"], 2), bilinear(inputs["b60"], 6)]
    expected = np.asarray(net.predict([array[None].astype(np.float32) for array in fine], verbose=0))[0]
    net.save(tmp_path / "whole.h5")
    net.save_weights(tmp_path / "only.weights.h5")
    for name in ("whole.h5", "only.weights.h5"):
        np.testing.assert_allclose(run(importers.keras(tmp_path / name), inputs), expected, atol=1e-4)


@pytest.fixture(scope="module")
def baselines() -> dict[tuple[str, int, str, str], np.ndarray]:
    path = SHARED / "peers" / "baselines.json"
    if not path.is_file() or not (SHARED / "data").is_dir():
        pytest.skip(f"no published weights and scenes: {path} does not exist")
    return {
        (e["scene"], e["factor"], e["protocol"], e["method"]): np.array(e["rmse"]) for e in json.loads(path.read_text())
    }


AESR_CASES = [
    *(("terramind_38D_378R_2_3_L1C", f, p, "l1c") for f in (2, 6) for p in ("paper", "mtf")),
    *(("terramind_38D_378R_2_3_L2A", f, p, "l2a") for f in (2, 6) for p in ("paper", "mtf")),
    *(("ben_20170927T094019_66_56", 2, "mtf", level) for level in ("l1c", "l2a")),
]


@pytest.mark.parametrize(("scene", "factor", "protocol", "level"), AESR_CASES)
def test_the_published_aesr_has_its_known_scores(
    scene: str, factor: int, protocol: str, level: str, baselines: dict, tmp_path: Path
) -> None:
    """UP42's weights through the public engine, on real scenes, against scores that others computed."""
    gsd, multiple = (20, 12) if factor == 2 else (60, 36)
    with np.load(SHARED / "data" / f"{scene}.npz") as arrays:
        h, w = (n // multiple * multiple for n in arrays["b10"].shape[1:])
        truth = {g: arrays[f"b{g}"][:, : h * 10 // g, : w * 10 // g].astype(float) for g in (10, 20, 60) if g <= gsd}
    ds = xr.Dataset()
    for g, array in truth.items():
        low = degrade(array, factor, protocol)
        y, x = (g * (np.arange(n) + 0.5) for n in low.shape[1:])
        for band, image in zip(BY_GSD[g], low.astype(np.float32), strict=True):
            ds[band] = xr.DataArray(image, {f"y{g}": -y, f"x{g}": x}, (f"y{g}", f"x{g}"), attrs={"units": "dn"})
    model = importers.keras(SHARED / "peers" / f"aesr_{level}_{gsd}.hdf5", tmp_path / "aesr.onnx")
    sr = xr_s2sr.upsample(ds, BY_GSD[gsd], model=model)
    inner = np.s_[:, 12:-12, 12:-12]
    error = np.stack([sr[band].values for band in BY_GSD[gsd]])[inner] - truth[gsd][inner]
    expected = baselines[scene, factor, protocol, f"aesr_{level}"]
    np.testing.assert_allclose(np.sqrt((error**2).mean((1, 2))), expected, atol=0.1)  # 0.005 is their rounding


# -- the card -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "names", "halo"),
    [
        (dsen2_layers(10, 6, depth=6, width=2), ("b10", "b20"), 16),
        (dsen2_layers(12, 2, depth=6, width=2), ("b10", "b20", "b60"), 18),
        (aesr_layers(10, 6), ("b10", "b20"), 8),
        (aesr_layers(12, 2), ("b10", "b20", "b60"), 12),
    ],
)
def test_card(layers: list, names: tuple[str, ...], halo: int, tmp_path: Path) -> None:
    card = importers.keras(write_model(tmp_path / "my-net.hdf5", layers)).card
    order = {"b10": GUIDES, "b20": BY_GSD[20], "b60": BY_GSD[60]}
    assert card.name == "my-net"
    assert card.inputs == {name: order[name] for name in names}
    assert card.targets == order[names[-1]]
    assert (card.scale, card.licence, card.halo) == (0.2, "GPL-3.0", halo)
    assert "my-net.hdf5 (git blob " in card.training


def test_what_the_caller_says_goes_into_the_card(tmp_path: Path) -> None:
    path = write_model(tmp_path / "net.hdf5", dsen2_layers())
    about = {"name": "mine", "licence": "MIT", "training": "by me", "degradation": "none"}
    model = importers.keras(str(path), str(tmp_path / "sub" / "mine.onnx"), **about)
    assert model.path == tmp_path / "sub" / "mine.onnx"
    assert {key: getattr(model.card, key) for key in about} == about
    assert load(model.path) == model


@pytest.mark.parametrize("net", ["dsen2 20 m", "dsen2 60 m", "aesr 20 m", "aesr 60 m"])
def test_halo_is_the_receptive_field(net: str, tmp_path: Path) -> None:
    """A changed 60 m cell of any input moves the output up to the halo around it, and nothing beyond."""
    make, _, names = NETS[net]
    model, cells = importers.keras(write_model(tmp_path / "net.hdf5", make())), 13
    base = random_inputs(names, 6 * cells)
    before, reached = run(model, base), np.zeros((6 * cells, 6 * cells), bool)
    for name in names:
        changed = {key: array.copy() for key, array in base.items()}
        k = 6 // SIZES[name][1]
        changed[name][:, 6 * k : 7 * k, 6 * k : 7 * k] += 10
        reached |= (run(model, changed) != before).any(0)
    rows = np.where(reached.any(1))[0]
    halo = model.card.halo
    assert halo is not None
    assert max(36 - rows.min(), rows.max() - 41) <= halo
    assert 36 - rows.min() > halo - 6


@pytest.mark.parametrize(("net", "band"), [("dsen2 20 m", "B11"), ("dsen2 60 m", "B09"), ("aesr 60 m", "B01")])
def test_tiles_do_not_show(net: str, band: str, scene: xr.Dataset, tmp_path: Path) -> None:
    model = importers.keras(write_model(tmp_path / "net.hdf5", NETS[net][0]()))
    scene = scene.astype(np.float32)  # so that no bit is rounded away
    whole = scene.s2sr.upsample(band, model=model, units="dn")
    for tile in (12, 30):
        xr.testing.assert_identical(scene.s2sr.upsample(band, model=model, units="dn", tile=tile), whole)


@pytest.mark.parametrize("channel", range(4))
def test_the_guide_is_red_green_blue_infrared(channel: int, scene: xr.Dataset, tmp_path: Path) -> None:
    """A network that looks at one channel of the 10 m input sees the band that the card names there."""
    layers = dsen2_layers(depth=0, width=1)
    for _, kernel, bias in layers:
        kernel[:], bias[:] = 0, 0
    layers[0][1][1, 1, channel, 0] = layers[1][1][1, 1, 0, :] = 1.0
    model = importers.keras(write_model(tmp_path / "net.hdf5", layers))
    plain = scene.s2sr.upsample("B05", model=model).B05.astype(int)
    for band in GUIDES:
        scene[band] += 100
        shift = scene.s2sr.upsample("B05", model=model).B05.astype(int) - plain
        scene[band] -= 100
        assert abs(shift - (100 if band == GUIDES[channel] else 0)).max() <= 1  # rounding


# -- refusals -----------------------------------------------------------------------------------------------------


def test_what_is_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.hdf5 is not a file; give the Keras HDF5 file"):
        importers.keras(tmp_path / "absent.hdf5")
    (tmp_path / "text.hdf5").write_text("no such luck")
    with pytest.raises(ModelError, match=r"cannot be read .*expected an HDF5 file that Keras wrote"):
        importers.keras(tmp_path / "text.hdf5")
    path = write_model(tmp_path / "empty.hdf5", [])
    with pytest.raises(ModelError, match="holds no weights; expected DSen2"):
        importers.keras(path)
    assert not list(tmp_path.glob("*.onnx"))
    before = write_model(path, dsen2_layers()).read_bytes()
    with pytest.raises(ModelError, match="is the file to import; give the ONNX file another name"):
        importers.keras(path, path)
    assert path.read_bytes() == before


def test_hdf5_that_keras_did_not_write(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    for k, (name, value) in enumerate({"layer_names": ["gone"], "other": 1}.items()):
        with h5py.File(tmp_path / f"{k}.h5", "w") as file:
            file.attrs[name] = value
            file["layers"] = np.arange(3)
        with pytest.raises(ModelError, match="expected an HDF5 file that Keras wrote"):
            importers.keras(tmp_path / f"{k}.h5")


def wrong_networks() -> dict[str, list]:
    return {
        "bands": dsen2_layers(13, 6),
        "targets": dsen2_layers(10, 2),
        "odd": dsen2_layers()[:-2] + dsen2_layers()[-1:],
        "one": dsen2_layers()[:1],
        "chain": [*dsen2_layers(width=4)[:-1], dsen2_layers(width=5)[-1]],
        "kernel": [*dsen2_layers()[:-1], ("conv2d_9", *aesr_layers()[-1][1:])],
        "transposed": [aesr_layers()[i] for i in (0, 2, 3, 1)],
        "bias": [(name, kernel, np.zeros(3, np.float32)) for name, kernel, _ in dsen2_layers()],
    }


@pytest.mark.parametrize("case", wrong_networks())
def test_another_network_is_refused(case: str, tmp_path: Path) -> None:
    path = write_model(tmp_path / "net.hdf5", wrong_networks()[case])
    with pytest.raises(ModelError, match=r"network that is not known: conv2d.*expected DSen2"):
        importers.keras(path)


def test_weights_that_are_no_convolutions(tmp_path: Path) -> None:
    path = write_model(tmp_path / "net.hdf5", [("dense", np.zeros((3, 4), np.float32), np.zeros(4, np.float32))])
    with pytest.raises(ModelError, match="holds dense/kernel:0 3x4; dense/bias:0 4; expected DSen2"):
        importers.keras(path)
    layers = dsen2_layers()
    layers[1][1][0, 0, 0, 0] = np.nan
    with pytest.raises(ModelError, match="holds NaN or inf among its weights"):
        importers.keras(write_model(tmp_path / "nan.hdf5", layers))


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xr_s2sr.models.keras_hdf5", None)
    with pytest.raises(DependencyError, match=r'Install them: pip install "xr_s2sr\[import\]"'):
        importers.keras(FIXTURE)
    with pytest.raises(S2SRError, match="h5py and onnx"):
        importers.keras(FIXTURE)


# -- the command --------------------------------------------------------------------------------------------------


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "dsen2-20m.onnx"
    assert cli.main(["import-keras", str(FIXTURE), "-o", str(out), "--licence", "MIT"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"wrote {out}: B05, B06, B07, B8A, B11, B12 from B04, B03, B02, B08, B05")
    assert "1 residual blocks of 4 channels" in said
    assert "halo 6 pixels of 10 m, licence MIT" in said
    assert cli.main(["import-keras", str(tmp_path / "absent.h5")]) == 1
    assert "is not a file" in capsys.readouterr().err


def test_a_file_that_declares_terabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.hdf5"
    with h5py.File(path, "w") as file:
        layer = file.create_group("model_weights").create_group("conv")
        file["model_weights"].attrs["layer_names"] = [b"conv"]
        layer.attrs["weight_names"] = [b"kernel"]
        layer.create_dataset("kernel", (3, 3, 2**20, 2**20), "f4", chunks=(3, 3, 64, 64))
    assert path.stat().st_size < 1e6
    with pytest.raises(
        ModelError, match=r"cannot be read \(.* declares 9895604649984 numbers, of which 67108864 are tak"
    ):
        importers.keras(path)


def named(path: Path, layers: list[str], weights: list[str]) -> h5py.Dataset:
    """A file of Keras with one layer "conv" that has these weights, and the layers of these names."""
    file = h5py.File(path, "w")
    group = file.create_group("model_weights")
    group.attrs["layer_names"] = layers
    held = group.create_group("conv")
    held.attrs.create("weight_names", weights, dtype=h5py.string_dtype())
    return held


def test_one_layer_that_is_named_many_times(tmp_path: Path) -> None:
    """A few bytes on the disk, 4.7 GB in memory."""
    held = named(tmp_path / "net.hdf5", ["conv"] * 200, ["kernel"])
    held.create_dataset("kernel", (3, 3, 512, 1280), "f4", chunks=(3, 3, 64, 64))
    held.file.close()
    assert (tmp_path / "net.hdf5").stat().st_size < 1e5
    with pytest.raises(
        ModelError, match=r"cannot be read \(up to kernel, it declares \d+ numbers, of which 67108864 are"
    ):
        importers.keras(tmp_path / "net.hdf5")


def test_names_without_end(tmp_path: Path) -> None:
    held = named(tmp_path / "net.hdf5", ["conv"] * 3000, ["kernel"] * 3000)
    held.create_dataset("kernel", (1,), "f4")
    held.file.close()
    with pytest.raises(ModelError, match=r"cannot be read \(it names more than 2000 arrays of weights\)"):
        importers.keras(tmp_path / "net.hdf5")


@pytest.mark.parametrize("kind", ["large chunk", "long texts", "no numbers"])
def test_arrays_that_unpack_to_much(kind: str, tmp_path: Path) -> None:
    held = named(tmp_path / "net.hdf5", ["conv"], ["kernel"])
    if kind == "large chunk":
        sizes = {"maxshape": (None,) * 4, "chunks": (3, 3, 2048, 4096), "compression": "gzip"}
        held.create_dataset("kernel", (3, 3, 4, 4), "f4", **sizes)
        message = "up to kernel, it declares 75497472 numbers"
    else:
        dtype = "S100000000" if kind == "long texts" else h5py.string_dtype()
        held.create_dataset("kernel", (3, 3, 4, 4), dtype, chunks=(1, 1, 1, 1))
        message = r"kernel is of .*, not of numbers"
    held.file.close()
    with pytest.raises(ModelError, match=rf"cannot be read \({message}"):
        importers.keras(tmp_path / "net.hdf5")


@pytest.mark.parametrize("kind", ["link", "raw", "virtual"])
def test_weights_in_another_file(kind: str, tmp_path: Path) -> None:
    """What lies there would end up in the model."""
    with h5py.File(tmp_path / "secret.h5", "w") as other:
        other["kernel"] = np.ones((3, 3, 10, 4), np.float32)
    held = named(tmp_path / "net.hdf5", ["conv"], ["kernel"])
    if kind == "link":
        held["kernel"] = h5py.ExternalLink(tmp_path / "secret.h5", "kernel")
    elif kind == "raw":
        held.create_dataset("kernel", (3, 3, 10, 4), "f4", external=[(tmp_path / "secret.h5", 0, h5py.h5f.UNLIMITED)])
    else:
        layout = h5py.VirtualLayout((3, 3, 10, 4), "f4")
        layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "kernel", (3, 3, 10, 4))
        held.create_virtual_dataset("kernel", layout)
    held.file.close()
    with pytest.raises(ModelError, match=r"cannot be read \(kernel is kept in another file\)"):
        importers.keras(tmp_path / "net.hdf5")
