"""``nnspec view``: runs in a browser, while they go on and afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nnspec.cli.options import Folder

if TYPE_CHECKING:
    from nnspec.view.board.guard import Guard


@click.command("view")
@click.argument("runs", nargs=-1, type=Folder, metavar="[RUN...]")
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="By default a free one.")
@click.option("--open", "opens", is_flag=True, help="Open a browser, too.")
@click.option(
    "--image", "images", multiple=True, type=Folder, metavar="FILE",
    help="A row of your own to look at beside the data's: an image, a csv or npz file; several times.",
)
def command(runs: tuple[Path, ...], port: int, opens: bool, images: tuple[Path, ...]) -> None:  # fmt: skip
    """Serve a page on this machine that follows runs: curves, state, network, layers, feature maps, mistakes, spec.

    Without RUN all runs under `runs/`; a folder of runs (of a sweep, of folds) stands for all in it. The address, with a key
    that others do not know, is printed. The page reads the runs' folders and touches none. Ctrl-C ends it. An image of your own
    can be chosen in the page, too: it is kept in memory as long as this command runs.
    """
    from nnspec.view.board.app import need_extra

    need_extra()

    from nnspec.cli.rows import Reader
    from nnspec.view.board.own import Own
    from nnspec.view.board.serve import serve
    from nnspec.view.board.shelf import shelf

    def ready(guard: Guard) -> None:
        click.echo(guard.address)
        if opens:
            import webbrowser

            if not webbrowser.open(guard.once):
                click.echo("no browser could be opened: open the address above", err=True)

    serve(shelf(runs), port, ready, Own(Reader, images))
