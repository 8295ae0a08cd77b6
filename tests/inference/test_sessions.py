"""Sessions of ONNX Runtime: one per process, model and device; files that do not fit their card."""

from __future__ import annotations

import gc
import hashlib
import os
import re
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import xarray as xr
from fake_runtime import CPU, Install
from onnx import helper
from toy_models import CARD_20, CARD_60, relabel, save

import xr_s2sr
from xr_s2sr import models
from xr_s2sr.bands import BY_GSD
from xr_s2sr.errors import ModelError
from xr_s2sr.inference import engine
from xr_s2sr.models import CARD_KEY, ModelCard, load

NO_GPU = engine.driver_devices() == 0
pytestmark = pytest.mark.usefixtures("fresh_engine")


def test_one_session_per_model_and_device(
    monkeypatch: pytest.MonkeyPatch, toy: models.Model, other: models.Model
) -> None:
    import onnxruntime as ort

    made: list[bytes] = []

    class Counting(ort.InferenceSession):  # type: ignore[misc]
        def __init__(self, data: bytes, *rest: Any, **named: Any) -> None:
            made.append(data)
            super().__init__(data, *rest, **named)

    monkeypatch.setattr(ort, "InferenceSession", Counting)
    first = engine.runner(toy, "cpu")
    assert engine.runner(toy, "cpu") is first
    assert first.device == "cpu"
    assert engine.runner(other, "cpu") is not first
    assert toy.path is not None
    assert other.path is not None
    assert [hash(data) for data in made] == [hash(model.path.read_bytes()) for model in (toy, other)]
    if NO_GPU:
        assert engine.runner(toy, "auto") is first
        assert len(made) == 2


def test_a_fork_makes_its_own_session(monkeypatch: pytest.MonkeyPatch, toy: models.Model) -> None:
    first = engine.runner(toy, "cpu")
    pid = os.getpid()
    monkeypatch.setattr(engine.os, "getpid", lambda: pid + 1)
    assert engine.runner(toy, "cpu") is not first


