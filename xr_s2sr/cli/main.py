"""The command ``xr-s2sr``: the parser of all commands, exit codes, and errors and warnings in one line each."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from xr_s2sr import __version__
from xr_s2sr.cli import demo, evaluate, import_keras, info, models, train, upsample
from xr_s2sr.errors import S2SRError, S2SRWarning

#: In the order of the help: what comes first when one is new. Each has ``add_parser(commands)`` and ``run(arguments)``.
COMMANDS = (demo, info, upsample, evaluate, models, import_keras, train)

#: Arguments of ``upsample`` and ``to_cog`` that are options of the same name.
_OPTIONS = {"keep", "resolution", "model", "adapt", "device", "units", "offset", "uncertainty", "precision", "stac"}
_CALL = re.compile(r"(?:upsample|to_cog)\((\w+=[^(),=]+(?:, \w+=[^(),=]+)*)\)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, 1 for what is refused, in one line on stderr, or 2 for wrong usage."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.run is None:  # no command: say which there are
        parser.print_help(sys.stderr)
        return 2
    try:
        with ended_by_signals(), warnings_in_one_line():
            code: int = arguments.run(arguments)
        sys.stdout.flush()  # here, where a reader that has gone is noticed
        return code
    except BrokenPipeError:  # `xr-s2sr models | head`: whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush when Python ends
        return 141  # as a shell says of a process that SIGPIPE ended
    except (S2SRError, OSError) as error:
        if arguments.debug:
            raise
        print(f"xr-s2sr: {in_terms_of_options(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print("xr-s2sr: interrupted", file=sys.stderr)
        return int(stop.args[0]) if stop.args else 130


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """In the block, signals that ask a process to end act like Ctrl-C, so that what is half written is removed.

    Those that are ignored, as under nohup, or that a program handles itself, stay so.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(128 + number)

    known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    main_thread = threading.current_thread() is threading.main_thread()  # only there can handlers be set
    ours = [number for number in known if main_thread and signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser, for :func:`main` and for the docs."""
    parser = argparse.ArgumentParser(prog="xr-s2sr", description="Sentinel-2's 20 m and 60 m bands at 10 m.")
    parser.add_argument("--version", action="version", version=f"xr-s2sr {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(metavar="COMMAND", help="xr-s2sr COMMAND --help says more")
    for command in COMMANDS:
        command.add_parser(commands)
    return parser


def in_terms_of_options(text: str) -> str:
    """Return a message with options in the place of arguments.

    Examples
    --------
    >>> in_terms_of_options('with upsample(keep="all"), or drop them first')
    'with --keep all, or drop them first'
    """
    return _CALL.sub(_as_options, text).replace("see ds.s2sr.validate()", "see xr-s2sr info")


def _as_options(call: re.Match[str]) -> str:
    """Return the options in the place of one call."""
    given = dict(part.split("=") for part in call[1].split(", "))
    if not given.keys() <= _OPTIONS:
        return call[0]
    flags = {"True": "--adapt", "False": "--no-adapt"}
    return " ".join(
        flags.get(value, value) if key == "adapt" else f"--{key} {value.strip(chr(34) + chr(39))}"
        for key, value in given.items()
    )


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """In the block, our warnings are shown without the line of the program that they are about."""
    usual = warnings.formatwarning

    def shown(message: Any, category: type[Warning], *place: Any) -> str:
        if not issubclass(category, S2SRWarning):
            return usual(message, category, *place)
        return f"xr-s2sr: warning: {in_terms_of_options(str(message))}\n"

    warnings.formatwarning = shown  # type: ignore[assignment]
    try:
        yield
    finally:
        warnings.formatwarning = usual
