"""Model lookup: packaged, published and user files by name or path; reading a file's card opens no session."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from xr_s2sr import arguments
from xr_s2sr.bands import BANDS
from xr_s2sr.errors import ModelError
from xr_s2sr.models.card import CARD_KEY, Model, ModelCard
from xr_s2sr.models.protobuf import external_file, metadata_props
from xr_s2sr.models.published import PUBLISHED, cached, check_cached

WEIGHTS = Path(__file__).parent / "weights"

#: Bytes that no message of protobuf has, and so no ONNX file.
ONNX_LIMIT = 2**31

#: The pseudo-model that interpolates: no guide, no weights.
BICUBIC = "bicubic"


def packaged() -> dict[str, Path]:
    """Return the names of the models that come with the package, and their files."""
    return {path.stem: path for path in sorted(WEIGHTS.glob("*.onnx"))}


def is_packaged(model: Model) -> bool:
    """Return True for a file that comes with the package, which any process loads by its name."""
    return model.path is not None and model.path in {path.resolve() for path in packaged().values()}


#: Default model by the native GSD of the bands that it restores; that for 20 m bands makes guides of the 60 m ones.
DEFAULTS = {20: "s2sr-20m", 60: "s2sr-60m"}


def load(name: str | Path) -> Model:
    """Find a model by name or path and read its card.

    Parameters
    ----------
    name : str or Path
        A packaged name (:func:`packaged`), a published one that was fetched before
        (:func:`~xr_s2sr.models.fetch`), or the path of an ONNX file that carries a card.

    Returns
    -------
    Model

    Raises
    ------
    ModelError
        If there is no such model, or the file carries no card.
    """
    if name == BICUBIC:
        raise ModelError('"bicubic" has neither a file nor a card; ask for it by name: upsample(model="bicubic")')
    known = packaged()
    if isinstance(name, str) and name in PUBLISHED:
        path = cached(name)
        if not path.is_file():
            raise ModelError(
                f"the model {name!r} is not on this computer ({path}). Download it once, under its licence "
                f'{PUBLISHED[name].licence}: xr_s2sr.models.fetch("{name}")'
            )
        check_cached(path, name)
    else:
        named = isinstance(name, str) and name in known
        path = known[str(name)] if named else arguments.path("model", name, "my.onnx").expanduser()
    if not path.is_file():
        raise ModelError(
            f"no model {str(name)!r}: it is neither a file nor one of {', '.join([*known, BICUBIC, *PUBLISHED])}. "
            'Give the path of an ONNX file: upsample(model="my.onnx")'
        )
    stat = path.stat()
    if stat.st_size >= ONNX_LIMIT:
        raise ModelError(
            f"{path} has {stat.st_size / 2**30:.0f} GiB; expected an ONNX file, which has at most 2. Give the "
            'path of a model: upsample(model="my.onnx")'
        )
    return _load(path.resolve(), stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)


@lru_cache(maxsize=32)
def _load(path: Path, *_state: int) -> Model:
    """Read the card of a file, once for each state of it on the disk."""
    data = path.read_bytes()
    try:
        props = dict(metadata_props(data))
        beside = external_file(data)
    except (IndexError, ValueError) as error:
        raise ModelError(f"{path} is not an ONNX file ({error}); expected a file exported with a model card") from error
    if beside is not None:
        raise ModelError(
            f"{path} keeps weights in another file ({beside!r}), which its SHA-256 says nothing about; expected one "
            'file. Save it as one: onnx.save(onnx.load("model.onnx"), "whole.onnx", save_as_external_data=False)'
        )
    if CARD_KEY not in props:
        raise ModelError(
            f"{path} carries no model card; expected JSON under {CARD_KEY!r} in its metadata_props. Add one with "
            "xr_s2sr.models.ModelCard(...).to_json() and onnx.helper.set_model_props"
        )
    return Model(ModelCard.from_json(props[CARD_KEY]), path, hashlib.sha256(data).hexdigest())


def weights_of(model: Model, data: bytes | None = None) -> bytes:
    """Return the bytes of a model's file, which are those whose SHA-256 the results will name.

    Parameters
    ----------
    model : Model
    data : bytes, optional
        The file as it was read in another process.

    Raises
    ------
    ModelError
        If the file is gone, or is another one than when its card was read.
    """
    again = f"Load it again: xr_s2sr.models.load({str(model.path)!r}), and pass what it returns as model="
    try:
        data = Path(model.path or "").read_bytes() if data is None else data
    except OSError as error:
        raise ModelError(f"the file of the model {model} cannot be read any more ({error}). {again}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != model.sha256:
        _load.cache_clear()  # the clock of the disk may have missed the change
        raise ModelError(
            f"{model.path} holds another file (SHA-256 {found[:12]}) than when {model} was loaded; the results would "
            f"name the wrong one. {again}"
        )
    return data


def bicubic(targets: tuple[str, ...]) -> Model:
    """Return the pseudo-model that interpolates `targets` (of one native GSD)."""
    gsd = BANDS[targets[0]].gsd
    card = ModelCard(
        BICUBIC, "1", {"coarse": targets}, targets, halo=2 * gsd // 10, degradation="none", licence="Apache-2.0"
    )
    return Model(card, None, "")
