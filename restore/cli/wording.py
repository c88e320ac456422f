"""Owns how a plan, an outcome and a summary read to a person: lines of text, printed by `console`.

Every line is safe to show: names go through `visible`.
"""

from __future__ import annotations

from collections.abc import Sequence

from restore.batch.job import Job, Outcome, Plan, Status, Summary
from restore.cli.events import Used
from restore.report.visible import visible

LISTED_FAILURES = 20
LISTED_JOBS = 40
LISTED_REPAIRS = 5


def plan_lines(plan: Plan) -> list[str]:
    """The head of a run: how much there is to do, and what to know before it."""
    lines = [_amount(plan)]
    if plan.others:
        lines.append(f"{counted(len(plan.others), 'other file')} to copy along")
    lines += [f"note: {visible(note)}" for note in plan.notes]
    return lines


def _amount(plan: Plan) -> str:
    already = f"; {counted(plan.done, 'image')} done before" if plan.done else ""
    if not plan.jobs:
        what = "nothing to do" if plan.done and not plan.problems else "no image to do"
        return what + already
    room = f", about {size(plan.estimated_bytes)} to write" if plan.estimated_bytes else ""
    if plan.free_bytes is not None and room:
        room += f" ({size(plan.free_bytes)} free)"
    pixels = f"{megapixels(plan.in_pixels)} -> {megapixels(plan.out_pixels)}"
    return f"{counted(len(plan.jobs), 'image')}, {pixels}{room}{already}"


def dry_run_lines(plan: Plan) -> list[str]:
    """The whole plan: kinds, files with their sizes before and after, problems, notes."""
    lines = _kinds(plan.jobs) + ([""] if plan.jobs else [])
    lines += _pairs(plan)
    lines += columns(
        [
            (
                visible(str(job.relative)),
                _header(job),
                _becomes(job),
                visible(str(job.target)) if job.target != job.relative else "",
            )
            for job in plan.jobs[:LISTED_JOBS]
        ]
    )
    if len(plan.jobs) > LISTED_JOBS:
        lines.append(f"... and {len(plan.jobs) - LISTED_JOBS} more (--json lists all)")
    if plan.problems:
        lines += ["", f"{counted(len(plan.problems), 'file')} that would fail:"]
        lines += [visible(str(problem)) for problem in plan.problems]
    return [*lines, "", *plan_lines(plan), "dry run: nothing was written"]


def _pairs(plan: Plan) -> list[str]:
    """Which mask each source has, and why: `--json` lists all, this the first LISTED_JOBS."""
    if not plan.pairs:
        return []
    rows = [
        (visible(str(p.relative)), "-" if p.companion is None else visible(str(p.companion)), visible(p.because))
        for p in plan.pairs[:LISTED_JOBS]
    ]
    lines = columns([("image", "mask", "because"), *rows])
    if len(plan.pairs) > LISTED_JOBS:
        lines.append(f"... and {len(plan.pairs) - LISTED_JOBS} more (--json lists all)")
    return [*lines, ""]


def _kinds(jobs: Sequence[Job]) -> list[str]:
    """One line a pair of formats: how many files, from which size to which."""
    kinds: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        kinds.setdefault((job.header.format, job.format), []).append(job)
    rows: list[tuple[str, ...]] = []
    for (source, target), members in sorted(kinds.items()):
        ends = [end(members, key=lambda job: job.in_pixels).header for end in (min, max)]
        sizes = [f"{header.width}x{header.height}" for header in ends]
        rows.append(
            (
                f"{source} -> {target}",
                counted(len(members), "image"),
                sizes[0] if sizes[0] == sizes[1] else " to ".join(sizes),
                f"{megapixels(sum(j.in_pixels for j in members))} -> {megapixels(sum(j.out_pixels for j in members))}",
            )
        )
    return columns(rows)


def _becomes(job: Job) -> str:
    if job.unchanged:
        return f"as it is ({job.unchanged})"
    return f"-> {job.output_width_px}x{job.output_height_px}"


def _header(job: Job) -> str:
    header = job.header
    number = "float" if header.is_float else "bit"
    pages = f" {header.pages} pages" if header.pages > 1 else ""
    return f"{header.width}x{header.height} {header.format} {''.join(header.channels)} {header.bits}-{number}{pages}"


