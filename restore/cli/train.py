"""Owns `restore train`: making a network of one's own, from one's own pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restore.cli import console
from restore.cli.help import GroupedCommand
from restore.report.visible import visible

if TYPE_CHECKING:
    from restore.train.log import Row

app = typer.Typer(
    help="Train a network of your own: pack crops, then train.", no_args_is_help=True, rich_markup_mode=None
)

WHAT, HOW, RUNNING = "What it sees", "How it learns", "How it runs"
_SHOWN_SKIPS = 5


@dataclass(frozen=True)
class Widths:
    """`--widths`."""

    channels: tuple[int, ...]


def parse_widths(text: str) -> Widths:
    """`--widths 32,48,64`: channels at full size and after each halving."""
    parts = text.split(",")
    if not 2 <= len(parts) <= 9 or not all(p.isascii() and p.isdigit() and 0 < int(p) <= 4096 for p in parts):
        raise typer.BadParameter(f"{text!r} is no list of two to nine whole numbers, such as 32,48,64")
    return Widths(tuple(map(int, parts)))


@app.command(cls=GroupedCommand, short_help="Pack folders of pictures into one shard of crops.")
def crops(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDERS...", help="Folders of pictures, at any depth.")],
    out: Annotated[Path, typer.Option("--out", metavar="SHARD", help="Where it goes: SHARD.npy and SHARD.json.")],
    crop_px: Annotated[int, typer.Option("--crop-px", min=16, max=1024, help="Side of a crop.")] = 160,
    most: Annotated[int, typer.Option("--per-picture", min=1, help="At most so many crops of one picture.")] = 64,
    licences: Annotated[
        str, typer.Option("--licences", metavar="TEXT", help="Where the pictures are from, under which licences.")
    ] = "",
) -> None:
    """Cut pictures into crops once, so that training never decodes any; about one in twenty is held out."""
    from restore.train.crops import pack

    packed = pack(folders, out, crop_px=crop_px, most_per_picture=most, licences=licences)
    console.say(visible(f"skipped {reason}") for reason in packed.skipped[:_SHOWN_SKIPS])
    if len(packed.skipped) > _SHOWN_SKIPS:
        console.say(f"... and {len(packed.skipped) - _SHOWN_SKIPS} more; all are in the shard's .json")
    console.say(
        f"{packed.crops} crops of {packed.pictures} pictures, {packed.held_out_pictures} of them held out for measuring"
    )


@app.command(cls=GroupedCommand, short_help="Make a shard small enough to carry to another machine.")
def squeeze(
    shard: Annotated[Path, typer.Argument(metavar="SHARD", help="Made by `restore train crops`.")],
    out: Annotated[Path, typer.Option("--out", metavar="SHARD", help="Where it goes: SHARD.avifs and SHARD.json.")],
    mib: Annotated[float, typer.Option("--mib", min=0.01, help="At most so large.")] = 40.0,
) -> None:
    """Keep as many crops as fit, as AVIF; `restore train inpainter` takes the result like any shard."""
    from restore.train.crops import squeeze as squeeze_shard

    count = squeeze_shard(shard, out, most_bytes=int(mib * 2**20))
    console.say(f"{count} crops")


@app.command(cls=GroupedCommand, short_help="Train a network that fills holes.")
def inpainter(
    crops_: Annotated[
        Path,
        typer.Option("--crops", metavar="SHARD", help="Made by `restore train crops`.", rich_help_panel=WHAT),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Weights, log, plot, checkpoint.", rich_help_panel=RUNNING)
    ],
    overlays: Annotated[
        Path | None,
        typer.Option("--overlays", metavar="DIR", help="Pictures whose alpha is real damage.", rich_help_panel=WHAT),
    ] = None,
    crop_px: Annotated[
        int, typer.Option("--crop-px", min=16, max=1024, help="Side of what it sees at once.", rich_help_panel=WHAT)
    ] = 96,
    max_width_px: Annotated[
        float, typer.Option("--max-width", min=1, metavar="PX", help="Widest hole.", rich_help_panel=WHAT)
    ] = 40,
    widths: Annotated[
        Widths | None,
        typer.Option(
            "--widths",
            parser=parse_widths,
            metavar="N,N,...",
            show_default="32,48,64,96,144,192",
            help="Channels at full size and after each halving.",
            rich_help_panel=HOW,
        ),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Of the whole run.", rich_help_panel=HOW)] = 20_000,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Crops a step.", rich_help_panel=HOW)] = 12,
    lr: Annotated[float, typer.Option("--lr", min=0, help="Highest learning rate.", rich_help_panel=HOW)] = 6e-4,
    ema: Annotated[
        float, typer.Option("--ema", min=0, max=0.99999, help="How slowly the average moves.", rich_help_panel=HOW)
    ] = 0.995,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of weights, crops and holes.", rich_help_panel=HOW)] = 0,
    every: Annotated[
        int, typer.Option("--every", min=1, help="Steps between measurements.", rich_help_panel=RUNNING)
    ] = 500,
    probe_crops: Annotated[
        int, typer.Option("--probe", min=1, help="Crops a bucket in a measurement.", rich_help_panel=RUNNING)
    ] = 16,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", min=0, help="Stop after so long; the same command goes on.", rich_help_panel=RUNNING),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Processes that draw crops and holes.", rich_help_panel=RUNNING)
    ] = 1,
    device: Annotated[
        str, typer.Option("--device", metavar="auto|cpu|cuda[:N]", help="What computes.", rich_help_panel=RUNNING)
    ] = "auto",
) -> None:
    """Train a network that fills holes, or go on where an earlier run into DIR stopped.

    DIR gets inpainter.safetensors (the running average, fp16), log.csv and log.png (loss, and PSNR inside holes of
    held-out crops beside push-pull and Navier-Stokes), and checkpoint.pt.
    """
    from restore.models.pconv import DEFAULT_WIDTHS
    from restore.train.inpainter import Training, train

    told = Training(
        crops=crops_,
        out=out,
        overlays=overlays,
        steps=steps,
        batch=batch,
        crop_px=crop_px,
        lr=lr,
        widths=widths.channels if widths else DEFAULT_WIDTHS,
        max_width_px=max_width_px,
        ema=ema,
        every=every,
        probe_crops=probe_crops,
        seed=seed,
        device=device,
        minutes=minutes,
        workers=workers,
    )
    trained = train(told, lambda row: console.say(_line(row)))
    if trained.finished:
        console.say(f"finished after {trained.step} steps: {visible(str(trained.weights))}")
    else:
        console.say(f"stopped at step {trained.step} of {steps}; the same command goes on from there")


def _line(row: Row) -> str:
    gains = ", ".join(
        f"{name.removesuffix('_net')} {row[name]:.2f} dB ({row[name] - row[name.removesuffix('net') + 'ns']:+.2f})"
        for name in row
        if name.endswith("_net")
    )
    return f"step {row['step']:.0f}, {row['minutes']:.1f} min, loss {row['loss']:.4f}; above Navier-Stokes: {gains}"
