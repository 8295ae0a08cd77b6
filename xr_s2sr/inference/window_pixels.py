"""The pixels of one window, as the network and the adaptive step take them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from xr_s2sr.bands import BANDS, BY_GSD
from xr_s2sr.scene.pixels import any_of_blocks
from xr_s2sr.spans import Extent, inside

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
    extent : (Span, Span)
        Rows and columns of the rectangle, in 10 m pixels, on whole cells.
    own : mapping of str to (Span, Span)
        Rows and columns of each band's image that are not mirrored at an edge of the scene.
    """

    images: Mapping[str, Float32]
    invalid: Mapping[str, Mask]
    mtf: Mapping[str, float]
    scale: float
    extent: Extent
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

    def within(self, extent: Extent) -> WindowPixels:
        """Return the part in a smaller rectangle, on whole cells; its `own` is not kept."""
        if extent == self.extent:
            return self
        at = {band: inside(extent, self.extent, BANDS[band].factor) for band in self.images}
        images = {band: np.ascontiguousarray(image[at[band]]) for band, image in self.images.items()}
        invalid = {band: mask[at[band]] for band, mask in self.invalid.items()}
        return WindowPixels(images, invalid, self.mtf, self.scale, extent)

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