def outcome_line(outcome: Outcome) -> str:
    name = visible(str(outcome.relative))
    if outcome.status is Status.FAILED:
        return f"failed  {name}: {visible(outcome.error or 'no reason given')}"
    if outcome.status is Status.COPIED:
        return f"copied  {name}"
    if outcome.status is Status.SKIPPED:
        return f"skipped {name}: {visible(outcome.error or 'no reason given')}"
    job = outcome.job
    sizes = "" if job is None else _sizes(job)
    if outcome.facts.unchanged:
        sizes = f"  as it was ({visible(outcome.facts.unchanged)})"
    if (repair := outcome.facts.repair) is not None:
        sizes += f"  {counted(repair.holes, 'hole')}, {repair.changed_px:,} px"
    notes = "".join(f"  ({visible(note)})" for note in outcome.facts.notes)
    return f"done    {name}{sizes}  {outcome.facts.seconds:.1f} s{notes}"


def _sizes(job: Job) -> str:
    before, after = (job.header.width, job.header.height), (job.output_width_px, job.output_height_px)
    return "" if before == after else f"  {before[0]}x{before[1]} -> {after[0]}x{after[1]}"


def used_line(used: Used) -> str:
    if not used.model:
        return "stored patches are put on"
    tiles = "" if used.tile_px is None else f", tiles of {used.tile_px} px with a halo of {used.halo_px} px"
    return f"{visible(used.model)} in {used.precision} on {visible(used.device_name)}{tiles}"


def summary_lines(summary: Summary, failures: Sequence[Outcome], used: Used | None) -> list[str]:
    """What came of a run; `failures` are listed with their reasons, the first LISTED_FAILURES of them."""
    if summary.already_done and not (summary.done or summary.failed or summary.copied or summary.remaining):
        return []  # the plan's line has said it
    lines = []
    if failures:
        lines.append(f"{counted(len(failures), 'file')} failed:")
        lines += [f"  {outcome_line(failed).removeprefix('failed  ')}" for failed in failures[:LISTED_FAILURES]]
        if len(failures) > LISTED_FAILURES:
            where = f", each with its reason in the journal in {visible(str(used.state))}" if used else ""
            lines.append(f"  ... and {len(failures) - LISTED_FAILURES} more{where}")
    counts = [counted(summary.done, "image") + " done"]
    if summary.already_done:
        counts.append(f"{summary.already_done} done before")
    if summary.unchanged:
        counts.append(f"{summary.unchanged} of them as they were")
    if summary.failed:
        counts.append(f"{summary.failed} failed")
    if summary.skipped:
        counts.append(f"{summary.skipped} skipped")
    if summary.copied:
        counts.append(f"{counted(summary.copied, 'file')} copied")
    if summary.remaining:
        counts.append(f"{summary.remaining} not reached")
    lines.append(", ".join(counts))
    if summary.done:
        lines.append(
            f"{megapixels(summary.in_pixels)} -> {megapixels(summary.out_pixels)} ({size(summary.output_bytes)}) "
            f"in {clock(summary.seconds)}, {summary.megapixels_per_second:.2f} MP/s out"
        )
    lines += _repairs(summary)
    if used and summary.done and used.model:
        lines.append(f"made with {visible(used.model)} (licence: {visible(used.licence)}) in {used.precision}")
    if summary.reason:
        lines.append(visible(summary.reason))
    elif summary.failed or summary.remaining:
        lines.append("to try the rest again, give the same command: what is done stays done")
    return lines


def _repairs(summary: Summary) -> list[str]:
    """What was repaired, and where to look first."""
    if not summary.holes:
        return []
    share = summary.changed_px / summary.in_pixels if summary.in_pixels else 0.0
    lines = [f"{counted(summary.holes, 'hole')} filled: {summary.changed_px:,} px changed ({share:.2%})"]
    if summary.uncertain:
        lines.append("least certain, to be looked at (undo one with: restore undo OUT FILE --blob K):")
        several = any(one.page for _, one in summary.uncertain)
        lines += columns(
            [
                (
                    f"  {visible(str(name))}",
                    f"page {one.page + 1} blob {one.blob}" if several else f"blob {one.blob}",
                    f"at {one.x},{one.y}",
                    one.fill,
                    f"{one.confidence:.2f}",
                )
                for name, one in summary.uncertain[:LISTED_REPAIRS]
            ]
        )
    return lines


def columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows of text as aligned lines, two spaces between columns."""
    from rich.cells import cell_len

    if not rows:
        return []
    widths = [max(cell_len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(text + " " * (width - cell_len(text)) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def megapixels(pixels: int) -> str:
    if pixels < 10_000:
        return f"{pixels:,} px"
    return f"{pixels / 1e6:.2f} MP" if pixels < 10_000_000 else f"{pixels / 1e6:,.0f} MP"


def size(number_of_bytes: int) -> str:
    amount = float(number_of_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 10 else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def clock(seconds: float) -> str:
    """5.2 s, 3 min 20 s, 4 h 05 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
