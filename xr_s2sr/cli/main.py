"""The command ``xr-s2sr``: the parser of all commands, exit codes and errors."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from xr_s2sr import __version__
from xr_s2sr.cli import demo, evaluate, import_keras, info, models, train, upsample
from xr_s2sr.errors import S2SRError

#: In the order of the help: what comes first when one is new. Each has ``add_parser(commands)`` and ``run(arguments)``.
COMMANDS = (demo, info, upsample, evaluate, models, import_keras, train)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, 1 for what is refused, in one line on stderr, or 2 for wrong usage."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.run is None:  # no command: say which there are
        parser.print_help(sys.stderr)
        return 2
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()  # here, where a reader that has gone is noticed
        return code
    except BrokenPipeError:  # `xr-s2sr models | head`: whoever reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush when Python ends
        return 141  # as a shell says of a process that SIGPIPE ended
    except (S2SRError, OSError) as error:
        if arguments.debug:
            raise
        print(f"xr-s2sr: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("xr-s2sr: interrupted", file=sys.stderr)
        return 130


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
