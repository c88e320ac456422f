"""Owns recipe files: TOML in, wishes out; what isn't known is refused by name, with what is.

    [inpaint]   holes masks mask_pattern invert_mask polarity threshold max_size grow grain context model precision
    [upscale]   model precision tile halo scale color_fix keep_grain max_size pow2 multiple_of
    [rules]     wrap
    [output]    format

Every key is named, and means what, the option of `restore inpaint` or `restore upscale` does.  `masks` is relative to
the recipe's own folder.  A table that is left out is a step that isn't taken; an empty one has every default.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import typer

from restore.cli import holes, options
from restore.cli.resolve import AUTO_HALO, Wishes
from restore.errors import SetupError
from restore.recipe import ColorFix, FindHoles, Grain, Polarity, Pow2, Precision, Wrap

Value = TypeVar("Value")
E = TypeVar("E", bound=StrEnum)
Default = TypeVar("Default")
_MOST_PX = 1 << 24


@dataclass(frozen=True)
class InpaintWishes:
    """The table [inpaint]."""

    holes: FindHoles
    model: str
    precision: Precision
    context_px: int
    grain: Grain


@dataclass(frozen=True)
class RecipeFile:
    """What a recipe file asks for, not yet resolved against models and a device."""

    inpaint: InpaintWishes | None
    masks: Path | None
    pattern: str | None
    upscale: Wishes | None
    upscale_model: str
    wrap: Wrap
    format: options.Format


def read_recipe(path: Path, masks: Path | None) -> RecipeFile:
    """Reads a recipe; `masks`: given on the command line, in place of the recipe's.  Raises SetupError."""
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # editors on Windows write a byte order mark
    except OSError as error:
        raise SetupError(f"{path}: can't be read: {error.strerror}: give a recipe file (examples/recipes)") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SetupError(f"{path}: is no TOML: {error}: compare it with examples/recipes") from error
    tables = _Table(path, "", plain)
    inpaint, upscale = tables.table("inpaint"), tables.table("upscale")
    rules, output = tables.table("rules") or _Table(path, "rules", {}), tables.table("output")
    tables.finish()
    if inpaint is None and upscale is None:
        raise SetupError(f"{path}: has no step: give it a table [inpaint] or [upscale]")
    wrap = rules.one_of("wrap", Wrap, Wrap.AUTO)
    rules.finish()
    wanted = options.Format.SAME
    if output is not None:
        wanted = output.one_of("format", options.Format, wanted)
        output.finish()
    place, pattern, filling = (None, None, None) if inpaint is None else _inpaint(inpaint, masks)
    if masks is not None and inpaint is None:
        raise SetupError(f"{path}: has no step [inpaint], so --masks means nothing: leave it out")
    model, enlarging = (options.DEFAULT_MODEL, None) if upscale is None else _upscale(upscale, wrap, wanted)
    return RecipeFile(filling, place, pattern, enlarging, model, wrap, wanted)


def _inpaint(table: _Table, masks: Path | None) -> tuple[Path | None, str | None, InpaintWishes]:
    told = table.get("masks", str, "")
    place = masks or (table.path.parent / told if told else None)
    pattern = table.get("mask_pattern", str, "") or None
    way = table.get("holes", str, "")
    wishes = holes.DamageWishes(
        way=table.checked("holes", holes.parse_holes, way) if way else None,
        masks=place,
        invert=table.get("invert_mask", bool, False),
        pattern=pattern,
        grow=table.checked("grow", holes.parse_grow, str(table.get("grow", (str, int), "auto"))),
        polarity=table.one_of("polarity", Polarity, None),
        threshold=table.optional("threshold", 1.0, 100.0),
        max_size_px=table.optional("max_size", 1, _MOST_PX),
    )
    made = InpaintWishes(
        holes=table.settled(lambda: holes.find_holes(wishes)),
        model=table.get("model", str, holes.DEFAULT_MODEL),
        precision=table.one_of("precision", Precision, Precision.AUTO),
        context_px=table.within("context", 16, 256, holes.DEFAULT_CONTEXT_PX),
        grain=table.one_of("grain", Grain, Grain.AUTO),
    )
    table.finish()
    return place, pattern, made


