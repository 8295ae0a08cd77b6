"""A model as a STAC item, by the extension MLM (Machine Learning Model): for catalogues that list models."""

from __future__ import annotations

from typing import Any

from xr_s2sr.bands import BANDS
from xr_s2sr.errors import ModelError
from xr_s2sr.models.card import REGRESSED, RESTORED, STANDARD_ERROR, Model
from xr_s2sr.models.registry import load

_SCHEMAS = "https://stac-extensions.github.io/{}/schema.json"
EXTENSIONS = tuple(map(_SCHEMAS.format, ("mlm/v1.4.0", "eo/v2.0.0", "file/v2.1.0")))
#: The whole Earth, as a model is of no place.
_EVERYWHERE = [[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]


def stac_item(model: str | Model, href: str | None = None) -> dict[str, Any]:
    """Describe a model as a STAC item by the extension MLM.

    Parameters
    ----------
    model : str or Model
        A name, or what :func:`load` returned.
    href : str, optional
        Where its file can be got; by default the file on this computer.

    Returns
    -------
    dict
        For ``json.dumps`` or ``pystac.Item.from_dict``: inputs and outputs with bands, shapes and scaling, how it was
        trained, its licence and scores, and the SHA-256 of its file.

    Raises
    ------
    ModelError
        If there is no such model, or it has no file.

    Examples
    --------
    >>> item = stac_item("s2sr-20m")
    >>> [(part["name"], part["bands"]) for part in item["properties"]["mlm:input"]][0]
    ('b10', ['B02', 'B03', 'B04', 'B08'])
    """
    model = model if isinstance(model, Model) else load(model)
    card = model.card
    if model.path is None:
        raise ModelError(f"the model {card.name!r} has no file that an item could describe; expected one that has")
    outputs = [(RESTORED, "the restored bands"), (STANDARD_ERROR, "their standard errors")][: 1 + card.uncertainty]
    properties = {
        "title": f"{card.name} {card.version}",
        "description": f"Sentinel-2's {', '.join(card.targets)} at 10 m, from native pixels. {card.training}",
        "datetime": None,
        "start_datetime": "2015-06-23T00:00:00Z",  # the launch of Sentinel-2A
        "end_datetime": "9999-12-31T23:59:59Z",
        "version": card.version,
        "license": card.licence or "other",
        "mlm:name": card.name,
        "mlm:architecture": "convolutional neural network",
        "mlm:framework": "ONNX",
        "mlm:tasks": ["super-resolution"],
        "mlm:input": [_input(name, *port, card.scale) for name, port in card.ports.items()],
        "mlm:output": [_output(name, about, len(card.targets)) for name, about in outputs],
        "s2sr:card": {
            "halo": card.halo, "multiple": card.multiple, "optional": list(card.optional), "adapt": card.adapt,
            "regressed": list(card.regressed),
            "degradation": card.degradation, "scores": dict(card.scores),
        },
    }  # fmt: skip
    asset = {
        "href": href or model.path.as_uri(),
        "title": f"{card.name}, an ONNX file that carries its card",
        "type": "application/octet-stream; framework=onnx",
        "roles": ["mlm:model", "mlm:weights"],
        "mlm:artifact_type": "onnx",
        "file:size": model.path.stat().st_size,
        "file:checksum": f"1220{model.sha256}",  # a multihash: SHA-256, 32 bytes
        "bands": [_band(band) for band in card.bands],
    }
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(EXTENSIONS),
        "id": f"{card.name}-{card.version}",
        "geometry": {"type": "Polygon", "coordinates": [_EVERYWHERE]},
        "bbox": [-180, -90, 180, 90],
        "properties": properties,
        "links": [],
        "assets": {"model": asset},
    }


def _input(name: str, bands: tuple[str, ...], gsd: int, scale: float) -> dict[str, Any]:
    """Describe an input of the network."""
    what = "reflectance by local regression on the 10 m bands," if name == REGRESSED else "reflectance"
    return {
        "name": name,
        "description": f"{what} on {gsd} m pixels, 0 where there is no data",
        "bands": list(bands),
        "input": _array(len(bands)),
        "value_scaling": [{"type": "scale", "value": scale}],
        "resize_type": None,
    }


def _output(name: str, about: str, count: int) -> dict[str, Any]:
    """Describe an output of the network."""
    about = f"{about}, in the unit of the scaled inputs"
    return {"name": name, "description": about, "tasks": ["super-resolution"], "result": _array(count)}


def _array(count: int) -> dict[str, Any]:
    """Describe an array of so many bands."""
    return {
        "shape": [-1, count, -1, -1],
        "dim_order": ["batch", "bands", "height", "width"],
        "data_type": "float32",
    }


def _band(band: str) -> dict[str, Any]:
    """Describe a band."""
    return {"name": band, "gsd": BANDS[band].gsd, "eo:center_wavelength": round(BANDS[band].wavelength / 1000, 4)}
