"""Checks of a model file against its card when it is opened: inputs and outputs, and a run on a small window."""

from __future__ import annotations

from typing import Any

import numpy as np

from xr_s2sr.bands import BANDS
from xr_s2sr.errors import EngineError, ModelError
from xr_s2sr.models import Model

#: Side of the window, in 10 m pixels, on which a model is tried when it is opened: a multiple of 60 m pixels.
PROBE = 60


def check_ports(session: Any, model: Model, names: tuple[str, ...]) -> None:
    """Refuse a file whose inputs and outputs are not those of its card, or have other numbers of bands."""
    card = model.card
    expected = {name: len(bands) for name, bands in card.inputs.items()} | dict.fromkeys(names, len(card.targets))
    outputs = [port for port in session.get_outputs() if port.name in names]
    found = {port.name: port.shape[1] if len(port.shape) == 4 else "?" for port in (*session.get_inputs(), *outputs)}
    # a size that the file leaves open has a name instead of a number
    declared = {name: bands if isinstance(bands, int) else expected.get(name) for name, bands in found.items()}
    if declared != expected:
        raise ModelError(
            f"{model.path} has the inputs and output {found} (name: bands), its card says {expected}. Export it with "
            "the names and bands of its card, or correct the card"
        )


def probe(session: Any, model: Model, device: str, names: tuple[str, ...]) -> None:
    """Refuse a model whose output on a small window has another shape or dtype than its card promises."""
    card = model.card
    inputs = {
        name: np.zeros((1, len(bands), *[10 * PROBE // BANDS[bands[0]].gsd] * 2), np.float32)
        for name, bands in card.inputs.items()
    }
    try:
        outputs = session.run(list(names), inputs)
    except Exception as error:  # onnxruntime's exceptions share no base but Exception
        # on a GPU it may be the device's fault; "auto" then goes to the CPU
        raise (ModelError if device == "cpu" else EngineError)(
            f"{model.path} cannot be run on a window of {PROBE} x {PROBE} pixels of 10 m: {error}. Export it with free "
            "sizes of rows and columns"
        ) from error
    expected = (1, len(card.targets), PROBE, PROBE)
    for name, output in zip(names, outputs, strict=True):
        if output.shape != expected or output.dtype != np.float32:
            raise ModelError(
                f"{model.path} gives {output.dtype} of the shape {output.shape} as {name!r} for {PROBE} x {PROBE} "
                f"pixels of 10 m; expected float32 of {expected} (1, targets, y, x), as its card says. Export it with "
                "padding, or correct the card"
            )
