"""Models that others publish: addresses, hashes and licences of their files, and the cache of imported ones."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from xr_s2sr.errors import ModelError

#: Overrides the folder of fetched models.
CACHE_VARIABLE = "XR_S2SR_CACHE"


@dataclass(frozen=True)
class Published:
    """A file of weights in its authors' public repository.

    Attributes
    ----------
    url : str
    blob : str
        The git blob id of the file, which its repository vouches for.
    training, degradation, licence : str
        For the card.
    """

    url: str
    blob: str
    training: str
    degradation: str
    licence: str


_DSEN2 = "https://raw.githubusercontent.com/lanha/DSen2/master/models"
_TRAINING = (
    "the authors' weights of DSen2: Lanaras et al. 2018, arXiv:1803.04271, https://github.com/lanha/DSen2; 6 residual "
    "blocks of 128 channels, 45 Sentinel-2 L1C tiles, L1, Nadam"
)
_DEGRADATION = "Gaussian blur of 1/{s} pixels, then the mean of {s} x {s} pixels"

PUBLISHED = {
    "dsen2-20m": Published(
        f"{_DSEN2}/s2_032_lr_1e-04.hdf5",
        "dd4b6d49171d38534bafe7097080b7d0184eca24",
        _TRAINING,
        _DEGRADATION.format(s=2),
        "GPL-3.0",
    ),
    "dsen2-60m": Published(
        f"{_DSEN2}/s2_030_lr_1e-05.hdf5",
        "459723841e73b2bfb8bdeb50ae189868bcc8f6ae",
        _TRAINING,
        _DEGRADATION.format(s=6),
        "GPL-3.0",
    ),
}


def cached(name: str) -> Path:
    """Return the path of a published model's ONNX file once it has been fetched: see :func:`xr_s2sr.models.fetch`."""
    given = os.environ.get(CACHE_VARIABLE)
    folder = Path(given).expanduser() if given else Path.home() / ".cache" / "xr_s2sr"
    return folder / f"{name}.onnx"


def hash_file(path: Path) -> Path:
    """Return the path of the file beside a cached model that keeps its SHA-256."""
    return path.with_name(f"{path.name}.sha256")


def check_cached(path: Path, name: str) -> None:
    """Refuse a cached model that is not the one that was fetched.

    Raises
    ------
    ModelError
        If its SHA-256 was not kept, or is another.
    """
    kept = hash_file(path)
    recorded = kept.read_text(errors="replace").strip() if kept.is_file() else "none"
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != recorded:
        raise ModelError(
            f"{path} is not the file that was fetched (SHA-256 {found[:12]}, recorded {recorded[:12]}). Fetch it "
            f'again: xr_s2sr.models.fetch("{name}")'
        )


def git_blob(data: bytes) -> str:
    """Return the id under which git knows a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
