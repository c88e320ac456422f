"""Owns `restore undo`: repairs taken off a result, bit for bit."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from restore.cli import console, options
from restore.errors import SetupError
from restore.report.visible import visible

Output = Annotated[Path, typer.Argument(metavar="OUT", help="The output of a run.")]
File = Annotated[Path, typer.Argument(metavar="FILE", help="One of its results, as it is called inside OUT.")]
Blobs = Annotated[
    list[int] | None,
    typer.Option("--blob", min=0, metavar="K", show_default="all", help="Only this repair. Repeatable."),
]
PageOption = Annotated[int, typer.Option("--page", min=1, metavar="N", help="The page that --blob counts in, from 1.")]


def undo(
    target: Output,
    file: File,
    blob: Blobs = None,
    page: PageOption = 1,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Take repairs off one result: the source's own pixels come back under them, everything else stays."""
    from restore.batch.journal import open_places
    from restore.batch.places import find_output
    from restore.batch.run import versions
    from restore.batch.undo import undo
    from restore.cli.wording import counted
    from restore.formats import Decoder

    if not target.is_dir():
        raise SetupError(f"{target}: is no folder: give the OUT of a run, and then one of its files")
    places, _ = find_output(target, state)
    with open_places(places) as journal, Decoder() as decoder:
        undone = undo(journal, _inside(target, file), decoder, blob, page - 1, versions())
    if as_json:
        console.say_json({"event": "undone", "target": str(file), **asdict(undone)})
        return
    console.say(
        f"{visible(str(file))}: {counted(undone.blobs, 'repair')} undone ({undone.pixels:,} px), {undone.left} left"
    )


def _inside(target: Path, file: Path) -> Path:
    """As the journal calls it: relative to OUT, whichever way it was given."""
    if file.is_absolute():
        if not file.is_relative_to(target.absolute()):
            raise SetupError(f"{file}: lies outside {target}: name one of its files")
        return file.relative_to(target.absolute())
    if not (target / file).exists() and file.is_relative_to(target):
        return file.relative_to(target)
    return file
