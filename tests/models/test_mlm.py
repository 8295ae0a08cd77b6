"""Models as STAC items by the extension MLM: what the card says, as pystac reads it."""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from xr_s2sr import models
from xr_s2sr.errors import ModelError


@pytest.mark.parametrize("name", ["s2sr-20m", "s2sr-60m"])
def test_an_item_says_what_the_card_says(name: str) -> None:
    model = models.load(name)
    item = models.stac_item(name, href="https://example.org/model.onnx")
    assert json.loads(json.dumps(item, allow_nan=False)) == item
    told = item["properties"]
    inputs = {part["name"]: tuple(part["bands"]) for part in told["mlm:input"]}
    assert {key: bands for key, bands in inputs.items() if key != "regressed"} == model.card.inputs
    assert inputs.get("regressed", ()) == model.card.regressed
    for part in told["mlm:input"]:
        assert part["input"]["shape"] == [-1, len(part["bands"]), -1, -1]
        assert part["value_scaling"] == [{"type": "scale", "value": 0.2}]
    assert [(part["name"], part["result"]["shape"][1]) for part in told["mlm:output"]] == [
        ("sr", len(model.card.targets)),
        ("uncertainty", len(model.card.targets)),
    ]
    assert (told["mlm:name"], told["version"], told["license"]) == (name, model.card.version, "Apache-2.0")
    [asset] = item["assets"].values()
    data = Path(str(model.path)).read_bytes()
    assert asset["file:checksum"] == "1220" + hashlib.sha256(data).hexdigest()
    assert asset["file:size"] == len(data)
    assert asset["href"] == "https://example.org/model.onnx"
    assert [band["name"] for band in asset["bands"]] == list(model.card.bands)


def test_pystac_reads_it() -> None:
    pystac = pytest.importorskip("pystac", reason="pystac is not installed")
    told = models.stac_item(models.load("s2sr-20m"))
    item = pystac.Item.from_dict(told)
    assert Path(str(models.load("s2sr-20m").path)).as_uri() == item.assets["model"].href
    if find_spec("jsonschema") is not None:
        pystac.Item.from_dict({**told, "stac_extensions": []}).validate()
    mlm = pytest.importorskip("pystac.extensions.mlm", reason="pystac has no MLM extension")
    extended = mlm.MLMExtension.ext(item)
    assert extended.tasks == ["super-resolution"]
    assert [part.name for part in extended.input] == ["b10", "b20", "regressed"]
    assert extended.output[0].result.data_type == "float32"


def test_what_has_no_file() -> None:
    with pytest.raises(ModelError, match="the model 'bicubic' has no file that an item could describe"):
        models.stac_item(models.bicubic(("B05",)))
    with pytest.raises(ModelError, match="no model 'none'"):
        models.stac_item("none")
