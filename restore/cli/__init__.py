"""Owns the command line `restore`: its commands, its exit codes, and one clean line for everything that can go wrong.

One command a file; nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from restore import __version__
from restore.cli import (
    apply,
    bench,
    console,
    detect,
    doctor,
    film,
    inpaint,
    models,
    run,
    scan,
    sheet,
    train,
    try_,
    undo,
    upscale,
    verify,
)
from restore.cli.failures import exit_code, import_remedy
from restore.cli.help import GroupedCommand
from restore.errors import ExitCode, RestoreError

EXIT_CODES = upscale.EXIT_CODES


class _Front(TyperGroup):
    """Turns every expected failure of a command into one line on standard error and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except RestoreError as error:
            console.complain(str(error))
            raise typer.Exit(exit_code(error)) from error
        except ImportError as error:
            remedy = import_remedy(error)
            if remedy is None:
                raise
            console.complain(remedy)
            raise typer.Exit(ExitCode.COULD_NOT_START) from error
        except KeyboardInterrupt as error:
            console.complain("interrupted")
            raise typer.Exit(ExitCode.INTERRUPTED) from error


app = typer.Typer(
    name="restore",
    cls=_Front,
    help="Restore pictures in batches: same tree, names and formats, nothing lost.",
    epilog="Start with: restore try IN, then: restore upscale IN OUT; or: restore inpaint IN OUT --dry-run",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _show_version(wanted: bool) -> None:
    if not wanted:
        return
    console.say(f"restore {__version__}")
    raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options that belong to no command."""


app.command("try", cls=GroupedCommand, short_help="Compare models on a small sample of IN.")(try_.try_)
app.command("upscale", cls=GroupedCommand, short_help="Enlarge every image in IN.", epilog=EXIT_CODES)(upscale.upscale)
app.command("inpaint", cls=GroupedCommand, short_help="Fill the damaged places of every image.", epilog=EXIT_CODES)(
    inpaint.inpaint
)
app.command("run", cls=GroupedCommand, short_help="Carry out a recipe: fill holes, then enlarge.", epilog=EXIT_CODES)(
    run.run
)
app.command("film", cls=GroupedCommand, short_help="Remove dirt and scratches from film.", epilog=EXIT_CODES)(film.film)
app.command("scan", cls=GroupedCommand, short_help="Find a reel's shots, fields, gaps and damage.")(scan.scan)
app.command("detect", cls=GroupedCommand, short_help="Write masks of a reel's damage.")(detect.detect)
app.command("verify", cls=GroupedCommand, short_help="Prove that results are what was made.")(verify.verify)
app.command("undo", cls=GroupedCommand, short_help="Take repairs off a result again.")(undo.undo)
app.command("apply", cls=GroupedCommand, short_help="Put stored repairs on their sources.", epilog=EXIT_CODES)(
    apply.apply
)
app.command("sheet", cls=GroupedCommand, short_help="Draw sources and results onto one page.")(sheet.sheet)
app.add_typer(bench.app, name="bench")
app.add_typer(models.app, name="models")
app.add_typer(train.app, name="train")
app.command("doctor", cls=GroupedCommand, short_help="Show what this machine offers.")(doctor.doctor)


def main() -> None:
    """The entry point `restore`."""
    # Names are bytes: what is no UTF-8 must not stop a line from being printed.
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    app()
