"""Owns how `--help` reads: plain text with options in groups.

Typer's own grouped help needs rich with its Markdown renderer, which alone takes longer to import than all the rest of
a start.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand


class GroupedCommand(TyperCommand):
    """A command whose options are listed under their `rich_help_panel`, ungrouped ones last."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                usual = "Arguments" if parameter.param_type_name == "argument" else "Options"
                groups.setdefault(getattr(parameter, "rich_help_panel", None) or usual, []).append(record)
        ungrouped = groups.pop("Options", [])
        for title, records in [*groups.items(), ("Options", ungrouped)]:
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)
