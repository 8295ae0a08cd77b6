"""Blur of a band: what ``degrade`` wrote down, what the user says, or what real products are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import xarray as xr

from xr_s2sr.bands import EFFECTIVE_MTF, resolve_requested
from xr_s2sr.errors import ArgumentTypeError, InputError
from xr_s2sr.scene.band import SceneBand

#: Attribute of a simulated band: its MTF at the Nyquist frequency of its own, larger pixels.
MTF_ATTR = "s2sr_mtf"


def read_mtf(da: xr.DataArray, band: str) -> float:
    """Return the MTF of a band at its Nyquist frequency: of a simulated one from its attrs, else of real products.

    Raises
    ------
    InputError
        If the attribute is not a number between 0 and 1.
    """
    value = da.attrs.get(MTF_ATTR, EFFECTIVE_MTF.get(band, 0.25))
    if not _is_mtf(value):
        raise InputError(
            f"{da.name!r} has {MTF_ATTR}={value!r} in its attrs; expected a number between 0 and 1, as degrade() "
            f'writes it. If it is a native band: del ds["{da.name}"].attrs["{MTF_ATTR}"]'
        )
    return float(value)


def with_mtf(bands: Mapping[str, SceneBand], mtf: object) -> dict[str, SceneBand]:
    """Return the bands with the MTFs that the user gives, by any alias; the others as they are.

    Raises
    ------
    ArgumentTypeError
        If `mtf` is not a mapping.
    BandError
        If it names what is not a band.
    InputError
        If a value is not a number between 0 and 1.
    """
    if mtf is None:
        return dict(bands)
    if not isinstance(mtf, Mapping):
        raise ArgumentTypeError(f'mtf={mtf!r} is a {type(mtf).__name__}; expected one value a band: mtf={{"B11": 0.2}}')
    given = dict(zip(resolve_requested(mtf), mtf.values(), strict=False))
    for band, value in given.items():
        if not _is_mtf(value):
            raise InputError(f"mtf has {value!r} for {band}; expected a number between 0 and 1: mtf={{{band!r}: 0.25}}")
    return {key: replace(own, mtf=float(given[key])) if key in given else own for key, own in bands.items()}


def _is_mtf(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and 0 < value < 1
