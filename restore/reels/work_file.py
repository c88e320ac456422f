"""Owns work as plain values: what the state's folder keeps of it, and a child reads."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from restore.errors import SetupError
from restore.film.plan import from_toml, to_toml
from restore.film.planted import Planting, Scratch
from restore.film.settings import FilmGrain, FilmSettings
from restore.formats import wire
from restore.recipe import ColorFix, Pow2, Precision, Upscale
from restore.reels import becoming
from restore.reels import source as sources
from restore.reels.state import State
from restore.reels.work import Damage, Work, Written


def pack(work: Work) -> bytes:
    """For a child, and for the state's folder."""
    return wire.pack(
        {
            "source": sources.to_plain(sources.absolute(work.source)),
            "plan": to_toml(work.plan),
            "fields_because": work.plan.fields.because,
            "settings": _settings_to_plain(work.settings),
            "target": os.fsencode(work.target.absolute()),
            "written": _written_to_plain(work.written),
            "device": work.device,
            "masks": None if work.masks is None else os.fsencode(work.masks.absolute()),
            "save_masks": None if work.save_masks is None else os.fsencode(work.save_masks.absolute()),
            "segment_frames": work.segment_frames,
            "undone": {str(number): blobs for number, blobs in work.undone.items()},
            "token": work.token,
            "only_masks": work.only_masks,
            "damage": None if work.damage is None else _damage_to_plain(work.damage),
        }
    )


def unpack(line: bytes) -> Work:
    """SetupError when it is no work, or that of another version."""
    try:
        plain = wire.unpack(line)
        return Work(
            source=sources.from_plain(plain["source"]),
            plan=from_toml(plain["plan"], "the state's plan"),
            settings=_settings_from_plain(plain["settings"]),
            target=Path(os.fsdecode(plain["target"])),
            written=_written_from_plain(plain["written"]),
            device=plain["device"],
            masks=None if plain["masks"] is None else Path(os.fsdecode(plain["masks"])),
            save_masks=None if plain["save_masks"] is None else Path(os.fsdecode(plain["save_masks"])),
            segment_frames=plain["segment_frames"],
            undone={int(number): blobs for number, blobs in plain["undone"].items()},
            token=plain["token"],
            only_masks=bool(plain.get("only_masks", False)),
            damage=None if plain.get("damage") is None else _damage_from_plain(plain["damage"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SetupError(f"the state's work can't be read ({error!r}): run restore film again") from error


def work_of(state: State) -> Work:
    """The work that was last done for a result, which may have been moved since.  SetupError when it can't be read."""
    try:
        return replace(unpack(state.work.read_bytes()), target=state.target)
    except OSError as error:
        raise SetupError(f"{state.work}: {error.strerror}: run restore film again") from error


def _written_to_plain(written: Written) -> dict[str, Any]:
    plain = {name: getattr(written, name) for name in Written.__dataclass_fields__}
    return {**plain, "becoming": None if written.becoming is None else becoming.to_plain(written.becoming)}


def _written_from_plain(plain: dict[str, Any]) -> Written:
    known = plain.get("becoming")
    made = None if known is None else becoming.from_plain(known)
    return Written(**{**plain, "drop": tuple(plain["drop"]), "becoming": made})


def _damage_to_plain(damage: Damage) -> dict[str, Any]:
    overlays = None if damage.overlays is None else os.fsencode(damage.overlays.absolute())
    return {**asdict(damage), "overlays": overlays}


def _damage_from_plain(plain: dict[str, Any]) -> Damage:
    planting = plain["planting"]
    return Damage(
        Planting(
            **{
                **planting,
                "opacity": tuple(planting["opacity"]),
                "soft_px": tuple(planting["soft_px"]),
                "scratches": tuple(Scratch(**one) for one in planting["scratches"]),
            }
        ),
        None if plain["overlays"] is None else Path(os.fsdecode(plain["overlays"])),
        plain["seed"],
    )


def _settings_to_plain(settings: FilmSettings) -> dict[str, Any]:
    plain = asdict(settings)
    del plain["shot"]
    return plain


def _settings_from_plain(plain: dict[str, Any]) -> FilmSettings:
    upscale = plain["upscale"]
    if upscale is not None:
        upscale = Upscale(
            **{
                **upscale,
                "precision": Precision(upscale["precision"]),
                "color_fix": ColorFix(upscale["color_fix"]),
                "pow2": Pow2(upscale["pow2"]),
            }
        )
    return FilmSettings(
        **{
            **plain,
            "upscale": upscale,
            "grain": FilmGrain(plain["grain"]),
        }
    )
