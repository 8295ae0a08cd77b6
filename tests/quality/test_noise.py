"""ESA's noise model: from counts to reflectance, by satellite, band and light."""

from __future__ import annotations

import numpy as np
import pytest

from xr_s2sr.bands import BANDS
from xr_s2sr.errors import InputError
from xr_s2sr.quality.noise import DETECTORS, noise_variance


@pytest.mark.parametrize(
    ("band", "dn", "expected"),
    # reflectance 0.12 in B02 is 196 W of radiance at 40 degrees, 215 counts: 0.65 sqrt(0.529^2 + 0.0104 x 215) counts
    [("B02", 1200, 5.75), ("B08", 2000, 8.70), ("B01", 1500, 1.11), ("B12", 1000, 3.02)],
)
def test_noise_in_dn(band: str, dn: float, expected: float) -> None:
    assert float(noise_variance(band).sigma(np.array(dn))) == pytest.approx(expected, rel=0.01)


def test_a_low_sun_is_noisier_and_satellites_differ() -> None:
    dn = np.array([100.0, 1000.0, 5000.0])
    high, low = (noise_variance("B05", sun_zenith=angle).sigma(dn) for angle in (20, 70))
    assert (low > high).all()
    assert not np.allclose(noise_variance("B05", "S2B").sigma(dn), noise_variance("B05", "S2A").sigma(dn))


def test_noise_grows_with_light_from_that_of_darkness() -> None:
    line = noise_variance("B04")
    got = line.sigma(np.array([-50.0, 0.0, 100.0, np.nan]))
    assert got[0] == got[1] == pytest.approx(np.sqrt(line.constant))
    assert got[2] > got[1]
    assert np.isnan(got[3])


def test_every_satellite_has_every_band() -> None:
    assert all(set(table) == set(BANDS) for table in DETECTORS.values())


def test_what_is_unknown_is_refused() -> None:
    with pytest.raises(InputError, match="satellite"):
        noise_variance("B05", "S2D")
    with pytest.raises(InputError, match="band is 'B13'; expected one of B01"):
        noise_variance("B13")
    with pytest.raises(InputError, match="sun_zenith is 90"):
        noise_variance("B05", sun_zenith=90)
