"""Write the help of every command into docs/commands.md: `python docs/theme/commands.py`.

The page is read as a file as well as on the site, so that the lists of options stand in it; a test compares them with
what the commands say.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from pyro_rationale.__main__ import COMMANDS, load
from pyro_rationale.cli.common import CONTEXT, SHOW_ALL

PAGE = Path(__file__).parents[1] / "commands.md"
MARK = "<!-- From here on written by docs/theme/commands.py; `make docs` brings it up to date. -->\n"


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


def page() -> str:
    """The page as it should be."""
    return PAGE.read_text(encoding="utf-8").partition(MARK)[0] + MARK + "".join(sections())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
