"""The pixels of one window, as the network and the adaptive step take them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xr_s2sr.bands import BANDS, BY_GSD
from xr_s2sr.spans import CELL, Extent

Mask = NDArray[np.bool_]
Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class WindowPixels:
    """Images of one rectangle, filled where they are invalid.

    Attributes
    ----------
    images : mapping of str to ndarray of float32, shape (y, x)
        By band, each at its own pixel size.
    invalid : mapping of str to ndarray of bool, shape (y, x)
        Invalid pixels of the bands that have some.
    mtf : mapping of str to float
        At the Nyquist frequency of each band's pixels.
    scale : float
        Reflectance that is 1 in the unit of the images.
    own : mapping of str to (Span, Span)
        Rows and columns of each band's image that are not mirrored at an edge of the scene.
    """

    images: Mapping[str, Float32]
    invalid: Mapping[str, Mask]
    mtf: Mapping[str, float]
    scale: float
    own: Mapping[str, Extent] = field(default_factory=dict)
    _blocks: dict[tuple[str, int], Mask] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def fine(self) -> list[str]:
        """The 10 m bands."""
        return [band for band in BY_GSD[10] if band in self.images]

    def coarse(self, factor: int) -> list[str]:
        """Return the bands whose pixels are so many times larger than 10 m."""
        return [band for band in BANDS if band in self.images and BANDS[band].factor == factor]

    def in_unit(self, scale: float) -> WindowPixels:
        """Return the same in another unit."""
        if scale == self.scale:
            return self
        ratio = np.float32(self.scale / scale)
        return replace(self, images={band: image * ratio for band, image in self.images.items()}, scale=scale)

    def within(self, margin: int) -> WindowPixels:
        """Return what is left without `margin` pixels of 10 m on each side, a multiple of 6; its `own` is not kept."""
        assert margin % CELL == 0
        images = {band: np.ascontiguousarray(_inner(band, image, margin)) for band, image in self.images.items()}
        invalid = {band: _inner(band, mask, margin) for band, mask in self.invalid.items()}
        return WindowPixels(images, invalid, self.mtf, self.scale)

    def valid_blocks(self, bands: Iterable[str], factor: int) -> Mask | None:
        """Return the coarse pixels over which none of some bands is invalid; None if none is invalid anywhere.

        Parameters
        ----------
        bands : iterable of str
            Of this pixel size and below.
        factor : int
            Coarse pixel over 10 m.
        """
        invalid: Mask | None = None
        for band in bands:
            if band not in self.invalid:
                continue
            if (band, factor) not in self._blocks:
                self._blocks[band, factor] = any_of_blocks(self.invalid[band], factor // BANDS[band].factor)
            blocks = self._blocks[band, factor]
            invalid = blocks if invalid is None else invalid | blocks
        return None if invalid is None else ~invalid


def any_of_blocks(mask: Mask, side: int) -> Mask:
    """Return which square blocks of pixels, of a mask of whole blocks, hold a pixel that is set."""
    rows = mask[::side].copy()
    for k in range(1, side):
        rows |= mask[k::side]
    out = rows[:, ::side].copy()
    for k in range(1, side):
        out |= rows[:, k::side]
    return out


def _inner(band: str, image: NDArray[Any], margin: int) -> NDArray[Any]:
    cut = margin // BANDS[band].factor
    return image[cut : image.shape[0] - cut, cut : image.shape[1] - cut]