def _upscale(table: _Table, wrap: Wrap, wanted: options.Format) -> tuple[str, Wishes]:
    model = table.get("model", str, options.DEFAULT_MODEL)
    tile, halo, scale = (table.get(key, (str, int, float), None) for key in ("tile", "halo", "scale"))
    made = Wishes(
        precision=table.one_of("precision", Precision, Precision.AUTO),
        tile_px=None if tile is None else table.checked("tile", options.parse_tile, str(tile)),
        halo=AUTO_HALO if halo is None else table.checked("halo", options.parse_halo, str(halo)),
        scale=None if scale is None else table.checked("scale", options.parse_scale, str(scale)),
        color_fix=table.one_of("color_fix", ColorFix, ColorFix.AUTO),
        keep_grain=table.within("keep_grain", 0.0, 1.0, options.DEFAULT_KEEP_GRAIN),
        max_size_px=table.optional("max_size", 1, _MOST_PX),
        pow2=table.one_of("pow2", Pow2, Pow2.OFF),
        multiple_of_px=table.within("multiple_of", 1, 4096, 1),
        wrap=wrap,
        format=wanted,
    )
    table.finish()
    return model, made


class _Table:
    """One table of the file, whose keys are taken out one by one."""

    def __init__(self, path: Path, name: str, plain: Mapping[str, Any]) -> None:
        self.path = path
        self._name = name
        self._left = dict(plain)
        self._known: list[str] = []

    def table(self, name: str) -> _Table | None:
        self._known.append(name)
        plain = self._left.pop(name, None)
        if plain is None:
            return None
        if not isinstance(plain, dict):
            raise SetupError(f"{self.path}: {name} is no table: write [{name}] above its keys")
        return _Table(self.path, name, plain)

    def get(self, key: str, kinds: type | tuple[type, ...], default: Any) -> Any:
        """A value of one of these types."""
        self._known.append(key)
        value = self._left.pop(key, None)
        if value is None:
            return default
        allowed = kinds if isinstance(kinds, tuple) else (kinds,)
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            raise self._wrong(key, f"{value!r} is no {' or '.join(kind.__name__ for kind in allowed)}")
        return value

    def one_of(self, key: str, words: type[E], default: Default) -> E | Default:
        value = self.get(key, str, None)
        if value is None:
            return default
        if value not in list(words):
            raise self._wrong(key, f"{value!r} is none of {', '.join(words)}")
        return words(value)

    def within(self, key: str, least: Value, most: Value, default: Value) -> Value:
        value = self.get(key, (int, float) if isinstance(least, float) else int, default)
        if not least <= value <= most:
            raise self._wrong(key, f"{value!r} is not from {least} to {most}")
        return type(least)(value)  # type: ignore[call-arg]

    def optional(self, key: str, least: Value, most: Value) -> Value | None:
        """As `within`; None where it isn't said."""
        if key in self._left:
            return self.within(key, least, most, least)
        self._known.append(key)
        return None

    def checked(self, key: str, parse: Callable[[str], Value], text: str) -> Value:
        try:
            return parse(text)
        except (ValueError, typer.BadParameter) as error:
            raise self._wrong(key, str(error)) from error

    def settled(self, make: Callable[[], Value]) -> Value:
        try:
            return make()
        except SetupError as error:
            raise SetupError(f"{self.path}: [{self._name}]: {error}") from error

    def finish(self) -> None:
        """Raises SetupError where something is left that nobody knows."""
        if self._left:
            where = f"[{self._name}] " if self._name else ""
            raise SetupError(
                f"{self.path}: {where}{', '.join(sorted(self._left))}: not known; known are {', '.join(self._known)}"
            )

    def _wrong(self, key: str, what: str) -> SetupError:
        return SetupError(f"{self.path}: [{self._name}] {key}: {what}")
