"""Scores at the true 10 m, on airborne scenes that have a truth there for every band.

    python tests/bench/cubes.py --cubes DIR [--model FILE ...] [--peers DIR] [--no-adapt] [--json FILE]
        [--all | [--move 0.5] [--mtf-factor 0.8] [--nominal]] [--noise 5 | sensor]

DIR holds cubes: NAME.npz with ``cube`` (12, y, x), pixels of 10 m in DN (reflectance x 10000), bands B01 ... B12
without B10, and perhaps a manifest.json that says of each ``file`` what its ``use`` is. The truth of a band is the cube
seen with the band's nominal MTF at 10 m, and so are the inputs at 10 m; a coarse band is the cube seen with its
effective MTF (that of real products, which the adaptive step takes for granted) at its own pixel size. All inputs get
noise: of so many DN, or the sensor's. The step may be led astray: by coarse bands that are moved by so many pixels of
10 m, along both axes; by a true MTF that is not the one it assumes, by a factor or because it is the nominal one.

Printed is RMSE / RMSE(bicubic), a border of 12 pixels left out, by band and as mean over the bands of each resolution:
the mean over all cubes, and each cube that may choose between candidates (``use`` says "choose"). Every method comes
without and with the adaptive step; bicubic with it is local regression on the 10 m bands, without a network. --peers
names a folder with the weights of AESR (UP42), made for L1C and for L2A; a cube is neither, so both are scored.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr
from fidelity import OURS, dataset, peers
from scipy import ndimage

import xr_s2sr
from xr_s2sr.bands import BANDS, BY_GSD, CIRRUS, EFFECTIVE_MTF, NOMINAL_MTF
from xr_s2sr.models import Model
from xr_s2sr.psf import block_variance, psf_variance
from xr_s2sr.quality import block_mean, blur, rmse
from xr_s2sr.quality.noise import noise_variance

#: Planes of a cube, and the bands that are scored, in the order of the tables.
PLANES = tuple(band for band in BANDS if band != CIRRUS)
SCORED = (*BY_GSD[20], *BY_GSD[60])
#: Sides of what is taken of a cube are multiples of that, so that all grids nest.
MULTIPLE = 6


@dataclass(frozen=True)
class Cube:
    """Twelve planes in DN, and whether the cube may choose between candidates."""

    name: str
    planes: Mapping[str, np.ndarray]
    chooses: bool = False


@dataclass(frozen=True)
class Condition:
    """How the sensor sees a cube.

    Attributes
    ----------
    move : float
        Pixels of 10 m, along both axes, by which the coarse bands are off.
    factor : float
        MTF of the coarse bands over the one that the adaptive step assumes.
    nominal : bool
        It is the nominal MTF times that, not the effective one.
    noise : float, optional
        Standard deviation in DN; by default the sensor's own.
    """

    move: float = 0.0
    factor: float = 1.0
    nominal: bool = False
    noise: float | None = 5.0

    def __str__(self) -> str:
        mtf = f"{'nominal' if self.nominal else 'effective'} MTF" + (f" x {self.factor:g}" if self.factor != 1 else "")
        moved = f", coarse bands moved by {self.move:g} px along both axes" if self.move else ""
        return f"{mtf}{moved}, noise {'of the sensor' if self.noise is None else f'{self.noise:g} DN'}"

    def seen(self, plane: np.ndarray, band: str) -> np.ndarray:
        """Return a plane as the sensor sees it, without noise."""
        factor = BANDS[band].factor
        if factor == 1:
            return blurred(plane, psf_variance(NOMINAL_MTF[band]))
        mtf = self.factor * (NOMINAL_MTF if self.nominal else EFFECTIVE_MTF)[band]
        image = blurred(plane, factor**2 * psf_variance(mtf) - block_variance(factor))
        if self.move:
            image = ndimage.shift(image, self.move, mode="reflect")
        return block_mean(image, factor)

    def inputs(self, cube: Cube) -> xr.Dataset:
        """Return the scene that the sensor makes of a cube; its noise is the same in every condition."""
        rng = np.random.default_rng([*cube.name.encode()])
        stacks: dict[int, np.ndarray] = {}
        for gsd, bands in BY_GSD.items():
            noisy = []
            for band in bands:
                image = self.seen(cube.planes[band], band)
                sigma = noise_variance(band).sigma(image) if self.noise is None else self.noise
                noisy.append(image + sigma * rng.standard_normal(image.shape))
            stacks[gsd] = np.stack(noisy)
        return dataset(stacks)


#: What --all runs.
CONDITIONS = (
    Condition(),
    Condition(move=0.5),
    Condition(factor=0.8),
    Condition(factor=1.2),
    Condition(nominal=True),
)


def blurred(image: np.ndarray, variance: float) -> np.ndarray:
    """Return an image blurred by a Gaussian; as it is, where the variance is not above 0."""
    return blur(image, np.sqrt(variance)) if variance > 0 else image


def truth(cube: Cube) -> dict[str, np.ndarray]:
    """Return the bands as their detectors would see them, had they pixels of 10 m."""
    return {band: blurred(cube.planes[band], psf_variance(NOMINAL_MTF[band])) for band in SCORED}


def cubes(folder: Path) -> Iterator[Cube]:
    """The cubes of a folder."""
    manifest = folder / "manifest.json"
    entries = json.loads(manifest.read_text()) if manifest.is_file() else []
    uses = {entry["file"]: str(entry.get("use", "")) for entry in entries}
    names = list(uses) or sorted(path.stem for path in folder.glob("*.npz"))
    if not names:
        sys.exit(f"no cube in {folder}")
    for name in names:
        with np.load(folder / f"{name}.npz") as arrays:
            cube = arrays["cube"].astype(np.float64)
        h, w = (n // MULTIPLE * MULTIPLE for n in cube.shape[1:])
        yield Cube(name, dict(zip(PLANES, cube[:, :h, :w], strict=True)), uses.get(name, "").startswith("choose"))


#: Models by what they are called; None is the packaged ones.
Methods = Mapping[str, Sequence["str | Model"] | None]
#: RMSE / RMSE(bicubic) of the bands, by method, and whether the adaptive step followed.
Rows = dict[tuple[str, bool], np.ndarray]


def scores(cube: Cube, condition: Condition, methods: Methods, steps: Sequence[bool]) -> Rows:
    """Return the scores of all methods, NaN for bands that a method does not restore."""
    inputs, true = condition.inputs(cube), truth(cube)

    def errors(models: Sequence[str | Model] | None, adapt: bool) -> np.ndarray:
        given = [model for model in models or () if isinstance(model, Model)]
        able = [band for band in SCORED if not given or any(band in model.card.targets for model in given)]
        sr = xr_s2sr.upsample(inputs, able, model=models, adapt=adapt, progress=False)
        found = {band: float(rmse(sr[band].values[None], true[band][None])[0]) for band in able}
        return np.array([found.get(band, np.nan) for band in SCORED])

    plain = errors(["bicubic"], False)
    return {(name, adapt): errors(models, adapt) / plain for name, models in methods.items() for adapt in steps}


def table(title: str, rows: Rows) -> str:
    """Return the scores as a table."""
    lines = [title, f"  {'method':<18}{'adapted':<9}{'20 m':>6}{'60 m':>7}  " + "".join(f"{b:>6}" for b in SCORED)]
    n = len(BY_GSD[20])
    for (name, adapt), row in rows.items():
        means = f"{row[:n].mean():>6.3f}{row[n:].mean():>7.3f}  "
        line = f"  {name:<18}{'yes' if adapt else 'no':<9}{means}" + "".join(f"{ratio:>6.3f}" for ratio in row)
        lines.append(line.replace("nan", "  -"))
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cubes", type=Path, required=True)
    parser.add_argument("--model", action="append", default=[], help="also score this model; may be repeated")
    parser.add_argument("--peers", type=Path, help="folder with aesr_l1c_20.hdf5 and so on")
    parser.add_argument("--no-adapt", action="store_true", help="networks alone")
    parser.add_argument("--all", action="store_true", help="every condition that the documentation reports")
    parser.add_argument("--move", type=float, default=0.0, help="move the coarse bands by so many pixels of 10 m")
    parser.add_argument("--mtf-factor", type=float, default=1.0, help="true MTF over the assumed one")
    parser.add_argument("--nominal", action="store_true", help="the true MTF is the nominal one")
    parser.add_argument("--noise", default="5", help='DN, or "sensor"')
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    noise = None if arguments.noise == "sensor" else float(arguments.noise)
    asked = Condition(arguments.move, arguments.mtf_factor, arguments.nominal)
    steps = (False,) if arguments.no_adapt else (False, True)
    records: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        methods: dict[str, Sequence[str | Model] | None] = {"bicubic": ["bicubic"], OURS: None}
        methods |= {model.card.name: [model] for model in map(xr_s2sr.models.load, arguments.model)}
        aesr = {} if arguments.peers is None else peers(arguments.peers, Path(folder))
        for level in sorted({level for _, level in aesr}):
            methods[f"AESR, for {level}"] = [model for (_, own), model in aesr.items() if own == level]
        all_cubes = list(cubes(arguments.cubes))
        for condition in (replace(c, noise=noise) for c in (CONDITIONS if arguments.all else (asked,))):
            found = {cube.name: scores(cube, condition, methods, steps) for cube in all_cubes}
            rows = {key: np.mean([own[key] for own in found.values()], axis=0) for key in found[all_cubes[0].name]}
            print(table(f"{condition}: RMSE / RMSE(bicubic) at 10 m, mean of {len(found)} cubes", rows))
            for cube in all_cubes:
                if cube.chooses:
                    print(table(f"  {cube.name}, which may choose", found[cube.name]))
            print(flush=True)
            records += [
                {"condition": str(condition), "cube": cube, "method": name, "adapted": adapt}
                | {band: ratio for band, ratio in zip(SCORED, row, strict=True) if np.isfinite(ratio)}
                for cube, own in found.items()
                for (name, adapt), row in own.items()
            ]
            if arguments.json:
                arguments.json.write_text(json.dumps(records, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
