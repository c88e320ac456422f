"""Owns which name each source's result gets, and refuses two sources that would share one."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from restore.batch.job import printable
from restore.batch.places import Places
from restore.batch.walk import SHOWN
from restore.errors import SetupError
from restore.formats import SUFFIXES, target_suffix
from restore.recipe import PATCHES, OnCollision
from restore.trust.patches import SUFFIX as PATCHES_SUFFIX

MAX_NAME_BYTES = 255


def name_targets(
    sources: Iterable[Path], others: Iterable[Path], places: Places, output_format: str, on_collision: OnCollision
) -> dict[Path, Path]:
    """Source -> target (relative to IN and to the output root) for every image.

    Two names count as one if they differ only in case or in Unicode's normal form, because other systems' folders can't
    hold both.  With SUFFIX, results that would collide keep their whole old name before the new suffix (wall.tga.png).
    Raises SetupError with examples and the way out.
    """
    if places.target_name is not None:
        (source,) = sources
        return {source: Path(places.target_name)}
    targets = {source: with_format(source, output_format) for source in sources}
    kept = {other: other for other in others}
    clashes = _clashes({**targets, **kept})
    if clashes and on_collision is OnCollision.SUFFIX:
        for group in clashes:
            for source in group:
                if source in targets and targets[source] != source:
                    targets[source] = source.with_name(source.name + target_suffix(output_format))
        clashes = _clashes({**targets, **kept})
    if clashes:
        raise SetupError(_message(clashes, targets, on_collision))
    return targets


def with_format(source: Path, output_format: str) -> Path:
    """The name of a result: the source's own, unless its suffix stands for another format."""
    if output_format == PATCHES:
        return source.with_name(source.name + PATCHES_SUFFIX)
    if output_format == "same" or SUFFIXES.get(source.suffix.lower()) == output_format:
        return source
    return source.with_suffix(target_suffix(output_format))


def fold(path: Path) -> str:
    """Equal for paths that some filesystem takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path.as_posix()).casefold())


def too_long(target: Path) -> bool:
    return len(os.fsencode(target.name)) > MAX_NAME_BYTES


def _clashes(targets: Mapping[Path, Path]) -> list[list[Path]]:
    groups: defaultdict[str, list[Path]] = defaultdict(list)
    for source, target in targets.items():
        groups[fold(target)].append(source)
    return [group for group in groups.values() if len(group) > 1]


def _message(clashes: list[list[Path]], targets: Mapping[Path, Path], on_collision: OnCollision) -> str:
    lines = []
    for group in clashes[:SHOWN]:
        names = " and ".join(printable(source) for source in group)
        lines.append(f"{names} -> {printable(targets.get(group[0], group[0]))}")
    more = f"; and {len(clashes) - SHOWN} more" if len(clashes) > SHOWN else ""
    changed = any(targets.get(source, source) != source for group in clashes for source in group)
    if changed and on_collision is OnCollision.REFUSE:
        way_out = (
            "--on-collision suffix keeps both (wall.tga.png), --format same keeps all names, --exclude leaves some out"
        )
    else:
        way_out = (
            "they differ only in case or Unicode form, which many systems can't keep apart: rename or --exclude one"
        )
    return f"{len(clashes)} results would each come from several sources: {'; '.join(lines)}{more}. {way_out}"
