"""Scores on real scenes by Wald's protocol, all three degradations: the packaged models, bicubic, and others' weights.

    python tests/bench/fidelity.py --scenes DIR [--split validation] [--peers DIR] [--model FILE] [--offset 1000]
        [--no-adapt]

Each scene is degraded by 2 (for the 20 m bands) or 6 (60 m), put in a Dataset with coordinates whose pixel sizes
stand for the original ones, upsampled through the public API, and compared with the bands as they were. A border
of 12 pixels is left out, for every model alike. --peers names a folder with the weights of AESR (UP42), which are
imported and run by the same engine; each is scored on the scenes of its own level. Every method comes without and with
the adaptive step, which is told the blur of the degradation; bicubic with it is local regression on the 10 m bands,
without a network. With --offset, that many DN are added to every input and taken off the result: what an unknown
radiometric offset costs. Scenes of the split "test" are for reports: nothing is chosen by them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

import xr_s2sr
from xr_s2sr import importers
from xr_s2sr.bands import BANDS, BY_GSD
from xr_s2sr.models import Model
from xr_s2sr.quality import METRICS, PROTOCOLS

FACTOR = {20: 2, 60: 6}
#: Sides that a simulated scene must be a multiple of, in 10 m pixels, so that all its grids nest.
MULTIPLE = {20: 12, 60: 36}

OURS = "xr_s2sr"
#: What a method is called, and what upsample takes for it.
Methods = Mapping[str, "str | Model | None"]
#: Of all the metrics, those that the table shows: width of the column, digits.
SHOWN = {"rmse": (8, 2), "sre": (7, 2), "sam": (7, 3), "uiq": (7, 4)}


@dataclass(frozen=True)
class RealScene:
    """Native bands in DN, by GSD."""

    name: str
    level: str
    bands: dict[int, np.ndarray]


@dataclass(frozen=True)
class Trial:
    """A degraded scene, and the bands as they were."""

    inputs: xr.Dataset
    truth: np.ndarray
    gsd: int

    def restore(
        self,
        model: str | Model | None,
        bands: list[str] | None = None,
        offset: float = 0.0,
        adapt: bool | None = None,
    ) -> np.ndarray:
        """DN of the bands (all of the resolution by default), restored from inputs that `offset` is added to."""
        ds = self.inputs.map(lambda v: (v + offset).assign_attrs(v.attrs)) if offset else self.inputs
        wanted = bands or list(BY_GSD[self.gsd])
        sr = xr_s2sr.upsample(ds, wanted, model=model, adapt=adapt)
        return np.stack([sr[band].values - offset for band in wanted])


def scenes(folder: Path, split: str) -> Iterator[RealScene]:
    """The scenes of a split."""
    entries = [e for e in json.loads((folder / "manifest.json").read_text()) if e["split"] == split]
    if not entries:
        sys.exit(f"no scene of the split {split!r} in {folder}")
    for entry in entries:
        with np.load(folder / f"{entry['file']}.npz") as z:
            stacks = {gsd: z[f"b{gsd}"].astype(np.float64) for gsd in (10, 20, 60) if f"b{gsd}" in z}
        bands = {gsd: stack + entry.get("offset", 0) for gsd, stack in stacks.items()}
        yield RealScene(entry["file"], entry.get("level", ""), bands)


def trials(scene: RealScene) -> Iterator[tuple[int, str, Trial]]:
    """Every (GSD, protocol) that the scene is large enough for."""
    for gsd, factor in FACTOR.items():
        if gsd not in scene.bands or min(scene.bands[gsd].shape[1:]) <= 30:
            continue
        h, w = (n // MULTIPLE[gsd] * MULTIPLE[gsd] for n in scene.bands[10].shape[1:])
        needed = (10, 20) if gsd == 20 else (10, 20, 60)
        cropped = {g: scene.bands[g][:, : h * 10 // g, : w * 10 // g] for g in needed}
        native = dataset(cropped)
        for protocol in PROTOCOLS:  # says in the attrs of the bands how blurred they are
            yield gsd, protocol, Trial(native.s2sr.degrade(factor, protocol=protocol), cropped[gsd], gsd)


def dataset(stacks: Mapping[int, np.ndarray]) -> xr.Dataset:
    """Stacks of DN by GSD as a native-resolution Dataset of floats."""
    ds = xr.Dataset()
    for gsd, stack in stacks.items():
        dims = (f"y{gsd}", f"x{gsd}")
        coords = {
            dim: gsd * (np.arange(n) + 0.5) * (-1) ** (dim[0] == "y")
            for dim, n in zip(dims, stack.shape[1:], strict=True)
        }
        for band, image in zip(BY_GSD[gsd], stack, strict=True):
            ds[band] = xr.DataArray(image.astype(np.float32), coords, dims, attrs={"units": "dn"})
    return ds


def scored(restored: np.ndarray, truth: np.ndarray, factor: int) -> dict[str, np.ndarray]:
    """All metrics, per band or of a resolution; SAM needs several bands, as every resolution here has."""
    return {metric.name: np.atleast_1d(metric.score(restored, truth, factor)) for metric in METRICS}


def peers(folder: Path, into: Path) -> dict[tuple[int, str], Model]:
    """AESR's weights by GSD and level, imported."""
    found = {}
    for gsd in (20, 60):
        for level in ("l1c", "l2a"):
            path = folder / f"aesr_{level}_{gsd}.hdf5"
            if path.is_file():
                found[gsd, level.upper()] = importers.keras(path, into / f"{path.stem}.onnx")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--peers", type=Path, help="folder with aesr_l1c_20.hdf5 and so on")
    parser.add_argument("--offset", type=float, default=0.0, help="DN added to every input")
    parser.add_argument("--model", action="append", default=[], help="also score this model file; may be repeated")
    parser.add_argument("--no-adapt", action="store_true", help="networks alone")
    arguments = parser.parse_args()
    steps = (False,) if arguments.no_adapt else (False, True)
    rows: dict[tuple[int, str, str, bool], list[dict[str, np.ndarray]]] = {}
    print(
        f"split {arguments.split}, offset {arguments.offset:+g} DN; RMSE in DN, mean over bands; ratio: the mean over"
    )
    print("bands of RMSE / RMSE(bicubic); SRE in dB, SAM in degrees\n")
    titles = "".join(f"{name.upper():>{width}}" for name, (width, _) in SHOWN.items())
    head = f"{'GSD':>5} {'protocol':<9}{'method':<14}{'adapted':<8}{'ratio':>6}{titles}"
    print(f"{'scene':<32}{head}   RMSE per band")
    with tempfile.TemporaryDirectory() as folder:
        aesr = {} if arguments.peers is None else peers(arguments.peers, Path(folder))
        given = {model.card.name: model for model in map(xr_s2sr.models.load, arguments.model)}
        for scene in scenes(arguments.scenes, arguments.split):
            for gsd, protocol, trial in trials(scene):
                methods: dict[str, str | Model | None] = {"bicubic": "bicubic", OURS: None}
                if (gsd, scene.level) in aesr:
                    methods["AESR"] = aesr[gsd, scene.level]
                methods |= {name: model for name, model in given.items() if restores(model, gsd, trial.inputs)}
                results = {
                    (name, adapt): scored(
                        trial.restore(model, offset=0.0 if name == "bicubic" else arguments.offset, adapt=adapt),
                        trial.truth,
                        FACTOR[gsd],
                    )
                    for name, model in methods.items()
                    for adapt in steps
                }
                for (name, adapt), result in results.items():
                    result["ratio"] = result["rmse"] / results["bicubic", False]["rmse"]
                    rows.setdefault((gsd, protocol, name, adapt), []).append(result)
                    bands = " ".join(f"{error:.1f}" for error in result["rmse"])
                    print(f"{scene.name:<32}{label(gsd, protocol, name, adapt)}{line(result)}   {bands}", flush=True)
    print(f"\nmean over scenes\n{head}")
    for key, results in sorted(rows.items(), key=lambda item: item[0][:2]):
        mean = {metric: np.mean([result[metric].mean() for result in results]) for metric in results[0]}
        print(f"{label(*key)}{line(mean)}   ({len(results)} scenes)")
    return 0


def restores(model: Model, gsd: int, ds: xr.Dataset) -> bool:
    """Tell whether a model restores bands of a resolution, from those that there are."""
    needed = {*model.card.bands} - {*model.card.optional}
    return gsd in {BANDS[band].gsd for band in model.card.targets} and needed <= {*ds.data_vars}


def label(gsd: int, protocol: str, name: str, adapt: bool) -> str:
    """Beginning of a row."""
    return f"{gsd:>3} m {protocol:<9}{name[-13:]:<14}{'yes' if adapt else 'no':<8}"


def line(result: Mapping[str, np.ndarray]) -> str:
    """One row of the table."""
    values = "".join(f"{np.mean(result[name]):>{width}.{digits}f}" for name, (width, digits) in SHOWN.items())
    return f"{np.mean(result['ratio']):>6.3f}{values}"


if __name__ == "__main__":
    sys.exit(main())
