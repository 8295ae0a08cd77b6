"""Everything that decides a training, besides the scenes; and its schedule of learning rates."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from xr_s2sr.training.data import Augmentation
from xr_s2sr.training.networks import ARCHITECTURES


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training, besides the scenes.

    `size` and `batch` are tuples: the loop alternates between patch sizes, each with its own batch size. In the last
    part of the steps, `late`, patches have the side `late_size`, and `border` of their pixels on each side are not
    scored: these see the zeros beyond a patch's border, which a scene does not have. 26 is the largest side that a
    scene of 120 x 120 pixels of 10 m, as many are, has room for.
    """

    gsd: int = 20
    width: int = 32
    depth: int = 4
    steps: int = 14000
    size: tuple[int, ...] = (24,)
    batch: tuple[int, ...] = (16,)
    late: float = 0.3
    late_size: tuple[int, ...] = (26,)
    border: int = 4
    rate: float = 1.6e-3
    warmup: int = 300
    decay: float = 1e-4
    average: float = 0.999
    proxy: float = 0.0  # share of the batches with other bands in the place of B01 and B09
    taught: float = 0.5  # share of the loss that is the distance to a teacher's result, where there is a teacher
    unlabelled: float = 0.0  # share of the batches at the true scale, which have no truth but the teacher's result
    full_precision: float = (
        0.05  # the last part of the steps runs in float32, the others' blocks in bfloat16 if that is faster
    )
    seed: int = 0
    architecture: str = "coarse"
    augmentation: Augmentation = field(default_factory=Augmentation)

    def refine(self, **changes: Any) -> Recipe:
        """From trained weights on: a short run on large patches at a low rate, for scenes of one's own."""
        stage: dict[str, Any] = {"steps": 2000, "rate": 0.2 * self.rate, "late": 1.0}
        return replace(self, **(stage | changes))

    def patches(self, step: int) -> tuple[int, int, int]:
        """Number, side and border of the patches of a step."""
        which = step % len(self.size)
        size, batch = self.size[which], self.batch[which]
        late = step >= (1 - self.late) * self.steps
        return (batch, self.late_size[which], self.border) if late else (batch, size, 0)

    @classmethod
    def default(cls, gsd: int, architecture: str = "coarse", **changes: Any) -> Recipe:
        """Return the recipe of the packaged model for 20 m or 60 m bands, or of the paper's DSen2 or VDSen2."""
        width, depth = ARCHITECTURES[architecture][gsd]
        base: dict[str, Any] = {"gsd": gsd, "architecture": architecture, "width": width, "depth": depth}
        if architecture != "coarse":
            base["rate"] = 1e-4  # the authors'
        if gsd == 60:
            base |= {
                "steps": 20000,
                "size": (5, 9),
                "late_size": (5, 9),
                "batch": (24, 8),
                "border": 12,
                "proxy": 0.6,
                "augmentation": Augmentation(shifted=0.8, dropped=0.25),
            }
        return cls(**(base | changes))

    @classmethod
    def for_head(cls, gsd: int, **changes: Any) -> Recipe:
        """Return the recipe of a head for standard errors: large patches alone, whose zero padding is not scored."""
        recipe = cls.default(gsd, steps=2000, rate=1e-2, late=1.0)
        recipe = replace(recipe, augmentation=replace(recipe.augmentation, dropped=0.25), **changes)
        return replace(recipe, warmup=min(100, recipe.steps // 5))


def learning_rate(recipe: Recipe, step: int) -> float:
    """Return the rate of a step: linear warm-up, then half a cosine down to a hundredth of the peak."""
    if step < recipe.warmup:
        return recipe.rate * (step + 1) / recipe.warmup
    t = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(t, 1.0))))
