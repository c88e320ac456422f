"""Owns who races in `gpu.py`, over which sizes, and what each table says.

Weights and pictures are random: they don't change the work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import gpu_peers as peers
import torch
import torch.nn.functional as F
from gpu_race import Contestant, race, with_rates
from gpu_sheet import Options, Sheet
from torch import Tensor

from restore import ops
from restore.ops import RrdbShape
from restore.ops.blocks import active_blocks
from restore.ops.tiles import gather_tiles, scatter_tiles

X4PLUS = RrdbShape(23, 64, 32, 2, 1, 3)
RESIDENT = (0, 1, 2)
"""Blocks of ours that stay on a multiprocessor; 0: a block a tile."""
RRDB_SIZES = ((256, 256), (512, 512), (720, 1280), (1080, 1920))
UNET_SIZES = ((512, 512), (1152, 1920))
"""Multiples of 128; the second is 1920x1080, padded."""


def rrdb_contestants(
    shape: RrdbShape, state: Mapping[str, Tensor], size: tuple[int, int], device: str, dtype: torch.dtype
) -> list[Contestant]:
    layout = torch.channels_last
    official = peers.official_rrdb(shape, state).to(device, dtype)
    last = peers.official_rrdb(shape, state).to(device, dtype).to(memory_format=layout)
    packed = ops.pack_rrdb(state, shape, device, dtype)
    image = torch.rand(1, shape.channels, *size, device=device)
    narrow = image.to(dtype)
    narrow_last = narrow.contiguous(memory_format=layout)
    kind = str(dtype).removeprefix("torch.")
    graphs = [
        Contestant(
            f"ours {kind}, CUDA graph{f', {count} resident blocks' if count else ''}",
            lambda count=count: ops.rrdb_forward(image, packed, resident=count),
            graph=True,
            ours=True,
        )
        for count in RESIDENT
    ]
    return [
        Contestant(f"official {kind} NCHW", lambda: official(narrow)),
        Contestant(f"official {kind} channels_last", lambda: last(narrow_last)),
        Contestant(f"official {kind} channels_last, CUDA graph", lambda: last(narrow_last), graph=True),
        Contestant(f"ours {kind}", lambda: ops.rrdb_forward(image, packed), ours=True),
        *graphs,
    ]


def rrdb(sheet: Sheet, options: Options) -> None:
    """The 23-block network at video sizes."""
    state = peers.random_state(X4PLUS, torch.Generator().manual_seed(options.seed))
    sheet.put(network=str(X4PLUS), weights="random", flop_per_pixel=peers.rrdb_flop(X4PLUS, 1, 1))
    sizes = RRDB_SIZES[:2] if options.quick else RRDB_SIZES
    pixels = [h * w for h, w in sizes]
    for i, size in enumerate(sizes):
        share = (pixels[i] + 2e5) / sum(p + 2e5 for p in pixels[i:])  # of what is left; small ones need some too
        with sheet.guard(f"rrdb {size}"):
            rows = race(
                rrdb_contestants(X4PLUS, state, size, "cuda", torch.float16),
                seconds=sheet.left() * share,
                withhold=options.withhold,
                device="cuda",
            )
            _add(sheet, size, rows, peers.rrdb_flop(X4PLUS, *size), options)
        torch.cuda.empty_cache()


def _add(sheet: Sheet, size: tuple[int, int], rows: list[dict[str, Any]], flop: float, options: Options) -> None:
    for row in rows:
        sheet.add("table", {"size": f"{size[1]}x{size[0]}", **with_rates(row, flop, options)})


def unet_contestants(
    net: peers.UNet, size: tuple[int, int], device: str, dtype: torch.dtype, generator: torch.Generator
) -> list[Contestant]:
    """Ours and the reference layers, each as it comes and in a CUDA graph."""
    valid = peers.holes(1, *size, generator).to(device)
    picture = torch.rand(1, 3, *size, generator=generator).to(device, dtype)
    mask = valid.expand(-1, 3, -1, -1).to(dtype)
    kind = str(dtype).removeprefix("torch.")
    contestants = []
    for name, layout in (("NCHW", torch.contiguous_format), ("channels_last", torch.channels_last)):
        placed = net.to(device, dtype, layout)
        ones = placed.all_ones()
        inputs = [t.contiguous(memory_format=layout) for t in (picture, mask)]
        run = lambda placed=placed, inputs=inputs, ones=ones: placed.reference(*inputs, ones)  # noqa: E731
        contestants += [
            Contestant(f"reference layers {kind} {name}{', CUDA graph' if graph else ''}", run, graph)
            for graph in (False, True)
        ]
    placed, last = net.to(device, dtype), picture.contiguous(memory_format=torch.channels_last)
    run = lambda: placed.ours(last, valid)  # noqa: E731
    return contestants + [
        Contestant(f"ours {kind}{', CUDA graph' if graph else ''}", run, graph, ours=True) for graph in (False, True)
    ]


def unet(sheet: Sheet, options: Options) -> None:
    """The inpainting U-Net; our weights come in the plain form, so that each call packs them anew."""
    generator = torch.Generator().manual_seed(options.seed)
    net = peers.random_unet(generator)
    sizes = UNET_SIZES[:1] if options.quick else UNET_SIZES
    for i, size in enumerate(sizes):
        with sheet.guard(f"U-Net {size}"):
            rows = race(
                unet_contestants(net, size, "cuda", torch.float16, generator),
                seconds=sheet.left() / (len(sizes) - i),
                withhold=options.withhold,
                device="cuda",
            )
            _add(sheet, size, rows, net.flop(*size), options)
        torch.cuda.empty_cache()


def active_contestants(side: int, device: str, dtype: torch.dtype, generator: torch.Generator) -> list[Contestant]:
    """One layer, 64 -> 64, 3x3, with some of its blocks active."""
    x = torch.randn(1, 64, side, side, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
    weight = (torch.randn(64, 64, 3, 3, generator=generator) / 24).to(device, dtype)
    last = weight.contiguous(memory_format=torch.channels_last)
    bias = torch.zeros(64, device=device, dtype=dtype)
    y = torch.empty_like(x)
    blocks = -(-side // 16) * -(-side // 32)
    order = torch.randperm(blocks, generator=generator).to(torch.int32)

    def ours(active: tuple[Tensor, Tensor] | None) -> Callable[[], None]:
        return lambda: ops.masked_conv2d_into(y, x, None, weight, bias, padding=1, slope=0.2, active=active)

    found = [
        Contestant("torch conv2d and leaky_relu_", lambda: F.leaky_relu_(F.conv2d(x, last, bias, 1, 1), 0.2), True),
        Contestant("ours, no list", ours(None), True, ours=True),
    ]
    for percent in (100, 50, 25, 10):
        count = torch.tensor([blocks * percent // 100], dtype=torch.int32)
        listed = torch.cat([order[: int(count)].sort().values, torch.full_like(order[int(count) :], -1)])
        lists = (listed.to(device), count.to(device))
        found.append(Contestant(f"ours, {percent} % of the blocks", ours(lists), True, ours=True))
    alpha = torch.zeros(1, 1, side, side, dtype=torch.uint8, device=device)
    alpha[:, :, : side // 2, : side // 2] = 255
    return [*found, Contestant("active_blocks alone", lambda: active_blocks(alpha, pad_px=13), True, ours=True)]


def tile_contestants(side: int, tile: int, device: str) -> tuple[int, list[Contestant], list[Contestant]]:
    """Bytes that each way moves at least, once out of the picture and once into it; gathering; scattering."""
    keep = tile - 24
    starts = range(0, side - keep + 1, keep)
    places = [(y, x) for y in starts for x in starts]
    corners = torch.tensor([(y - 12, x - 12) for y, x in places], dtype=torch.int32, device=device)
    keeps = torch.tensor([(y, x, y + keep, x + keep) for y, x in places], dtype=torch.int32, device=device)
    picture = torch.randint(0, 256, (side, side, 3), dtype=torch.uint8, device=device)
    tiles = torch.rand(len(places), 3, tile, tile, device=device).half().contiguous(memory_format=torch.channels_last)
    canvas = torch.zeros_like(picture)
    within = [(min(max(y - 12, 0), side - tile), min(max(x - 12, 0), side - tile)) for y, x in places]

    def torch_gather() -> Tensor:
        cut = torch.stack([picture[y : y + tile, x : x + tile] for y, x in within])
        return cut.permute(0, 3, 1, 2).half() / 255

    def torch_scatter() -> None:
        whole = (tiles.float().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        for one, (y, x) in zip(whole, places, strict=True):
            canvas[y : y + keep, x : x + keep] = one[12:-12, 12:-12]

    def scatter(feather_px: int) -> Callable[[], None]:
        return lambda: scatter_tiles(canvas, tiles, corners, keeps, feather_px=feather_px)

    options = {"size": (tile, tile), "wraps": (False, False)}
    gathers = [
        Contestant("torch: slices, stack, half, divide", torch_gather, True),
        Contestant("ours: gather_tiles", lambda: gather_tiles(picture, corners, **options), True, ours=True),
    ]
    scatters = [
        Contestant("torch: clamp, round, one copy a tile", torch_scatter, True),
        Contestant("ours: scatter_tiles", scatter(0), True, ours=True),
        Contestant("ours: scatter_tiles, feather 8", scatter(8), True, ours=True),
    ]
    return len(places) * tile * tile * 3 * (1 + 2), gathers, scatters


def blocks(sheet: Sheet, options: Options) -> None:
    """Active blocks, and tiles on their way to the network and back."""
    generator = torch.Generator().manual_seed(options.seed)
    settings: dict[str, Any] = {"withhold": options.withhold, "device": "cuda"}
    side = 2048
    with sheet.guard("active blocks"):
        rows = race(active_contestants(side, "cuda", torch.float16, generator), seconds=sheet.left() / 3, **settings)
        whole = next((row.get("ms") for row in rows if row["contestant"] == "ours, no list"), None)
        for row in rows:
            ratio = {"times_of_no_list": round(row["ms"] / whole, 4)} if whole and "ms" in row else {}
            sheet.add("active", {"size": f"{side}x{side}", **row, **ratio})
    with sheet.guard("tiles"):
        moved, *both = tile_contestants(4096, 608, "cuda")
        for contestants in both:
            for row in race(contestants, seconds=sheet.left() / 2, **settings):
                rate = {"gb_per_s": round(moved / row["ms"] / 1e6, 1)} if "ms" in row else {}
                sheet.add("tiles", {"size": "4096x4096", **row, **rate})


def compiled(sheet: Sheet, options: Options) -> None:
    """torch.compile of the channels_last module, beside the same one as it comes."""
    size = (options.compile_side, options.compile_side)
    state = peers.random_state(X4PLUS, torch.Generator().manual_seed(options.seed))
    module = peers.official_rrdb(X4PLUS, state).to("cuda", torch.float16).to(memory_format=torch.channels_last)
    image = torch.rand(1, 3, *size, device="cuda").half().contiguous(memory_format=torch.channels_last)
    faster = torch.compile(module, mode="max-autotune")
    start = time.monotonic()
    faster(image)
    torch.cuda.synchronize()
    sheet.put(compile_seconds=round(time.monotonic() - start, 1))
    contestants = [
        Contestant("official float16 channels_last", lambda: module(image)),
        Contestant("official float16 channels_last, torch.compile max-autotune", lambda: faster(image)),
    ]
    rows = race(contestants, seconds=min(20.0, sheet.left()), withhold="", device="cuda")
    _add(sheet, size, rows, peers.rrdb_flop(X4PLUS, *size), options)
