"""Owns making blocks of 4 x 4 pixels for DDS: BC1 to BC5, and BC7 in its mode 6, for the few that a repair touches.

Endpoints are fitted along each block's principal axis and then by least squares to the indices that they got.  Where
a block existed before, keeping its endpoints and only choosing indices anew is tried too, and wins where it is nearer:
then pixels that nothing touched stay exactly as they were.  Source: Microsoft's block compression documentation
(Direct3D 10 and 11).

Pixels are (N, 16, C) float64 in 0..255, row by row; blocks come back as (N, bytes) uint8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Blocks = NDArray[np.uint8]

_REFINEMENTS = 2
_POWER_STEPS = 8
_BC7_WEIGHTS = np.array([0, 4, 9, 13, 17, 21, 26, 30, 34, 38, 43, 47, 51, 55, 60, 64], np.int64)


def bc1(pixels: Floats, old: Blocks, *, cutout: bool) -> Blocks:
    """RGBA -> 8 bytes each.  `cutout`: alpha below one half makes a pixel clear; BC2's and BC3's colour has none."""
    colour = pixels[..., :3]
    clear = np.zeros(pixels.shape[:2], np.bool_)
    if cutout:
        clear |= pixels[..., 3] < 127.5
    three = np.zeros(len(pixels), np.bool_)
    clear.any(axis=1, out=three)
    best, error = _bc1_fitted(colour, clear, three)
    kept, kept_error, usable, _ = _bc1_indexed(colour, clear, _words(old, 0, 2), three, cutout=cutout)
    better = usable & (kept_error < error)
    best[better] = kept[better]
    return best


def bc2_alpha(alpha: Floats) -> Blocks:
    """(N, 16) -> 8 bytes each: four bits a pixel."""
    four = np.rint(alpha / 17).clip(0, 15).astype(np.uint8)
    blocks: Blocks = four[:, 0::2] | (four[:, 1::2] << np.uint8(4))
    return blocks


def bc4(plane: Floats, old: Blocks) -> Blocks:
    """(N, 16) -> 8 bytes each."""
    low, high = plane.min(axis=1), plane.max(axis=1)
    inner = np.where((plane > 0.5) & (plane < 254.5), plane, np.nan)
    empty = np.isnan(inner).all(axis=1)
    inner[empty] = 128
    tries = [
        np.stack([high, low], axis=1),  # eight levels between them
        np.stack([np.nanmin(inner, axis=1), np.nanmax(inner, axis=1)], axis=1),  # six, and 0 and 255
    ]
    ends = [np.rint(pair).clip(0, 255).astype(np.int64) for pair in tries]
    ends[0][:, 0] = np.where(ends[0][:, 0] == ends[0][:, 1], np.minimum(ends[0][:, 0] + 1, 255), ends[0][:, 0])
    ends.append(old[:, :2].astype(np.int64))
    packed = [_bc4_indexed(plane, pair) for pair in ends]
    blocks: Blocks = _least([one[0] for one in packed], [one[1] for one in packed])
    return blocks


def bc7(pixels: Floats, _old: Blocks) -> Blocks:
    """RGBA -> 16 bytes each, in mode 6: one pair of RGBA endpoints of 8 bits, four bits of index."""
    low, high = _axis_ends(pixels, np.ones(pixels.shape[:2], np.bool_))
    candidates = []
    for _ in range(_REFINEMENTS):
        tried = [_bc7_indexed(pixels, low, high, a, b) for a in (0, 1) for b in (0, 1)]
        candidates += tried
        best = _least([one[2] for one in tried], [one[3] for one in tried])
        low, high = _refitted(pixels, _BC7_WEIGHTS[best] / 64.0, np.ones(pixels.shape[:2], np.bool_))
    errors = [one[3] for one in candidates]
    ends, indices = (_least([one[i] for one in candidates], errors) for i in (0, 2))
    parity = _least([one[1] for one in candidates], errors)
    return _bc7_packed(ends, parity, indices)


def _bc1_fitted(colour: Floats, clear: Flags, three: Flags) -> tuple[Blocks, Floats]:
    opaque = ~clear
    opaque[~opaque.any(axis=1)] = True
    low, high = _axis_ends(colour, opaque)
    packed = []
    for _ in range(_REFINEMENTS + 1):
        ends = np.stack([_to_565(high), _to_565(low)], axis=1)
        swap = (ends[:, 0] < ends[:, 1]) != three  # four colours where the first word is larger, else three
        ends[swap] = ends[swap][:, ::-1]
        one = _bc1_indexed(colour, clear, ends, three, cutout=True)
        packed.append(one)
        share = np.where(three[:, None], np.array([0, 1, 0.5, 0])[one[3]], np.array([0, 1, 1 / 3, 2 / 3])[one[3]])
        low, high = _refitted(colour, 1 - share, opaque)
    errors = [one[1] for one in packed]
    return _least([one[0] for one in packed], errors), np.min(errors, axis=0)


def _bc1_indexed(
    colour: Floats, clear: Flags, ends: Ints, three: Flags, *, cutout: bool
) -> tuple[Blocks, Floats, Flags, Ints]:
    """(blocks, squared errors, whether they can have clear pixels, indices) with these endpoints (N, 2)."""
    first, second = _from_565(ends[:, 0]), _from_565(ends[:, 1])
    is_three = (ends[:, 0] <= ends[:, 1]) & cutout
    third = np.where(is_three[:, None], (first + second) / 2, (2 * first + second) / 3)
    fourth = np.where(is_three[:, None], np.inf, (first + 2 * second) / 3)
    palette = np.stack([first, second, third, fourth], axis=1)
    distance = ((colour[:, :, None] - palette[:, None]) ** 2).sum(axis=3)
    indices = distance.argmin(axis=2)
    error = np.where(clear, 0.0, distance.min(axis=2)).sum(axis=1)
    indices = np.where(clear, 3, indices)
    blocks = np.empty((len(ends), 8), np.uint8)
    blocks[:, :4] = ends.astype("<u2").view(np.uint8).reshape(-1, 4)
    four = indices.reshape(-1, 4, 4).astype(np.uint8)
    blocks[:, 4:] = four[..., 0] | four[..., 1] << 2 | four[..., 2] << 4 | four[..., 3] << 6
    return blocks, error, is_three | ~three, indices


def _bc4_indexed(plane: Floats, ends: Ints) -> tuple[Blocks, Floats]:
    first, second = ends[:, :1].astype(np.float64), ends[:, 1:].astype(np.float64)
    steps = np.arange(1, 7)
    eight = np.concatenate([first, second, ((7 - steps) * first + steps * second) / 7], axis=1)
    inner = np.concatenate([((5 - steps[:4]) * first + steps[:4] * second) / 5], axis=1)
    six = np.concatenate([first, second, inner, np.zeros_like(first), np.full_like(first, 255.0)], axis=1)
    palette = np.where(first > second, eight, six)
    distance = (plane[:, :, None] - palette[:, None]) ** 2
    indices = distance.argmin(axis=2)
    bits = np.zeros(len(ends), np.uint64)
    for i in range(16):
        bits |= indices[:, i].astype(np.uint64) << np.uint64(3 * i)
    blocks = np.empty((len(ends), 8), np.uint8)
    blocks[:, :2] = ends.astype(np.uint8)
    blocks[:, 2:] = bits.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :6]
    return blocks, distance.min(axis=2).sum(axis=1)


def _bc7_indexed(
    pixels: Floats, low: Floats, high: Floats, parity_low: int, parity_high: int
) -> tuple[Ints, Ints, Ints, Floats]:
    """(endpoints (N, 2, 4) of 7 bits, parities (N, 2), indices (N, 16), squared errors)."""
    parity = np.array([parity_low, parity_high], np.int64)
    wanted = np.stack([low, high], axis=1)
    seven = np.rint((wanted - parity[None, :, None]) / 2).clip(0, 127).astype(np.int64)
    whole = seven * 2 + parity[None, :, None]
    weights = _BC7_WEIGHTS[None, :, None]
    palette = ((64 - weights) * whole[:, :1] + weights * whole[:, 1:] + 32) >> 6
    distance = ((pixels[:, :, None] - palette[:, None]) ** 2).sum(axis=3)
    indices = distance.argmin(axis=2)
    if not (parity_low and parity_high):  # 255 is odd: what is opaque must stay so
        distance[(pixels[..., 3] == 255).all(axis=1)] += 1e6
    return seven, np.broadcast_to(parity, (len(pixels), 2)), indices, distance.min(axis=2).sum(axis=1)


def _bc7_packed(ends: Ints, parity: Ints, indices: Ints) -> Blocks:
    turned = indices[:, 0] >= 8  # the first index has no room for its highest bit
    ends, parity = ends.copy(), parity.copy()
    ends[turned] = ends[turned][:, ::-1]
    parity[turned] = parity[turned][:, ::-1]
    indices = np.where(turned[:, None], 15 - indices, indices)
    fields: list[tuple[Any, int]] = [(np.full(len(ends), 64), 7)]
    fields += [(ends[:, end, channel], 7) for channel in range(4) for end in (0, 1)]
    fields += [(parity[:, 0], 1), (parity[:, 1], 1), (indices[:, 0], 3)]
    fields += [(indices[:, i], 4) for i in range(1, 16)]
    bits = np.concatenate([(value[:, None] >> np.arange(width)) & 1 for value, width in fields], axis=1)
    return np.packbits(bits.astype(np.uint8), axis=1, bitorder="little")


def _axis_ends(pixels: Floats, counted: Flags) -> tuple[Floats, Floats]:
    """The ends of the stretch that the counted pixels cover on their principal axis."""
    weight = counted[..., None].astype(np.float64)
    mean = (pixels * weight).sum(axis=1) / weight.sum(axis=1)
    apart = (pixels - mean[:, None]) * weight
    spread = np.einsum("npi,npj->nij", apart, apart)
    axis = spread.sum(axis=2) + 1e-9
    for _ in range(_POWER_STEPS):
        axis = np.einsum("nij,nj->ni", spread, axis)
        axis /= np.linalg.norm(axis, axis=1, keepdims=True) + 1e-12
    along = np.where(counted, np.einsum("npi,ni->np", apart, axis), 0.0)
    low, high = along.min(axis=1, keepdims=True), along.max(axis=1, keepdims=True)
    return (mean + low * axis).clip(0, 255), (mean + high * axis).clip(0, 255)


def _refitted(pixels: Floats, share: Floats, counted: Flags) -> tuple[Floats, Floats]:
    """Endpoints (low, high) that fit best where each pixel takes `share` of high and the rest of low."""
    weight = counted.astype(np.float64)
    b, a = share, 1 - share
    aa, ab, bb = ((x * y * weight).sum(axis=1) for x, y in ((a, a), (a, b), (b, b)))
    ax = np.einsum("np,npc->nc", a * weight, pixels)
    bx = np.einsum("np,npc->nc", b * weight, pixels)
    determinant = aa * bb - ab * ab
    mean = np.einsum("np,npc->nc", weight, pixels) / weight.sum(axis=1, keepdims=True)
    safe = np.where(np.abs(determinant) < 1e-6, 1.0, determinant)[:, None]
    low, high = (bb[:, None] * ax - ab[:, None] * bx) / safe, (aa[:, None] * bx - ab[:, None] * ax) / safe
    even = (np.abs(determinant) < 1e-6)[:, None]
    return np.where(even, mean, low).clip(0, 255), np.where(even, mean, high).clip(0, 255)


def _least(candidates: list[Any], errors: list[Floats]) -> Any:
    """For each block, the candidate with the least error."""
    best = np.argmin(np.stack(errors), axis=0)
    return np.stack(candidates)[best, np.arange(len(best))]


def _to_565(colour: Floats) -> Ints:
    five, six = np.rint(colour[:, [0, 2]] * 31 / 255), np.rint(colour[:, 1] * 63 / 255)
    return (five[:, 0].astype(np.int64) << 11) | (six.astype(np.int64) << 5) | five[:, 1].astype(np.int64)


def _from_565(words: Ints) -> Floats:
    red, green, blue = words >> 11 & 31, words >> 5 & 63, words & 31
    eight = [red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2]
    return np.stack(eight, axis=1).astype(np.float64)


def _words(blocks: Blocks, start: int, count: int) -> Ints:
    """Little-endian 16-bit words."""
    flat = np.ascontiguousarray(blocks[:, start : start + 2 * count])
    return flat.view("<u2").astype(np.int64)


Encode = Callable[[Floats, Blocks], Blocks]

ENCODERS: dict[str, Encode] = {
    "BC1": lambda pixels, old: bc1(pixels, old, cutout=True),
    "BC2": lambda pixels, old: np.hstack([bc2_alpha(pixels[..., 3]), bc1(pixels, old[:, 8:], cutout=False)]),
    "BC3": lambda pixels, old: np.hstack([bc4(pixels[..., 3], old), bc1(pixels, old[:, 8:], cutout=False)]),
    "BC4": lambda pixels, old: bc4(pixels[..., 0], old),
    "BC5": lambda pixels, old: np.hstack([bc4(pixels[..., 0], old), bc4(pixels[..., 1], old[:, 8:])]),
    "BC7": bc7,
}
"""Kind of block -> (RGBA pixels, the blocks that were there) to the blocks that take their place."""
BLOCK_BYTES = {"BC1": 8, "BC2": 16, "BC3": 16, "BC4": 8, "BC5": 16, "BC7": 16}
