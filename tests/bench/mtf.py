"""How much the coarse bands of real products are blurred: their MTF, measured against the 10 m bands.

    python tests/bench/mtf.py --scenes DIR [--cubes DIR] [--hidden 5] [--json FILE]

No scene holds a target whose true contrast is known, but every scene holds the 10 m bands, which saw the same ground
more sharply. So an MTF can be measured relative to theirs. All numbers below assume that the 10 m bands have their
nominal MTF, that blurs are Gaussian, and that the mean of r x r pixels counts as a Gaussian of variance (r^2 - 1) / 12:
a band of MTF M at its Nyquist frequency is a guide of MTF m, blurred further by a variance of

    v = (2 / pi^2) (ln m - r^2 ln M) - (r^2 - 1) / 12   pixels of 10 m,   and averaged r x r,

which is what `degrade` and the adaptive step do. Whatever else blurs a product (resampling, misregistration) is in M:
it is the blur to simulate and to assume, not the instrument's. Two estimators:

regression  The high-passed band is regressed on the high-passed guides, seen with MTF M, in a Gaussian window around
            each coarse pixel. The M that leaves the least residual, by a parabola through the minimum.
kernel      The gains so found make one image at 10 m of the guides. From it to the band, the separable kernel of
            5 x 5 coarse pixels is found by least squares, along columns (y) and rows (x). Its transfer function is
            fitted by a Gaussian over .1 to .5 cycles a coarse pixel; "at Nyquist" is its own value there.

Bias        With --cubes (airborne images of all bands at 10 m) both are run on bands that were blurred by known MTFs.
            With --hidden N so they are on every Nth real scene, with hidden bands: a 10 m band, degraded with a known
            MTF, found again from the three others. "effective" is the median of the regression, divided by what it
            found on the cubes for each unit of what was put in.

Scenes are as `xr_s2sr.training` reads them, of the splits "train" and "validation"; each place has one vote. A folder
of cubes holds NAME.npz with `cube` (12, H, W) in DN: B01 ... B12 without B10. One thread, some ten minutes for all.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import fft, ndimage

from xr_s2sr.bands import BY_GSD, NOMINAL_MTF
from xr_s2sr.quality import block_mean

Array = NDArray[np.float64]

FINE = BY_GSD[10]
COARSE = (*BY_GSD[20], *BY_GSD[60])
CUBE = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
#: Candidates for an MTF. Above .5 a 10 m guide would have to be sharpened.
GRID = np.round(np.arange(0.06, 0.53, 0.02), 2)
#: Gaussians of the high-pass and of the window, in coarse pixels; the ridge, relative and in DN^2.
HIGH_PASS, WINDOW, RIDGE, FLOOR = 1.5, 3.0, 1e-2, 10.0
#: Coarse pixels that are not looked at, at each border, and that a scene must have a side.
MARGIN, LEAST = 3, 36
#: Side of the kernel in coarse pixels, its ridge, and the frequencies that a Gaussian is fitted over.
SIDE, KERNEL_RIDGE, FREQUENCIES = 5, 1e-3, np.linspace(0.1, 0.5, 17)
#: "test" is never chosen by; "train-only" holds composites and clouds with parallax, whose bands do not fit together.
SPLITS = ("train", "validation")
#: Groups of fewer places are not shown.
ENOUGH = 5
#: Known MTFs: put into cubes, these times the nominal one; into hidden bands.
KNOWN, KNOWN_HIDDEN = (0.7, 0.85, 1.0), 0.25
#: DN of noise on all that is simulated.
NOISE = 5.0


@dataclass(frozen=True)
class View:
    """Bands of one coarse resolution, and their guides at 10 m, in DN."""

    place: str
    factor: int
    guides: Mapping[str, Array]
    coarse: Mapping[str, Array]
    level: str = ""
    satellite: str = ""


@dataclass(frozen=True)
class Found:
    """What was found for one band of one scene: MTFs at its Nyquist frequency."""

    regression: float
    y: float
    x: float
    nyquist_y: float
    nyquist_x: float


def variance(mtf: float, factor: int) -> float:
    """Of the Gaussian with this MTF at the Nyquist frequency of a band, in pixels of 10 m."""
    return -2 * float(np.log(mtf)) * (factor / np.pi) ** 2


def mtf_of(variance: float, factor: int) -> float:
    """The inverse."""
    return float(np.exp(-variance / 2 * (np.pi / factor) ** 2))


def blurred(image: Array, variance: float) -> Array:
    """A Gaussian over the last two axes, mirrored at the borders, exact for any width."""
    h, w = image.shape[-2:]
    y, x = (np.exp(-variance / 2 * (np.pi * np.arange(n) / n) ** 2) for n in (h, w))
    blurred: Array = fft.idctn(fft.dctn(image, axes=(-2, -1)) * y[:, None] * x, axes=(-2, -1))
    return blurred


def high(image: Array, pixel: int = 1) -> Array:
    """What the Gaussian of the high-pass takes away, on a grid of `pixel` to a coarse pixel."""
    return image - blurred(image, (HIGH_PASS * pixel) ** 2)


def seen(guides: Mapping[str, Array], mtf: float, factor: int) -> Array:
    """The guides as a sensor of this MTF at the coarse Nyquist frequency sees them, high-passed."""
    block = (factor**2 - 1) / 12
    extra = (variance(mtf, factor) - variance(NOMINAL_MTF[band], 1) - block for band in guides)
    return high(np.stack([block_mean(blurred(g, v), factor) for g, v in zip(guides.values(), extra, strict=True)]))


def gains(guides: Array, bands: Array) -> Array:
    """Local ridge regression of high-passed bands on high-passed guides: (bands, guides, y, x)."""

    def windowed(image: Array) -> Array:
        return ndimage.gaussian_filter(image, WINDOW, axes=(-2, -1), truncate=3)

    n = len(guides)
    normal = np.empty((*guides.shape[1:], n, n))
    for i in range(n):
        normal[..., i:, i] = np.moveaxis(windowed(guides[i] * guides[i:]), 0, -1)
        normal[..., i, i:] = normal[..., i:, i]
    ridge = RIDGE * np.trace(normal, axis1=-2, axis2=-1) / n + FLOOR
    normal += ridge[..., None, None] * np.eye(n)
    right = windowed(guides * bands[:, None])
    return np.moveaxis(np.linalg.solve(normal, np.moveaxis(right, (0, 1), (-1, -2))), (-1, -2), (0, 1))


def inner(image: Array) -> Array:
    """Without the border."""
    return image[..., MARGIN:-MARGIN, MARGIN:-MARGIN]


def residuals(view: View) -> Array:
    """Sum of squares that the regression leaves: (bands, GRID)."""
    bands = high(np.stack(list(view.coarse.values())))
    left = []
    for mtf in GRID:
        guides = seen(view.guides, mtf, view.factor)
        rest = bands - (gains(guides, bands) * guides).sum(1)
        left.append((inner(rest) ** 2).sum((-2, -1)))
    return np.stack(left, -1)


def least(curve: Array) -> float:
    """Where a curve over GRID is least, by a parabola through the three points about its minimum."""
    k = int(np.argmin(curve))
    if k in (0, len(GRID) - 1):
        return float(GRID[k])
    below, at, above = curve[k - 1 : k + 2]
    return float(GRID[k] + (GRID[1] - GRID[0]) / 2 * (below - above) / (below - 2 * at + above))


def equations(view: View, band: str, mtf: float) -> tuple[Array, Array]:
    """Normal equations of the kernel from the guides, made alike and added up with the gains, to a band."""
    r, n = view.factor, SIDE * view.factor
    coarse = high(view.coarse[band])
    weights = gains(seen(view.guides, mtf, r), coarse[None])[0]
    widest = max(variance(NOMINAL_MTF[g], 1) for g in view.guides)
    image = np.zeros_like(next(iter(view.guides.values())))
    for (name, guide), weight in zip(view.guides.items(), weights, strict=True):
        up = ndimage.zoom(weight, r, order=1, mode="nearest", grid_mode=True)
        image += up * high(blurred(guide, widest - variance(NOMINAL_MTF[name], 1)), r)
    # the window of a coarse pixel reaches (n - r) / 2 fine pixels beyond it, two coarse ones: within the margin
    start = MARGIN * r - (n - r) // 2
    windows = sliding_window_view(image, (n, n))[start::r, start::r]
    target = inner(coarse)
    normal, right = np.zeros((n * n, n * n)), np.zeros(n * n)
    for row, value in zip(windows, target, strict=False):
        x = row[: target.shape[1]].reshape(-1, n * n)
        normal += x.T @ x
        right += x.T @ value
    return normal, right


def separable(normal: Array, right: Array) -> tuple[Array, Array]:
    """The separable kernel that solves normal equations best, along y and x, by alternating least squares."""
    n = int(np.sqrt(len(right)))
    a, b = normal.reshape(n, n, n, n), right.reshape(n, n)
    y = x = np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n / SIDE / 2)) ** 2)
    for _ in range(30):
        for along in "yx":
            if along == "y":
                m, v = np.einsum("ijkl,j,l->ik", a, x, x, optimize=True), b @ x
            else:
                m, v = np.einsum("ijkl,i,k->jl", a, y, y, optimize=True), y @ b
            solved = np.linalg.solve(m + KERNEL_RIDGE * np.trace(m) / n * np.eye(n), v)
            y, x = (solved, x) if along == "y" else (y, solved / solved.sum())
    return y, x


def of_kernel(kernel: Array, factor: int, guides: Iterable[str]) -> tuple[float, float]:
    """MTF of the Gaussian that fits the transfer function of one axis of a kernel, and its own value at Nyquist."""
    omega = 2 * np.pi * FREQUENCIES / factor
    transfer = np.abs(np.exp(-1j * np.outer(omega, np.arange(len(kernel)))) @ kernel)
    block = np.sinc(FREQUENCIES) / np.sinc(FREQUENCIES / factor)
    slope, top = np.polyfit(omega**2, np.log(transfer / block), 1)
    guide = max(variance(NOMINAL_MTF[g], 1) for g in guides)
    whole = -2 * slope + (factor**2 - 1) / 12 + guide
    return mtf_of(whole, factor), float(transfer[-1] / np.exp(top)) * mtf_of(guide, factor)


def measure(views: Sequence[View]) -> dict[str, Found]:
    """Both estimators on views that tell of the same bands: of one scene, or of one cube in several positions."""
    curves = sum(residuals(view) for view in views)
    found = {}
    for band, curve in zip(views[0].coarse, curves, strict=True):
        mtf = least(curve)
        normal, right = (sum(terms) for terms in zip(*(equations(v, band, mtf) for v in views), strict=True))
        kernels = (of_kernel(k, views[0].factor, views[0].guides) for k in separable(normal, right))
        (y, nyquist_y), (x, nyquist_x) = kernels
        found[band] = Found(mtf, y, x, nyquist_y, nyquist_x)
    return found


def noisy(image: Array, seed: Sequence[int]) -> Array:
    return image + NOISE * np.random.default_rng(seed).standard_normal(image.shape)


def degraded(image: Array, has: float, mtf: float, factor: int) -> Array:
    """An image that already has a blur of variance `has`, seen with an MTF at the coarse Nyquist frequency."""
    extra = variance(mtf, factor) - has - (factor**2 - 1) / 12
    return block_mean(blurred(image, extra), factor)


def scenes(folder: Path) -> Iterator[View]:
    """Every coarse resolution of every scene of the folder that is large enough, but for those of the split "test"."""
    for entry in json.loads((folder / "manifest.json").read_text(encoding="utf-8")):
        if entry["split"] not in SPLITS:
            continue
        with np.load(folder / f"{entry['file']}.npz") as arrays:
            data = {key: arrays[key].astype(np.float64) for key in ("b10", "b20", "b60") if key in arrays}
        satellite = re.match(r"S2[ABC]", entry["product"])
        level = re.match(r"L1C|L2A", entry["level"])
        about = entry["place"], level.group() if level else "", satellite.group() if satellite else ""
        for gsd, key in ((20, "b20"), (60, "b60")):
            if key in data and min(data[key].shape[1:]) >= LEAST:
                guides = dict(zip(FINE, data["b10"], strict=True))
                coarse = dict(zip(BY_GSD[gsd], data[key], strict=True))
                yield View(about[0], gsd // 10, guides, coarse, *about[1:])


def seen_cubes(folder: Path, known: float) -> Iterator[tuple[str, list[View]]]:
    """Each cube, seen with `known` times the nominal MTF, in several positions of the coarse grid, per resolution."""
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as arrays:
            cube = dict(zip(CUBE, arrays["cube"].astype(np.float64), strict=True))
        for gsd, steps in ((20, (0, 1)), (60, (0, 2, 4))):
            r = gsd // 10
            views = []
            for number, (dy, dx) in enumerate(product(steps, steps)):
                h, w = ((n - max(steps)) // r * r for n in cube["B02"].shape)
                cut = {band: image[dy : dy + h, dx : dx + w] for band, image in cube.items()}
                guides = {b: noisy(blurred(cut[b], variance(NOMINAL_MTF[b], 1)), (number, *b.encode())) for b in FINE}
                coarse = {
                    b: noisy(degraded(cut[b], 0, known * NOMINAL_MTF[b], r), (number, *b.encode())) for b in BY_GSD[gsd]
                }
                views.append(View(path.stem, r, guides, coarse))
            yield path.stem, views


def hidden(view: View, known: float) -> Iterator[View]:
    """The scene with one 10 m band after the other hidden: degraded to an MTF of `known`, from its nominal one."""
    for band, image in view.guides.items():
        low = degraded(image, variance(NOMINAL_MTF[band], 1), known, view.factor)
        others = {name: guide for name, guide in view.guides.items() if name != band}
        yield replace(view, guides=others, coarse={band: noisy(low, tuple(band.encode()))})


def votes(results: Iterable[tuple[View, Mapping[str, Found]]]) -> dict[str, Array]:
    """Of each band what was found, (places, estimates): the median of each place."""
    places: dict[str, dict[str, list[tuple[float, ...]]]] = {}
    for view, found in results:
        for band, value in found.items():
            places.setdefault(band, {}).setdefault(view.place, []).append(astuple(value))
    return {band: np.array([np.median(v, axis=0) for v in of_band.values()]) for band, of_band in places.items()}


def quartiles(values: Array) -> str:
    low, median, high = np.percentile(values, [25, 50, 75])
    return f"{median:.3f} ({low:.3f}-{high:.3f})"


def table(title: str, found: Mapping[str, Array], effective: Callable[[str, float], float] | None) -> None:
    """Medians and quartiles over places."""
    found = {band: values for band, values in found.items() if len(values) >= ENOUGH}
    if not found:
        return
    columns = "regression", "kernel, y", "kernel, x"
    head = f"{'band':5}{'nominal':>8}{'places':>7}" + "".join(f"{name:>22}" for name in columns)
    print(f"\n{title}\n{head}{'at Nyquist, y and x':>21}{'effective' if effective else '':>11}")
    for band in (b for b in COARSE if b in found):
        medians = np.median(found[band], axis=0)
        row = f"{band:5}{NOMINAL_MTF[band]:8.2f}{len(found[band]):7}"
        row += "".join(f"{quartiles(found[band][:, k]):>22}" for k in range(3)) + f"{medians[3]:14.3f}{medians[4]:7.3f}"
        print(row + (f"{effective(band, medians[0]):11.3f}" if effective else ""))


def of_cubes(folder: Path) -> dict[str, Array]:
    """Of each band what was put into the cubes and what the estimators found: (KNOWN, 1 + estimates), medians."""
    bias: dict[str, list[list[float]]] = {}
    print(f"\ncubes: put in, and the median over cubes of what was found\n{'band':5}{'put in':>8}", end="")
    print(f"{'regression':>22}{'kernel, y':>22}{'kernel, x':>22}")
    for known in KNOWN:
        found = votes((View(name, 0, {}, {}), measure(views)) for name, views in seen_cubes(folder, known))
        for band, values in found.items():
            put = known * NOMINAL_MTF[band]
            bias.setdefault(band, []).append([put, *np.median(values, axis=0)])
            print(f"{band:5}{put:8.3f}" + "".join(f"{quartiles(values[:, k]):>22}" for k in range(3)), flush=True)
    return {band: np.array(rows) for band, rows in bias.items()}


def put_right(bias: Mapping[str, Array], band: str, found: float) -> float:
    """What was put in where the regression finds this, going by the cubes."""
    put, regression = bias[band][:, 0], bias[band][:, 1]
    return found / float(np.interp(found, regression, regression / put))


def check_hidden(views: Iterable[View], known: float) -> None:
    results = [(v, measure([v])) for view in views for v in hidden(view, known)]
    print(f"\nhidden 10 m bands of real scenes: {known:.3f} put in\n{'band':5}{'as':>6}{'places':>7}", end="")
    print(f"{'regression':>22}{'kernel, y':>22}{'kernel, x':>22}")
    for factor in (2, 6):
        for band, values in votes((v, found) for v, found in results if v.factor == factor).items():
            cells = "".join(f"{quartiles(values[:, k]):>22}" for k in range(3))
            print(f"{band:5}{factor * 10:>4} m{len(values):7}{cells}")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True, metavar="DIR")
    parser.add_argument("--cubes", type=Path, metavar="DIR", help="measure and correct the bias on these")
    parser.add_argument("--hidden", type=int, metavar="N", help="measure it on every Nth scene too, with hidden bands")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found, scene by scene")
    options = parser.parse_args(argv)
    start = time.perf_counter()
    bias = of_cubes(options.cubes) if options.cubes else None
    effective = partial(put_right, bias) if bias else None
    results = [(view, measure([view])) for view in scenes(options.scenes)]
    table("all scenes", votes(results), effective)
    for level in ("L1C", "L2A"):
        table(level, votes((v, found) for v, found in results if v.level == level), effective)
    for satellite in ("S2A", "S2B", "S2C"):
        table(satellite, votes((v, found) for v, found in results if v.satellite == satellite), effective)
    if options.hidden:
        check_hidden((view for view, _ in results[:: options.hidden]), KNOWN_HIDDEN)
    if options.json:
        rows = [
            {"place": v.place, "level": v.level, "satellite": v.satellite, "band": band, **vars(value)}
            for v, found in results
            for band, value in found.items()
        ]
        told = {"scenes": rows, "cubes": {band: values.tolist() for band, values in (bias or {}).items()}}
        options.json.write_text(json.dumps(told, indent=1), encoding="utf-8")
    print(f"\n{time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
