"""Bands in, bands at 10 m out: windows, kernels, the network, in memory or in tasks of dask."""
