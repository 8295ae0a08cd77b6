"""How well bands are restored at 10 m, where no truth exists: measured with bands that are hidden.

    python tests/bench/true_scale.py --scenes DIR [--steps 2000] [--only B08 B8A ...] [--ways usual sensor all ...]
        [--device cuda] [--threads 2] [--no-adapt] [--json FILE]

A 10 m band is hidden: degraded by 2 it plays a 20 m band beside the real ones, and the band as it was is the truth at
10 m. For the 60 m task B02, degraded by 6, plays B01, and B8A, degraded by 3, plays B09. The stand-ins get the sensor's
blur and no noise. For each, small networks learn in several ways, alike in all else:

usual    one scale up, with the usual degradations (Gaussians from the paper's width to 1.15 times the sensor's)
sensor   one scale up, half of the patches with the sensor's blur and its noise given back: the packaged recipe
all      one scale up, all patches with the sensor's blur and its noise given back
taught   as "sensor", and a third of the batches at the scale where it is used: there without a truth, and the target is
         what the network (or the mean of --teachers networks) gives that learned in the way "all"
true     at the scale where it is used, from the truth: possible for a hidden band only, the best that this network can

and are scored on the validation scenes: RMSE / RMSE(bicubic), at 10 m (B8A: at 20 m, the mean of 2 x 2 pixels) and one
scale up; after "/", followed by the adaptive step, with the 10 m bands that are left and the network's result as guides
and the blur of the stand-in told. "nothing" is that step without a network. The gap closed is
(usual - sensor) / (usual - true) at 10 m, and the same for "all".
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xr_s2sr.bands import BY_GSD, EFFECTIVE_MTF
from xr_s2sr.local_regression import CELL, CoarseBand, Regression, guide_of
from xr_s2sr.psf import block_variance, degraded_mtf, psf_variance
from xr_s2sr.quality import PROTOCOLS, Protocol, bicubic, block_mean, degradation_sigma, degrade, rmse
from xr_s2sr.training.data import SCALE, Augmentation, Cutter
from xr_s2sr.training.degradation import margin, normal, seeded, simulated, uniform
from xr_s2sr.training.loop import teacher_mean
from xr_s2sr.training.networks import Block, bilinear_phases, upsample
from xr_s2sr.training.recipe import Recipe, learning_rate
from xr_s2sr.training.scenes import TrainingScene, load_scenes
from xr_s2sr.training.steps import Steps, make_optimisers

GROUPS = ("fine", "middle", "hidden")
#: Ways to learn, and the share of patches that are like the sensor's.
SHARES = {"usual": 0.0, "sensor": Augmentation().sensor, "all": 1.0, "taught": Augmentation().sensor}
WAYS = (*SHARES, "true")
#: Share of the batches at the true scale, where a network is taught.
NATIVE = 1 / 3


@dataclass(frozen=True)
class Task:
    """A hidden band, and what it plays."""

    band: str
    #: GSD of the band itself, and of what it plays.
    native: int
    gsd: int

    @property
    def bands(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """Ids of the guide, of the 20 m bands, and the hidden one."""
        fine, middle = (tuple(b for b in BY_GSD[gsd] if b != self.band) for gsd in (10, 20))
        return fine, middle, (self.band,)

    @property
    def factor(self) -> int:
        """Of the degradation that makes pairs one scale up: 40 -> 20 m or 360 -> 60 m."""
        return 2 if self.gsd == 20 else 6

    @property
    def sides(self) -> tuple[int, int, int]:
        """Pixels of each group along a pixel of the coarsest."""
        return self.gsd // 10, self.gsd // 20, 1

    @property
    def multiple(self) -> int:
        """Sides of scenes are multiples of that, so that grids nest and hold whole cells of regressions."""
        factor = self.gsd // 10
        return factor * self.factor * CELL[factor]

    def mtf(self, band: str, protocol: Protocol | None) -> float:
        """MTF of an input: at the true scale without a protocol, one scale up with the one that degraded it."""
        own = EFFECTIVE_MTF[band]  # the sensor's blur, repeated at a larger pixel, has the MTF of the native one
        if protocol is None:
            return own
        sigma = degradation_sigma(self.factor, protocol, own if protocol == "sensor" else None)
        return degraded_mtf(own, sigma, self.factor)


TASKS = (*(Task(band, 10, 20) for band in BY_GSD[10]), Task("B02", 10, 60), Task("B8A", 20, 60))


@dataclass(frozen=True)
class Hidden:
    """A scene with a hidden band: guide, 20 m bands, the stand-in of the hidden band, and its truth."""

    name: str
    place: str
    fine: np.ndarray
    middle: np.ndarray
    hidden: np.ndarray
    truth: np.ndarray

    @classmethod
    def of(cls, scene: TrainingScene, task: Task) -> Hidden:
        """Hide the band of a scene."""
        scene = scene.crop(task.multiple)
        stacks = {10: scene.b10, 20: scene.b20}
        fine, middle = (
            np.stack([image for b, image in zip(BY_GSD[gsd], stacks[gsd], strict=True) if b != task.band])
            for gsd in (10, 20)
        )
        truth = stacks[task.native][BY_GSD[task.native].index(task.band)][None]
        # the sensor's blur, and no noise: given back, it would flatter the recipe that expects it
        ratio = task.gsd // task.native
        clean = degrade(truth[0], ratio, "sensor", band=task.band, noise=False)[None]
        return cls(scene.name, scene.place, fine, middle, clean.astype(np.float32), truth)

    @property
    def inputs(self) -> list[np.ndarray]:
        return [self.fine, self.middle, self.hidden]


class Net(nn.Module):
    """Our network, small, for one band: trunk on the 20 m grid, depth to space, bilinear skip."""

    lifting: Tensor
    skip: Tensor

    def __init__(self, task: Task, width: int = 48, depth: int = 6) -> None:
        super().__init__()
        fine, middle, _ = task.bands
        self.lift = task.gsd // 20
        self.guide = nn.Conv2d(len(fine), width, 6, stride=2, padding=2)
        self.coarse = nn.Conv2d(len(middle) + 1, width, 3, padding=1)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.tail = nn.Conv2d(width, 4, 3, padding=1)
        self.register_buffer("lifting", bilinear_phases(1, self.lift))
        self.register_buffer("skip", bilinear_phases(1, 2 * self.lift))
        with torch.no_grad():
            self.tail.weight.mul_(0.1)

    def forward(self, fine: Tensor, middle: Tensor, hidden: Tensor) -> Tensor:
        lifted = upsample(hidden, self.lifting, self.lift) if self.lift > 1 else hidden
        x = self.guide(fine) + self.coarse(torch.cat([middle, lifted], dim=1))
        for block in self.blocks:
            x = block(x)
        return F.pixel_shuffle(self.tail(x), 2) + upsample(hidden, self.skip, 2 * self.lift)


class Pairs:
    """Random pairs of inputs and truth in one of the ways, in DN / 2000."""

    def __init__(
        self, scenes: Sequence[Hidden], task: Task, way: str, n: int, size: int, generator: torch.Generator
    ) -> None:
        self.task, self.way, self.n, self.generator = task, way, n, generator
        if way == "true":
            sides, m, names = (*task.sides, task.gsd // task.native), 0, (*GROUPS, "truth")
        else:
            sides, m, names = tuple(side * task.factor for side in task.sides), margin(task.factor), GROUPS
        self.margin = m
        self.cutter = Cutter(scenes, size, sides, (m,) * len(sides), names, generator)

    def batch(self) -> tuple[list[Tensor], Tensor]:
        cut = self.cutter.cut(self.n)
        if self.way == "true":
            return self.augmented(cut[:3], cut[3])
        task, m = self.task, self.margin
        like = uniform(self.generator, self.n, 1) < SHARES[self.way]
        inputs = simulated(cut, task.bands, task.factor, like, self.generator)
        return self.augmented(inputs, cut[2][..., m:-m, m:-m])

    def augmented(self, inputs: list[Tensor], truth: Tensor) -> tuple[list[Tensor], Tensor]:
        """Gain and offset per patch, and noise on some, as the packaged recipe has them."""
        how, generator, one = Augmentation(), self.generator, (self.n, 1, 1, 1)
        g = torch.exp(how.gain * (2 * uniform(generator, *one) - 1))
        s = (1800 * uniform(generator, *one) - 300) * (uniform(generator, *one) < how.shifted)
        e = how.noise * uniform(generator, *one) * (uniform(generator, *one) < how.noisy)
        return [(x * g + s + e * normal(generator, *x.shape)) / SCALE for x in inputs], (truth * g + s) / SCALE


def trained(
    task: Task,
    way: str,
    scenes: Sequence[Hidden],
    steps: int,
    seed: int,
    device: str,
    teachers: Sequence[nn.Module] = (),
) -> Net:
    """Return a network that learned for some minutes; from teachers at the true scale, if the way is "taught"."""
    torch.manual_seed(seed)
    generator, rng = seeded(seed, device=device), np.random.default_rng(seed)
    net = Net(task).to(device)
    n, size = (16, 24) if task.gsd == 20 else (16, 8)
    pairs = Pairs(scenes, task, way, n, size, generator)
    native = Pairs(scenes, task, "true", n, size, generator) if teachers else None
    for teacher in teachers:
        teacher.to(device)
    recipe = Recipe(gsd=task.gsd, steps=steps, warmup=min(100, steps // 4))
    average = copy.deepcopy(net)
    runner = Steps(net, average, make_optimisers(net, recipe), generator)

    def error(source: Pairs) -> Tensor:
        inputs, truth = source.batch()
        out = net(*inputs)
        if source is native:
            truth = teacher_mean(teachers, inputs, generator)
        border = out.shape[-1] // size * (2 if task.gsd == 20 else 1)
        if out.shape[-1] != truth.shape[-1]:
            out, border = F.avg_pool2d(out, 2), border // 2
        return (out - truth)[..., border:-border, border:-border].abs().mean()

    for step in range(steps):
        source = native if native is not None and rng.random() < NATIVE else pairs
        average_weight = 1 - min(recipe.average, (step + 1) / (step + 11))
        runner.step(source is native, partial(error, source), learning_rate(recipe, step), average_weight)
    return average.cpu()


@dataclass(frozen=True)
class Trial:
    """Inputs of a network, what it should restore, and the RMSE of bicubic interpolation."""

    task: Task
    protocol: Protocol | None
    inputs: list[np.ndarray]
    truth: np.ndarray
    plain: float

    @property
    def what(self) -> str:
        return self.protocol or TRUE

    def error(self, restored: np.ndarray) -> float:
        """RMSE / RMSE(bicubic) of an image in DN / 2000."""
        image = matched(restored * SCALE, self.truth)
        return float(rmse(image[None], self.truth[None], BORDER)[0]) / self.plain

    def adapted(self, restored: np.ndarray | None = None) -> np.ndarray:
        """Follow a network by the adaptive step, or nothing."""
        task, (fine, _, hidden) = self.task, (x[0] for x in self.inputs)
        guides = [guide_of(x, task.mtf(b, self.protocol)) for b, x in zip(task.bands[0], fine, strict=True)]
        # the result has the blur of the truth, in which a mean of pixels is contained if these are larger
        ratio = hidden.shape[-1] * task.gsd // 10 // self.truth.shape[-1]
        blur = ratio**2 * psf_variance(EFFECTIVE_MTF[task.band]) - block_variance(ratio)
        step = Regression(task.gsd // 10, SCALE / 1e4, guides)
        return step.restore(CoarseBand(hidden[0], task.mtf(task.band, self.protocol), blur, restored))


#: Pixels of the restored image that are left out at each side.
BORDER = 12
#: Name of the scale that networks are used at, beside the protocols one scale up.
TRUE = "true scale"


def trials(task: Task, scenes: Sequence[Hidden]) -> list[Trial]:
    """Simulate the trials of a task: at the true scale, and one scale up by every protocol."""
    made = []
    for scene in scenes:
        found: dict[Protocol | None, tuple[list[np.ndarray], np.ndarray]] = {None: (scene.inputs, scene.truth[0])}
        if min(scene.hidden.shape[-2:]) >= 30:
            for protocol in PROTOCOLS:
                low = [
                    np.stack([degrade(x, task.factor, protocol, band=b) for b, x in zip(bands, stack, strict=True)])
                    for bands, stack in zip(task.bands, scene.inputs, strict=True)
                ]
                found[protocol] = low, scene.hidden[0]
        for protocol, (inputs, truth) in found.items():
            plain = matched(bicubic(inputs[2][0], task.gsd // 10), truth)
            scaled = [(x / SCALE).astype(np.float32)[None] for x in inputs]
            made.append(Trial(task, protocol, scaled, truth, float(rmse(plain[None], truth[None], BORDER)[0])))
    return made


def matched(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return an image with the pixels of the truth: those of B8A have 20 m."""
    return image if image.shape == truth.shape else block_mean(image, 2)


