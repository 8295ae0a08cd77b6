"""The sensor's noise, by ESA's noise model: per satellite and band, from the pixels' own reflectance."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xr_s2sr import arguments
from xr_s2sr.errors import InputError

F64 = NDArray[np.float64]


class DetectorNoise(NamedTuple):
    """Noise and response of the detectors of one band.

    Attributes
    ----------
    alpha : float
        Noise without light, in digital counts.
    beta : float
        Growth of the noise's variance with the signal, in digital counts.
    gain : float
        Digital counts per W m-2 sr-1 um-1 of radiance.
    irradiance : float
        Of the sun in the band, in W m-2 um-1, at the mean distance.
    """

    alpha: float
    beta: float
    gain: float
    irradiance: float


def _table(**bands: tuple[float, float, float, float]) -> dict[str, DetectorNoise]:
    return {band: DetectorNoise(*values) for band, values in bands.items()}


#: By satellite and band. Noise and gains: coefficients of ESA's radiometric uncertainty tool (S2-RUT, OMPC; its file
#: noise_model_QCC_binned.json, as distributed in the package s2_rut_python 0.0.5), which are those of the metadata of
#: Level-1 products. Irradiance: SOLAR_IRRADIANCE of the Level-1C metadata. For S2C we have no citable table of it; its
#: bands differ from those of S2A by less than 2 %.
DETECTORS: dict[str, dict[str, DetectorNoise]] = {
    "S2A": _table(
        B01=(0.241, 1.64e-4, 4.10, 1884.69),
        B02=(0.529, 1.04e-2, 3.76, 1959.66),
        B03=(0.435, 9.06e-3, 4.19, 1823.24),
        B04=(0.437, 9.51e-3, 4.52, 1512.06),
        B05=(0.551, 5.60e-3, 5.21, 1424.64),
        B06=(0.549, 6.23e-3, 4.87, 1287.61),
        B07=(0.538, 5.15e-3, 4.54, 1162.08),
        B08=(0.534, 1.31e-2, 6.16, 1041.63),
        B8A=(0.537, 9.79e-3, 5.14, 955.32),
        B09=(0.243, 8.29e-4, 8.53, 812.92),
        B10=(0.498, 1.44e-3, 55.37, 367.15),
        B11=(0.668, 2.43e-3, 35.38, 245.59),
        B12=(0.729, 2.37e-3, 106.46, 85.25),
    ),
    "S2B": _table(
        B01=(0.23983, 1.6189e-4, 4.02456458, 1874.30),
        B02=(0.52093, 1.042e-2, 3.85904196, 1959.75),
        B03=(0.42808, 9.04e-3, 4.27535219, 1824.93),
        B04=(0.44495, 9.46e-3, 4.81753489, 1512.79),
        B05=(0.54075, 5.62e-3, 5.23206138, 1425.78),
        B06=(0.53454, 6.24e-3, 5.13300778, 1291.13),
        B07=(0.53097, 5.12e-3, 4.81001173, 1175.57),
        B08=(0.53093, 1.307e-2, 6.88556205, 1041.28),
        B8A=(0.53054, 9.76e-3, 5.81163355, 953.93),
        B09=(0.24203, 8.2e-4, 9.45586641, 817.58),
        B10=(0.48941, 1.40e-3, 56.299593, 365.41),
        B11=(0.65615, 2.4e-3, 37.102072, 247.08),
        B12=(0.71003, 2.4e-3, 108.56237, 87.75),
    ),
    "S2C": _table(
        B01=(0.235, 1.991e-4, 4.64909934, 1884.69),
        B02=(0.50025, 1.287e-2, 5.08599834, 1959.66),
        B03=(0.36421, 1.119e-2, 4.98541597, 1823.24),
        B04=(0.36986, 1.173e-2, 6.43171006, 1512.06),
        B05=(0.54774, 6.83e-3, 7.0211546, 1424.64),
        B06=(0.5315, 7.55e-3, 7.76824223, 1287.61),
        B07=(0.53638, 6.18e-3, 7.03624823, 1162.08),
        B08=(0.50556, 1.619e-2, 8.96315843, 1041.63),
        B8A=(0.52634, 1.184e-2, 7.72180994, 955.32),
        B09=(0.2297, 9.932e-4, 12.2866144, 812.92),
        B10=(0.4829, 1.3914e-3, 69.34169398, 367.15),
        B11=(0.61647, 2.39e-3, 40.04336319, 245.59),
        B12=(0.66988, 2.38e-3, 112.4862393, 85.25),
    ),
}
#: Share of the noise that resampling to the grid of Level-1C leaves (S2-RUT, ``u_resamp``; doi:10.1117/12.2603730).
RESAMPLED = 0.65
#: Zenith angle of the sun where none is given, in degrees.
SUN_ZENITH = 40.0


class NoiseVariance(NamedTuple):
    """Variance of a band's noise as a line over its reflectance, both in DN (reflectance x 10000)."""

    constant: float
    slope: float

    def sigma(self, dn: NDArray[np.floating]) -> F64:
        """Return the standard deviation in DN, shaped as `dn`; below reflectance 0, that of 0."""
        sigma: F64 = np.sqrt(self.constant + self.slope * np.maximum(dn, 0.0, dtype=np.float64))
        return sigma


def noise_variance(band: str, satellite: str = "S2A", sun_zenith: float = SUN_ZENITH) -> NoiseVariance:
    """Return the noise of a band's pixels at Level-1C.

    Parameters
    ----------
    band : str
        Its id.
    satellite : {"S2A", "S2B", "S2C"}
    sun_zenith : float
        Degrees: a low sun gives less light, and more noise in reflectance.

    Returns
    -------
    NoiseVariance

    Raises
    ------
    InputError
        If band or satellite are unknown, or the sun is not above the horizon.

    Notes
    -----
    S2-RUT's noise, in counts CN: ``u = 0.65 sqrt(alpha**2 + beta CN)``, where CN is radiance times gain, and the
    radiance of a reflectance r is ``r E cos(zenith) / pi`` (E: irradiance at the mean distance of the sun). At Level-2A
    it is, divided by the atmosphere's transmittance, a little more.
    """
    arguments.choice("satellite", satellite, DETECTORS)
    if band not in DETECTORS[satellite]:
        raise InputError(f"band is {band!r}; expected one of {', '.join(DETECTORS[satellite])}")
    if not 0 <= sun_zenith < 90:
        raise InputError(f"sun_zenith is {sun_zenith}; expected degrees from 0 to below 90, such as 40")
    alpha, beta, gain, irradiance = DETECTORS[satellite][band]
    counts = 1e-4 * gain * irradiance * math.cos(math.radians(sun_zenith)) / math.pi  # per DN
    return NoiseVariance((RESAMPLED * alpha / counts) ** 2, RESAMPLED**2 * beta / counts)
