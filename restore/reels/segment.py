"""Owns one job: the frames of one segment restored, written, read back, and compared with what was meant.

A video's segment is a file of packets in the state's folder; frames of a folder are temporaries in OUT, which the
driver renames.  Beside them goes the ledger: every repair with the pixels before and after.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from restore.batch.fsops import OutputRoot, digest_of, explained
from restore.errors import ImageError
from restore.film.bench import PlantedReel, drawn_stamps, overlay_stamps, shown_plan, tally
from restore.film.encoded import grey, taking, without_gaps
from restore.film.enlarge import Enlarger
from restore.film.native import Native, Sampled, Scan, changed, encoded, inexact, native_of
from restore.film.proof import Untouched
from restore.film.reel import Fault, Reel
from restore.film.render import Rendered, render, tools_for
from restore.film.scan import judge_shot
from restore.film.segments import Segment
from restore.film.tones import Tones
from restore.formats import Decoder
from restore.formats.video_pixels import Planes
from restore.formats.video_write import decode_segment, encode_segment
from restore.image import Document
from restore.reels.again import Before, before, frames_again
from restore.reels.masks import Holes, MaskFiles, mask_bytes, mask_name
from restore.reels.state import State, sync_folder, undone_to_plain, write_whole
from restore.reels.work import Work
from restore.trust import patches
from restore.trust.patches import PageSize, Patch, Patches

Answer = dict[str, Any]
"""Plain values that cross between processes, and stay in receipts."""


@dataclass
class _Ledger:
    """What a segment's frames were, as they go by."""

    work: Work
    pages: list[PageSize]
    patches: list[Patch]
    faults: dict[int, str]
    damage: dict[int, str]
    """Frames that came with their damage covered up."""
    untouched: Untouched
    blobs: int = 0
    touched_px: int = 0
    exact: bool = True

    def add(self, one: Rendered) -> None:
        channels = ("R", "G", "B") if one.old.shape[2] == 3 else ("Y",)
        place = len(self.pages)
        self.pages.append(PageSize(one.old.shape[0], one.old.shape[1], channels, one.old.dtype.name))
        for repair, mine in one.repairs:
            box = repair.box
            window = np.s_[box.y0 : box.y1, box.x0 : box.x1]
            self.patches.append(Patch(replace(repair, page=place), mine, one.old[window][mine], one.new[window][mine]))
        self.blobs += len(one.repairs)
        self.touched_px += int(np.count_nonzero(one.touched))
        self.untouched.add(one.number, one.before, one.touched)
        if one.damage:
            self.damage[one.number] = one.damage

    def lose(self, fault: Fault, size: tuple[int, int]) -> None:
        self.pages.append(PageSize(size[1], size[0], ("Y",), "uint16"))
        self.faults[fault.number] = fault.reason

    def facts(self, segment: Segment) -> Answer:
        return {
            "frames": segment.frames,
            "faults": {str(frame): why for frame, why in self.faults.items()},
            "damage": {str(frame): why for frame, why in self.damage.items()},
            "blobs": self.blobs,
            "touched_px": self.touched_px,
        }

    def bytes_of(self, source: str) -> bytes:
        made = Patches(source, "film", "", tuple(self.pages), tuple(self.patches))
        return patches.write(made).read()