@torch.no_grad()
def scores(net: Net | None, made: Sequence[Trial], adapt: bool) -> dict[str, float]:
    """RMSE / RMSE(bicubic) at the true scale and, by every protocol, one scale up; mean over scenes.

    Under "true scale, adapted" and so on those after the adaptive step; without a network only these.
    """
    found: dict[str, list[float]] = {}
    for trial in made:
        restored = None if net is None else net(*map(torch.from_numpy, trial.inputs))[0, 0].numpy()
        if restored is not None:
            found.setdefault(trial.what, []).append(trial.error(restored))
        if adapt:
            found.setdefault(f"{trial.what}, adapted", []).append(trial.error(trial.adapted(restored)))
    return {key: float(np.mean(values)) for key, values in found.items()}


def both(got: dict[str, float], what: str) -> str:
    """What a network alone gives, and after "/" with the adaptive step, as far as there are these."""
    values = [f"{got[key]:.3f}" if key in got else "  -  " for key in (what, f"{what}, adapted")]
    return " / ".join(values)


def summary(results: Sequence[dict[str, object]]) -> list[str]:
    """Tell, for each task, the mean of every way at the true scale, and how much of the gap it closes."""
    lines = []
    for gsd in (20, 60):
        rows = [r for r in results if r["plays"] == f"{gsd} m"]
        ways = list(dict.fromkeys(r["learned"] for r in rows))
        keys = [key for key in (TRUE, f"{TRUE}, adapted") if any(key in r for r in rows)]
        means = {
            way: {key: float(np.mean([r[key] for r in own])) for key in keys if key in own[0]}
            for way in ways
            if (own := [r for r in rows if r["learned"] == way])
        }
        mean = {way: got[TRUE] for way, got in means.items() if TRUE in got}
        for way, got in means.items():
            lines.append(f"{gsd} m task, {way}: {both(got, TRUE)}")
            if way in ("sensor", "all", "taught") and {"usual", "true"} <= {*ways}:
                lines[-1] += f", {(mean['usual'] - mean[way]) / (mean['usual'] - mean['true']):.0%} of the gap closed"
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--only", nargs="+", help="tasks, as band or band:gsd")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--device", default="cpu", help="where PyTorch computes, such as cuda")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--teachers", type=int, default=1, help='networks that teach in the way "taught"')
    adapt = argparse.BooleanOptionalAction
    parser.add_argument("--adapt", action=adapt, default=True, help="also follow the networks by the adaptive step")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    learn = load_scenes(arguments.scenes, splits=("train", "train-only"))
    judge = load_scenes(arguments.scenes, splits=("validation",))
    results = []
    print(f"{arguments.steps} steps each; RMSE / RMSE(bicubic), mean over {len(judge)} validation scenes\n")
    columns = (TRUE, *PROTOCOLS)
    print("hidden   plays   learned   " + "".join(f"{name:<16}" for name in columns))
    for task in TASKS:
        if arguments.only and not {task.band, f"{task.band}:{task.gsd}"} & {*arguments.only}:
            continue
        least = 12 * task.gsd // 10 * 2
        sets = [[Hidden.of(s, task) for s in group if min(s.b10.shape[-2:]) > least] for group in (learn, judge)]
        judged = trials(task, sets[1])
        for way in (*(("nothing",) if arguments.adapt else ()), *arguments.ways):
            started = time.monotonic()
            teachers: list[Net] = []
            if way == "taught":
                seeds = range(arguments.seed, arguments.seed + arguments.teachers)
                teachers = [trained(task, "all", sets[0], arguments.steps, s, arguments.device) for s in seeds]
            net = None
            if way != "nothing":
                net = trained(task, way, sets[0], arguments.steps, arguments.seed, arguments.device, teachers)
            got = scores(net, judged, arguments.adapt)
            results.append({"hidden": task.band, "plays": f"{task.gsd} m", "learned": way, **got})
            values = "".join(f"{both(got, name):<16}" for name in columns)
            line = f"{task.band:<8} {task.gsd} m    {way:<9} {values}"
            print(f"{line}   ({time.monotonic() - started:.0f} s)", flush=True)
            if arguments.json:
                arguments.json.write_text(json.dumps(results, indent=1))
    print()
    print(*summary(results), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
