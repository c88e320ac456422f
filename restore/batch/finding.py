"""Owns asking for the holes of a source: its mask or infrared file is read here, and doubts about it become words."""

from __future__ import annotations

from restore.batch.job import Job, printable, without_place
from restore.errors import ImageError
from restore.formats import Decoder
from restore.holes.find import find
from restore.holes.found import Found
from restore.holes.lint import DoubtKind, doubts
from restore.image import Arrangement, Document, Image
from restore.recipe import FindHoles, HolesFrom
from restore.traits import Traits
from restore.trust import patches as patch_files
from restore.trust.patches import Patches


def find_in(
    document: Document, traits: tuple[Traits, ...], job: Job, decoder: Decoder, rule: FindHoles
) -> tuple[tuple[Found | None, ...], tuple[str, ...]]:
    """What is missing of every page, None where nothing is looked for; and what a person should know of it.

    A mask of several pages says it page by page; one of a single page is the first page's.  An infrared page is looked
    at for the page before it.  Raises ImageError where the mask can't be used.
    """
    beside = _companion(job, decoder, document, rule)
    found: list[Found | None] = []
    notes: list[str] = []
    for number, (page, kind) in enumerate(zip(document.pages, traits, strict=True)):
        if not _is_searched(number, document, rule, beside):
            found.append(None)
            continue
        marked = infrared = None
        if rule.source is HolesFrom.MASKS:
            marked = beside[number]
            notes += _doubts(page, marked, rule)
        elif rule.ir_page is not None:
            infrared = _page(document, rule.ir_page)
        elif rule.ir_suffix is not None:
            infrared = beside[number]
        one = find(page, rule, kind, marked=marked, infrared=infrared)
        found.append(one)
        notes += one.notes
    if rule.source is HolesFrom.MASKS and beside and len(beside) != len(document.pages):
        notes.append(_pages_differ(len(beside), len(document.pages)))
    return tuple(found), tuple(dict.fromkeys(notes))


def read_patches(job: Job) -> Patches:
    """The patches that belong to a source.  Raises ImageError."""
    assert job.companion is not None
    name = printable(job.companion.relative)
    try:
        with job.companion.source.open("rb") as file:
            return patch_files.read(file)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
    except OSError as error:
        raise ImageError(f"{name}: can't be read: {error.strerror}") from error


def _is_searched(number: int, document: Document, rule: FindHoles, beside: tuple[Image, ...]) -> bool:
    if rule.source is HolesFrom.MASKS or rule.ir_suffix is not None:
        return number < len(beside)
    if rule.ir_page is not None:
        return number == 0 and len(document.pages) > 1
    return rule.ir_channel is None or number == 0 or document.pages[number].stored == document.first.stored


def _pages_differ(of_mask: int, of_picture: int) -> str:
    left = "the later ones are not looked at" if of_mask > of_picture else "the later ones stay as they are"
    return f"its mask has {of_mask} page{'s' if of_mask > 1 else ''} and the picture {of_picture}: {left}"


def _page(document: Document, number: int) -> Image:
    """The infrared page, counted from 1."""
    if not 1 < number <= len(document.pages):
        raise ImageError(
            f"it has {len(document.pages)} pages, so page {number} can't be the infrared image of the first one: see "
            "--holes ir:page=N"
        )
    return document.pages[number - 1]


def _companion(job: Job, decoder: Decoder, document: Document, rule: FindHoles) -> tuple[Image, ...]:
    """The pages of the mask or infrared file; of a cube map, its faces."""
    if job.companion is None:
        return ()
    place = job.companion
    try:
        read = decoder.read(place.source)
    except ImageError as error:
        what = without_place(str(error), place.source, place.relative)
        word = "mask" if rule.source is HolesFrom.MASKS else "infrared file"
        raise ImageError(f"its {word} {printable(place.relative)} can't be read: {what}") from error
    strip = document.arrangement is Arrangement.CUBE_STRIP and read.arrangement is not Arrangement.CUBE_STRIP
    if strip and len(read.pages) == 1 and read.first.height == 6 * document.first.height:
        side = document.first.height
        return tuple(read.first.with_pixels(read.first.pixels[i * side : (i + 1) * side]) for i in range(6))
    return read.pages


def _doubts(page: Image, marked: Image, rule: FindHoles) -> list[str]:
    """What a person should know of a mask.  Raises ImageError where it can't be used."""
    words = []
    for doubt in doubts(marked, width_px=page.width, height_px=page.height, invert=rule.invert):
        if doubt.fatal:
            raise ImageError(f"its mask: {doubt.words}")
        if doubt.kind is not DoubtKind.EMPTY:
            words.append(f"its mask: {doubt.words}")
    return words
