"""The command line, one file for each command."""

from __future__ import annotations

from xr_s2sr.cli.main import build_parser, main

__all__ = ["build_parser", "main"]
