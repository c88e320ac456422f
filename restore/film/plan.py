"""Owns the plan of a reel: its shots with their settings, its fields, its gaps and damage; a file that people edit.

A plan says what to do with which frames, by the frames' own numbers (a video's count from 0).  It is TOML: shots may be
split, joined, or given settings of their own, by hand or from an edit decision list.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from restore.color.ocio import PREFIX, Space
from restore.errors import SetupError
from restore.film.fields import Fields, Method
from restore.film.settings import Colour, InputColour, ShotSettings
from restore.recipe import Polarity
from restore.tiling import Box

VERSION = 1
_SHOT_KEYS = tuple(one.name for one in fields(ShotSettings))
_NEEDED = ("source", "frames", "size", "input_colour", "fields", "shot")
_KEYS = ("version", *_NEEDED, "ocio_config", "ocio_sha256", "settings", "damage")


@dataclass(frozen=True)
class Shot:
    """Frames without a cut among them."""

    first: int
    """Number of its first frame."""
    last: int
    """Of its last one."""
    change: str
    """How it begins: "start", "cut", "fade", "dissolve", "edl", "wipe", or what a person wrote."""
    settings: ShotSettings
    about: str = ""
    """What was seen in it, for people."""

    @property
    def frames(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True)
class Plan:
    """One reel, or a stretch of it."""

    source: str
    """Its name, for people."""
    first: int
    last: int
    """Frame numbers, both included."""
    size: tuple[int, int]
    """(width, height)."""
    fields: Fields
    colour: Colour
    shots: tuple[Shot, ...]
    damage: Mapping[int, str]
    """What is wrong with frames that are missing, or that couldn't be read whole, by number."""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.shots:
            raise SetupError(f"{self.source}: the plan has no shot")
        expected = self.first
        for shot in self.shots:
            if shot.first != expected or shot.last < shot.first:
                raise SetupError(
                    f"{self.source}: the plan's shot {shot.first}-{shot.last} should begin with frame {expected} and"
                    " not end before it: shots follow each other without gaps"
                )
            expected = shot.last + 1
        if expected != self.last + 1:
            raise SetupError(
                f"{self.source}: the plan's shots end with frame {expected - 1}, its frames with {self.last}"
            )

    def with_settings(self, change: Mapping[str, Any]) -> Plan:
        """The plan with these settings in every shot."""
        if not change:
            return self
        shots = tuple(replace(shot, settings=replace(shot.settings, **change)) for shot in self.shots)
        return replace(self, shots=shots)


def with_cuts(plan: Plan, starts: Mapping[int, str]) -> Plan:
    """The plan with shots that begin with the frames `starts`, each in its way, and the first shot's settings.

    SetupError where one lies outside the plan's frames.
    """
    outside = [start for start in starts if not plan.first <= start <= plan.last]
    if outside:
        raise SetupError(
            f"{plan.source}: a cut at frame {outside[0]}, but its frames are {plan.first}-{plan.last}: is the list's"
            " start another one?"
        )
    firsts = sorted({plan.first, *starts})
    lasts = [*(first - 1 for first in firsts[1:]), plan.last]
    shots = tuple(
        Shot(first, last, "start" if first == plan.first else starts[first], plan.shots[0].settings)
        for first, last in zip(firsts, lasts, strict=True)
    )
    return replace(plan, shots=shots)


def to_toml(plan: Plan) -> str:
    """The plan's file."""
    usual = _commonest([shot.settings for shot in plan.shots])
    lines = [
        "# What `restore film IN OUT --plan THIS` does.  Frames are numbered as in the source, both ends included.",
        "# [settings] holds for all shots; a [[shot]] may have its own, too.  Boxes are [left, top, right, bottom].",
        f"version = {VERSION}",
        f"source = {_value(plan.source)}",
        f"frames = [{plan.first}, {plan.last}]",
        f"size = [{plan.size[0]}, {plan.size[1]}]",
        *_colour_lines(plan.colour),
        "",
        f"[fields]  # {_comment(plan.fields.because)}",
        f"method = {_value(plan.fields.method.value)}",
        f"order = {_value(plan.fields.order)}",
        f"source_frames = {plan.fields.source_frames}",
        "",
        "[settings]",
        *_settings_lines(usual, ShotSettings(), all_of=True),
    ]
    lines += [f"# note: {_comment(note)}" for note in plan.notes]
    if plan.damage:
        lines += ["", "[damage]  # for people: changing it changes nothing"]
        lines += [f"{number} = {_value(reason)}" for number, reason in sorted(plan.damage.items())]
    for shot in plan.shots:
        lines += ["", f"[[shot]]  # {shot.frames} frames{'; ' + _comment(shot.about) if shot.about else ''}"]
        lines += [f"first = {shot.first}", f"last = {shot.last}", f"change = {_value(shot.change)}"]
        lines += _settings_lines(shot.settings, usual)
    return "\n".join(lines) + "\n"


