"""Owns `restore sheet`: a page with sources beside the results that an earlier run made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restore.cli import console, options
from restore.errors import ImageError, SetupError
from restore.report.visible import visible

if TYPE_CHECKING:
    from restore.report.sheet import Row

DEFAULT_ROWS = 12
MOST_ROWS = 60
"""A sheet with more is a picture that few programs open."""

Page = Annotated[Path, typer.Argument(metavar="SHEET.png", help="The contact sheet to write.")]
Rows = Annotated[
    int, typer.Option("--rows", min=1, max=MOST_ROWS, help="Pictures on it, spread over formats and sizes.")
]


def sheet(
    source: options.Source,
    target: options.Target,
    page: Page,
    rows: Rows = DEFAULT_ROWS,
    include: options.Include = None,
    exclude: options.Exclude = None,
) -> None:
    """Draw sources and the results in OUT side by side onto one page."""
    from restore.batch.walk import walk
    from restore.report.sample import spread
    from restore.report.sheet import sheet as draw

    if not source.exists():
        raise SetupError(f"{source}: no such file or folder: give an image or a folder of images")
    found = walk(source, include or (), exclude or ())
    pairs = [(name, result) for name in found.images if (result := find_result(source, target, name))]
    if not pairs:
        raise SetupError(f"{target}: holds no result of {source} yet: make some with: restore upscale IN OUT")
    chosen = spread(pairs, rows, kind=lambda pair: pair[0].suffix.lower(), size=lambda pair: pair[1].stat().st_size)
    check_page(page)
    with_failures: list[str] = []
    try:
        drawn = draw(
            _rows(source, chosen, with_failures), page, title=f"{source.resolve().name} -> {target.resolve().name}"
        )
    except ValueError as error:
        raise SetupError(f"none of the chosen pictures could be read: {'; '.join(with_failures)}") from error
    for failure in with_failures:
        console.say(f"left out  {visible(failure)}")
    console.say(f"{drawn} of {len(pairs)} pictures on {visible(str(page))}")


def find_result(source: Path, target: Path, name: Path) -> Path | None:
    """The file in OUT that came of the source called `name`: the same name, another suffix, or one suffix more."""
    from restore.formats import FORMATS, target_suffix

    if source.is_file() and target.is_file():
        return target
    suffixes = [target_suffix(one) for one, facts in FORMATS.items() if facts.can_write]
    others = [name.with_suffix(suffix) for suffix in suffixes] + [name.with_name(name.name + s) for s in suffixes]
    return next((target / one for one in (name, *others) if (target / one).is_file()), None)


def check_page(page: Path) -> None:
    """Refuse, before any work, a page that could not be written.  Raises SetupError."""
    import os

    if page.suffix.lower() != ".png":
        raise SetupError(f"{page}: a contact sheet is a PNG: give a name that ends with .png")
    if page.is_dir() or not page.absolute().parent.is_dir():
        raise SetupError(f"{page}: its folder doesn't exist, or it is a folder itself: name a file in an existing one")
    if not os.access(page if page.exists() else page.absolute().parent, os.W_OK):
        raise SetupError(f"{page}: can't be written (no permission): name another file")


def _rows(source: Path, pairs: Sequence[tuple[Path, Path]], failures: list[str]) -> Iterator[Row]:
    from restore.batch.job import without_place
    from restore.formats import Decoder
    from restore.recipe import TraitRules
    from restore.report.sheet import After, Row
    from restore.traits import classify

    base = source if source.is_dir() else source.parent
    with Decoder() as decoder:
        for name, result in pairs:
            try:
                before = decoder.read(base / name).first
                after = decoder.read(result).first
            except ImageError as error:
                failures.append(f"{name}: {without_place(str(error), base / name, name)}")
                continue
            because = classify(before, name.name, TraitRules()).because
            yield Row(str(name), before, (After("after", after),), (because,))
