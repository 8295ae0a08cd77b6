"""Scores of the packaged models, and of bicubic, on real scenes: Wald's protocol, both degradations.

    python tests/bench/fidelity.py --scenes DIR [--split validation] [--offset 1000]

Each scene is degraded by 2 (for the 20 m bands) or 6 (60 m), put in a Dataset with coordinates whose pixel sizes
stand for the original ones, upsampled through the public API, and compared with the bands as they were. A border
of 12 pixels is left out, for every method alike. With --offset, that many DN are added to every input and
taken off the result: what an unknown radiometric offset costs.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import xarray as xr

import xr_s2sr
from xr_s2sr.bands import BY_GSD
from xr_s2sr.quality import PROTOCOLS, degrade, rmse

FACTOR = {20: 2, 60: 6}
#: Sides that a simulated scene must be a multiple of, in 10 m pixels, so that all its grids nest.
MULTIPLE = {20: 12, 60: 36}


def simulated(arrays: dict[int, np.ndarray], factor: int, protocol: str) -> xr.Dataset:
    """The degraded scene as a float Dataset whose 10 m bands have a spacing of 10, so that the API takes it."""
    ds = xr.Dataset()
    for gsd, array in arrays.items():
        low = degrade(array, factor, protocol)
        dims = (f"y{gsd}", f"x{gsd}")
        coords = {
            dim: gsd * (np.arange(n) + 0.5) * (-1) ** (dim[0] == "y")
            for dim, n in zip(dims, low.shape[1:], strict=True)
        }
        for band, image in zip(BY_GSD[gsd], low, strict=True):
            ds[band] = xr.DataArray(image.astype(np.float32), coords, dims, attrs={"units": "dn"})
    return ds


def score(scene: dict[int, np.ndarray], gsd: int, protocol: str, offset: float, models: list[str | None]) -> dict:
    """RMSE per band (DN) of each model on one scene."""
    needed = (10, 20) if gsd == 20 else (10, 20, 60)
    h, w = (n // MULTIPLE[gsd] * MULTIPLE[gsd] for n in scene[10].shape[1:])
    arrays = {g: scene[g][:, : h * 10 // g, : w * 10 // g] for g in needed}
    ds = simulated(arrays, FACTOR[gsd], protocol)
    out = {}
    for model in models:
        added = offset if model != "bicubic" else 0.0
        sr = xr_s2sr.upsample((ds + added).map(lambda v: v.assign_attrs(units="dn")), BY_GSD[gsd], model=model)
        restored = np.stack([sr[band].values - added for band in BY_GSD[gsd]])
        out[model or "xr_s2sr"] = rmse(restored, arrays[gsd])
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--offset", type=float, default=0.0, help="DN added to every input")
    parser.add_argument("--model", action="append", help="also score this model file; may be repeated")
    arguments = parser.parse_args()
    models: list[str | None] = ["bicubic", None, *(arguments.model or [])]
    entries = [e for e in json.loads((arguments.scenes / "manifest.json").read_text()) if e["split"] == arguments.split]
    if not entries:
        print(f"no scene of the split {arguments.split!r} in {arguments.scenes}", file=sys.stderr)
        return 1
    print(f"split {arguments.split}, offset {arguments.offset:+g} DN")
    print("RMSE in DN, mean over bands, and the mean of its ratios to bicubic's\n")
    head = f"{'scene':<36}{'GSD':>5} {'protocol':<9}{'method':<12}{'RMSE':>8}{'ratio':>7}   per band"
    print(head)
    ratios: dict[tuple[int, str, str], list[float]] = {}
    for entry in entries:
        with np.load(arguments.scenes / f"{entry['file']}.npz") as z:
            scene = {gsd: z[f"b{gsd}"].astype(np.float64) for gsd in (10, 20, 60) if f"b{gsd}" in z}
        for gsd, protocol in ((gsd, protocol) for gsd in (20, 60) for protocol in PROTOCOLS):
            if gsd not in scene or min(scene[gsd].shape[1:]) <= 30:
                continue
            results = score(scene, gsd, protocol, arguments.offset, models)
            for method, errors in results.items():
                ratio = float(np.mean(errors / results["bicubic"]))
                ratios.setdefault((gsd, protocol, method), []).append(ratio)
                row = f"{entry['file']:<36}{gsd:>3} m {protocol:<9}{method[-11:]:<12}"
                print(f"{row}{errors.mean():>8.2f}{ratio:>7.3f}   " + " ".join(f"{error:.1f}" for error in errors))
    print("\nmean over scenes of RMSE / RMSE(bicubic)")
    for (gsd, protocol, method), values in ratios.items():
        if method != "bicubic":
            print(f"{gsd} m  {protocol:<6} {method:<12} {np.mean(values):.3f}   ({len(values)} scenes)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
