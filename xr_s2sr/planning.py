"""Plan a call: find the bands, choose their models, and work out what these read and cover."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any, Literal, TypeAlias

from xr_s2sr import arguments, models
from xr_s2sr.bands import BANDS, BY_GSD, CIRRUS, Output
from xr_s2sr.errors import ArgumentTypeError, BandError, InputError, ModelError
from xr_s2sr.models import Model
from xr_s2sr.scene import plausibility
from xr_s2sr.scene.result import ErrorForm, whole_pixels
from xr_s2sr.scene.scene import NativeScene
from xr_s2sr.spans import CELL, Extent, Span

#: Where networks run; or the name of an execution provider of ONNX Runtime.
Device: TypeAlias = Literal["auto", "cpu", "cuda"] | str
DEVICES = ("auto", "cpu", "cuda")
#: The models that a user asks for, "bicubic" by its name; None for the packaged ones.
Given: TypeAlias = list[Model | str] | None

#: Usual side of a tile in 10 m pixels: large enough that the margin costs little, small enough for any memory.
TILE = 720


@dataclass(frozen=True)
class RunOptions:
    """Execution options: the arguments of :func:`xr_s2sr.upsample` of the same names."""

    tile: int | None
    margin: int | None
    device: Device
    threads: int | None
    adapt: bool | None = None


@dataclass(frozen=True)
class ModelRun:
    """One model, and the bands that it is to restore.

    Attributes
    ----------
    model : Model
    targets : tuple of str
        Ids of the bands to restore.
    absent : frozenset of str
        Optional inputs that the scene lacks.
    given : bool
        True if the user asked for this model.
    uncertainty : {"float32", "uint16", "band"}, optional
        Form of the standard errors of the targets, where they are wanted too.
    adapt : bool
        Follow the network by the adaptive step (:mod:`xr_s2sr.inference.adaptation`).
    guide : ModelRun, optional
        Restores the 20 m bands that guide the adaptive step of 60 m bands.
    passed : tuple of str
        Ids of the bands that `guide` restores and that are wanted too.
    """

    model: Model
    targets: tuple[str, ...]
    absent: frozenset[str] = frozenset()
    given: bool = False
    uncertainty: ErrorForm | None = None
    adapt: bool = False
    guide: ModelRun | None = None
    passed: tuple[str, ...] = ()

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The bands that are restored, then their standard errors if wanted."""
        return outputs_of(self.origins, errors=self.uncertainty is not None)

    @property
    def origins(self) -> dict[str, ModelRun]:
        """The run that restores each band: this one, or its guide."""
        own = dict.fromkeys(self.targets, self)
        return own if self.guide is None else own | dict.fromkeys(self.passed, self.guide)

    @property
    def bands(self) -> set[str]:
        """Bands that are read: the model's inputs, the targets, whose invalid pixels count, and guides."""
        guides = {*(BY_GSD[10] if self.adapt else ()), *(self.guide.bands if self.guide else ())}
        return {*self.model.card.bands, *self.targets, *guides} - self.absent

    @property
    def factor(self) -> int:
        """Pixel size of the coarsest band that is read, over 10 m."""
        return max(BANDS[band].factor for band in self.bands)

    @property
    def provenance(self) -> dict[str, str | int]:
        """Attributes of the restored bands that say where they come from."""
        origin: dict[str, str | int] = {"s2sr_model": f"{self.model.card.name} {self.model.card.version}"}
        if self.model.sha256:
            origin["s2sr_model_sha256"] = self.model.sha256
        if self.adapt:
            origin["s2sr_adapted"] = 1
        if self.absent:
            origin["s2sr_missing_inputs"] = " ".join(band for band in BANDS if band in self.absent)
        return origin

    def domain(self, scene: NativeScene, covered: Extent) -> Extent:
        """Return the smallest rectangle around an extent that holds whole pixels of every band that is read.

        Local regressions are solved by cells of 60 m. These lie where the pixels of 60 m bands do, so that
        a part of a scene, or a part of its bands, is restored as the whole is.
        """
        f = self.factor
        anchor = next(band.start for band in scene.bands.values() if band.id in self.bands and band.factor == f)
        if (self.adapt or self.model.card.regressed) and f < CELL:
            lattice = scene.grid.lattice(CELL)
            if lattice is not None and all((a - b) % f == 0 for a, b in zip(anchor, lattice, strict=True)):
                f, anchor = CELL, lattice
        rows, cols = (
            Span((s.start - a) // f * f + a, -((a - s.stop) // f) * f + a) for s, a in zip(covered, anchor, strict=True)
        )
        return rows, cols


def outputs_of(bands: Iterable[str], *, errors: bool) -> tuple[Output, ...]:
    """Return bands, and their standard errors behind them."""
    bands = tuple(bands)
    return (*map(Output, bands), *(Output(band, error=True) for band in bands if errors))


@dataclass(frozen=True)
class CallPlan:
    """Runs of a call, and the scene that they read.

    Attributes
    ----------
    scene : NativeScene
        With the bands that are involved.
    wanted : list of str
        Ids of the bands to return.
    runs : list of ModelRun
    covered : (Span, Span)
        The part of the 10 m grid that all bands involved cover; for 20 m, whole pixels of those.
    left_out : list of str
        Bands that cannot be restored beside others that can, with the reason.
    """

    scene: NativeScene
    wanted: list[str]
    runs: list[ModelRun]
    covered: Extent
    left_out: list[str]


def prepare(
    scene: NativeScene,
    bands: Any = None,
    given: Given = None,
    resolution: int = 10,
    adapt: bool | None = None,
) -> CallPlan:
    """Find the bands, choose their models, and refuse what cannot be restored.

    Parameters
    ----------
    scene : NativeScene
    bands
        As in :func:`xr_s2sr.upsample`.
    given : list of Model or "bicubic", optional
        The models that the user asked for.
    resolution : {10, 20}
        Pixel size of the result: bands of this and below need no model.
    adapt : bool, optional
        As in :func:`xr_s2sr.upsample`.

    Raises
    ------
    BandError, GridError, RadiometryError, ModelError
        As :func:`xr_s2sr.upsample` says.
    """
    wanted = wanted_bands(scene, bands)
    passed = [band for band in wanted if BANDS[band].gsd <= resolution]
    runs = choose_models([band for band in wanted if band not in passed], given)
    runs = [adapted(run, scene, adapt, runs) for run in runs]
    runs, left_out = require(scene, runs, by_name=bands is not None, alone=not passed)
    wanted = [band for band in wanted if band in passed or any(band in run.targets for run in runs)]
    if resolution > 10:
        if bands is None:
            passed += [band for band in scene.variables if BANDS[band].is_fine]
        # one band tells where the pixels of the result lie
        coarse = [band for band in scene.variables if BANDS[band].gsd >= resolution and band != CIRRUS]
        passed += sorted(coarse, key=lambda band: BANDS[band].gsd)[:1]
    read = {*passed, *(band for run in runs for band in run.bands)}
    # what is wrong with bands that are not involved is no reason to stop
    scene = scene.only([band for band in scene.variables if BANDS[band].is_fine or band in read])
    scene.check()
    needed = sorted({*read, scene.reference or ""})
    plausibility.check_scene(scene, needed)  # of dask arrays, in their tasks
    covered = scene.common_extent(needed)
    if resolution > 10:
        covered = whole_pixels(scene, covered, resolution // 10)
    return CallPlan(scene, wanted, runs, covered, left_out)


def given_models(value: object) -> Given:
    """Check and load what the argument `model` names: a name, a path, a Model, or several of them.

    Raises
    ------
    ArgumentTypeError, InputError
        If it is something else, or an empty list.
    ModelError
        If a model cannot be loaded.
    """
    if value is None:
        return None
    if isinstance(value, str | PathLike | Model):
        value = [value]
    if not isinstance(value, Sequence) or not all(isinstance(item, str | PathLike | Model) for item in value):
        raise ArgumentTypeError(
            f"model={arguments.shown(value)} is a {type(value).__name__}; expected a name, a path or a list of them: "
            'model="my.onnx"'
        )
    if not value:
        raise InputError("model is an empty list; leave it out for the packaged models")
    return [item if isinstance(item, Model) or item == models.BICUBIC else models.load(item) for item in value]


def wanted_bands(scene: NativeScene, bands: Any) -> list[str]:
    """Return the ids of the bands that were asked for, or of every band that can be restored.

    Raises
    ------
    BandError
        If a band is unknown or missing, or there is nothing to restore.
    """
    if bands is None:
        wanted = [band for band in scene.variables if not BANDS[band].is_fine and band != CIRRUS]
        if not wanted:
            scene.check()
            raise BandError(
                f"nothing to upsample: no 20 m or 60 m band (found: {', '.join(scene.variables)}). Load some, such as "
                "B05 or B11, or name the variables by band"
            )
        return wanted
    wanted = scene.names.ids(arguments.names("bands", bands))
    absent = [band for band in wanted if band not in scene.variables]
    if absent:
        raise BandError(
            f"asked for {', '.join(absent)}, but the Dataset holds {', '.join(scene.variables) or 'no band'}. Load the "
            "band, or name its variable by band"
        )
    return wanted


def choose_models(wanted: Iterable[str], given: Given) -> list[ModelRun]:
    """Assign each band to the first given model that restores it, or else to the packaged default.

    Raises
    ------
    ModelError
        If a given model restores none of the bands.
    """
    wanted = list(wanted)
    interpolate = given is not None and models.BICUBIC in given
    loaded = [item for item in given or () if isinstance(item, Model)]
    chosen: dict[str, Model] = {}
    for band in wanted:
        able = [model for model in loaded if band in model.card.targets]
        if able:
            chosen[band] = able[0]
        elif band != CIRRUS and not interpolate:
            chosen[band] = models.load(models.DEFAULTS[BANDS[band].gsd])
    for model in loaded:
        if wanted and model not in chosen.values():
            raise ModelError(
                f"the model {model} restores {', '.join(model.card.targets)}, none of which is left to restore "
                f"({', '.join(wanted)}). Ask for one of them, or leave the model out"
            )
    runs = [
        ModelRun(model, tuple(b for b in chosen if chosen[b] == model), given=model in loaded)
        for model in dict.fromkeys(chosen.values())
    ]
    for gsd in (20, 60):
        rest = tuple(band for band in wanted if band not in chosen and BANDS[band].gsd == gsd)
        if rest:
            runs.append(ModelRun(models.bicubic(rest), rest))
    return runs


def adapted(run: ModelRun, scene: NativeScene, adapt: bool | None, runs: Sequence[ModelRun]) -> ModelRun:
    """Return a run with the adaptive step, and the run that its guides come from, if it is to have one.

    Parameters
    ----------
    run : ModelRun
    scene : NativeScene
    adapt : bool, optional
        By default, what the model's card says.
    runs : sequence of ModelRun
        All runs of the call: of packaged models for 20 m bands, the one that is among them makes the guides.
    """
    if not (run.model.card.adapt if adapt is None else adapt) or run.targets == (CIRRUS,):
        return run
    run = replace(run, adapt=True)
    middle = tuple(band for band in BY_GSD[20] if band in scene.variables)
    asked = [own.model for own in runs if own.model.card.gsd == 20 and models.is_packaged(own.model)]
    model = asked[0] if asked else models.load(models.DEFAULTS[20])
    able = all(band in scene.variables or band in model.card.optional for band in model.card.bands)
    only_60 = all(BANDS[band].gsd == 60 for band in run.model.card.targets)
    return replace(run, guide=ModelRun(model, middle, adapt=True)) if only_60 and middle and able else run


def merged(runs: Sequence[ModelRun]) -> list[ModelRun]:
    """Return the runs without those that another one makes on its way: the 20 m bands that guide the 60 m ones."""
    out = list(runs)
    for run in runs:
        if run.guide is None:
            continue
        for other in [own for own in out if own.adapt and own.model == run.guide.model]:
            guide = replace(other, targets=run.guide.targets)
            out[out.index(run)] = replace(run, guide=guide, passed=other.targets)
            out.remove(other)
    return out


def with_uncertainty(runs: Iterable[ModelRun], form: ErrorForm | None) -> list[ModelRun]:
    """Return the runs, each to give the standard errors of its bands too, if a form is given for these.

    Raises
    ------
    ModelError
        If a model gives none.
    """
    runs = list(runs)
    if form is None:
        return runs
    unable = [run for run in runs if not run.model.card.uncertainty]
    if unable:
        run = unable[0]
        bands = ", ".join(run.targets)
        if run.model.card.name == models.BICUBIC:
            raise ModelError(
                f"uncertainty was asked for, and {bands} would be interpolated by 'bicubic', which gives none; "
                'expected a network. Leave model="bicubic" out, or uncertainty'
            )
        card = run.model.card
        train = ""
        if len({BANDS[band].gsd for band in card.targets}) == 1:
            train = (
                f", or train a head for it: xr-s2sr train --uncertainty --init {run.model.path or card.name} --gsd "
                f"{card.gsd} --scenes ... --out ..."
            )
        raise ModelError(
            f"uncertainty was asked for, and the model {run.model}, which restores {bands}, gives none; expected one "
            f"whose card says uncertainty. Take another for these bands: model=..., or leave them out: bands=...{train}"
        )
    return [replace(run, uncertainty=form) for run in runs]


def require(
    scene: NativeScene, runs: Iterable[ModelRun], *, by_name: bool = True, alone: bool = True
) -> tuple[list[ModelRun], list[str]]:
    """Return the runs that are possible, each with the optional inputs that the scene lacks; and why others are not.

    Parameters
    ----------
    scene : NativeScene
    runs : iterable of ModelRun
    by_name : bool
        True if the bands were asked for. If not, those whose model lacks a band are left out, unless the model was
        asked for, or nothing remains.
    alone : bool
        False if something remains in any case, as bands come back that need no model.

    Raises
    ------
    BandError
        If the scene lacks a band that a model needs, naming the bands and the model.
    """
    able: list[ModelRun] = []
    blocked: list[tuple[ModelRun, list[str]]] = []
    for run in runs:
        missing = {band for band in run.bands if band not in scene.variables}
        optional = {*run.model.card.optional, *(run.guide.model.card.optional if run.guide else ())}
        needed = [band for band in BANDS if band in missing and band not in optional]
        if needed:
            blocked.append((run, needed))
        else:
            guide = run.guide and replace(run.guide, absent=frozenset(missing))
            able.append(replace(run, absent=frozenset(missing), guide=guide))
    if blocked and (by_name or (alone and not able) or any(run.given for run, _ in blocked)):
        raise _missing(scene, blocked)
    return able, [f"{', '.join(one[0].targets)} left out: {_missing(scene, [one])}" for one in blocked]


def _missing(scene: NativeScene, blocked: Sequence[tuple[ModelRun, list[str]]]) -> BandError:
    """Return the error that says which bands are missing, and to which models."""
    needed = [band for band in BANDS if any(band in missing for _, missing in blocked)]
    runs = [f"the model {run.model.card.name!r} needs to restore {', '.join(run.targets)}" for run, _ in blocked]
    # bicubic needs a 10 m grid too
    other = '. Or interpolate: upsample(model="bicubic")' if {*BY_GSD[10]} & {*scene.variables} else ""
    return BandError(
        f"missing {', '.join(needed)}, which {' and '.join(runs)} (found: {', '.join(scene.variables) or 'none'}). "
        f'Load them too, or name the variables by band: ds = ds.rename({{"my_variable": "{needed[0]}"}}){other}'
    )
