"""Owns finding the files of a run: every one at any depth, names byte for byte, in one order on every machine."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from restore.batch.job import Problem, printable
from restore.batch.places import STATE_NAME
from restore.batch.temporary import is_temporary
from restore.formats import SUFFIXES

SHOWN = 3
"""Examples in a message."""


@dataclass(frozen=True, slots=True)
class Found:
    """What lies below IN; paths are relative to it, sorted by their bytes."""

    images: tuple[Path, ...]
    """By suffix, in any case."""
    others: tuple[Path, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


def walk(source: Path, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> Found:
    """Finds files below a directory (which may be a symbolic link), or just the one file.

    A glob is matched, without regard to case, against a file's name, its path relative to IN (with `/`), and those of
    the folders it lies in, so that a folder's name covers all in it.  `*` and `?` stop at `/`, `**` doesn't.  An image
    must match some `include` (if any is given) and no `exclude`; for other files only `exclude` counts.

    Links to files are read; links to folders are not followed (they may lead round in circles), and said so.
    """
    if not source.is_dir():
        return Found((Path(source.name),), (), (), ())
    included, excluded = _globs(include), _globs(exclude)
    images, others, links, problems = [], [], [], []
    folders = [Path()]
    while folders:
        folder = folders.pop()
        try:
            entries = list(os.scandir(source / folder))
        except OSError as error:
            problems.append(Problem(folder, f"the folder can't be read: {error.strerror}: check its permissions"))
            continue
        for entry in entries:
            path = folder / entry.name
            if entry.is_dir(follow_symlinks=False):
                if entry.name != STATE_NAME:
                    folders.append(path)
            elif entry.is_symlink() and entry.is_dir():
                links.append(path)
            elif is_temporary(entry.name) or _matches(path, excluded):
                continue
            elif path.suffix.lower() not in SUFFIXES:
                if entry.is_file():
                    others.append(path)
            elif included and not _matches(path, included):
                continue
            elif entry.is_file():
                images.append(path)
            else:
                broken = "a symbolic link to nothing" if entry.is_symlink() else "no regular file"
                problems.append(Problem(path, f"is {broken}"))
    notes = (f"folders that are symbolic links are not followed: {examples(links)}",) if links else ()
    return Found(_sorted(images), _sorted(others), tuple(problems), notes)


def examples(paths: Iterable[Path]) -> str:
    """A few names for a message, and how many more there are."""
    every = [printable(path) for path in paths]
    more = f" and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return ", ".join(every[:SHOWN]) + more


def glob_pattern(glob: str) -> re.Pattern[str]:
    """A regular expression for a whole name or path; see `walk`."""
    text = unicodedata.normalize("NFC", glob).strip("/")
    parts, i = [], 0
    while i < len(text):
        if text.startswith("**/", i):
            parts.append("(?:.*/)?")
            i += 3
        elif text.startswith("**", i):
            parts.append(".*")
            i += 2
        elif text[i] == "[" and (end := text.find("]", i + 2)) > 0:
            inner = text[i + 1 : end].replace("\\", r"\\").replace("[", r"\[")
            parts.append(f"[^{inner[1:]}]" if inner[0] == "!" else f"[{inner}]")
            i = end + 1
        else:
            parts.append({"*": "[^/]*", "?": "[^/]"}.get(text[i], re.escape(text[i])))
            i += 1
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL)


def _globs(globs: Iterable[str]) -> list[re.Pattern[str]]:
    return [glob_pattern(glob) for glob in globs]


def _matches(path: Path, globs: list[re.Pattern[str]]) -> bool:
    if not globs:
        return False
    text = unicodedata.normalize("NFC", path.as_posix())
    names = text.split("/")
    whole = ["/".join(names[: i + 1]) for i in range(len(names))]
    return any(glob.fullmatch(candidate) for glob in globs for candidate in (*whole, *names))


def _sorted(paths: list[Path]) -> tuple[Path, ...]:
    return tuple(sorted(paths, key=os.fsencode))
