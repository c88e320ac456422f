"""Owns which second file (mask, infrared picture, patches) decides about which source, before anything is decoded.

Names decide, by the rules of `holes.pairing`; what lies beside the sources as a companion is never a source itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from restore.batch.job import Companion, Pair, Problem, SourceState, printable
from restore.batch.places import STATE_NAME
from restore.batch.walk import Found, examples, walk
from restore.errors import SetupError
from restore.formats import SUFFIXES
from restore.holes.pairing import Pairing, pair, pair_beside, pair_infrared, pair_one
from restore.recipe import HolesFrom, Recipe, RunOptions
from restore.trust.patches import SUFFIX as PATCHES_SUFFIX


@dataclass(frozen=True)
class Companions:
    """What was found by name."""

    images: tuple[Path, ...]
    """The sources: what lies beside them as a companion isn't among them."""
    word: str = ""
    """What companions are called: "mask"; empty where none are needed."""
    root: Path = field(default_factory=Path)
    """What companions' paths are relative to."""
    of: Mapping[Path, tuple[Path, str]] = field(default_factory=dict)
    """Source -> (companion, why it is its own)."""
    failing: tuple[Problem, ...] = ()
    """Sources whose companion can't be told."""
    doubts: tuple[str, ...] = ()
    """What `--strict` refuses and everybody else should know."""

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """For people: every source, with its companion and why."""
        if not self.word:
            return ()
        failing = {problem.relative: problem.error for problem in self.failing}
        none = f"no {self.word} belongs to it"
        return tuple(Pair(image, *self.of.get(image, (None, failing.get(image, none)))) for image in self.images)


def find_companions(recipe: Recipe, options: RunOptions, found: Found) -> Companions:
    """Pairs the sources that `walk` found.  Raises SetupError where no source has a companion, or a place is wrong."""
    base = options.source if options.source.is_dir() else options.source.parent
    if recipe.inpaint is None:
        if recipe.upscale is not None or options.patches is None:
            return Companions(found.images)
        return _patches(options.patches, found)
    holes = recipe.inpaint.holes
    if holes.source is HolesFrom.INFRARED and holes.ir_suffix is not None:
        names = _all_names(options, base, found)
        return _told(pair_infrared(names, holes.ir_suffix), found, base, "infrared file", options)
    if holes.source is not HolesFrom.MASKS:
        sources = set(_without_masks(_all_names(options, base, found), options))
        return Companions(tuple(image for image in found.images if image in sources))
    return _masks(options, base, found)


def companion_at(root: Path, relative: Path) -> Companion:
    """With what tells this version of it from another.  Raises OSError."""
    facts = os.stat(root / relative)
    return Companion(relative, root / relative, SourceState(facts.st_size, facts.st_mtime_ns, facts.st_ino))


def _masks(options: RunOptions, base: Path, found: Found) -> Companions:
    place, pattern = options.masks.place, options.masks.pattern
    names = _all_names(options, base, found)
    if place is None or (place.is_dir() and place.resolve() == base.resolve()):
        return _told(pair_beside(names, pattern), found, base, "mask", options)
    if place.is_dir():
        try:
            inside = place.resolve().relative_to(base.resolve())
        except ValueError:
            inside = None
        masks = walk(place).images
        names = [name for name in names if inside is None or not name.is_relative_to(inside)]
        names = _without_masks(names, options)
        return _told(pair(names, masks, pattern), found, place, "mask", options)
    if not place.is_file():
        raise SetupError(f"{printable(place)}: no such file or folder: give masks, or a folder of them, with --masks")
    if pattern is not None:
        raise SetupError("--mask-pattern says which of many masks is whose, and --masks names one file: leave one out")
    names = [name for name in _without_masks(names, options) if (base / name).resolve() != place.resolve()]
    return _told(pair_one(names, Path(place.name)), found, place.parent, "mask", options)


