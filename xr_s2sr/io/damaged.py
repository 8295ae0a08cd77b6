"""NetCDF and Zarr that are damaged, or made to be: what their libraries raise becomes one error that names the file.

Their libraries check little of what they read, so that nearly any kind of exception can come out of them.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from pathlib import Path
from typing import Any

import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from xr_s2sr.errors import InputError

#: What xarray, zarr, numcodecs, netCDF4 and h5netcdf raise for metadata and chunks that make no sense.
MALFORMED = (
    OSError,
    ValueError,
    ImportError,
    RuntimeError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    EOFError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
)


def unreadable(path: Path, error: BaseException, what: str = "") -> InputError:
    """Return the error for a file that cannot be opened, or of which a part cannot be read."""
    reason = (str(error) or type(error).__name__).partition("\n")[0][:300]
    return InputError(
        f"{what}{path} cannot be read: {reason}; expected a whole Dataset, as xarray writes it, and a library that "
        "reads it. Download or copy it again, or: pip install netCDF4 zarr"
    )


class _Guarded(BackendArray):
    """The pixels of a variable, as they are read."""

    def __init__(self, variable: xr.Variable, path: Path, name: str) -> None:
        self.variable, self.path, self.name = variable, path, name
        self.shape, self.dtype = variable.shape, variable.dtype

    def __getitem__(self, key: Any) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        try:
            pixels: NDArray[Any] = self.variable[key].values
        except MALFORMED as error:
            raise unreadable(self.path, error, f"{self.name!r} in ") from error
        return pixels


def guarded(ds: xr.Dataset, path: Path) -> xr.Dataset:
    """Return a Dataset that was opened lazily; the error for what cannot be read later names the file."""
    out = ds.copy()
    for name, variable in ds.data_vars.items():
        if variable.ndim < 2:
            continue
        data: Any = indexing.LazilyIndexedArray(_Guarded(variable.variable, path, str(name)))
        kept = indexing.MemoryCachedArray(indexing.CopyOnWriteArray(data))  # type: ignore[no-untyped-call]
        out[name] = xr.Variable(variable.dims, kept, variable.attrs, variable.encoding)
    return out
