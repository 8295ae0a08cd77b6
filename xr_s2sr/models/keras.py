"""Keras weights of others as models of ours: the door to what needs h5py and onnx."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

from xr_s2sr.errors import DependencyError

if TYPE_CHECKING:
    from xr_s2sr.models.card import Model

#: Licence of the published DSen2 and AESR weights.
GPL = "GPL-3.0"


def keras(
    path: str | PathLike[str],
    out: str | PathLike[str] | None = None,
    *,
    name: str | None = None,
    scaling: float = 0.1,
    licence: str = GPL,
    training: str | None = None,
    degradation: str = "",
) -> Model:
    """Turn Keras weights of the DSen2 family or of AESR into an ONNX file with a model card.

    Parameters
    ----------
    path : path
        An HDF5 file as Keras writes it: a whole model or weights alone. The network is recognised by the
        shapes of the weights: DSen2 (Lanaras et al. 2018) of any depth and width, VDSen2 among them, or UP42's
        AESR; for the 20 m bands or for the 60 m bands.
    out : path, optional
        The ``.onnx`` to write, or to replace; by default beside the HDF5 file, where nothing is replaced.
    name : str, optional
        Of the model; by default the file's.
    scaling : float
        Of the residual blocks of DSen2: Keras does not write it into the file in a readable form.
    licence : str
        For the card: that of the published weights by default. Name another for weights of your own.
    training, degradation : str, optional
        For the card.

    Returns
    -------
    Model
        For ``upsample(model=...)``. Its 10 m inputs are B04 B03 B02 B08, in the published networks' order.

    Raises
    ------
    ModelError
        If the file is missing, is not an HDF5 file, or holds another network.
    InputError
        If another file would be lost.
    DependencyError
        If h5py or onnx are not installed.

    Examples
    --------
    >>> model = xr_s2sr.importers.keras("s2_032_lr_1e-04.hdf5", "dsen2-20m.onnx")  # doctest: +SKIP
    >>> sr = ds.s2sr.upsample(["B05", "B11"], model=model)  # doctest: +SKIP
    """
    require_extra()
    from xr_s2sr.models.keras_hdf5 import convert

    return convert(path, out, name=name, scaling=scaling, licence=licence, training=training, degradation=degradation)


def require_extra() -> None:
    """Refuse early where the extra is not installed."""
    try:
        import xr_s2sr.models.keras_hdf5  # noqa: F401
    except ImportError as error:
        raise DependencyError(
            f'importing weights needs h5py and onnx ({error}). Install them: pip install "xr_s2sr[import]"'
        ) from error