def _all_names(options: RunOptions, base: Path, found: Found) -> list[Path]:
    """Everything that could be a source or lie beside one, whatever --include and --exclude say."""
    if not options.source.is_dir():
        beside = [Path(entry.name) for entry in os.scandir(base) if entry.is_file()]
        return [name for name in beside if name.suffix.lower() in SUFFIXES]
    return list(walk(options.source).images if options.include or options.exclude else found.images)


def _without_masks(names: list[Path], options: RunOptions) -> list[Path]:
    """Masks that lie beside their pictures are no sources, also where something else says what is missing."""
    if not options.source.is_dir():
        return names
    masks = {one.mask for one in pair_beside(names).pairs}
    return [name for name in names if name not in masks]


def _told(pairing: Pairing, found: Found, root: Path, word: str, options: RunOptions) -> Companions:
    """Of the pairing of everything, what concerns the sources of this run."""
    sources = {*pairing.unmasked, *(one.picture for one in pairing.pairs)}
    sources.update(picture for one in pairing.ambiguous for picture in one.pictures)
    images = tuple(image for image in found.images if image in sources)
    if not images and found.images:
        raise SetupError(f"{printable(options.source)}: holds only what is named like a {word}: check IN and --masks")
    wanted = set(images)
    of = {one.picture: (one.mask, one.because) for one in pairing.pairs if one.picture in wanted}
    failing = tuple(
        Problem(
            picture,
            f"it can't be told which {word} is its own ({one.because}): {examples(one.masks)}: keep one of them"
            if len(one.masks) > 1
            else f"{examples(one.masks)} fits {examples(one.pictures)} alike ({one.because}): give each its own {word}",
        )
        for one in pairing.ambiguous
        for picture in one.pictures
        if picture in wanted
    )
    if images and not of and not failing:
        raise SetupError(_none_fits(word, root, pairing, options))
    doubts = []
    if pairing.orphans:
        doubts.append(f"{_counted(pairing.orphans, word)} without a picture: {examples(pairing.orphans)}")
    unclear = {problem.relative for problem in failing}
    unmasked = [image for image in images if image not in of and image not in unclear]
    if unmasked and options.masks.no_mask is None:
        doubts.append(f"{_counted(unmasked, 'picture')} without a {word}: {examples(unmasked)}")
    doubts += [str(problem) for problem in failing]
    return Companions(images, word, root, of, failing, tuple(doubts))


def _none_fits(word: str, root: Path, pairing: Pairing, options: RunOptions) -> str:
    there = f" ({examples(pairing.orphans)} fit none)" if pairing.orphans else ""
    where = printable(options.masks.place or root)
    if word != "mask":
        return f"{where}: no {word} belongs to any picture{there}: check --holes ir:suffix=..."
    return (
        f"{where}: no mask belongs to any picture{there}: masks have the same path or stem, or are called name_mask; "
        "name their folder with --masks, how they are called with --mask-pattern, or find holes with --holes alpha, "
        "key:#rrggbb or auto"
    )


def _patches(place: Path, found: Found) -> Companions:
    """NAME.patches for each source NAME."""
    if not place.is_dir():
        raise SetupError(f"{printable(place)}: no such folder: give the folder that --patches made")
    there = {
        Path(parent).relative_to(place) / name
        for parent, _, names in os.walk(place)
        for name in names
        if name.endswith(PATCHES_SUFFIX) and STATE_NAME not in Path(parent).relative_to(place).parts
    }
    of = {
        image: (patches, "same path")
        for image in found.images
        if (patches := image.with_name(image.name + PATCHES_SUFFIX)) in there
    }
    if not of:
        raise SetupError(
            f"{printable(place)}: holds no patches for any picture of IN: give the folder of the originals"
        )
    left = sorted(there - {patches for patches, _ in of.values()}, key=os.fsencode)
    doubts = (f"{_counted(left, 'patch file')} without a picture in IN: {examples(left)}",) if left else ()
    return Companions(found.images, "patch file", place, of, (), doubts)


def _counted(names: Iterable[Path], word: str) -> str:
    number = len(list(names))
    return f"{number} {word}{'' if number == 1 else 's'}"
