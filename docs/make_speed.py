"""Draw the picture of performance.md: ``python docs/make_speed.py speed.json``.

The file is written by ``python tests/bench/speed.py --json speed.json``, with three or more ``--sizes``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

STATIC = Path(__file__).parent / "_static"
#: Colours that the colour-blind tell apart (Okabe and Ito), by job of the bench.
JOBS = {"both": ("all eight bands", "#000000"), "20m": ("20 m bands", "#0072B2"), "60m": ("60 m bands", "#D55E00")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", type=Path)
    lines = json.loads(parser.parse_args().json.read_text())["upsample"]
    lines = [line for line in lines if (line["dtype"], line["form"]) == ("uint16", "eager")]
    mpl.rcParams["svg.hashsalt"] = "xr_s2sr"  # the same file for the same figures
    figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
    for job, (title, colour) in JOBS.items():
        for threads, style in ((1, ":"), (2, "-")):
            own = sorted(
                (r["size"] ** 2 / 1e6, r["seconds"]) for r in lines if (r["bands"], r["threads"]) == (job, threads)
            )
            if own:
                x, y = np.transpose(own)
                axes.plot(
                    x, y, style, color=colour, marker="o", ms=4, label=f"{title}, {threads} thread{'s'[: threads - 1]}"
                )
    axes.set(xscale="log", yscale="log", xlabel="scene, Mpixel of 10 m", ylabel="seconds")
    axes.grid(True, which="both", alpha=0.2)
    axes.legend(frameon=False)
    figure.savefig(STATIC / "speed.svg", metadata={"Date": None})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
