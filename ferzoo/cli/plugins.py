"""`ferzoo plugins`: every registered name, its package, and the error that keeps it from working."""

from __future__ import annotations

import argparse

from .table import print_json, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the plugins; 1 where one is broken."""
    from ..registry.factory import list_plugins

    plugins = list_plugins()
    broken = [plugin for plugin in plugins if plugin.error]
    if args.json:
        print_json([plugin.to_dict() for plugin in plugins])
        return int(bool(broken))
    print_table(
        [
            {
                "kind": p.kind,
                "name": p.name,
                "package": f"{p.distribution} {p.version}",
                "module": p.value,
                "state": "broken" if p.error else "ok",
            }
            for p in plugins
        ]
    )
    for plugin in broken:
        print(f"\n{plugin.kind} {plugin.name} of {plugin.distribution}: {plugin.error}")
    return int(bool(broken))
