"""Model metadata: inputs, targets, scale, receptive field and provenance, as JSON that travels in the ONNX file.

Any ONNX file that carries a card runs. Reading it needs neither onnx nor ONNX Runtime.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xr_s2sr.bands import BANDS
from xr_s2sr.errors import ModelError

#: Key of the card among the metadata_props of an ONNX file.
CARD_KEY = "xr_s2sr"

#: Outputs of a model file: the restored bands, and their standard errors where the card says so.
RESTORED, STANDARD_ERROR = "sr", "uncertainty"
#: Input that holds some coarse bands as local regression on the 10 m bands restores them.
REGRESSED = "regressed"

#: Of a halo in 10 m pixels: a whole tile of Sentinel-2.
LARGEST_HALO = 10980


@dataclass(frozen=True)
class ModelCard:
    """Model metadata: inputs, targets, scale, receptive field, provenance and scores.

    Attributes
    ----------
    name, version : str
    inputs : mapping of str to tuple of str
        Input name ("b10", "b20", "b60") to the ids of its bands, in channel order.
    targets : tuple of str
        Ids of the bands of the output ``sr``, in channel order; of 20 m, of 60 m, or of both.
    scale : float
        Reflectance that is 1.0 at the network's input and output: 0.2 for the published DN / 2000.
    halo : int or None
        Receptive-field radius in 10 m pixels; None if unknown or too large to be worth it.
    multiple : int
        Window sides must be multiples of this many 10 m pixels; divides 6.
    optional : tuple of str
        Ids of input bands that may be missing: the network was trained to take planes of 0 in their place.
    regressed : tuple of str
        Ids of input bands of 20 m or 60 m whose :ref:`local regression <adaptive>` on the 10 m bands is an input as
        well, called ``regressed``, on the 10 m grid; 0 where a band is missing.
    uncertainty : bool
        True if the file has a second output ``uncertainty``, of the shape of ``sr``: one standard error of each pixel
        in the unit of the network, positive and finite.
    adapt : bool
        True if the adaptive step (``upsample(adapt=...)``) follows the network by default.
    training, degradation, licence : str
    scores : mapping
        Validation scores, for people.
    """

    name: str
    version: str
    inputs: Mapping[str, tuple[str, ...]] = field(hash=False)
    targets: tuple[str, ...]
    scale: float = 0.2
    halo: int | None = None
    multiple: int = 6
    optional: tuple[str, ...] = ()
    regressed: tuple[str, ...] = ()
    uncertainty: bool = False
    adapt: bool = False
    training: str = ""
    degradation: str = ""
    licence: str = ""
    scores: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for key in ("name", "version", "training", "degradation", "licence"):
            if not _is_text(value := getattr(self, key)):
                raise ModelError(f"a card has the {key} {value!r:.60}; expected a text")
        if not isinstance(self.scores, Mapping):
            raise ModelError(f"the card of {self.name!r} has the scores {self.scores!r:.60}; expected them by name")
        named = [*self.targets, *(band for bands in self.inputs.values() for band in bands)]
        unknown = sorted({band for band in named if not isinstance(band, str) or band not in BANDS}, key=str)
        if unknown or not self.targets or not self.inputs:
            raise ModelError(f"the card of {self.name!r} names the bands {unknown or named}; expected ids such as B05")
        for name, bands in self.inputs.items():
            if len({BANDS[band].gsd for band in bands}) != 1:
                raise ModelError(f"the card of {self.name!r} mixes resolutions in its input {name!r}: {bands}")
        foreign = sorted(set(self.optional) - set(self.bands))
        if foreign:
            raise ModelError(f"the card of {self.name!r} calls {foreign} optional, which are not among its inputs")
        unseen = [band for band in self.regressed if band not in self.bands or BANDS[band].is_fine]
        if unseen or (self.regressed and REGRESSED in self.inputs):
            raise ModelError(
                f"the card of {self.name!r} has the regressed bands {self.regressed}; expected bands of 20 m or 60 m "
                f"among its inputs, none of which is called {REGRESSED!r}"
            )
        if not _is_count(self.multiple) or self.multiple < 1 or 6 % self.multiple:
            raise ModelError(f"the card of {self.name!r} asks for a multiple of {self.multiple}; expected 1, 2, 3 or 6")
        if not _is_number(self.scale) or not self.scale > 0:
            raise ModelError(f"the card of {self.name!r} has the scale {self.scale!r}; expected a number above 0")
        if self.halo is not None and not (_is_count(self.halo) and 0 <= self.halo <= LARGEST_HALO):
            raise ModelError(
                f"the card of {self.name!r} has the halo {self.halo!r}; expected an integer from 0 to {LARGEST_HALO}, "
                "or None"
            )

        if not isinstance(self.adapt, bool):
            raise ModelError(f"the card of {self.name!r} has adapt={self.adapt!r}; expected true or false")
        if not isinstance(self.uncertainty, bool):
            raise ModelError(
                f"the card of {self.name!r} has uncertainty={self.uncertainty!r}; expected true if the file has an "
                "output of that name, else false"
            )

    @property
    def gsd(self) -> int:
        """Native GSD of the targets, the coarsest where they differ."""
        return max(BANDS[band].gsd for band in self.targets)

    @property
    def bands(self) -> tuple[str, ...]:
        """Every band that the model reads; those of `optional` may be missing."""
        return tuple(dict.fromkeys(band for bands in self.inputs.values() for band in bands))

    @property
    def ports(self) -> dict[str, tuple[tuple[str, ...], int]]:
        """The inputs of the file by name: their bands, and the GSD of their pixels."""
        own = {name: (bands, BANDS[bands[0]].gsd) for name, bands in self.inputs.items()}
        return own | ({REGRESSED: (self.regressed, 10)} if self.regressed else {})

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Read a card; keys of later versions are ignored.

        Raises
        ------
        ModelError
            If the text is not a card.
        """
        try:
            raw = json.loads(text)
            known = {key: raw[key] for key in cls.__dataclass_fields__ if key in raw}
            known["inputs"] = {key: tuple(bands) for key, bands in raw["inputs"].items()}
            known["targets"] = tuple(raw["targets"])
            known |= {key: tuple(raw.get(key, ())) for key in ("optional", "regressed")}
            return cls(**known)
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
            if isinstance(error, ModelError):
                raise
            raise ModelError(f"the model card cannot be read ({error!r}); expected the JSON of a ModelCard") from error


def _is_text(value: object) -> bool:
    """Tell whether a value is a text that can be written to files, as those of lone surrogates cannot."""
    return isinstance(value, str) and value.encode(errors="replace") == value.encode(errors="ignore")


def _is_number(value: object) -> bool:
    """Tell whether a value is a number that a float can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(frozen=True)
class Model:
    """A card, and the file that it came with.

    Attributes
    ----------
    card : ModelCard
    path : Path or None
        None for the pseudo-model "bicubic".
    sha256 : str
        Of the file; empty for "bicubic".
    """

    card: ModelCard
    path: Path | None
    sha256: str

    def __str__(self) -> str:
        digest = f" (sha256 {self.sha256[:12]})" if self.sha256 else ""
        return f"{self.card.name} {self.card.version}{digest}"