class Maker:
    """Makes segments of one reel, in one process."""

    def __init__(self, work: Work, state: State) -> None:
        self._work = work
        self._state = state
        self._decoder = Decoder()
        self._plan = work.plan if work.damage is None else shown_plan(work.plan)
        self._reel: Reel | None = None
        self._tools = tools_for(work.settings, work.device)
        self._tools.undone = work.undone
        if work.masks is not None:
            self._tools.masks = MaskFiles(work.masks)
        self._enlarger = (
            None if work.settings.upscale is None else Enlarger(work.settings, Tones(work.plan.colour), work.device)
        )

    def close(self) -> None:
        self._decoder.close()

    def shot(self, place: int) -> Answer:
        """What is to be known of the plan's shot at `place` before it is restored."""
        verdicts = judge_shot(self._opened(), self._plan, self._plan.shots[place])
        return {"bar": verdicts.bar, "dirt_share": verdicts.dirt_share, "expected_false": verdicts.expected_false}

    def segment(self, number: int) -> Answer:
        """Restores a segment; what it answers is its receipt, but for the fingerprint.

        Raises ImageError when nothing of it can be had, DiskFullError, SetupError.
        """
        segment = self._work.segments[number]
        work = self._work
        return self._made(
            segment, render(self._opened(), work.plan, work.settings, segment.start, segment.stop, self._tools), None
        )

    def again(self, number: int) -> Answer:
        """Makes a segment as it was, but for repairs that were taken back since: nothing is searched for.

        Raises as `segment`.
        """
        segment = self._work.segments[number]
        was = before(self._work, self._state, segment)
        return self._made(segment, frames_again(self._opened(), segment, self._work.origin, was), was)

    def count(self, number: int) -> Answer:
        """What is found of the damage planted on a segment."""
        damaged = self._opened()
        assert isinstance(damaged, PlantedReel)
        segment = self._work.segments[number]
        return asdict(tally(damaged, self._plan, self._work.settings, segment.start, segment.stop, self._tools))

    def _made(self, segment: Segment, items: Iterator[Rendered | Fault], was: Before | None) -> Answer:
        ledger = _Ledger(self._work, [], [], {}, {}, Untouched())
        heard = self._heard(items, ledger, was)
        if self._work.only_masks:
            return {**self._masks(heard), **ledger.facts(segment)}
        answer = self._video(segment, heard, ledger) if self._work.is_video else self._frames(heard, ledger, was)
        return {
            **answer,
            **ledger.facts(segment),
            "undone": undone_to_plain(self._work.undone_in(segment)),
            "untouched_sha256": ledger.untouched.hexdigest() if ledger.exact else None,
            "ledger_sha256": _write(self._state.ledger(segment), ledger.bytes_of(str(self._work.source.label))),
        }

    def _opened(self) -> Reel:
        if self._reel is None:
            self._reel = self._work.open(self._decoder)
            if self._work.damage is not None:
                one = self._work.damage
                stamps = drawn_stamps() if one.overlays is None else overlay_stamps(one.overlays)
                self._reel = PlantedReel(self._reel, Tones(self._work.plan.colour), one.planting, stamps, one.seed)
        return self._reel

    def _heard(
        self, items: Iterator[Rendered | Fault], ledger: _Ledger, was: Before | None
    ) -> Iterator[Rendered | Fault]:
        saved = self._work.save_masks
        for item in items:
            if isinstance(item, Fault):
                ledger.lose(item, self._work.plan.size)
            else:
                ledger.add(item)
                if saved is not None and (was is None or item.number in was.frames):
                    frames = self._work.source.frames
                    name = mask_name(item.number, None if frames is None else frames.names[item.number])
                    _write(saved / name, mask_bytes(_holes_of(item)))
            yield item

    def _enlarged(self, one: Rendered) -> Native:
        return one.after if self._enlarger is None else self._enlarger(one.after, one.new, one.number, one.grain)

    # --- video

    def _video(self, segment: Segment, items: Iterator[Rendered | Fault], ledger: _Ledger) -> Answer:
        encoding = self._work.encoding()
        ledger.exact = encoding.exact and self._work.settings.same_size
        meant = Untouched()
        nothing = np.zeros((encoding.height, encoding.width), np.bool_)
        signal = self._work.signal
        taken, turned = taking(encoding, signal)

        def planes() -> Iterator[Planes]:
            restored = (None if isinstance(item, Fault) else self._enlarged(item) for item in items)
            for place, native in enumerate(without_gaps(restored, lambda: self._before(segment))):
                shown = native.planes if isinstance(native, Sampled) else grey(encoding)
                if ledger.exact:
                    meant.add(place, Sampled(shown, signal), nothing)
                yield turned(shown)

        path = self._state.segment(segment)
        temporary = path.with_name(f".{path.name}.part")
        with explained(path), temporary.open("w+b") as file:
            encode_segment(planes(), taken, file)
            os.fsync(file.fileno())
            file.seek(0)
            sha256 = digest_of(file)
        if ledger.exact:
            found = Untouched()
            for place, read in enumerate(decode_segment(temporary, encoding)):
                found.add(place, Sampled(read, signal), nothing)
            if found.hexdigest() != meant.hexdigest():
                raise ImageError(f"{path.name}: the written segment isn't what was meant: check disk and memory")
        with explained(path):
            os.replace(temporary, path)
        sync_folder(path.parent)
        return {"sha256": sha256, "bytes": path.stat().st_size}

    def _before(self, segment: Segment) -> Native | None:
        """The last frame before a segment that can be had, restored: it stands in for those that begin it."""
        work = self._work
        for place in range(segment.start - 1, work.plan.first - work.origin - 1, -1):
            item = next(render(self._opened(), work.plan, work.settings, place, place + 1, self._tools))
            if isinstance(item, Rendered):
                return self._enlarged(item)
        return None

    # --- frames of a folder

    def _frames(self, items: Iterator[Rendered | Fault], ledger: _Ledger, was: Before | None) -> Answer:
        output = OutputRoot(self._work.target, self._work.token)
        made, kept = [], []
        notes: set[str] = set()
        if was is not None:
            kept = [one for one in was.receipt["files"] if one[0] not in was.frames]
            notes |= set(was.receipt["notes"])
            ledger.exact = was.receipt["untouched_sha256"] is not None
        for item in items:
            if isinstance(item, Fault) or (was is not None and item.number not in was.frames):
                continue
            native = self._enlarged(item)
            assert not isinstance(native, Sampled)
            if why := inexact(native):
                ledger.exact = False
                notes.add(why)
            name = Path(self._work.name_of(item.number))
            written = output.write(name, BytesIO(encoded(native).read()))
            self._compare_frame(output, written.path, native, exact=not why)
            made.append([item.number, os.fsencode(name).hex(), written.path.name, written.size, written.sha256])
        if not self._work.settings.same_size:
            ledger.exact = False
        return {"files": made, "kept": kept, "notes": sorted(notes)}

    def _masks(self, items: Iterator[Rendered | Fault]) -> Answer:
        output = OutputRoot(self._work.target, self._work.token)
        made, counts = [], []
        for item in items:
            if isinstance(item, Fault):
                continue
            name = Path(self._work.name_of(item.number))
            written = output.write(name, BytesIO(mask_bytes(_holes_of(item))))
            made.append([item.number, os.fsencode(name).hex(), written.path.name, written.size, written.sha256])
            counts.append([item.number, len(item.repairs)])
        return {"files": made, "masks": counts, "untouched_sha256": None}

    def _compare_frame(self, output: OutputRoot, temporary: Path, native: Scan | Document, *, exact: bool) -> None:
        again = native_of(output.root / temporary, self._decoder)
        if exact and changed(native, again).any():
            output.remove(temporary)
            raise ImageError("a written frame isn't what was meant: check the disk and the memory")


def _holes_of(one: Rendered) -> Holes:
    """What a frame's mask shows."""
    holes = np.zeros(one.touched.shape, np.bool_)
    for repair, mine in one.repairs:
        holes[repair.box.y0 : repair.box.y1, repair.box.x0 : repair.box.x1] |= mine
    return holes


def _write(path: Path, content: bytes) -> str:
    """Writes a file whole; its sha256."""
    write_whole(path, content)
    return digest_of(BytesIO(content))
