"""The help of every command, for the page of commands: `python docs/theme/commands.py` prints it.

The site's build (`docs/theme/hooks.py`) appends it to `docs/reference/commands.md`.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from pyro_rationale.__main__ import COMMANDS, load
from pyro_rationale.cli.common import CONTEXT, SHOW_ALL


def help_of(command: click.Command, name: str) -> str:
    """Every option of a command, as `--help-all` prints them at a width of 100."""
    settings = {**CONTEXT, "terminal_width": 100}
    with click.Context(command, info_name=f"python -m pyro_rationale.{name}", **settings) as context:
        context.meta[SHOW_ALL] = True
        return command.get_help(context).rstrip()


def sections() -> Iterator[str]:
    """A heading and the help of each command; a group is its commands."""
    for name in COMMANDS:
        command = load(name)
        if isinstance(command, click.Group):
            context = click.Context(command)
            parts = [(f"{name} {part}", command.get_command(context, part)) for part in command.list_commands(context)]
        else:
            parts = [(name, command)]
        for title, part in parts:
            assert part is not None
            yield f"\n## {title}\n\n```text\n{help_of(part, title)}\n```\n"


if __name__ == "__main__":
    print("".join(sections()), end="")
