"""Owns turning what was asked of `restore film` into work in which nothing is left open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from restore.cli import film_options
from restore.cli.film_options import Reading, Wishes
from restore.color.ocio import Space
from restore.errors import ImageError, SetupError
from restore.film.form import PICTURES, pictures_of
from restore.film.segments import usual_frames
from restore.film.settings import FilmGrain, FilmSettings
from restore.formats import Decoder
from restore.formats.encoding import CONTAINER_OF, Encoding, choose
from restore.formats.video import Clip
from restore.formats.video_beside import Beside, sound_in, unfit
from restore.recipe import Precision, Upscale
from restore.reels.becoming import becoming, fps_of
from restore.reels.masks import check_masks
from restore.reels.source import Source, sources_in
from restore.reels.work import Work, Written

if TYPE_CHECKING:
    from restore.cli.film_report import FilmReport
    from restore.reels.state import State

DEFAULT_PICTURES = "png"


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
    frames_as: str | None = None
    fps: str | None = None
    sound: Path | None = None

    def of_one(self, key: str) -> Ask:
        """For one of several reels: its masks are in a folder of its own.  ImageError when there is none."""
        masks, saved = (None if folder is None else folder / key for folder in (self.masks, self.save_masks))
        if masks is not None and not masks.is_dir():
            raise ImageError(f"{masks}: no such folder: of several sequences each has its masks in one of its own")
        return replace(self, masks=masks, save_masks=saved)


def checked(source: Path, target: Path, *, one_only: bool) -> tuple[Source, ...]:
    """The reels in IN, if OUT can take them.  Raises SetupError, ImageError."""
    sources = sources_in(source)
    if one_only and len(sources) > 1:
        labels = ", ".join(one.label for one in sources[:4])
        raise SetupError(f"{source}: it holds several sequences ({labels}): name one by one of its frames")
    if target.exists() and target.resolve() == (source if sources[0].frames is None else sources[0].path).resolve():
        raise SetupError(f"{target}: the results would replace their own source: name another output")
    return sources


def goes_out(sources: tuple[Source, ...], target: Path, ask: Ask) -> tuple[bool, str]:
    """(whether a video is written, or else what kind of pictures a video's frames become; "" where IN holds frames).

    Raises SetupError when OUT or the options say otherwise.
    """
    container = target.suffix.lower() in CONTAINER_OF and not target.is_dir()
    kinds = ", ".join(CONTAINER_OF)
    if sources[0].frames is None:
        video = container and ask.frames_as is None
        if not video and ask.frames_as is None and target.suffix and not target.is_dir():
            raise SetupError(f"{target}: name a video file that ends with {kinds}, or a folder and --frames-as png")
        pictures = "" if video else ask.frames_as or DEFAULT_PICTURES
    else:
        video, pictures = container, ""
        if ask.frames_as is not None:
            raise SetupError("--frames-as is for videos: frames of a folder keep their format")
        if video and len(sources) > 1:
            labels = ", ".join(one.label for one in sources[:4])
            raise SetupError(f"IN holds several sequences ({labels}): name one by one of its frames")
    if pictures and pictures not in PICTURES:
        raise SetupError(f"--frames-as {pictures}: it can be {', '.join(PICTURES)}")
    if not video and target.exists() and not target.is_dir():
        raise SetupError(f"{target}: frames are written, so name a folder, or a video file that ends with {kinds}")
    if not video and (ask.codec != "ffv1" or ask.quality is not None):
        raise SetupError(f"--codec and --quality are for videos: name a file that ends with {kinds}")
    if (ask.fps is not None or ask.sound is not None) and not (video and sources[0].frames is not None):
        raise SetupError("--fps and --sound are for frames that become a video")
    return video, pictures


def work_for(
    source: Source, target: Path, reading: Reading, wishes: Wishes, ask: Ask, state: State | None, report: FilmReport
) -> Work:
    """Everything settled that decides the result; `state` remembers what a reel looks like, None: nothing is written.

    Raises SetupError, ImageError.
    """
    settings = _settings(ask)
    with Decoder() as decoder:
        written = _written(source, target, ask, decoder)  # what can't be written is told before hours of looking
        plan = film_options.plan_for(source, reading, wishes, decoder, state, report.on_looking(source.label))
    if settings.grain is not FilmGrain.KEEP:
        plan = plan.with_settings({"degrain": True})
    form = Work(source, plan, settings, target, written).form
    if form is not None and form.working_colour is not None:
        if isinstance(plan.colour, Space):
            raise SetupError(
                f"{source.label}: {plan.colour} would not be kept: {form.about}; name an OUT of the same kind as IN, or"
                " --frames-as tiff"
            )
        plan = replace(plan, colour=form.working_colour)
    device = "cpu"  # holes of film are few and small; enlarging is what a GPU is for
    if settings.upscale is not None:
        from restore.device import resolve_device

        device = resolve_device(ask.device)
    segment_frames = ask.segment_frames or usual_frames(plan.last + 1 - plan.first)
    work = Work(source, plan, settings, target, written, device, ask.masks, ask.save_masks, segment_frames)
    if ask.masks is not None:
        check_masks(ask.masks, plan)
    return work


def _written(source: Source, target: Path, ask: Ask, decoder: Decoder) -> Written:
    """How results are written.  Raises SetupError when they can't be, ImageError."""
    video, pictures = goes_out((source,), target, ask)
    written = Written(ask.codec, ask.quality, pictures=pictures)
    if not video and source.clip is not None:
        pictures_of(pictures, source.clip, source.clip.rate)
        return replace(written, drop=_left_out(source.clip, "matroska", None, ask))
    if not video:
        return written
    clip, made = source.clip, None
    streams: Clip | Beside | None = clip
    if source.frames is not None:
        sound = None if ask.sound is None else sound_in(ask.sound)
        made = becoming(source.frames, decoder, None if ask.fps is None else fps_of(ask.fps), sound)
        clip, streams = made.clip, sound
    assert clip is not None
    encoding = choose(ask.codec, clip, target.suffix, quality=ask.quality, least_loss=made is not None)
    drop = () if streams is None else _left_out(streams, encoding.container, encoding, ask)
    return replace(written, becoming=made, drop=drop)


def _left_out(streams: Clip | Beside, container: str, encoding: Encoding | None, ask: Ask) -> tuple[int, ...]:
    """What the container can't hold, by index.  SetupError unless it may be left out."""
    bad = unfit(streams, container, encoding)
    if bad and not ask.drop_streams:
        names = ", ".join(f"stream {one.index} ({one.kind}, {one.codec or 'unknown'})" for one in bad)
        another = "give" if encoding is None else "give OUT another suffix, or"
        raise SetupError(
            f"{streams.path}: {names} can't go into {container}: {another} --drop-streams to leave them out"
        )
    return tuple(one.index for one in bad)


def _settings(ask: Ask) -> FilmSettings:
    grain = FilmGrain(ask.grain.value)
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
    keep = Upscale.keep_grain if grain is FilmGrain.KEEP else 0.0
    step = resolve.upscale_step(model, resolve.Wishes(scale=ask.scale, keep_grain=keep))
    return replace(settings, upscale=step, upscale_model=ask.upscale)