def from_toml(text: str, name: str) -> Plan:
    """SetupError, with the file's `name`, when it is no plan."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SetupError(f"{name}: it is no TOML: {error}") from error
    if data.get("version") != VERSION:
        raise SetupError(f"{name}: it is no plan of version {VERSION}: make one with restore scan IN --write-plan")
    if unknown := set(data) - set(_KEYS):
        raise SetupError(f"{name}: it says {min(unknown)}, but there is only {', '.join(_KEYS)}")
    if missing := [key for key in _NEEDED if key not in data]:
        raise SetupError(f"{name}: {missing[0]} is missing: restore scan IN --write-plan shows where it belongs")
    try:
        usual = _settings_of(data.get("settings", {}), ShotSettings(), name)
        shots = tuple(
            Shot(
                _whole(one["first"]),
                _whole(one["last"]),
                str(one.get("change", "cut")),
                _settings_of({k: v for k, v in one.items() if k not in ("first", "last", "change")}, usual, name),
            )
            for one in data["shot"]
        )
        how = data["fields"]
        return Plan(
            source=str(data["source"]),
            first=_whole(data["frames"][0]),
            last=_whole(data["frames"][1]),
            size=(_whole(data["size"][0]), _whole(data["size"][1])),
            fields=Fields(Method(how["method"]), str(how["order"]), _whole(how["source_frames"]), "as the plan says"),
            colour=_colour_of(data, name),
            shots=shots,
            damage={int(number): str(reason) for number, reason in data.get("damage", {}).items()},
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise SetupError(f"{name}: something is missing or wrong in it: {error!r}") from error


def read_plan(path: Path) -> Plan:
    """SetupError when it can't be read."""
    try:
        return from_toml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{path}: it can't be read: {error}") from error


def _colour_lines(colour: Colour) -> list[str]:
    lines = [f"input_colour = {_value(str(colour))}"]
    if isinstance(colour, Space):
        lines.append(f"ocio_config = {_value(colour.config)}")
        lines.append(
            f"ocio_sha256 = {_value(colour.sha256)}  # take this line out where the config was changed on purpose"
        )
    return lines


def _colour_of(data: Mapping[str, Any], name: str) -> Colour:
    text = str(data["input_colour"])
    if text[: len(PREFIX)].upper() == PREFIX:
        return Space(text[len(PREFIX) :], str(data.get("ocio_config", "")), str(data.get("ocio_sha256", "")))
    try:
        return InputColour(text)
    except ValueError as error:
        raise SetupError(f"{name}: input_colour = {text!r}: it can be {', '.join(InputColour)} or OCIO:NAME") from error


def _commonest(settings: Sequence[ShotSettings]) -> ShotSettings:
    """What most shots have; what may be None is left to them, for TOML has no word for it."""
    plain = [replace(one, bar=None, max_size_px=None) for one in settings]
    return max(dict.fromkeys(plain), key=plain.count)


def _settings_lines(settings: ShotSettings, usual: ShotSettings, *, all_of: bool = False) -> list[str]:
    lines = []
    for name in _SHOT_KEYS:
        value = getattr(settings, name)
        if value is not None and (all_of or value != getattr(usual, name)):
            lines.append(f"{name} = {_value(value)}")
    return lines


def _settings_of(data: Mapping[str, Any], usual: ShotSettings, name: str) -> ShotSettings:
    unknown = set(data) - set(_SHOT_KEYS)
    if unknown:
        raise SetupError(f"{name}: it says {min(unknown)}, but there is only {', '.join(_SHOT_KEYS)}")
    values: dict[str, Any] = dict(data)
    for key in ("dirt", "scratches", "flicker", "steady", "degrain"):
        if not isinstance(values.get(key, True), bool):
            raise SetupError(f"{name}: {key} = {values[key]!r}: write true or false")
    for key, least in (("max_size_px", 1.0), ("max_false", 0.0), ("bar", float("-inf"))):
        if key in values and (not _is_number(values[key]) or values[key] < least):
            raise SetupError(
                f"{name}: {key} = {values[key]!r}: write a number{'' if key == 'bar' else f', at least {least:g}'}"
            )
    if "polarity" in values:
        if values["polarity"] not in list(Polarity):
            raise SetupError(f"{name}: polarity = {values['polarity']!r}: write one of {', '.join(Polarity)}")
        values["polarity"] = Polarity(values["polarity"])
    if "exclude" in values:
        values["exclude"] = _boxes_of(values["exclude"], name)
    return replace(usual, **values)


def _boxes_of(rows: Any, name: str) -> tuple[Box, ...]:
    boxes = []
    for row in rows if isinstance(rows, list) else [rows]:
        whole = isinstance(row, list) and len(row) == 4 and all(isinstance(edge, int) for edge in row)
        if not whole or not (row[0] < row[2] and row[1] < row[3]):
            raise SetupError(f"{name}: exclude has {row!r}: write boxes as [left, top, right, bottom], whole pixels")
        boxes.append(Box(row[1], row[0], row[3], row[2]))
    return tuple(boxes)


def _whole(value: object) -> int:
    """TypeError when it isn't: half a frame is a slip."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no whole number")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(f"[{box.x0}, {box.y0}, {box.x1}, {box.y1}]" for box in value) + "]"
    if isinstance(value, str):
        return json.dumps(value.encode("utf-8", "backslashreplace").decode())
    return repr(value)


def _comment(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
