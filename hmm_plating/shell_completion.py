"""Completion of the command line in a shell: commands, options, and files where an option takes one."""

from __future__ import annotations

import argparse

import shtab


def add_completion(parser: argparse.ArgumentParser) -> None:
    """Add `--print-completion SHELL` to a parser; call it when all subcommands are there."""
    shtab.add_argument_to(
        parser, "--print-completion", help="print what a shell needs to complete commands, options and files"
    )
    _take_files(parser)


def _take_files(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _take_files(command)
        elif isinstance(action.metavar, str) and _names_a_path(action.metavar):
            action.complete = shtab.FILE  # type: ignore[attr-defined]


def _names_a_path(metavar: str) -> bool:
    """OUT.nc, PAGE.html, FILE, FOLDER, QCMD, RUN."""
    return "." in metavar or metavar in ("FILE", "FOLDER", "QCMD", "RUN")
