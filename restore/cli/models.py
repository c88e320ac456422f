"""Owns `restore models`: what networks there are, under which licence, and getting and checking them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from restore.cli import console
from restore.errors import ExitCode
from restore.report.visible import visible

if TYPE_CHECKING:
    from restore.models import Listing

app = typer.Typer(help="List, inspect, import, fetch and verify models.", no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name from `restore models list`.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for machines.")]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the models: scale, licence, is it here?"""
    from restore.cli.wording import columns
    from restore.models import list_models

    found = list_models()
    if as_json:
        for listing in found:
            console.say_json(_facts(listing))
        return
    rows = [("NAME", "SCALE", "KIND", "LICENCE", "HERE", "FOR")]
    rows += [
        (
            visible(one.name),
            f"x{one.scale}",
            one.architecture,
            one.licence,
            "yes" if one.available else "no",
            one.summary,
        )
        for one in found
    ]
    console.say(columns(rows))
    if any(not one.available for one in found):
        console.say("`restore models info NAME` says how to get one that isn't here")


@app.command()
def info(name: Name, as_json: Json = False) -> None:
    """Show one model: licence, origin, sha256, file."""
    from restore import models as library
    from restore.cli.wording import columns

    one = library.info(name)
    if as_json:
        console.say_json(_facts(one))
        return
    rows = [
        ("name", visible(one.name)),
        ("for", one.summary),
        ("kind", f"{one.architecture}, x{one.scale}, {one.channels} channels"),
        ("licence", one.licence),
        ("from", visible(one.source)),
        ("sha256", one.sha256 or "not known before it is fetched"),
        ("file", visible(str(one.path)) if one.path else "made from the installed weights at first use"),
    ]
    if not one.available:
        rows[-1] = ("file", "not here")
        rows.append(("get it", one.remedy))
    console.say(columns(rows))


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .safetensors, .pth, .pt or .ckpt file.")],
) -> None:
    """Take in a checkpoint; nothing in it is run."""
    from restore.models import import_file

    ref = import_file(file)
    console.say(f"imported {visible(ref.name)}: {ref.architecture}, x{ref.scale}, sha256 {ref.sha256}")
    console.say(f"its licence is not known here; use it with: --model {visible(ref.name)}")


@app.command()
def pull(name: Name) -> None:
    """Fetch a model, check its sha256, and convert it."""
    from restore.models import pull as fetch

    ref = fetch(name)
    console.say(f"{visible(ref.name)} is ready: licence {ref.licence}, sha256 {ref.sha256}")


@app.command()
def verify() -> None:
    """Hash the models kept here, and compare."""
    from restore.cli.wording import columns
    from restore.models import verify as check

    words = {True: "ok", False: "BROKEN", None: "-"}
    verdicts = check()
    console.say(columns([(visible(v.name), words[v.ok], visible(v.message)) for v in verdicts]))
    if any(v.ok is False for v in verdicts):
        raise typer.Exit(ExitCode.SOME_FAILED)


def _facts(listing: Listing) -> dict[str, Any]:
    return {**asdict(listing), "path": str(listing.path) if listing.path else None}
