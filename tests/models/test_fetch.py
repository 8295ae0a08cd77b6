"""Published weights: downloaded once, verified, imported, kept; against a server on this computer."""

from __future__ import annotations

import contextlib
import hashlib
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

import xr_s2sr
from xr_s2sr import models
from xr_s2sr.errors import DependencyError, FetchError, ModelError
from xr_s2sr.models import published

FIXTURE = Path(__file__).parents[1] / "fixtures" / "dsen2_keras.h5"
CONTENT = FIXTURE.read_bytes()
NAME = "dsen2-20m"


class Server:
    """Answers every request with `body`, of which it announces `length` bytes; counts."""

    def __init__(self) -> None:
        self.body, self.length, self.status, self.requests = CONTENT, len(CONTENT), 200, 0
        self.announced, self.location, self.slow = "", "", ""
        self.ended = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> Any:
                outer.requests += 1
                if outer.slow == "headers":
                    self.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
                    return self.drip()
                self.send_response(outer.status)
                if outer.location:
                    self.send_header("Location", outer.location)
                if outer.length >= 0:
                    self.send_header("Content-Length", str(outer.announced or outer.length))
                self.end_headers()
                return self.drip() if outer.slow else self.wfile.write(outer.body)

            def drip(self) -> None:
                with contextlib.suppress(OSError):
                    while not outer.ended.wait(0.02):
                        self.wfile.write(b"x")

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/models/s2_032_lr_1e-04.hdf5"

    def stop(self) -> None:
        self.ended.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XR_S2SR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def server(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The published file is the fixture, and its address is here."""
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    blob = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()
    monkeypatch.setitem(published.PUBLISHED, NAME, replace(published.PUBLISHED[NAME], url=server.url, blob=blob))
    yield server
    if thread.is_alive():
        server.stop()
    thread.join()


def left(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*")) if cache.exists() else []


def test_good_file(server: Server, cache: Path, capsys: pytest.CaptureFixture[str], scene: xr.Dataset) -> None:
    model = models.fetch(NAME)
    assert left(cache) == ["dsen2-20m.onnx", "dsen2-20m.onnx.sha256"]
    assert model.path == cache / "dsen2-20m.onnx"
    said = capsys.readouterr().err
    assert "Licence: GPL-3.0" in said
    assert server.url in said
    card = model.card
    assert (card.name, card.licence, card.scale) == (NAME, "GPL-3.0", 0.2)
    assert card.inputs["b10"] == ("B04", "B03", "B02", "B08")
    assert "arXiv:1803.04271" in card.training
    assert published.PUBLISHED[NAME].blob in card.training
    assert card.degradation.startswith("Gaussian blur of 1/2 pixels")
    sr = scene.s2sr.upsample("B05", model=NAME)  # by name, once it is there
    assert sr.B05.attrs["s2sr_model_sha256"] == model.sha256


def test_the_second_time_needs_no_network(server: Server, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = models.fetch(NAME)
    server.stop()
    capsys.readouterr()
    assert models.fetch(NAME) == first == models.load(NAME)
    assert server.requests == 1
    assert capsys.readouterr().err == ""


def test_a_damaged_file_in_the_cache_is_fetched_anew(server: Server, cache: Path) -> None:
    cache.mkdir()
    (cache / "dsen2-20m.onnx").write_bytes(b"\xff" * 40)
    assert models.fetch(NAME).card.name == NAME
    assert left(cache) == ["dsen2-20m.onnx", "dsen2-20m.onnx.sha256"]


def test_wrong_file(server: Server, cache: Path) -> None:
    server.body = CONTENT[:-1] + b"x"
    expected = published.PUBLISHED[NAME].blob
    with pytest.raises(FetchError, match=rf"gave another file .*: git blob [0-9a-f]{{40}} .*expected {expected}"):
        models.fetch(NAME)
    assert left(cache) == []


@pytest.mark.parametrize("announced", [True, False])
def test_cut_off_file(announced: bool, server: Server, cache: Path) -> None:
    server.body = CONTENT[: len(CONTENT) // 2]
    server.length = len(CONTENT) if announced else -1
    with pytest.raises(FetchError, match="broke off|IncompleteRead" if announced else "another file"):
        models.fetch(NAME)
    assert left(cache) == []
    server.body, server.length = CONTENT, len(CONTENT)
    assert models.fetch(NAME).card.name == NAME


@pytest.mark.parametrize("said", [True, False])
def test_a_download_without_an_end_is_given_up(
    said: bool, server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xr_s2sr.models.download.MOST_BYTES", len(CONTENT) // 2)
    if not said:
        server.length = -1
    with pytest.raises(FetchError, match=r"holds more than .* MiB .*expected the few MiB of published weights"):
        models.fetch(NAME)
    assert left(cache) == []


@pytest.mark.parametrize("length", ["abc", "-5", "²", "1e3"])
def test_a_length_that_is_not_a_number(length: str, server: Server, cache: Path) -> None:
    server.announced = length
    assert models.fetch(NAME).card.name == NAME


@pytest.mark.parametrize("digits", [12, 20, 5000])
def test_an_enormous_length(digits: int, server: Server, cache: Path) -> None:
    server.announced = "9" * digits
    with pytest.raises(FetchError, match=r"holds more than 64 MiB .*expected the few MiB of published weights"):
        models.fetch(NAME)
    assert left(cache) == []


@pytest.mark.parametrize("slow", ["headers", "body"])
def test_a_download_that_drips_is_given_up(
    slow: str, server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes in time, the whole never."""
    monkeypatch.setattr("xr_s2sr.models.download.DEADLINE", 0.5)
    server.slow, server.length, began = slow, -1, time.monotonic()
    with pytest.raises(FetchError, match=r"cannot be downloaded \(.*not done after 0\.5 s.*Try again with a network"):
        models.fetch(NAME)
    assert 0.5 <= time.monotonic() - began < 10
    assert left(cache) == []


@pytest.mark.parametrize(
    "location",
    [
        *(
            "http://[::1",
            "http://127.0.0.1:99999/",
            "http://127.0.0.1:abc/",
            "http://" + "a" * 70 + ".invalid/",
            "http:///x",
        ),
        *(
            "ftp://127.0.0.1/x",
            "file:///etc/passwd",
            "data:,x",
            "gopher://127.0.0.1/",
            "http://127.0.0.1 1/",
            "//",
            "?",
        ),
    ],
)
def test_a_redirect_that_leads_nowhere(location: str, server: Server, cache: Path) -> None:
    server.status, server.location = 302, location
    with pytest.raises(
        FetchError, match=r"cannot be downloaded \(.*Try again with a network; or take the file from else"
    ):
        models.fetch(NAME)
    assert left(cache) == []


def test_a_redirect_to_ftp_is_not_tried(server: Server, cache: Path) -> None:
    server.status, server.location = 302, "ftp://127.0.0.1/x"
    with pytest.raises(FetchError, match=r"cannot be downloaded .*unknown url type: ftp"):
        models.fetch(NAME)


def test_a_redirect_is_followed(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Server()
    other.status, other.location = 301, server.url
    monkeypatch.setitem(published.PUBLISHED, NAME, replace(published.PUBLISHED[NAME], url=other.url))
    thread = threading.Thread(target=other.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        assert models.fetch(NAME).card.name == NAME
    finally:
        other.stop()
        thread.join()
    assert (other.requests, server.requests) == (1, 1)


@pytest.mark.parametrize("how", ["another file", "no hash"])
def test_a_file_in_the_cache_that_was_not_fetched(how: str, server: Server, cache: Path, scene: xr.Dataset) -> None:
    path = models.fetch(NAME).path
    assert path is not None
    if how == "no hash":
        published.hash_file(path).unlink()
    else:
        path.write_bytes(models.packaged()["s2sr-20m"].read_bytes())
    with pytest.raises(ModelError, match=r"is not the file that was fetched .*models\.fetch\(\"dsen2-20m\"\)"):
        scene.s2sr.upsample(model=NAME)
    assert models.fetch(NAME).card.name == NAME  # anew
    assert server.requests == 2


def test_not_found(server: Server, cache: Path) -> None:
    server.status = 404
    with pytest.raises(FetchError, match=r"cannot be downloaded \(HTTP Error 404.*xr-s2sr import-keras s2_032"):
        models.fetch(NAME)
    assert left(cache) == []


def test_no_network(server: Server, cache: Path) -> None:
    server.stop()
    with pytest.raises(FetchError, match=r"cannot be downloaded \(.*refused.*Try again with a network"):
        models.fetch(NAME)
    assert left(cache) == []


def test_a_verified_file_that_holds_no_network_leaves_nothing(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.body, server.length = b"text", 4
    blob = hashlib.sha1(b"blob 4\0text").hexdigest()
    monkeypatch.setitem(published.PUBLISHED, NAME, replace(published.PUBLISHED[NAME], url=server.url, blob=blob))
    with pytest.raises(ModelError, match="cannot be read"):
        models.fetch(NAME)
    assert left(cache) == []


def test_without_the_extra_nothing_is_downloaded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xr_s2sr.models.keras_hdf5", None)
    with pytest.raises(DependencyError, match=r"xr_s2sr\[import\]"):
        models.fetch(NAME)
    assert server.requests == 0


def test_a_cache_that_cannot_be_written(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XR_S2SR_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(FetchError, match=r"nothing can be kept in .*Name a folder in .* XR_S2SR_CACHE"):
        models.fetch(NAME)
    assert server.requests == 0


def test_unknown_name() -> None:
    with pytest.raises(ModelError, match="'dsen3' is not published; fetch one of dsen2-20m, dsen2-60m"):
        models.fetch("dsen3")


@pytest.mark.parametrize("name", ["dsen2-20m", "dsen2-60m"])
def test_asking_for_it_before_says_how_to_fetch(name: str, cache: Path, scene: xr.Dataset) -> None:
    with pytest.raises(ModelError, match=rf'licence GPL-3\.0: xr_s2sr\.models\.fetch\("{name}"\)'):
        scene.s2sr.upsample(model=name)


def test_the_cache_is_in_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XR_S2SR_CACHE", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert published.cached(NAME) == tmp_path / ".cache" / "xr_s2sr" / "dsen2-20m.onnx"


def test_a_blob_id_is_that_of_git() -> None:
    assert published.git_blob(b"hello world\n") == "3b18e512dba79e4c8300dd08aeb37f8e728b8dad"


def test_the_published_addresses() -> None:
    for name, entry in published.PUBLISHED.items():
        assert entry.url.startswith("https://raw.githubusercontent.com/lanha/DSen2/")
        assert len(entry.blob) == 40
        assert name not in xr_s2sr.models.packaged()


def test_two_at_a_time_end_with_one_file(server: Server, cache: Path) -> None:
    found: list[models.Model] = []
    threads = [threading.Thread(target=lambda: found.append(models.fetch(NAME))) for _ in range(3)]
    with contextlib.ExitStack() as stack:
        for thread in threads:
            thread.start()
            stack.callback(thread.join)
    assert len(found) == 3
    assert len({model.sha256 for model in found}) == 1
    assert left(cache) == ["dsen2-20m.onnx", "dsen2-20m.onnx.sha256"]
