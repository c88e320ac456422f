"""Owns the words of `--json`: one object a line on standard output, each with an "event".

    run      what was resolved: model, licence, precision, device, device_name, tile_px, halo_px,
             fingerprint, state
    plan     sources, done, others, pixels_in, pixels_out, estimated_bytes, free_bytes, problems, notes;
             skipped; with --dry-run also jobs, and where masks are needed pairs: path, mask, because
    started  path
    outcome  path, status (done, failed, copied, skipped), target, error, kind, seconds, output_bytes, traits, tile_px,
             halo_px, drift, notes, unchanged (why the source's bytes were passed on, or ""), repair (null, or holes,
             changed_px, fills, uncertain, touched_sha256, untouched_sha256)
    note     text
    end      exit_code, done, already_done, failed, copied, remaining, pixels_in, pixels_out, output_bytes, seconds,
             reason, unchanged, skipped, holes, changed_px, uncertain (path, page and blob from 0, x, y, fill,
             confidence: the least certain repairs first)
    error    message, exit_code: the run could not start, and nothing else follows

Paths are relative to IN (`path`) and OUT (`target`), with "/" between parts.  Bytes that are no UTF-8 come as lone
surrogates (U+DC80 to U+DCFF), as `os.fsdecode` gives them, so that no name is lost.  Events and keys may be added;
none changes its meaning.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from restore.batch.job import Job, Outcome, Plan, Summary

Event = dict[str, Any]


@dataclass(frozen=True)
class Used:
    """What a run works with, once everything is resolved."""

    model: str
    licence: str
    precision: str
    device: str
    """As `--device` takes it: "cpu", "cuda:0"."""
    device_name: str
    """For people: "cuda:0, NVIDIA H100 80GB HBM3"."""
    tile_px: int | None
    halo_px: int | None
    fingerprint: str
    state: Path
    """Directory of the journal."""


def run_event(used: Used) -> Event:
    return {
        "event": "run",
        "model": used.model,
        "licence": used.licence,
        "precision": used.precision,
        "device": used.device,
        "device_name": used.device_name,
        "tile_px": used.tile_px,
        "halo_px": used.halo_px,
        "fingerprint": used.fingerprint,
        "state": str(used.state),
    }


def plan_event(plan: Plan, *, with_jobs: bool) -> Event:
    event: Event = {
        "event": "plan",
        "sources": len(plan.jobs),
        "done": plan.done,
        "others": len(plan.others),
        "pixels_in": plan.in_pixels,
        "pixels_out": plan.out_pixels,
        "estimated_bytes": plan.estimated_bytes,
        "free_bytes": plan.free_bytes,
        "problems": [{"path": p.relative.as_posix(), "error": p.error} for p in plan.problems],
        "notes": list(plan.notes),
    }
    event["skipped"] = [{"path": s.relative.as_posix(), "reason": s.reason} for s in plan.skipped]
    if with_jobs:
        event["jobs"] = [_job(job) for job in plan.jobs]
        event["pairs"] = [
            {
                "path": pair.relative.as_posix(),
                "mask": None if pair.companion is None else pair.companion.as_posix(),
                "because": pair.because,
            }
            for pair in plan.pairs
        ]
    return event


def _job(job: Job) -> Event:
    return {
        "path": job.relative.as_posix(),
        "format": job.header.format,
        "width": job.header.width,
        "height": job.header.height,
        "pages": job.header.pages,
        "channels": list(job.header.channels),
        "bits": job.header.bits,
        "target": job.target.as_posix(),
        "output_format": job.format,
        "output_width": job.output_width_px,
        "output_height": job.output_height_px,
        "notes": list(job.header.notes),
        "unchanged": job.unchanged,
    }


def started_event(job: Job) -> Event:
    return {"event": "started", "path": job.relative.as_posix()}


def outcome_event(outcome: Outcome) -> Event:
    return {
        "event": "outcome",
        "path": outcome.relative.as_posix(),
        "status": outcome.status.value,
        "target": outcome.job.target.as_posix() if outcome.job else None,
        "error": outcome.error,
        "kind": outcome.kind.value if outcome.kind else None,
        "seconds": round(outcome.facts.seconds, 4),
        "output_bytes": outcome.output_bytes,
        "traits": outcome.facts.traits_because,
        "tile_px": outcome.facts.tile_px,
        "halo_px": outcome.facts.halo_px,
        "drift": outcome.facts.drift,
        "notes": list(outcome.facts.notes),
        "unchanged": outcome.facts.unchanged,
        "repair": None if outcome.facts.repair is None else asdict(outcome.facts.repair),
    }


def note_event(text: str) -> Event:
    return {"event": "note", "text": text}


def end_event(summary: Summary) -> Event:
    return {
        "event": "end",
        "exit_code": int(summary.exit_code),
        "done": summary.done,
        "already_done": summary.already_done,
        "failed": summary.failed,
        "copied": summary.copied,
        "remaining": summary.remaining,
        "pixels_in": summary.in_pixels,
        "pixels_out": summary.out_pixels,
        "output_bytes": summary.output_bytes,
        "seconds": round(summary.seconds, 3),
        "reason": summary.reason,
        "unchanged": summary.unchanged,
        "skipped": summary.skipped,
        "holes": summary.holes,
        "changed_px": summary.changed_px,
        "uncertain": [{"path": path.as_posix(), **asdict(one)} for path, one in summary.uncertain],
    }


def error_event(message: str, exit_code: int) -> Event:
    return {"event": "error", "message": message, "exit_code": exit_code}
