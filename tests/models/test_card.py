"""Model cards: their bands, their JSON, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_models import CARD_20, CARD_60, without_halo

from xr_s2sr.bands import BY_GSD
from xr_s2sr.errors import ModelError
from xr_s2sr.models import ModelCard

texts = st.text(max_size=30)
subsets = st.sampled_from([10, 20, 60]).flatmap(
    lambda gsd: st.lists(st.sampled_from(BY_GSD[gsd]), min_size=1, unique=True).map(tuple)
)
cards = st.builds(
    ModelCard,
    name=texts,
    version=texts,
    inputs=st.dictionaries(texts, subsets, min_size=1, max_size=3),
    targets=subsets,
    scale=st.floats(1e-6, 1e6),
    halo=st.none() | st.integers(0, 500),
    multiple=st.sampled_from([1, 2, 3, 6]),
    training=texts,
    degradation=texts,
    licence=texts,
    scores=st.dictionaries(texts, st.floats(allow_nan=False) | texts, max_size=3),
)


@given(cards)
def test_card_round_trip(card: ModelCard) -> None:
    again = ModelCard.from_json(card.to_json())
    assert again == card
    assert hash(again) == hash(card)
    later = json.dumps({**json.loads(card.to_json()), "of a later version": [1, 2]})
    assert ModelCard.from_json(later) == card


def test_card_tells_its_bands() -> None:
    assert CARD_20.gsd == 20
    assert CARD_60.gsd == 60
    assert CARD_60.bands == (*BY_GSD[10], *BY_GSD[20], *BY_GSD[60])
    assert without_halo(CARD_20).halo is None
    assert replace(CARD_60, targets=("B05", "B01")).gsd == 60


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": ("B05", "B99")}, r"names the bands \['B99'\]; expected ids such as B05"),
        ({"targets": ()}, "expected ids such as B05"),
        ({"inputs": {}}, "expected ids such as B05"),
        ({"inputs": {"b10": ("B02", "B05")}}, "mixes resolutions in its input 'b10'"),
        ({"inputs": {"b10": ()}}, "mixes resolutions in its input 'b10'"),
        ({"multiple": 4}, "asks for a multiple of 4; expected 1, 2, 3 or 6"),
        ({"multiple": 0}, "asks for a multiple of 0"),
        ({"scale": 0.0}, "has the scale 0.0; expected a number above 0"),
        ({"scale": float("nan")}, "has the scale nan"),
        ({"scale": json.loads("Infinity")}, "has the scale inf"),
        ({"scale": True}, "has the scale True"),
        ({"halo": -1}, "has the halo -1; expected an integer from 0 to 10980"),
        ({"halo": 10**9}, "has the halo 1000000000"),
        ({"halo": 10.5}, "has the halo 10.5"),
        ({"halo": False}, "has the halo False"),
        ({"scale": 10**400}, "has the scale 1000"),
        ({"name": 5}, "has the name 5; expected a text"),
        ({"version": None}, "has the version None"),
        ({"licence": ["GPL"]}, r"has the licence \['GPL'\]; expected a text"),
        ({"training": {"of": "2018"}}, r"has the training \{'of': '2018'\}"),
        ({"degradation": 1.5}, "has the degradation 1.5"),
        ({"name": "a\ud800"}, r"has the name 'a\\ud800'; expected a text"),
        ({"scores": [1, 2]}, r"of 'toy-20m' has the scores \[1, 2\]; expected them by name"),
        ({"scores": None}, "has the scores None"),
        (
            {"regressed": ("B02",)},
            r"has the regressed bands \('B02',\); expected bands of 20 m or 60 m among its inputs",
        ),
        ({"regressed": ("B01",)}, "has the regressed bands"),
    ],
)
def test_card_is_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        replace(CARD_20, **change)


@pytest.mark.parametrize("text", ["", "null", "3", "[]", '"text"', "{}", '{"inputs": 1}', '{"inputs": [["b10"]]}'])
def test_not_a_card(text: str) -> None:
    with pytest.raises(ModelError, match=r"the model card cannot be read .* expected the JSON of a ModelCard"):
        ModelCard.from_json(text)


@pytest.mark.parametrize(
    "change", [{"scale": "0.2"}, {"halo": "12"}, {"multiple": None}, {"targets": 5}, {"targets": [["B05"]]}]
)
def test_card_of_wrong_types(change: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"the model card cannot be read|the card of 'toy-20m' .* expected"):
        ModelCard.from_json(json.dumps({**json.loads(CARD_20.to_json()), **change}))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"scores": ' * 100_000])
def test_a_card_of_absurd_json(text: str) -> None:
    with pytest.raises(ModelError, match="the model card cannot be read"):
        ModelCard.from_json(text)
