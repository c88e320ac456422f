"""Owns what becomes of a picture when all steps are done: a file, its ledger, its holes as a mask, its facts.

Pictures without damage are passed on here, too: byte for byte, where nothing else was asked.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np

from restore.batch.facts import Deviation, Facts
from restore.batch.fsops import OutputRoot, digest_of
from restore.batch.job import Failed, Job, Result, Skipped, Staged
from restore.batch.journal import Journal
from restore.batch.large import Large
from restore.batch.large_files import digests_of, large_facts, stage_large
from restore.batch.ledger import Ledger
from restore.batch.repairs import last_bit_note, planes_of, repair_facts, storable, touched_planes
from restore.batch.stage import stage, stage_copy, stage_in_place, stage_patches
from restore.batch.work import Read, Work
from restore.color import drift
from restore.formats import Decoder, encode, written_exactly
from restore.holes.marked import as_mask
from restore.holes.pairing import saved_name
from restore.image import Arrangement, Document, Image
from restore.recipe import PATCHES, NoMask, Recipe, RunOptions
from restore.trust import patches as patch_files
from restore.trust.patches import Patch, Patches
from restore.trust.untouched import Touched

NO_DAMAGE = "no hole in it"


@dataclass(frozen=True)
class Finisher:
    """Where results go and how pictures without damage are treated."""

    recipe: Recipe
    output: OutputRoot
    ledger: Ledger | None = None
    """Where the repairs of every file are kept, so that they can be verified and undone; None: nowhere."""
    saved: OutputRoot | None = None
    """Where the holes of every file go as mask pictures; None: nowhere."""
    overwrite: bool = False
    no_mask: NoMask = NoMask.COPY

    @classmethod
    def of(cls, recipe: Recipe, options: RunOptions, journal: Journal) -> Finisher:
        """As a run with these options wants it."""
        masks, output = options.masks, journal.output
        repairs = recipe.upscale is None or recipe.inpaint is not None
        return cls(
            recipe,
            output,
            ledger=journal.ledger if repairs else None,
            saved=OutputRoot(masks.save, output.token) if masks.save is not None else None,
            overwrite=options.overwrite,
            no_mask=masks.no_mask or NoMask.COPY,
        )

    def passes_on(self, read: Read) -> bool:
        """Whether no step has anything to do with it."""
        return self.recipe.upscale is None and not read.damaged

    def pass_on(self, job: Job, reason: str, read: Read | None, decoder: Decoder) -> Result:
        """A picture that nothing is done to; `read`: where its pixels are at hand.  ImageError, DiskFullError."""
        if job.format == PATCHES:
            return Skipped(job.relative, reason, job)
        if self.recipe.inpaint is not None and self.no_mask is NoMask.SKIP:
            return Skipped(job.relative, reason, job)
        if self.recipe.inpaint is not None and self.no_mask is NoMask.ERROR:
            return Failed(job, f"{reason}, and --no-mask error was given")
        facts = Facts(in_pixels=job.in_pixels, out_pixels=job.out_pixels, unchanged=reason)
        if read is not None:
            facts = replace(facts, notes=_notes(read), seconds=read.seconds, traits_because=_because(read))
            if self.saved is not None:  # an empty one, for a person to paint on what was overlooked
                if read.large is None:
                    notes = self._save_holes(job, touched_planes(read.document, ()), read.document, self.saved)
                else:
                    notes = self._save_bands(job, read.large, (), self.saved)
                facts = replace(facts, notes=(*facts.notes, *notes))
        if job.format == job.header.format:
            return stage_copy(job, facts, self.output)
        document = decoder.read(job.source) if read is None else read.document
        touched = touched_planes(document, ()) if _can_be_compared(job) else None
        return stage(document, document, job, facts, self.output, decoder, touched)

    def finish(self, work: Work, decoder: Decoder) -> Staged:
        """Raises ImageError (and then leaves nothing behind), DiskFullError."""
        job, source = work.read.job, work.read.document
        if work.read.large is not None:
            return self._finish_in_bands(work, work.read.large, decoder)
        if work.repairs and work.enlarged is None:
            work = storable(work)
        result = work.result()
        facts = self._facts(work, result)
        if self.recipe.inpaint is not None and self.saved is not None:
            notes = self._save_holes(job, planes_of(work), result, self.saved)
            facts = replace(facts, notes=(*facts.notes, *notes))
        if job.format == PATCHES:
            return stage_patches(self._patches(work), job, facts, self.output)
        exact = facts.repair is not None and facts.repair.untouched_sha256 is not None
        touched = planes_of(work) if exact else None
        if exact:
            facts = replace(facts, notes=(*facts.notes, *last_bit_note(result)))
        if touched is not None and job.changes_in_place:
            staged = stage_in_place(source, result, job, facts, self.output, decoder, touched)
        else:
            staged = stage(source, result, job, facts, self.output, decoder, touched)
        try:
            if self.ledger is not None and work.repairs:
                self.ledger.keep(self._patches(work), job.target, staged.sha256)
        except BaseException:
            self.output.remove(staged.temporary)
            raise
        return staged

    def _finish_in_bands(self, work: Work, large: Large, decoder: Decoder) -> Staged:
        """`finish` of a picture that doesn't fit into memory."""
        job, patches, facts = work.read.job, self._patches(work), self._facts(work, None)
        if self.recipe.inpaint is not None and self.saved is not None:
            notes = self._save_bands(job, large, patches.patches, self.saved)
            facts = replace(facts, notes=(*facts.notes, *notes))
        if job.format == PATCHES:
            pages = [large.page(number, decoder) for number in range(len(large.sizes))]
            facts = replace(facts, repair=large_facts(patches, digests_of(pages, large.sizes, patches)))
            return stage_patches(patches, job, facts, self.output)
        staged = stage_large(large, patches, job, facts, self.output, decoder)
        try:
            if self.ledger is not None and patches.patches:
                self.ledger.keep(patches, job.target, staged.sha256)
        except BaseException:
            self.output.remove(staged.temporary)
            raise
        return staged

    def facts(self, work: Work) -> Facts:
        """What is known of a picture before its result is."""
        return self._facts(work, None)

    def _facts(self, work: Work, result: Document | None) -> Facts:
        read, enlarged = work.read, work.enlarged
        tile_px = enlarged.tile_px if enlarged is not None else None
        usual = enlarged.step.tile_px if enlarged is not None else None
        job = read.job
        facts = Facts(
            traits_because=_because(read),
            tile_px=tile_px,
            halo_px=enlarged.step.halo_px if enlarged is not None else None,
            seconds=read.seconds + work.seconds,
            in_pixels=job.in_pixels,
            out_pixels=job.out_pixels,
            deviation=Deviation(tile_px, 0) if tile_px is not None and tile_px != usual else None,
            notes=_notes(read),
        )
        if result is None:
            return facts
        if self.recipe.inpaint is not None or read.patches is not None:
            kept = job.format == PATCHES or job.changes_in_place or _can_be_compared(job)
            facts = replace(facts, repair=repair_facts(work, exact=enlarged is None and kept))
        if enlarged is not None:
            facts = replace(facts, drift=_drift(read.document, result))
        return facts

    def _patches(self, work: Work) -> Patches:
        job = work.read.job
        if (large := work.read.large) is not None:
            form = job.header.format if job.format == PATCHES else job.format
            return Patches(work.read.source_sha256, form, self.recipe.fingerprint(), large.sizes, work.patched)
        return patch_files.made_from(
            work.read.document,
            work.document,
            work.repairs,
            source_sha256=work.read.source_sha256,
            format=job.header.format if job.format == PATCHES else job.format,
            fingerprint=self.recipe.fingerprint(),
        )

    def _save_holes(self, job: Job, planes: Sequence[Touched], result: Document, saved: OutputRoot) -> tuple[str, ...]:
        """The holes as a mask picture at the result's size; what a person may have corrected is never replaced."""
        pages = tuple(
            as_mask(_enlarged(plane, page.pixels.shape[:2])) for plane, page in zip(planes, result.pages, strict=True)
        )
        return self._save_masks(job, pages, result.arrangement, saved)

    def _save_bands(self, job: Job, large: Large, patches: Sequence[Patch], saved: OutputRoot) -> tuple[str, ...]:
        """The holes of a picture in bands: as many bytes as pixels, on disk until they are compressed."""
        with ExitStack() as stack:
            pages = []
            for number, size in enumerate(large.sizes):
                file = stack.enter_context(tempfile.TemporaryFile())
                pixels = np.memmap(file, np.uint8, "w+", shape=(size.height, size.width, 1))
                for patch in patches:
                    if patch.repair.page == number:
                        box = patch.repair.box
                        pixels[box.y0 : box.y1, box.x0 : box.x1, 0][patch.touched] = 255
                pages.append(as_mask(np.zeros((0, size.width), np.bool_)).with_pixels(pixels))
            return self._save_masks(job, tuple(pages), Arrangement.PAGES, saved)

    def _save_masks(
        self, job: Job, pages: tuple[Image, ...], arrangement: Arrangement, saved: OutputRoot
    ) -> tuple[str, ...]:
        several = len(pages) > 1 and arrangement is not Arrangement.CUBE_STRIP
        form, suffix = ("tiff", ".tif") if several else ("png", ".png")
        target = saved_name(job.relative, suffix)
        with encode(Document(pages, arrangement), form) as data:
            if not self.overwrite and saved.lstat(target) is not None:
                there, here = saved.sha256(target), digest_of(data)
                return () if there == here else ("its mask is kept as it was: --overwrite replaces saved masks",)
            written = saved.write(target, data)
        saved.rename(written.path, target)
        return ()


def _enlarged(plane: Touched, size: tuple[int, ...]) -> Touched:
    """(H, W) holes at another size: each pixel is that of the source it lies in."""
    rows, columns = (np.arange(new) * old // new for new, old in zip(size, plane.shape, strict=True))
    enlarged: Touched = plane[rows][:, columns]
    return enlarged


def _can_be_compared(job: Job) -> bool:
    """Whether a result that is written anew has its source's pixels, page by page: faces become a strip."""
    return written_exactly(job.format, job.header) and job.header.arrangement is not Arrangement.CUBE_STRIP


def _notes(read: Read) -> tuple[str, ...]:
    of_pages = (note for page in read.document.pages for note in page.stored.notes)
    return tuple(dict.fromkeys((*of_pages, *read.notes)))


def _because(read: Read) -> str:
    return " | ".join(dict.fromkeys(traits.because for traits in read.traits))


def _drift(source: Document, result: Document) -> float:
    """The worst page's."""
    return max(drift(before, after) for before, after in zip(source.pages, result.pages, strict=True))
