"""A page to paste texts into: `python -m pyro_rationale.serve --run RUN`.

Predicts while one types, marks the words that the prediction rests on, and shows what changes when words are struck
out. The page calls a JSON endpoint, which programs can call too.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields, replace
from pathlib import Path

import click

from pyro_rationale.cli.common import Command
from pyro_rationale.errors import ConfigError
from pyro_rationale.options import device_option, flag, given, options_from, run_option
from pyro_rationale.prediction.options import ExplainOptions
from pyro_rationale.serving.options import ServeOptions

LOCAL = ("127.0.0.1", "::1", "localhost")


@click.command(cls=Command)
@run_option
@click.option("--host", default="127.0.0.1", show_default=True, help="address to listen on; 0.0.0.0 lets others in")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="port; 0: any free one")
@options_from(ServeOptions, ExplainOptions, without=("decode", "threshold", "share"))
@click.option("--index", "index_folder", type=click.Path(path_type=Path), help="of a run that ranks texts: folder that "
              "the command index has made, to be searched on the page")
@click.option("--top", default=10, show_default=True, type=click.IntRange(1, 100), help="--index: texts to find")
@device_option
@click.option("--threads", type=click.IntRange(1, 1024), help="CPU threads of the model; default: as torch chooses")
def serve(
    limits: ServeOptions,
    options: ExplainOptions,
    folder: Path,
    host: str,
    port: int,
    index_folder: Path | None,
    top: int,
    device: str,
    threads: int | None,
) -> None:
    """Serve a page that explains texts with a fitted run, on this machine alone unless --host says otherwise.

    Of a run that ranks texts, the page searches an --index.

    Nobody is asked for a password. Ctrl-C ends it.
    """
    refuse_idle_flags(given(), index_folder is not None)
    from pyro_rationale.serving.server import address_of, make_server, open_socket

    opened = open_socket(host, port)
    import torch

    from pyro_rationale.evaluation.verdict import stored_doubt
    from pyro_rationale.fitted import FittedModel
    from pyro_rationale.prediction.memory import keep_freed_memory
    from pyro_rationale.serving.app import check_installed, make_app
    from pyro_rationale.serving.search_app import make_search_app

    try:
        check_installed()
        if threads is not None:
            torch.set_num_threads(threads)
        keep_freed_memory()
        fitted = FittedModel.load(folder, device)
        limits = replace(limits, allow_host=(*limits.allow_host, host))
        if index_folder is None:
            application = make_app(fitted, options, limits, stored_doubt(folder) if fitted.aspects > 1 else "")
        else:
            application = make_search_app(fitted, index_folder, top, limits)
    except BaseException:
        opened.close()
        raise
    if host not in LOCAL:
        click.echo(f"warning: --host {host}: whoever reaches this machine can use the page", err=True)
    address = address_of(opened)
    server = make_server(application, lambda: click.echo(f"{folder} is served on {address} (Ctrl-C ends it)"))
    server.run(sockets=[opened])
    click.echo("ended")


def refuse_idle_flags(typed: Collection[str], searches: bool) -> None:
    """Refuse flags that are about the other kind of page.

    Args:
        typed: names of the options that are given.
        searches: whether the page searches an index.

    Raises:
        ConfigError: one is given.
    """
    if not searches and "top" in typed:
        raise ConfigError("--top: is about a page that searches; name an --index, or leave it out")
    for item in fields(ExplainOptions) if searches else ():
        if item.name in typed:
            raise ConfigError(f"{flag(item.name)}: is about predictions, and --index makes a page that searches; "
                              "leave it out")  # fmt: skip
