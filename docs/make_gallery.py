"""Make the pictures of gallery.md and the README from real scenes: ``python docs/make_gallery.py --scenes DIR``.

DIR is a folder of scenes as training.md describes it, with those that SHOWN names. Run it again after a change of the
packaged models; every picture is written anew. Only held-out scenes are taken (of the splits "test" and "validation"),
from collections whose licence lets us show them.
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
ZOOM = 2
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


_BEN = "BigEarthNet, CDLA-Permissive-1.0"
SHOWN = {
    "town": Shown("ben_20171002T112112_34_76", "Town, river mouth", ("Portimao, Portugal", "37.1 N, 8.5 W"), _BEN),
    "heath": Shown("ben_20171002T112112_10_57", "Heath by the sea", ("western Algarve", "37.3 N, 8.9 W"), _BEN),
    "farmland": Shown("ben_20171208T093351_53_20", "Farmland, winter", ("southern Serbia", "43.1 N, 21.8 E"), _BEN),
    "valley": Shown("ben_20171015T104009_42_63", "Valley", ("eastern Luxembourg", "49.8 N, 6.5 E"), _BEN),
    "montado": Shown("ben_20171002T112112_49_25", "Trees and fields", ("Alentejo, Portugal", "37.7 N, 8.3 W"), _BEN),
    "forest": Shown("ben_20170927T094019_66_56", "Forest", ("Lithuania", "56.2 N, 25.1 E"), _BEN),
    "dry": Shown(
        "terramind_38D_378R_2_3_L2A", "Dry land", ("Simiyu, Tanzania", "3.4 S, 34.1 E"),
        "TerraMesh, CC BY-SA 4.0", 36, 66,
    ),
}  # fmt: skip
#: What is shown, before and after: a composite and single bands, with their native pixel sizes.
BANDS = {"B12 B8A B04": "20/10 m", "B12": "20 m", "B01": "60 m", "B09": "60 m"}
HELD_OUT = {"test": "a test scene", "validation": "a validation scene"}
#: Landscape of the README's picture.
README = "forest"


def pictures(scene: SceneFile, shown: Shown) -> dict[str, View]:
    """Restore the whole scene, and return the views of the part that is shown: true colour, and those of BANDS."""
    sr = scene.ds.s2sr.upsample(device="cpu", offset=scene.offset, progress=False)
    part = sr.isel(y=slice(shown.top, shown.top + shown.side), x=slice(shown.left, shown.left + shown.side))
    wanted = [*requested(None, "true colour"), *requested(None, "swir"), *requested(["B12", "B01", "B09"], None)]
    found = views(scene.ds, part, wanted, units=None, offset=scene.offset, percentiles=(1, 99))
    return dict(zip(("true", *BANDS), found, strict=True))


def sheet(scene: SceneFile, shown: Shown, found: dict[str, View]) -> np.ndarray:
    """Above, true colour and native pixels; below, what is seen, and the same restored."""
    date = scene.date if scene.date[:4].isdigit() else "date not known"
    about = [
        shown.title, *shown.place, f"{scene.level}, {date}", f"{shown.side * 10} m wide", "", HELD_OUT[scene.split],
    ]  # fmt: skip
    true = found["true"]
    native = [panel(true.colours(true.after), "True colour", ZOOM)]
    restored = [text(["", *about], shown.side * ZOOM)]
    for name, size in BANDS.items():
        view = found[name]
        native.append(panel(view.colours(view.before), f"{name}, {size}" if len(name) < 9 else name, ZOOM))
        restored.append(panel(view.colours(view.after), "at 10 m", ZOOM))
    return joined([native, restored])


def readme(scene: SceneFile, found: dict[str, View]) -> np.ndarray:
    """Composite and B01, native and restored, in one row."""
    swir, b01 = found["B12 B8A B04"], found["B01"]
    row = [
        panel(swir.colours(swir.before), "B12 B8A B04, native", 2),
        panel(swir.colours(swir.after), "restored to 10 m", 2),
        panel(b01.colours(b01.before), "B01, native 60 m", 2),
        panel(b01.colours(b01.after), "restored to 10 m", 2),
    ]
    return joined([row, [text([scene.copernicus], 600)]])


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
