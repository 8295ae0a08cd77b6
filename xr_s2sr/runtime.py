"""ONNX Runtime's module: imported at first use, here only, and checked for what is wrong with its installation."""

from __future__ import annotations

import contextlib
import logging
import os
from functools import lru_cache
from importlib import metadata
from typing import Any

from xr_s2sr.errors import EngineError

log = logging.getLogger("xr_s2sr")


@lru_cache(maxsize=1)
def import_onnxruntime() -> Any:
    """Import ONNX Runtime, or say what is wrong with its installation.

    Raises
    ------
    EngineError
        If it is not installed, or its files were removed by uninstalling its twin.
    """
    # read when ONNX Runtime is imported; from 1.29 on it else sends telemetry, and leaves a device id and a database in
    # the user's cache folder
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise EngineError(
            f"ONNX Runtime cannot be imported ({error}). Install it: pip install onnxruntime-gpu"
        ) from error
    if not hasattr(ort, "InferenceSession"):
        raise EngineError(
            "the onnxruntime module is empty: onnxruntime and onnxruntime-gpu share their files, and one of them was "
            "uninstalled. Repair: pip install --force-reinstall --no-deps onnxruntime-gpu"
        )
    both = installed_twins()
    if len(both) > 1:
        log.warning(
            "%s are both installed and overwrite each other, so CUDA may be missing. Repair: pip uninstall -y %s && "
            "pip install --force-reinstall --no-deps onnxruntime-gpu",
            " and ".join(both),
            " ".join(both),
        )
    return ort


#: Distributions that hold the module ``onnxruntime``.
TWINS = (
    *("onnxruntime" + suffix for suffix in ("", "-directml", "-gpu", "-openvino", "-qnn", "-rocm", "-training")),
    *("ort-nightly", "ort-nightly-gpu"),
)


def installed_twins() -> list[str]:
    """Return the distributions that claim the module ``onnxruntime``; more than one is a broken installation."""
    installed = []
    for name in TWINS:  # asked one by one: a list of all that every distribution holds takes a second
        with contextlib.suppress(metadata.PackageNotFoundError):
            installed.append(metadata.distribution(name).name)
    return installed
