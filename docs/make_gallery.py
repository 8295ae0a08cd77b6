"""Make the pictures of gallery.md and the README from real scenes: ``python docs/make_gallery.py --scenes DIR``.

DIR is a folder of scenes as training.md describes it, with those that SHOWN names. Run it again after a change of the
packaged models; every picture is written anew. Only scenes of collections whose licence lets us show them are taken.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scene_files import STATIC, SceneFile, joined, load, panel, text

from xr_s2sr.plot.png import encode
from xr_s2sr.plot.view import View, requested, views

GALLERY = STATIC / "gallery"
ZOOM = 3
#: Bytes that all pictures of the gallery may have together.
LARGEST = 2_500_000


@dataclass(frozen=True)
class Shown:
    """A landscape: its scene, the first row and column shown, and where it is. `side` is in 10 m pixels."""

    scene: str
    title: str
    place: tuple[str, ...]
    collection: str
    top: int = 0
    left: int = 0
    side: int = 120


SHOWN = {
    "town": Shown(
        "majortom_20200223_T48QUE", "Town", ("north-eastern Thailand", "17.9 N, 103.8 E"),
        "Major TOM Core, CC BY-SA 4.0", 120, 612,
    ),
    "farmland": Shown(
        "ben_20180421T114349_47_56", "Farmland", ("south-eastern Ireland", "52.6 N, 6.7 W"),
        "BigEarthNet, CDLA-Permissive-1.0",
    ),
    "coast": Shown(
        "terramind_282D_485L_3_3_L2A", "Coast", ("Parana, Brazil", "25.3 S, 48.1 W"),
        "TerraMesh, CC BY-SA 4.0", 12, 66,
    ),
    "forest": Shown(
        "ben_20170927T094019_66_56", "Forest", ("Lithuania, near Latvia", "56.2 N, 25.1 E"),
        "BigEarthNet, CDLA-Permissive-1.0",
    ),
    "snow": Shown(
        "terramind_609U_541L_3_0_L2A", "Snow", ("Hudson Bay, Canada", "54.8 N, 84.0 W"),
        "TerraMesh, CC BY-SA 4.0", 24, 6,
    ),
    "dry": Shown(
        "terramind_38D_378R_2_3_L2A", "Dry land", ("Simiyu, Tanzania", "3.4 S, 34.1 E"),
        "TerraMesh, CC BY-SA 4.0", 36, 66,
    ),
}  # fmt: skip
#: Landscape of the README's picture.
README = "forest"


def pictures(scene: SceneFile, shown: Shown) -> dict[str, View]:
    """Restore the whole scene, and return the views of the part that is shown."""
    sr = scene.ds.s2sr.upsample(device="cpu", offset=scene.offset, progress=False)
    part = sr.isel(y=slice(shown.top, shown.top + shown.side), x=slice(shown.left, shown.left + shown.side))
    wanted = [*requested(None, "true colour"), *requested(None, "swir")]
    wanted += requested(["B01"], None) if "B01" in scene.ds else []
    found = views(scene.ds, part, wanted, units=None, offset=scene.offset, percentiles=(1, 99))
    return dict(zip(("true", "swir", "B01"), found, strict=False))


def sheet(scene: SceneFile, shown: Shown, found: dict[str, View]) -> np.ndarray:
    """Above, true colour and the composite; below, what is seen, and B01."""
    width = shown.side * ZOOM
    learned = "not seen in training" if scene.split == "validation" else "the networks learned from it"
    about = [
        shown.title, *shown.place, f"{scene.level}, {scene.date if scene.date[:4].isdigit() else 'date not known'}",
        f"{shown.side * 10} m wide", learned, "", *shown.collection.split(", "), "", "Contains modified Copernicus",
        scene.copernicus.removeprefix("Contains modified Copernicus "),
    ]  # fmt: skip
    first = [
        panel(found["true"].colours(found["true"].after), "True colour, 10 m", ZOOM),
        panel(found["swir"].colours(found["swir"].before), "B12 B8A B04, native 20/10 m", ZOOM),
        panel(found["swir"].colours(found["swir"].after), "restored to 10 m", ZOOM),
    ]
    second = [text(["", *about], width)]
    if "B01" in found:
        second += [
            panel(found["B01"].colours(found["B01"].before), "B01, native 60 m", ZOOM),
            panel(found["B01"].colours(found["B01"].after), "restored to 10 m", ZOOM),
        ]
    return joined([first, second])


def readme(scene: SceneFile, found: dict[str, View]) -> np.ndarray:
    """Composite and B01, native and restored, in one row."""
    swir, b01 = found["swir"], found["B01"]
    row = [
        panel(swir.colours(swir.before), "B12 B8A B04, native", 2),
        panel(swir.colours(swir.after), "restored to 10 m", 2),
        panel(b01.colours(b01.before), "B01, native 60 m", 2),
        panel(b01.colours(b01.after), "restored to 10 m", 2),
    ]
    return joined([row, [text([scene.copernicus], 600, 1)]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True, metavar="DIR", help="folder with manifest.json")
    folder = parser.parse_args().scenes
    GALLERY.mkdir(exist_ok=True)
    total = 0
    for name, shown in SHOWN.items():
        scene = load(folder, shown.scene)
        found = pictures(scene, shown)
        made = {GALLERY / f"{name}.png": sheet(scene, shown, found)}
        if name == README:
            made[STATIC / "real.png"] = readme(scene, found)
        for path, image in made.items():
            path.write_bytes(encode(image))
            total += path.stat().st_size
            print(f"wrote {path}, {path.stat().st_size / 1000:.0f} kB")
    if total > LARGEST:
        raise SystemExit(f"the pictures have {total} bytes together; expected {LARGEST} at most: show smaller parts")


if __name__ == "__main__":
    main()
