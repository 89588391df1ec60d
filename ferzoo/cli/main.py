"""`ferzoo COMMAND`: parses, runs one command's module, and turns errors into one line and an exit code."""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib.util
import os
import sys
from collections.abc import Sequence

from .. import __version__
from ..errors import FerzooError
from .streams import has_no_reader, is_lost, there_or_not, unread_or_not

__all__ = ["main"]

#: What a machine that only runs exported networks may lack.
CORE = ("torch", "timm", "torchvision", "huggingface_hub", "safetensors", "fvcore", "yaml")
#: Command to its module and the line that help shows. A module has `add_arguments(parser)` and
#: `run(args) -> int`, and imports nothing heavy before `run`.
COMMANDS = {
    "predict": ("predict", "find the faces in photographs and name their expressions"),
    "explain": ("explain", "draw what a network looks at in a face: Grad-CAM and attention"),
    "list": ("list_names", "list the registered models, blocks or losses"),
    "info": ("info", "parameters and FLOPs of a model beside the paper's"),
    "plugins": ("plugins", "list every plugin and the errors of broken ones"),
    "train": ("train", "train a model from a recipe"),
    "eval": ("evaluate", "measure a model's accuracy on a data set"),
    "compare": ("compare", "put models in one table: size, speed and accuracy"),
    "export": ("export", "write a model for ONNX Runtime, OpenVINO or torch"),
    "bench": ("bench", "time models in several runtimes: latency, memory, cold start"),
    "push": ("push", "publish weights on the Hub, with a card of measured figures"),
    "pull": ("pull", "fetch trained weights, from a folder or the Hub, and keep them"),
    "convert": ("convert", "turn an author's .pth into safetensors"),
}
#: Arguments that name what to write beside the output. Commands that always write print when that is done.
WRITTEN = ("out", "output", "picture", "plot", "save")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments, those of the process where None.

    Returns:
        0 where all went well, 1 where something was reported, 2 for wrong arguments or an error that
        stopped the command, 130 when interrupted.
    """
    with there_or_not():
        return _main(argv)


def _main(argv: Sequence[str] | None) -> int:
    argv = list(sys.argv[1:] if argv is None else argv)
    commands = "\n".join(f"  {name:<9} {text}" for name, (_, text) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="ferzoo",
        usage="ferzoo COMMAND [options]",
        description="A model zoo for facial expression recognition.",
        epilog=f"commands:\n{commands}\n\n`ferzoo COMMAND --help` explains each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ferzoo {__version__}")
    parser.add_argument("command", choices=list(COMMANDS), metavar="COMMAND", help=argparse.SUPPRESS)
    if not argv:
        parser.print_help()
        return 2
    command = parser.parse_args(argv[:1]).command
    module_name, text = COMMANDS[command]
    module = importlib.import_module(f".{module_name}", __package__)
    sub = argparse.ArgumentParser(prog=f"ferzoo {command}", description=f"{text[0].upper()}{text[1:]}.")
    module.add_arguments(sub)
    from ..registry import entry_points

    try:
        args = sub.parse_intermixed_args(argv[1:])
        writes = any(getattr(args, name, None) for name in WRITTEN)
        with entry_points.command(), unread_or_not() if writes else contextlib.nullcontext():
            code = int(module.run(args) or 0)
            sys.stdout.flush()
        return code
    except FerzooError as error:
        print(f"ferzoo {command}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in CORE or importlib.util.find_spec(package):
            raise
        print(
            f"ferzoo {command}: this needs {error.name}, which a full install has: pip install ferzoo. Without it, "
            "`ferzoo predict --model FILE.onnx` works.",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print(f"ferzoo {command}: interrupted", file=sys.stderr)
        return 130
    except OSError as error:
        unread = has_no_reader(error)
        full = error.errno in (errno.ENOSPC, errno.EFBIG, errno.EIO)
        lost = (unread or full) and not error.filename and is_lost(sys.stdout)
        if lost and unread:  # the reader of all there was to do (`head`, a pager) has gone
            return 0
        where = f"{error.filename}: " if error.filename else "standard output: " if lost else ""
        gone = ": the current folder was deleted" if isinstance(error, FileNotFoundError) and not _here() else ""
        print(f"ferzoo {command}: {where}{error.strerror or error}{gone}", file=sys.stderr)
        return 2


def _here() -> str:
    """The current folder; empty where it was deleted."""
    try:
        return os.getcwd()
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
