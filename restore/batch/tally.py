"""Owns what the outcomes of a run add up to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from restore.batch.facts import Uncertain
from restore.batch.job import Outcome, Status

MOST_UNCERTAIN = 50
"""Repairs that a summary names: what one contact sheet holds."""


@dataclass
class Tally:
    """Counts, as they go by."""

    done: int = 0
    failed: int = 0
    failed_jobs: int = 0
    copied: int = 0
    in_pixels: int = 0
    out_pixels: int = 0
    output_bytes: int = 0
    unchanged: int = 0
    skipped: int = 0
    skipped_jobs: int = 0
    holes: int = 0
    changed_px: int = 0
    uncertain: list[tuple[Path, Uncertain]] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.output_bytes += outcome.output_bytes
        if outcome.status is Status.COPIED:
            self.copied += 1
        elif outcome.status is Status.FAILED:
            self.failed += 1
            self.failed_jobs += outcome.job is not None
        elif outcome.status is Status.SKIPPED:
            self.skipped += 1
            self.skipped_jobs += outcome.job is not None
        else:
            assert outcome.job is not None
            self.done += 1
            self.unchanged += bool(outcome.facts.unchanged)
            self.in_pixels += outcome.job.in_pixels
            self.out_pixels += outcome.job.out_pixels
            if (repair := outcome.facts.repair) is not None:
                self.holes += repair.holes
                self.changed_px += repair.changed_px
                named = [(outcome.relative, one) for one in repair.uncertain]
                self.uncertain = sorted([*self.uncertain, *named], key=lambda one: one[1].confidence)[:MOST_UNCERTAIN]
