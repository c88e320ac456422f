"""Owns the checks of single ops: masked convolution and its forms, a U-Net made of it, active lists, tiles."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import gpu_peers as peers
import torch
import torch.nn.functional as F
from gpu_case import BOUNDS, NETWORK_BOUNDS, Case, Draw, Found, Layer, differing, distance, name_of, relative
from torch import Tensor

from restore import ops
from restore.ops.blocks import active_blocks
from restore.ops.tiles import gather_tiles, scatter_tiles


def masked_cases(dtypes: tuple[torch.dtype, ...], passes: tuple[torch.dtype, ...]) -> Iterator[Case]:
    """masked_conv2d.  `passes`: types that have no tensor-core kernel."""

    def case(dtype: torch.dtype, **shape: Any) -> Case:
        def run(draw: Draw) -> Found:
            layer = Layer.drawn(draw, dtype, **shape)
            given, options = layer.arguments(draw, dtype)
            y, seen = ops.masked_conv2d(*given, **options)
            true, known = layer.answer()
            return {"numbers": (distance(y, true), BOUNDS[dtype]), "validity": differing(seen.cpu(), known)}

        words = ", ".join(f"{key} {value}" for key, value in shape.items())
        return Case(f"masked_conv2d {name_of(dtype)}: {words}", run)

    widths = itertools.cycle((1, 3, 16, 24, 32, 40, 64, 72, 128))
    for dtype in dtypes:
        for kernel, stride, channels in itertools.product((3, 5, 7), (1, 2), (3, 24, 40, 100)):
            yield case(dtype, channels=channels, filters=next(widths), kernel=kernel, stride=stride)
        for channels, skip, filters in ((64, 64, 64), (128, 64, 64), (64, 3, 3), (100, 40, 24), (16, 5, 33)):
            yield case(dtype, channels=channels, skip=skip, filters=filters, doubled=True, size=(23, 37))
        yield case(dtype, channels=24, skip=40, filters=32, kernel=5, stride=2)
        yield case(dtype, channels=40, filters=16, kernel=7, doubled=True, size=(19, 30))
        yield case(dtype, channels=64, filters=64, size=(1, 1), n=5)
        # k split over blocks, on devices of more multiprocessors than these have tiles
        yield case(dtype, channels=512, skip=512, filters=512, doubled=True, size=(2, 2), n=1)
        yield case(dtype, channels=136, skip=100, filters=72, doubled=True, size=(5, 20), n=1)
        yield case(dtype, channels=200, filters=24, size=(9, 37), n=1)
        yield case(dtype, channels=150, filters=40, kernel=5, stride=2, size=(21, 40), n=1)
    for dtype in passes:
        for kernel, stride, channels in ((3, 1, 40), (5, 2, 3), (7, 2, 24)):
            yield case(dtype, channels=channels, filters=next(widths), kernel=kernel, stride=stride)
        yield case(dtype, channels=24, skip=5, filters=17, doubled=True, size=(23, 37))


def into_cases(dtypes: tuple[torch.dtype, ...]) -> Iterator[Case]:
    """masked_conv2d_into: slices, residuals, active blocks."""

    def slices(dtype: torch.dtype, residuals: int, plain: bool, filters: int) -> Callable[[Draw], Found]:
        def run(draw: Draw) -> Found:
            layer = Layer.drawn(draw, dtype, channels=40, filters=filters, skip=24, doubled=True, size=(21, 38))
            given, options = layer.arguments(draw, dtype)
            true, known = layer.answer(plain=plain)
            if plain:
                given = (draw.put(layer.x, dtype), None, *given[2:])
                options |= {"skip": draw.put(layer.skip, dtype), "skip_valid": None}
            addends = [draw.normal(*true.shape, dtype=dtype) for _ in range(residuals)]
            for addend, factor in zip(addends, (0.2, 0.5), strict=False):
                true = addend + factor * true
            at = draw.one_of(8, 32)
            y = torch.full((true.shape[0], filters + 48, *true.shape[2:]), 7.0, dtype=dtype, device=draw.device)
            y = y.contiguous(memory_format=torch.channels_last)
            seen = torch.zeros(known.shape, dtype=torch.bool, device=draw.device)
            pairs = tuple((draw.put(a, dtype), f) for a, f in zip(addends, (0.2, 0.5), strict=False))
            if not plain:
                options["valid_out"] = seen
            ops.masked_conv2d_into(y, *given, at_channel=at, residuals=pairs, **options)
            around = torch.cat([y[:, :at], y[:, at + filters :]], 1)
            found = {
                "numbers": (distance(y[:, at : at + filters], true), BOUNDS[dtype]),
                "channels beside them": (float((around != 7).sum()), 0.0),
            }
            return found if plain else found | {"validity": differing(seen.cpu(), known)}

        return run

    def dense(dtype: torch.dtype) -> Callable[[Draw], Found]:
        def run(draw: Draw) -> Found:
            true = draw.normal(2, 64, 39, 66, dtype=dtype)
            buffer = draw.put(torch.cat([true, torch.full((2, 128, 39, 66), 7.0)], 1), dtype)
            for inputs, outputs in ((64, 32), (96, 32), (128, 64)):
                weight = draw.normal(outputs, inputs, 3, 3, dtype=dtype, scale=(9 * inputs) ** -0.5)
                ops.masked_conv2d_into(
                    *(buffer, buffer[:, :inputs], None, draw.put(weight, dtype, last=False)),
                    at_channel=inputs,
                    padding=1,
                    slope=0.2,
                )
                answer = F.leaky_relu(F.conv2d(true, weight, None, 1, 1), 0.2)
                true = torch.cat([true, answer.to(dtype).double()], 1)
            return {"numbers": (relative(buffer, true), NETWORK_BOUNDS[dtype])}

        return run

    def active(dtype: torch.dtype, kernel: int, stride: int, channels: int) -> Callable[[Draw], Found]:
        def run(draw: Draw) -> Found:
            size = (100, 131) if channels < 100 else (40, 70)  # with many channels and few pixels, k is split
            layer = Layer.drawn(draw, dtype, channels=channels, filters=64, kernel=kernel, stride=stride, size=size)
            given, options = layer.arguments(draw, dtype)
            options.pop("doubled")
            shaped, seen = ops.masked_conv2d(*given, **options)
            whole, known = torch.empty_like(shaped), torch.empty_like(seen)
            ops.masked_conv2d_into(whole, *given, valid_out=known, **options)
            n, _, height, width = whole.shape
            rows, columns = -(-height // 16), -(-width // 32)
            blocks = torch.randperm(n * rows * columns, generator=draw.generator).to(torch.int32)
            count = len(blocks) // 3
            y, seen = torch.full_like(whole, 7.0), torch.zeros_like(known)
            lists = (draw.put(blocks), draw.put(torch.tensor([count], dtype=torch.int32)))
            ops.masked_conv2d_into(y, *given, valid_out=seen, active=lists, **options)
            flags = torch.zeros(n * rows * columns, dtype=torch.bool)
            flags[blocks[:count].long()] = True
            flags = flags.view(n, 1, rows, columns).repeat_interleave(16, 2).repeat_interleave(32, 3)
            where = flags[..., :height, :width].to(draw.device)
            return {
                "listed blocks and the rest": differing(y, torch.where(where, whole, 7.0)),
                "validity": differing(seen, known & where),
            }

        return run

    for dtype in dtypes:
        for residuals, plain, filters in itertools.product((0, 1, 2), (False, True), (24, 64)):
            kind = "plain" if plain else "masked"
            what = f"masked_conv2d_into {name_of(dtype)}: {kind}, {filters} filters, {residuals} residuals"
            yield Case(what, slices(dtype, residuals, plain, filters))
        yield Case(f"masked_conv2d_into {name_of(dtype)}: a dense block in one buffer", dense(dtype))
        for kernel, stride, channels in ((3, 1, 24), (5, 2, 24), (3, 1, 200), (3, 2, 200)):
            shape = f"kernel {kernel}, stride {stride}, {channels} channels"
            what = f"masked_conv2d_into {name_of(dtype)}: a third of the blocks, {shape}"
            yield Case(what, active(dtype, kernel, stride, channels))


def unet_cases(dtypes: tuple[torch.dtype, ...]) -> Iterator[Case]:
    def case(dtype: torch.dtype) -> Callable[[Draw], Found]:
        def run(draw: Draw) -> Found:
            net = peers.random_unet(draw.generator, divide=2)
            net = net.to("cpu", dtype).to("cpu", torch.float64)
            picture, valid = draw.normal(2, 3, 128, 128, dtype=dtype), peers.holes(2, 128, 128, draw.generator)
            true = net.reference(picture, valid.expand(-1, 3, -1, -1).double(), net.all_ones())
            dirty = draw.put(picture.masked_fill(~valid, float("nan")), dtype)
            y = net.to(draw.device, dtype).ours(dirty, draw.put(valid))
            return {"numbers": (relative(y, true), NETWORK_BOUNDS[dtype])}

        return run

    for dtype in dtypes:
        yield Case(f"U-Net of partial convolutions, {name_of(dtype)}", case(dtype))


def tile_cases() -> Iterator[Case]:
    """active_blocks, gather_tiles and scatter_tiles: the bytes of their references on the CPU."""

    def blocks(kind: torch.dtype, pad_px: int, scale: int) -> Callable[[Draw], Found]:
        def run(draw: Draw) -> Found:
            valid = (draw.unit(3, 1, 95, 130) > 0.999).to(kind)
            expected = active_blocks(valid, pad_px=pad_px, scale=scale)
            found = active_blocks(draw.put(valid, last=False), pad_px=pad_px, scale=scale)
            return {"list": differing(found[0], expected[0]), "count": differing(found[1], expected[1])}

        return run

    def gather(kind: torch.dtype, dtype: torch.dtype, stored: int, channels: int) -> Callable[[Draw], Found]:
        def run(draw: Draw) -> Found:
            picture = _picture(draw, kind, 61, 83, stored)
            corners = torch.tensor([[0, 0], [-9, 50], [40, -200], [1000, 70], [17, 33]], dtype=torch.int32)
            options = {
                "size": (37, 45), "wraps": draw.one_of((False, False), (True, False), (True, True)), "dtype": dtype,
                "channels": channels, "grey_as_rgb": draw.one_of(True, False),
            }  # fmt: skip
            expected = gather_tiles(picture, corners, **options)
            found = gather_tiles(draw.put(picture), draw.put(corners), **options)
            return {"tiles": differing(found, expected)}

        return run

    def scatter(kind: torch.dtype, dtype: torch.dtype, feather_px: int) -> Callable[[Draw], Found]:
        def run(draw: Draw) -> Found:
            canvas = _picture(draw, kind, 90, 121, 3)
            tiles = draw.put(draw.normal(5, 8, 50, 66) * 0.4 + 0.5, dtype).cpu()
            tiles[0, 0, 3, 4] = float("nan")
            corners = torch.tensor([[0, 0], [-3, 60], [42, -5], [42, 60], [70, 100]], dtype=torch.int32)
            inset = torch.tensor([4, 4, 46, 62], dtype=torch.int32)
            keeps = torch.cat([corners, corners], 1) + inset
            target = draw.put(canvas)
            scatter_tiles(canvas, tiles, corners, keeps, feather_px=feather_px)
            scatter_tiles(target, draw.put(tiles), draw.put(corners), draw.put(keeps), feather_px=feather_px)
            return {"canvas": differing(target, canvas)}

        return run

    for kind, pad_px, scale in ((torch.bool, 0, 1), (torch.uint8, 13, 1), (torch.bool, 40, 4)):
        yield Case(f"active_blocks: {name_of(kind)}, pad {pad_px}, scale {scale}", blocks(kind, pad_px, scale))
    for kind, dtype in itertools.product((torch.uint8, torch.uint16), (torch.float16, torch.bfloat16, torch.float32)):
        for stored, channels in ((1, 3), (3, 3), (3, 16), (4, 8)):
            what = f"gather_tiles: {name_of(kind)} to {name_of(dtype)}, {stored} to {channels} channels"
            yield Case(what, gather(kind, dtype, stored, channels))
        for feather_px in (0, 5):
            what = f"scatter_tiles: {name_of(dtype)} to {name_of(kind)}, feather {feather_px}"
            yield Case(what, scatter(kind, dtype, feather_px))


def _picture(draw: Draw, kind: torch.dtype, *size: int) -> Tensor:
    most = 256 if kind == torch.uint8 else 65536
    return torch.randint(0, most, size, generator=draw.generator, dtype=torch.int32).to(kind)
