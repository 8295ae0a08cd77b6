"""Download of published weights, once: to a temporary file, verified, imported, and moved into the cache."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import socket
import sys
import tempfile
import time
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from xr_s2sr import importers
from xr_s2sr.errors import FetchError, ModelError
from xr_s2sr.models.card import Model
from xr_s2sr.models.published import CACHE_VARIABLE, PUBLISHED, cached, git_blob, hash_file
from xr_s2sr.models.registry import load

#: Seconds without a byte after which a download is given up.
TIMEOUT = 60
#: Seconds after which it is given up even if bytes come.
DEADLINE = 1800
#: Bytes after which a download is given up: published weights take a few MB.
MOST_BYTES = 64 * 2**20


def fetch(name: str) -> Model:
    """Download a model that others publish, once; afterwards it needs no network.

    Parameters
    ----------
    name : {"dsen2-20m", "dsen2-60m"}
        The weights of Lanaras et al. 2018. Their licence is GPL-3.0; it is printed before the download.

    Returns
    -------
    Model
        From then on also ``upsample(model="dsen2-20m")`` finds it.

    Raises
    ------
    FetchError
        If the file cannot be downloaded, or is not the one that the authors published (by its git blob id).
    ModelError
        If no such model is published.
    DependencyError
        If the extra ``import`` is not installed.

    Notes
    -----
    Kept in ``~/.cache/xr_s2sr``, or in the folder that the environment variable ``XR_S2SR_CACHE`` names. A
    download that fails leaves nothing there.

    Examples
    --------
    >>> model = xr_s2sr.models.fetch("dsen2-20m")  # doctest: +SKIP
    """
    if name not in PUBLISHED:
        raise ModelError(f'{name!r} is not published; fetch one of {", ".join(PUBLISHED)}: models.fetch("dsen2-20m")')
    target, published = cached(name), PUBLISHED[name]
    if target.is_file():
        with contextlib.suppress(ModelError):  # a damaged file is fetched anew
            return load(name)
    importers.require_extra()  # before anything is downloaded
    print(f"{name}: {published.training}. Licence: {published.licence}. From {published.url}", file=sys.stderr)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=target.parent).close()
    except OSError as error:
        raise FetchError(
            f"nothing can be kept in {target.parent} ({error}). Name a folder in the environment variable "
            f"{CACHE_VARIABLE}"
        ) from error
    with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=target.parent) as folder:
        weights, onnx = Path(folder) / published.url.rpartition("/")[2], Path(folder) / target.name
        download(published.url, weights)
        verify(weights, published.blob, published.url)
        importers.keras(
            weights,
            onnx,
            name=name,
            licence=published.licence,
            training=f"{published.training} (git blob {published.blob})",
            degradation=published.degradation,
        )
        digest = Path(folder) / hash_file(target).name
        digest.write_text(hashlib.sha256(onnx.read_bytes()).hexdigest())
        os.replace(onnx, target)
        os.replace(digest, hash_file(target))
    return load(name)


def download(url: str, to: Path) -> None:
    """Save the file at an address.

    Raises
    ------
    FetchError
        If it cannot be reached, breaks off, or is far larger than any published weights.
    """
    size = 0
    try:
        with _opener().open(url, timeout=TIMEOUT) as response, to.open("wb") as file:
            announced = _announced(response.headers["Content-Length"])
            while size <= MOST_BYTES and (announced or 0) <= MOST_BYTES and (chunk := response.read(1 << 16)):
                size += file.write(chunk)
    except (OSError, HTTPException, ValueError, OverflowError) as error:  # the latter: an address that is none
        if isinstance(error, HTTPError):
            error.close()  # it holds the server's answer; Python 3.14 warns of one that is left open
        reason = str(error).partition("\n")[0]
        raise FetchError(
            f"{url} cannot be downloaded ({reason}). Try again with a network; or take the file from elsewhere and "
            f"import it: xr-s2sr import-keras {to.name}"
        ) from error
    if max(size, announced or 0) > MOST_BYTES:
        raise FetchError(
            f"{url} holds more than {MOST_BYTES >> 20} MiB ({announced or 'unknown'} bytes announced); expected the "
            "few MiB of published weights. Nothing was kept; a proxy may have answered: call fetch() again without it"
        )
    if announced is not None and size != announced:
        raise FetchError(f"{url} broke off: {size} of {announced} bytes. Nothing was kept; call fetch() again")


def _announced(length: str | None) -> int | None:
    """The number of bytes that a server announces; None where it says nothing that can be used."""
    if length is None or not length.isascii() or not length.isdigit():
        return None
    return int(length) if len(length) < 20 else MOST_BYTES + 1  # Python does not read numbers of thousands of digits


class _Timed(io.RawIOBase):
    """The bytes that come from a server up to a time: each may be waited for, all of them not."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket, until: float) -> None:
        self._raw, self._connection, self._until = raw, connection, until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"not done after {DEADLINE} s")
        self._connection.settimeout(min(TIMEOUT, max(left, 1)))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _opener() -> OpenerDirector:
    """Return an opener of addresses that, redirects and headers included, has :data:`DEADLINE` from now on."""
    until = time.monotonic() + DEADLINE

    class Response(HTTPResponse):
        def __init__(self, sock: socket.socket, *rest: Any, **named: Any) -> None:
            super().__init__(sock, *rest, **named)
            self.fp = io.BufferedReader(_Timed(self.fp.detach(), sock, until))

    class Plain(HTTPConnection):
        response_class = Response

    class Secure(HTTPSConnection):
        response_class = Response

    class Http(HTTPHandler):
        def http_open(self, request: Request) -> HTTPResponse:
            return self.do_open(Plain, request)

    class Https(HTTPSHandler):
        def https_open(self, request: Request) -> HTTPResponse:
            return self.do_open(Secure, request)

    opener = OpenerDirector()  # urllib's own would follow to FTP, too
    for handler in (ProxyHandler, UnknownHandler, Http, Https, HTTPDefaultErrorHandler, HTTPRedirectHandler):
        opener.add_handler(handler())
    opener.add_handler(HTTPErrorProcessor())
    return opener


def verify(path: Path, blob: str, url: str) -> None:
    """Refuse a file that is not the published one.

    Raises
    ------
    FetchError
        If its git blob id is another.
    """
    found = git_blob(path)
    if found != blob:
        raise FetchError(
            f"{url} gave another file than its authors published: git blob {found} ({path.stat().st_size} bytes), "
            f"expected {blob}. Nothing was kept; a proxy may have answered in its place: call fetch() again without it"
        )
