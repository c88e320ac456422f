"""Owns turning what was asked of `restore film` into work in which nothing is left open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from restore.cli import film_options
from restore.cli.film_options import Reading, Wishes
from restore.errors import SetupError
from restore.film.segments import usual_frames
from restore.film.settings import FilmGrain, FilmSettings
from restore.formats import Decoder
from restore.formats.encoding import CONTAINER_OF, choose
from restore.formats.video_beside import refused
from restore.recipe import Precision, Upscale
from restore.reels.masks import check_masks
from restore.reels.source import Source, sources_in
from restore.reels.work import Work, Written

if TYPE_CHECKING:
    from restore.cli.film_report import FilmReport
    from restore.reels.state import State


@dataclass(frozen=True)
class Ask:
    """What was asked for about all of a reel, but for its shots."""

    masks: Path | None
    inpaint: str
    upscale: str | None
    scale: float | None
    grain: film_options.GrainWish
    codec: str
    quality: int | None
    drop_streams: bool
    save_masks: Path | None
    device: str
    segment_frames: int | None


def checked(source: Path, target: Path, *, one_only: bool) -> tuple[Source, ...]:
    """The reels in IN, if OUT can take them.  Raises SetupError, ImageError."""
    sources = sources_in(source)
    if one_only and len(sources) > 1:
        labels = ", ".join(one.label for one in sources[:4])
        raise SetupError(f"{source}: it holds several sequences ({labels}): name one by one of its frames")
    if sources[0].frames is None:
        if target.is_dir() or target.suffix.lower() not in CONTAINER_OF:
            kinds = ", ".join(CONTAINER_OF)
            raise SetupError(f"{target}: IN is a video, so name a video file: one that ends with {kinds}")
        if target.resolve() == source.resolve():
            raise SetupError(f"{target}: the result would replace its own source: name another output")
    else:
        folder = sources[0].path.resolve()
        if target.exists() and not target.is_dir():
            raise SetupError(f"{target}: IN holds frames, so name a folder")
        if target.resolve() == folder:
            raise SetupError(f"{target}: the results would replace their own sources: name another folder")
    return sources


def work_for(
    source: Source, target: Path, reading: Reading, wishes: Wishes, ask: Ask, state: State | None, report: FilmReport
) -> Work:
    """Everything settled that decides the result; `state` remembers what a reel looks like, None: nothing is written.

    Raises SetupError, ImageError.
    """
    settings = _settings(ask)
    if source.clip is not None:  # what can't be written is told before hours of looking
        choose(ask.codec, source.clip, target.suffix, quality=ask.quality)
    written = Written(ask.codec, ask.quality)
    with Decoder() as decoder:
        plan = film_options.plan_for(source, reading, wishes, decoder, state, report.on_looking(source.label))
    settings = replace(settings, input_colour=plan.colour)
    device = "cpu"  # holes of film are few and small; enlarging is what a GPU is for
    if settings.upscale is not None:
        from restore.device import resolve_device

        device = resolve_device(ask.device)
    segment_frames = ask.segment_frames or usual_frames(plan.last + 1 - plan.first)
    work = Work(source, plan, settings, target, written, device, ask.masks, ask.save_masks, segment_frames)
    if ask.masks is not None:
        check_masks(ask.masks, plan)
    return _with_streams(work, ask) if work.is_video else work


def _with_streams(work: Work, ask: Ask) -> Work:
    """What the container can't hold is left out, or refused.  Raises SetupError."""
    encoding = work.encoding()
    assert work.source.clip is not None
    bad = refused(work.source.clip, encoding)
    if bad and not ask.drop_streams:
        names = ", ".join(f"stream {one.index} ({one.kind}, {one.codec or 'unknown'})" for one in bad)
        raise SetupError(
            f"{work.source.label}: {names} can't go into {encoding.container}: give OUT another suffix, or"
            " --drop-streams to leave them out"
        )
    return replace(work, written=replace(work.written, drop=tuple(one.index for one in bad)))


def _settings(ask: Ask) -> FilmSettings:
    grain = FilmGrain(ask.grain.value)
    if grain is FilmGrain.REMOVE:
        raise SetupError("--grain remove: taking a film's grain out is not there yet: keep or regrain it")
    if grain is FilmGrain.REGRAIN and ask.upscale is None:
        raise SetupError("--grain regrain is for enlarged frames: repairs have their surroundings' grain anyway")
    if ask.scale is not None and ask.upscale is None:
        raise SetupError("--scale needs --upscale MODEL")
    if ask.masks is not None and not ask.masks.is_dir():
        raise SetupError(f"{ask.masks}: no such folder of masks")
    settings = FilmSettings(grain=grain, masks=ask.masks is not None)
    if ask.inpaint != "off":
        from restore.models.shipped import inpainter_file
        from restore.models.store import sha256_of

        settings = replace(settings, inpaint=ask.inpaint, inpaint_sha256=sha256_of(inpainter_file(ask.inpaint)))
    if ask.upscale is None:
        return settings
    from restore.cli import resolve

    model = resolve.open_model(ask.upscale, ask.device, Precision.AUTO)
    keep = 0.0 if grain is FilmGrain.REGRAIN else Upscale.keep_grain
    step = resolve.upscale_step(model, resolve.Wishes(scale=ask.scale, keep_grain=keep))
    return replace(settings, upscale=step, upscale_model=ask.upscale)
