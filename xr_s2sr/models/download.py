"""Download of published weights, once: to a temporary file, verified, imported, and moved into the cache."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
import threading
from pathlib import Path
from queue import Empty, SimpleQueue
from urllib.error import HTTPError
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    UnknownHandler,
)

from xr_s2sr.errors import FetchError, ModelError
from xr_s2sr.models.card import Model
from xr_s2sr.models.keras import keras, require_extra
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
    require_extra()  # before anything is downloaded
    print(f"{name}: {published.training}. Licence: {published.licence}. From {published.url}", file=sys.stderr)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=f"{name}-", dir=target.parent)
    except OSError as error:
        raise FetchError(
            f"nothing can be kept in {target.parent} ({error}). Name a folder in the environment variable "
            f"{CACHE_VARIABLE}"
        ) from error
    with folder as inside:
        weights, onnx = Path(inside) / published.url.rpartition("/")[2], Path(inside) / target.name
        weights.write_bytes(download(published.url, published.blob))
        keras(
            weights,
            onnx,
            name=name,
            licence=published.licence,
            training=f"{published.training} (git blob {published.blob})",
            degradation=published.degradation,
        )
        digest = Path(inside) / hash_file(target).name
        digest.write_text(hashlib.sha256(onnx.read_bytes()).hexdigest())
        os.replace(onnx, target)
        os.replace(digest, hash_file(target))
    return load(name)


def download(url: str, blob: str) -> bytes:
    """Return the file at an address.

    Raises
    ------
    FetchError
        If it cannot be reached, breaks off, is far larger than any published weights, or has another git blob id.
    """
    answer: SimpleQueue[tuple[bytes, int | None] | Exception] = SimpleQueue()
    # a thread can be left behind: a server may send headers, byte by byte, for as long as it likes
    threading.Thread(target=lambda: answer.put(_received(url)), daemon=True).start()
    try:
        received = answer.get(timeout=DEADLINE)
    except Empty:
        received = TimeoutError(f"not done after {DEADLINE} s")
    if isinstance(received, Exception):
        reason = str(received).partition("\n")[0]
        raise FetchError(
            f"{url} cannot be downloaded ({reason}). Try again with a network; or take the file from elsewhere and "
            f"import it: xr-s2sr import-keras {url.rpartition('/')[2]}"
        ) from received
    data, announced = received
    if max(len(data), announced or 0) > MOST_BYTES:
        raise FetchError(
            f"{url} holds more than {MOST_BYTES >> 20} MiB ({announced or 'unknown'} bytes announced); expected the "
            "few MiB of published weights. Nothing was kept; a proxy may have answered: call fetch() again without it"
        )
    if announced is not None and len(data) != announced:
        raise FetchError(f"{url} broke off: {len(data)} of {announced} bytes. Nothing was kept; call fetch() again")
    found = git_blob(data)
    if found != blob:
        raise FetchError(
            f"{url} gave another file than its authors published: git blob {found} ({len(data)} bytes), "
            f"expected {blob}. Nothing was kept; a proxy may have answered in its place: call fetch() again without it"
        )
    return data


def _received(url: str) -> tuple[bytes, int | None] | Exception:
    """Return what a server sends, as far as it is read, and how many bytes it announces; or what went wrong."""
    try:
        with _opener().open(url, timeout=TIMEOUT) as response:
            announced = _announced(response.headers["Content-Length"])
            return (response.read(MOST_BYTES + 1) if (announced or 0) <= MOST_BYTES else b""), announced
    except Exception as error:  # of urllib, http, the socket, or an address that is none
        if isinstance(error, HTTPError):
            error.close()  # it holds the server's answer; Python 3.14 warns of one that is left open
        return error


def _opener() -> OpenerDirector:
    """Return an opener of web addresses; urllib's own would follow a redirect to FTP, too."""
    opener = OpenerDirector()
    for handler in (
        ProxyHandler,
        UnknownHandler,
        HTTPHandler,
        HTTPSHandler,
        HTTPDefaultErrorHandler,
        HTTPRedirectHandler,
        HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener


def _announced(length: str | None) -> int | None:
    """The number of bytes that a server announces; None where it says nothing that can be used."""
    if length is None or not length.isascii() or not length.isdigit():
        return None
    return int(length) if len(length) < 20 else MOST_BYTES + 1  # Python does not read numbers of thousands of digits
