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
File = Annotated[
    Path | None, typer.Argument(metavar="FILE", help="One of its results, as it is called inside OUT; not for film.")
]
FrameOption = Annotated[int | None, typer.Option("--frame", metavar="N", help="Of film: the frame's number.")]
Blobs = Annotated[
    list[int] | None,
    typer.Option("--blob", min=0, metavar="K", show_default="all", help="Only this repair. Repeatable."),
]
PageOption = Annotated[
    int | None,
    typer.Option("--page", min=1, metavar="N", show_default="all; 1 with --blob", help="Only this page, from 1."),
]


def undo(
    target: Output,
    file: File = None,
    frame: FrameOption = None,
    blob: Blobs = None,
    page: PageOption = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Take repairs off one result: the source's own pixels come back under them, everything else stays."""
    if frame is not None:
        _undo_film(target, file, frame, blob, state, as_json=as_json)
        return
    if file is None:
        raise SetupError("FILE is missing: name one of OUT's pictures, or for film --frame N")
    from restore.batch.opening import open_places
    from restore.batch.places import find_output
    from restore.batch.run import versions
    from restore.batch.undo import undo
    from restore.cli.wording import counted
    from restore.formats import Decoder

    if not target.is_dir():
        raise SetupError(f"{target}: is no folder: give the OUT of a run, and then one of its files")
    places, _ = find_output(target, state)
    with open_places(places) as journal, Decoder() as decoder:
        undone = undo(journal, _inside(target, file), decoder, blob, page, versions())
    if as_json:
        console.say_json({"event": "undone", "target": str(file), **asdict(undone)})
        return
    console.say(
        f"{visible(str(file))}: {counted(undone.blobs, 'repair')} undone ({undone.pixels:,} px), {undone.left} left"
    )


def _undo_film(
    target: Path, file: Path | None, frame: int, blob: list[int] | None, state: Path | None, *, as_json: bool
) -> None:
    from restore.cli.film_report import FilmReport
    from restore.reels.state import known_states
    from restore.reels.undo import blob_is_in, undo_frame

    if file is not None:
        raise SetupError(f"{file}: for film, name OUT and --frame N only")
    places = [one for one in known_states(target, state) if blob_is_in(one, frame)]
    if len(places) != 1:
        what = "no reel" if not places else f"{len(places)} reels"
        raise SetupError(f"{target}: {what} in it with a frame {frame}")
    with FilmReport(as_json=as_json) as report:
        undone = undo_frame(places[0], frame, blob, 1, report)
        report.on_undone(undone)
    raise typer.Exit(report.on_end([undone.summary]))


def _inside(target: Path, file: Path) -> Path:
    """As the journal calls it: relative to OUT, whichever way it was given."""
    if file.is_absolute():
        if not file.is_relative_to(target.absolute()):
            raise SetupError(f"{file}: lies outside {target}: name one of its files")
        return file.relative_to(target.absolute())
    if not (target / file).exists() and file.is_relative_to(target):
        return file.relative_to(target)
    return file
