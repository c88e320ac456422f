"""Owns `restore verify`: results checked against the journal, and against their sources where these are given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restore.cli import console, options
from restore.errors import ExitCode, SetupError
from restore.report.visible import visible

if TYPE_CHECKING:
    from restore.batch.verify import Verdict
    from restore.reels.state import State

Results = Annotated[Path, typer.Argument(metavar="OUT", help="The output of a run, or one of its results.")]
AgainstSource = Annotated[
    Path | None, typer.Option("--source", metavar="IN", help="Also compare with the sources, pixel by pixel.")
]


def verify(
    target: Results,
    source: AgainstSource = None,
    state: options.State = None,
    as_json: options.Json = False,
) -> None:
    """Prove that results are what was made, and that nothing outside their repairs was touched; exit code 3 if not."""
    from restore.batch.opening import open_places
    from restore.batch.places import find_output
    from restore.batch.verify import unknown_files, verify
    from restore.formats import Decoder
    from restore.reels.state import states_at

    if source is not None and not source.exists():
        raise SetupError(f"{source}: no such file or folder: give the IN of the run")
    if places_of_film := states_at(target, state):
        raise typer.Exit(_verify_film(places_of_film, source, as_json=as_json))
    places, name = find_output(target, state)
    only = None if name is None else Path(name)
    verdicts = []
    with open_places(places, read_only=True) as journal, Decoder() as decoder:
        for verdict in verify(journal, decoder, only=only, source=source):
            verdicts.append(verdict)
            _show(verdict, as_json=as_json)
        unknown = unknown_files(journal, [one.target for one in verdicts]) if only is None else 0
    failed = sum(bool(one.problems) for one in verdicts)
    _sum_up(verdicts, failed, unknown, as_json=as_json)
    raise typer.Exit(ExitCode.SOME_FAILED if failed else ExitCode.OK)


def _verify_film(states: tuple[State, ...], source: Path | None, *, as_json: bool) -> ExitCode:
    from restore.formats import Decoder
    from restore.reels.source import sources_in
    from restore.reels.verify import verify_reel

    sources = {} if source is None else {one.key: one for one in sources_in(source)}
    failed = frames = proved = 0
    converted = False
    with Decoder() as decoder:
        for state in states:
            original = sources.get(state.root.name) if len(states) > 1 else next(iter(sources.values()), None)
            for one in verify_reel(state, original, decoder):
                frames += one.frames
                converted = converted or one.converted
                failed += bool(one.problems)
                proved += one.frames * (one.untouched and not one.problems)
                if as_json:
                    stretch = {"path": one.label, "frames": [one.first, one.last], "untouched": one.untouched}
                    console.say_json({"event": "verdict", **stretch, "problems": list(one.problems)})
                else:
                    console.say(
                        f"differs  {visible(one.label)} {one.first}-{one.last}: {visible(p)}" for p in one.problems
                    )
    if as_json:
        console.say_json({"event": "verified", "failed": failed, "frames": frames, "untouched": proved})
    else:
        what = "as converting the source gives it" if converted else "as in the source"
        console.say(f"{proved} of {frames} frames with every sample outside the repairs {what}")
        console.say(f"{failed} segments not as made" if failed else "all as made")
    return ExitCode.SOME_FAILED if failed else ExitCode.OK


def _show(verdict: Verdict, *, as_json: bool) -> None:
    if as_json:
        console.say_json(
            {
                "event": "verdict",
                "target": verdict.target.as_posix(),
                "proof": verdict.proof.value,
                "problems": list(verdict.problems),
            }
        )
        return
    console.say(f"differs  {visible(str(verdict.target))}: {visible(problem)}" for problem in verdict.problems)


def _sum_up(verdicts: list[Verdict], failed: int, unknown: int, *, as_json: bool) -> None:
    from restore.batch.verify import Proof
    from restore.cli.wording import counted

    good = [one for one in verdicts if not one.problems]
    counts = {proof: sum(one.proof is proof for one in good) for proof in Proof}
    if as_json:
        kinds = {proof.value: number for proof, number in counts.items()}
        console.say_json({"event": "verified", "failed": failed, "unknown": unknown, **kinds})
        return
    words = {
        Proof.UNTOUCHED: "with every pixel outside the repairs as in the source",
        Proof.SOURCE: "byte for byte the source",
        Proof.BYTES: "with the bytes that were made",
    }
    lines = [f"{counted(number, 'file')} {words[proof]}" for proof, number in counts.items() if number]
    if unknown:
        lines.append(f"{counted(unknown, 'file')} in OUT that the journal doesn't know")
    lines.append(f"{counted(failed, 'file')} not as made" if failed else "all as made")
    console.say(lines)
