"""Owns `restore doctor`: what this machine offers, shown, with a remedy beside everything that is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from restore.cli import console, options
from restore.cli.failures import import_remedy
from restore.errors import ExitCode
from restore.report.visible import visible

if TYPE_CHECKING:
    from restore.doctor import Fact


def doctor(as_json: options.Json = False) -> None:
    """Show what this machine offers: libraries, devices, kernels, models; exit code 2 if one is missing."""
    from restore.doctor import examine

    facts = examine()
    if as_json:
        for fact in facts:
            console.say_json(
                {
                    "section": fact.section,
                    "name": fact.name,
                    "value": fact.value,
                    "ok": fact.ok,
                    "remedy": _remedy(fact),
                }
            )
    else:
        console.say(_page(facts))
    if not all(fact.ok for fact in facts):
        raise typer.Exit(ExitCode.COULD_NOT_START)


def _page(facts: tuple[Fact, ...]) -> list[str]:
    from restore.cli.wording import columns

    lines: list[str] = []
    for section in dict.fromkeys(fact.section for fact in facts):
        members = [fact for fact in facts if fact.section == section]
        rows = [
            (f"  {visible(fact.name)}", visible(fact.value if fact.ok else f"MISSING: {fact.value}"))
            for fact in members
        ]
        lines += [section, *columns(rows)]
        lines += [f"  -> {visible(remedy)}" for fact in members if (remedy := _remedy(fact))]
    broken = sum(not fact.ok for fact in facts)
    return [*lines, "", f"{broken} of these keep restore from working" if broken else "everything needed is here"]


def _remedy(fact: Fact) -> str | None:
    if fact.ok:
        return None
    if fact.error is not None:
        return import_remedy(fact.error)
    return "pip install restore-sr"
