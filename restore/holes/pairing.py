"""Owns which mask (or infrared file) belongs to which picture: by name only, never by order, each with its reason.

Names are paths relative to their folder's root and are compared byte for byte, except for a suffix's case and the
word "mask" itself.  Rules are tried from the surest to the loosest; what one rule has paired, a later one leaves alone.
Where a rule fits several files at once, none of them is paired, and it is said which.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from restore.errors import SetupError
from restore.formats import SUFFIXES

_AFTER = re.compile(rb"(?P<stem>.+)[_\-. ]mask[0-9]*", re.IGNORECASE | re.DOTALL)
_BEFORE = re.compile(rb"mask[_\-. ](?P<stem>.+)", re.IGNORECASE | re.DOTALL)

Key = tuple[bytes, ...]
_Rule = tuple[str, Callable[[Path], Key | None], Callable[[Path], Key | None]]
"""Reason in words, a picture's key, a mask's key; None: the rule has nothing to say about that name."""


@dataclass(frozen=True)
class Pair:
    picture: Path
    mask: Path
    because: str
    """"same path", "same stem", "named name_mask", ...: a cell of the table that --dry-run shows."""


@dataclass(frozen=True)
class Ambiguity:
    """Names that one rule would pair in more than one way."""

    pictures: tuple[Path, ...]
    masks: tuple[Path, ...]
    because: str


@dataclass(frozen=True)
class Pairing:
    """Every name is in exactly one of these; all are sorted by their bytes."""

    pairs: tuple[Pair, ...]
    unmasked: tuple[Path, ...]
    """Pictures without a mask: not damaged, or the mask is missing."""
    orphans: tuple[Path, ...]
    """Masks without a picture."""
    ambiguous: tuple[Ambiguity, ...]


def pair(pictures: Iterable[Path], masks: Iterable[Path], pattern: str | None = None) -> Pairing:
    """Pictures, relative to their root, with masks, relative to theirs.

    Without a pattern: as `saved_name` calls it; same relative path; same but for the suffix's case; same folder and
    stem; same folder and `name_mask`, `name-mask`, `name.mask`, `name_mask001`, `mask_name`.  With one (see `Pattern`),
    only that counts.
    """
    every, candidates = list(pictures), list(masks)
    if pattern is not None:
        return _paired(every, candidates, Pattern.parse(pattern).rules())
    return _paired(every, candidates, (_saved_rule(set(every), set(candidates)), *_RULES))


def saved_name(picture: Path, suffix: str) -> Path:
    """What the mask that is saved for a picture is called, `suffix` (".png") being its own: wall.png for wall.png, and
    wall.bmp.png for wall.bmp.  No two pictures' masks have the same name, and `pair` finds them all.
    """
    inner = Path(picture.stem).suffix.lower()
    return picture if picture.suffix == suffix and inner not in SUFFIXES else picture.with_name(picture.name + suffix)


def pair_beside(names: Iterable[Path], pattern: str | None = None) -> Pairing:
    """The same where masks lie beside their pictures, in one tree.

    What is named like a mask counts as one and never as a picture, with or without a picture that it fits: unless
    something else is named like *its* mask (mask_2.png, mask_2_mask.png).
    """
    every = list(names)
    parsed = None if pattern is None else Pattern.parse(pattern)
    if parsed is not None and parsed.fits_every_name:
        raise SetupError(
            f"mask pattern {pattern!r} fits every picture: masks in the same folder need names of their own"
        )
    rules = _NAMED if parsed is None else parsed.rules()
    masks = _masks_among(every, rules)
    return _paired([name for name in every if name not in masks], [name for name in every if name in masks], rules)


def pair_one(pictures: Iterable[Path], mask: Path) -> Pairing:
    """One mask file for all of them."""
    return Pairing(tuple(Pair(p, mask, "one mask for all") for p in _sorted(pictures)), (), (), ())


def pair_infrared(names: Iterable[Path], suffix: str) -> Pairing:
    """Pictures with the separate infrared files beside them, whose stem ends with `suffix` ("_ir"), in any format."""
    if not suffix or "/" in suffix:
        raise SetupError(f"{suffix!r} can't be what infrared files' names end with: try --holes ir:suffix=_ir")
    escaped = suffix.replace("{", "{{").replace("}", "}}")
    return pair_beside(names, f"{{stem}}{escaped}.{{ext}}")


@dataclass(frozen=True)
class Pattern:
    """A mask's name, made from its picture's.

    `{stem}` and `{ext}` are the picture's name before and after its last dot, `{name}` is both.  A mask of another
    format than its picture will do where `{ext}` stands, if there is none of the same.  Folders before the name are
    relative to the picture's own: "masks/{stem}.png".
    """

    text: str
    """As it was given."""
    folders: tuple[bytes, ...]
    before: bytes
    after: bytes
    whole_name: bool
    """`{name}` rather than `{stem}`."""
    suffix: bytes | None
    """The one that masks must have, lower case; None: any."""

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """SetupError unless it has exactly one of {stem} and {name}, and no other placeholder than {ext} at its end."""
        *folders, last = text.split("/")
        found = re.fullmatch(r"((?:[^{}]|{{|}})*)\{(stem|name)\}((?:[^{}]|{{|}})*?)(\.\{ext\}|\.[^{}.]+|)", last)
        if found is None or any("{" in f or "}" in f or f in ("", "..") for f in folders):
            raise SetupError(
                f"mask pattern {text!r}: write one {{stem}} (or {{name}}), and at the end {{ext}} or a suffix,"
                " for instance '{stem}_mask.{ext}' or 'masks/{stem}.png'"
            )
        before, what, after, suffix = found.groups()
        plain = [os.fsencode(part.replace("{{", "{").replace("}}", "}")) for part in (before, after)]
        wanted = None if suffix == ".{ext}" else os.fsencode(suffix.lower())
        kept = tuple(os.fsencode(folder) for folder in folders if folder != ".")
        return cls(text, kept, plain[0], plain[1], what == "name", wanted)

    @property
    def fits_every_name(self) -> bool:
        return not (self.folders or self.before or self.after) and self.suffix is None

    def rules(self) -> Sequence[_Rule]:
        any_format = (f"pattern {self.text}", self._picture_key, self._mask_key)
        if self.suffix is not None:
            return (any_format,)
        exact = (any_format[0], self._picture_key_and_suffix, self._mask_key_and_suffix)
        return (exact, (f"{any_format[0]}, in another format", *any_format[1:]))

    def _picture_key(self, picture: Path) -> Key:
        name = os.fsencode(picture.name) if self.whole_name else _stem(picture)
        return (*_folder(picture), *self.folders, name)

    def _mask_key(self, mask: Path) -> Key | None:
        stem = os.fsencode(mask.name) if self.suffix == b"" else _stem(mask)
        folder = _folder(mask)
        if self.suffix and _suffix(mask) != self.suffix:
            return None
        if self.folders and folder[-len(self.folders) :] != self.folders:
            return None
        if len(stem) <= len(self.before) + len(self.after):
            return None
        if not (stem.startswith(self.before) and stem.endswith(self.after)):
            return None
        return (*folder, stem[len(self.before) : len(stem) - len(self.after)])

    def _picture_key_and_suffix(self, picture: Path) -> Key:
        return (*self._picture_key(picture), _suffix(picture))

    def _mask_key_and_suffix(self, mask: Path) -> Key | None:
        key = self._mask_key(mask)
        return None if key is None else (*key, _suffix(mask))


def _paired(pictures: list[Path], masks: list[Path], rules: Sequence[_Rule]) -> Pairing:
    open_pictures, open_masks = set(pictures), set(masks)
    pairs: list[Pair] = []
    ambiguous: list[Ambiguity] = []
    for because, picture_key, mask_key in rules:
        groups: dict[Key, tuple[list[Path], list[Path]]] = defaultdict(lambda: ([], []))
        for side, names, key_of in ((0, open_pictures, picture_key), (1, open_masks, mask_key)):
            for name in _sorted(names):
                key = key_of(name)
                if key is not None:
                    groups[key][side].append(name)
        for fitting, candidates in groups.values():
            if not fitting or not candidates:
                continue
            if len(fitting) == len(candidates) == 1:
                pairs.append(Pair(fitting[0], candidates[0], because))
            else:
                ambiguous.append(Ambiguity(tuple(fitting), tuple(candidates), because))
            open_pictures.difference_update(fitting)
            open_masks.difference_update(candidates)
    return Pairing(
        tuple(sorted(pairs, key=lambda p: os.fsencode(p.picture))),
        _sorted(open_pictures),
        _sorted(open_masks),
        tuple(sorted(ambiguous, key=lambda a: os.fsencode(a.pictures[0]))),
    )


def _masks_among(names: list[Path], rules: Sequence[_Rule]) -> set[Path]:
    """Names that some rule takes for a mask, less those that are a picture with a mask of its own but fit none."""
    masks: set[Path] = set()
    for _, picture_key, mask_key in rules:
        by_key: dict[Key, list[Path]] = defaultdict(list)
        for name in names:
            key = mask_key(name)
            if key is not None:
                by_key[key].append(name)
        named = {name for group in by_key.values() for name in group}
        has_picture = {m for n in names for m in by_key.get(picture_key(n) or (), ()) if m != n}
        has_mask = {n for n in names if any(m != n for m in by_key.get(picture_key(n) or (), ()))}
        masks |= has_picture | (named - has_mask)
    return masks


def _saved_rule(pictures: set[Path], masks: set[Path]) -> _Rule:
    """Masks with a picture's whole name before their suffix, but for one that is called as another picture is, which
    has no such mask itself: that one was drawn for its namesake."""

    def mask_key(mask: Path) -> Key | None:
        is_namesake = mask in pictures and not any(saved_name(mask, suffix) in masks for suffix in (".png", ".tif"))
        return None if is_namesake or not Path(mask.stem).suffix else _same_stem(mask)

    return "named after all of its name", _same_path, mask_key


def _same_path(name: Path) -> Key:
    return (*_folder(name), os.fsencode(name.name))


def _same_but_suffix_case(name: Path) -> Key:
    return (*_folder(name), _stem(name), _suffix(name))


def _same_stem(name: Path) -> Key:
    return (*_folder(name), _stem(name))


def _named_after(name: Path) -> Key | None:
    found = _AFTER.fullmatch(_stem(name)) or _BEFORE.fullmatch(_stem(name))
    return None if found is None else (*_folder(name), found["stem"])


_NAMED: Sequence[_Rule] = (("named after it", _same_stem, _named_after),)
_RULES: Sequence[_Rule] = (
    ("same path", _same_path, _same_path),
    ("same path but for the suffix's case", _same_but_suffix_case, _same_but_suffix_case),
    ("same stem", _same_stem, _same_stem),
    *_NAMED,
)


def _folder(name: Path) -> Key:
    return tuple(os.fsencode(part) for part in name.parent.parts)


def _stem(name: Path) -> bytes:
    return os.fsencode(name.stem)


def _suffix(name: Path) -> bytes:
    return os.fsencode(name.suffix).lower()


def _sorted(names: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(sorted(names, key=os.fsencode))