FORKS = """
import os, signal, sys, threading, time, warnings
import numpy as np
from xr_s2sr.inference import engine
from xr_s2sr.models import load

warnings.simplefilter("ignore")
kind, *paths = sys.argv[1:]
own, *others = map(load, paths)
feed = {"b10": np.ones((4, 48, 48), np.float32), "b20": np.ones((6, 24, 24), np.float32)}
first = engine.runner(own, "cpu")
expected = first.run(feed)
done = False


def work():
    while not done:
        if kind == "running":
            first.run(feed)
        else:
            for model in others:
                engine.runner(model, "cpu")
            engine.release_sessions()


threads = [threading.Thread(target=work) for _ in range(3)]
[thread.start() for thread in threads]
hung = wrong = 0
for trial in range(8):
    time.sleep(0.005 * trial)
    child = os.fork()
    if child == 0:
        os._exit(not np.array_equal(engine.runner(own, "cpu").run(feed), expected))
    until, ended = time.monotonic() + 60, 0
    while not ended and time.monotonic() < until:
        time.sleep(0.005)
        ended, status = os.waitpid(child, os.WNOHANG)
    if ended:
        wrong += status != 0
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        hung += 1
        break
done = True
[thread.join() for thread in threads]
print(hung, wrong)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("kind", ["opening", "running"])
def test_a_fork_while_other_threads_use_the_engine(kind: str, toy: models.Model, tmp_path: Path) -> None:
    """The child has none of these threads: it must not wait for what they hold."""
    paths = [toy.path, *(save(tmp_path / f"{k}.onnx", seed=k) for k in range(1, 9))]
    command = [sys.executable, "-c", FORKS, kind, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    assert done.stdout.split() == ["0", "0"], "children that hung, and that gave other numbers"


def test_a_child_leaves_the_arena_of_its_parent_alone(
    monkeypatch: pytest.MonkeyPatch, install: Install, toy: models.Model
) -> None:
    """A thread of the parent may have held its lock when the child was made."""
    fake, parent = install(CPU), os.getpid()
    monkeypatch.setattr(engine, "_share_arena", lambda: parent)
    engine.runner(toy, "cpu")
    monkeypatch.setattr(engine.os, "getpid", lambda: parent + 1)
    engine.runner(toy, "cpu")
    assert ["session.use_env_allocators" in session.options.entries for session in fake.sessions] == [True, False]


def test_the_sessions_that_were_used_last_are_kept(
    monkeypatch: pytest.MonkeyPatch, toy: models.Model, tmp_path: Path
) -> None:
    monkeypatch.setattr(engine, "KEPT_SESSIONS", 3)
    one, two, three = (load(save(tmp_path / f"{k}.onnx", seed=k)) for k in range(1, 4))
    first, dropped = engine.runner(toy, "cpu"), weakref.ref(engine.runner(one, "cpu"))
    engine.runner(two, "cpu")
    assert engine.runner(toy, "cpu") is first  # looked at again: now the last
    engine.runner(three, "cpu")
    assert engine.runner(toy, "cpu") is first
    gc.collect()
    assert dropped() is None
    assert len(engine._runners) == 3


def test_sessions_can_be_released(toy: models.Model) -> None:
    feed = {"b10": np.ones((4, 24, 36), np.float32), "b20": np.ones((6, 12, 18), np.float32)}
    first = engine.runner(toy)
    before, held = first.run(feed), weakref.ref(first)
    xr_s2sr.release_sessions()
    np.testing.assert_array_equal(first.run(feed), before)  # a run under way goes on
    again = engine.runner(toy)
    assert again is not first
    np.testing.assert_array_equal(again.run(feed), before)
    del first
    gc.collect()
    assert held() is None


@pytest.mark.parametrize("how", ["same clock", "replaced", "gone"])
def test_the_file_that_runs_is_the_one_that_was_loaded(how: str, tmp_path: Path) -> None:
    """The results name the SHA-256 of the file whose card was read."""
    path = save(tmp_path / "net.onnx", seed=1)
    model, was = load(path), path.stat()
    if how == "gone":
        path.unlink()
    else:
        save(tmp_path / "other.onnx", seed=2)
        if how == "replaced":
            os.replace(tmp_path / "other.onnx", path)
        else:
            path.write_bytes((tmp_path / "other.onnx").read_bytes())
            os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    message = "cannot be read any more" if how == "gone" else "holds another file .* than when toy-20m 1 .* was loaded"
    with pytest.raises(
        ModelError, match=rf"{message}.*Load it again: xr_s2sr\.models\.load\('.*net\.onnx'\)"
    ) as caught:
        engine.runner(model, "cpu")
    if how != "gone":
        line = re.search(r"xr_s2sr\.models\.load\('.*'\)", str(caught.value))
        assert line is not None
        again = eval(line[0], {"xr_s2sr": xr_s2sr})
        assert again.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() != model.sha256
        feed = {"b10": np.ones((4, 24, 36), np.float32), "b20": np.ones((6, 12, 18), np.float32)}
        fresh = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        (expected,) = fresh.run(["sr"], {name: array[np.newaxis] for name, array in feed.items()})
        np.testing.assert_allclose(engine.runner(again, "cpu").run(feed), expected[0], rtol=1e-6)


@pytest.mark.parametrize("lazy", [False, True])
def test_a_model_that_was_replaced_before_the_run(lazy: bool, scene: xr.Dataset, tmp_path: Path) -> None:
    path = save(tmp_path / "net.onnx", seed=1)
    model, ds = load(path), scene.chunk() if lazy else scene
    save(path, seed=2)
    with pytest.raises(ModelError, match=r"net\.onnx holds another file"):
        ds.s2sr.upsample("B05", model=model)
    sr = ds.s2sr.upsample("B05", model=load(path))
    save(path, seed=3)  # too late to matter: a lazy result has the bytes with it
    digest = sr.B05.attrs["s2sr_model_sha256"]
    save(path, seed=2)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    expected = scene.s2sr.upsample("B05", model=path).B05
    path.unlink()
    np.testing.assert_array_equal(sr.B05.values, expected.values)


def test_run_adds_and_takes_the_batch(toy: models.Model) -> None:
    inputs = {"b10": np.ones((4, 24, 36), np.float32), "b20": np.ones((6, 12, 18), np.float32)}
    out = engine.runner(toy, "cpu").run(inputs)
    assert out.shape == (6, 24, 36)
    assert out.dtype == np.float32


def test_a_run_has_one_thread_that_does_not_spin(install: Install, toy: models.Model) -> None:
    fake = install(CPU)
    engine.runner(toy, "cpu")
    (session,) = fake.sessions
    assert toy.path is not None
    assert session.path == toy.path.read_bytes()  # those that were hashed, not what lies there by then
    assert session.providers == [CPU]
    assert session.options.intra_op_num_threads == session.options.inter_op_num_threads == 1
    assert session.options.entries["session.intra_op.allow_spinning"] == "0"


def test_onnxruntime_cannot_load(tmp_path: Path) -> None:
    model = onnx.ModelProto()
    helper.set_model_props(model, {CARD_KEY: CARD_20.to_json()})
    onnx.save(model, str(tmp_path / "net.onnx"))
    with pytest.raises(ModelError, match=r"ONNX Runtime cannot load .*net\.onnx"):
        engine.runner(load(tmp_path / "net.onnx"), "cpu")


@pytest.mark.parametrize(
    "card",
    [
        replace(CARD_20, inputs={"b10": BY_GSD[10]}),
        replace(CARD_20, inputs={"ten": BY_GSD[10], "b20": BY_GSD[20]}),
        replace(CARD_20, inputs={"b10": BY_GSD[10][:3], "b20": BY_GSD[20]}),
        replace(CARD_20, targets=BY_GSD[20][:4]),
        CARD_60,
    ],
    ids=["fewer", "other name", "three bands", "four targets", "more"],
)
def test_card_of_another_graph(tmp_path: Path, toy: models.Model, card: ModelCard) -> None:
    assert toy.path is not None
    path = relabel(toy.path, card, tmp_path / "net.onnx")
    with pytest.raises(ModelError, match=r"has the inputs and output .* its card says .*correct the card"):
        engine.runner(load(path), "cpu")


def test_graph_without_sr(tmp_path: Path, toy: models.Model) -> None:
    model = onnx.load(str(toy.path))
    model.graph.output[0].name = model.graph.node[-1].output[0] = "out"
    onnx.save(model, str(tmp_path / "net.onnx"))
    with pytest.raises(ModelError, match="has the inputs and output"):
        engine.runner(load(tmp_path / "net.onnx"), "cpu")
