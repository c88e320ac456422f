"""Owns reading ncnn's `.param`/`.bin` pairs into canonical weights.  Needs numpy only.

A `.param` is text: a magic number, two counts, then a line a layer. The `.bin` holds, in the order of the layers,
for a convolution a tag (0x01306B47 = float16, padded to 4 bytes; 0 = float32), the weights and a float32 bias; for a
PReLU its float32 slopes. Source: ncnn's src/modelbin.cpp and src/layer/{convolution,prelu,interp}.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restore.errors import ModelError

_MAGIC = "7767517"
_TAG_FP32 = 0
_TAG_FP16 = 0x01306B47
_FILE_LIMIT_BYTES = 256 << 20
_LEAKY_SLOPE = "2.000000e-01"


@dataclass(frozen=True)
class Layer:
    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: Mapping[str, str]


@dataclass(frozen=True)
class Converted:
    """A network under its canonical names."""

    architecture: str
    """"rrdb" or "compact"."""
    scale: int
    """Output side over input side, a final resize included."""
    tensors: dict[str, NDArray[Any]]


def convert(param: Path, weights: Path) -> Converted:
    """Read one network; ModelError names the file and what is wrong with it."""
    layers = read_param(param)
    blobs = read_bin(weights, layers)
    kinds = {layer.kind for layer in layers}
    try:
        if kinds == {"Input", "Split", "Convolution", "PReLU", "PixelShuffle", "Interp", "BinaryOp"}:
            return _compact(param, layers, blobs)
        if kinds == {"Input", "Split", "Convolution", "Concat", "Eltwise", "Interp", "BinaryOp"}:
            return _rrdb(param, layers, blobs)
    except (KeyError, ValueError) as error:
        raise ModelError(f"{param}: a layer lacks a parameter or has a strange one ({error})") from error
    raise ModelError(f"{param}: neither an RRDB nor a compact network (its layers: {', '.join(sorted(kinds))})")


def read_param(path: Path) -> list[Layer]:
    """The layers of a `.param`, in their order."""
    try:
        lines = _bounded(path).decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: no ncnn .param: it is not plain text") from error
    lines = [line for line in lines if line.strip()]
    if len(lines) < 3 or lines[0].strip() != _MAGIC:
        raise ModelError(f"{path}: no ncnn .param: it doesn't begin with {_MAGIC}")
    try:
        layer_count, _ = (int(word) for word in lines[1].split())
        layers = [_layer(line.split()) for line in lines[2:]]
    except (ValueError, IndexError) as error:
        raise ModelError(f"{path}: a line is no ncnn layer ({error})") from error
    if len(layers) != layer_count:
        raise ModelError(f"{path}: {layer_count} layers announced, {len(layers)} there")
    return layers


def _layer(words: list[str]) -> Layer:
    kind, name, input_count, output_count = words[0], words[1], int(words[2]), int(words[3])
    blobs_end = 4 + input_count + output_count
    if input_count < 0 or output_count < 0 or len(words) < blobs_end:
        raise ValueError(f"{name}: fewer blob names than announced")
    params = dict(word.split("=", 1) for word in words[blobs_end:])
    return Layer(kind, name, tuple(words[4 : 4 + input_count]), tuple(words[4 + input_count : blobs_end]), params)


def read_bin(path: Path, layers: list[Layer]) -> dict[str, dict[str, NDArray[Any]]]:
    """Layer name -> {"weight", "bias"}.  Every byte of the file is accounted for."""
    data = _bounded(path)
    at = 0

    def take(count: int, dtype: str) -> NDArray[Any]:
        nonlocal at
        size = count * np.dtype(dtype).itemsize
        if size > len(data) - at:
            raise ModelError(f"{path}: truncated: {len(data)} bytes, more are needed for layer {layer.name}")
        array = np.frombuffer(data, dtype, count, at)
        at += size
        return array

    blobs: dict[str, dict[str, NDArray[Any]]] = {}
    for layer in layers:
        if layer.name in blobs:
            raise ModelError(f"{path}: layer {layer.name} occurs twice")
        if layer.kind == "Convolution":
            filters, weight_count = _number(path, layer, "0"), _number(path, layer, "6")
            if {key: layer.params.get(key) for key in "145"} != {"1": "3", "4": "1", "5": "1"}:
                raise ModelError(f"{path}: layer {layer.name} is no 3x3 convolution with bias and a border of 1")
            if weight_count % (filters * 9):
                raise ModelError(f"{path}: layer {layer.name}: {weight_count} weights don't fit {filters} filters")
            tag = int(take(1, "<u4")[0])
            if tag == _TAG_FP16:
                weight = take(weight_count, "<f2")
                take(-2 * weight_count % 4, "u1")
            elif tag == _TAG_FP32:
                weight = take(weight_count, "<f4")
            else:
                raise ModelError(f"{path}: layer {layer.name} has unknown storage 0x{tag:08X}")
            shape = (filters, weight_count // (filters * 9), 3, 3)
            blobs[layer.name] = {"weight": weight.reshape(shape), "bias": take(filters, "<f4")}
        elif layer.kind == "PReLU":
            blobs[layer.name] = {"weight": take(_number(path, layer, "0"), "<f4")}
    if at != len(data):
        raise ModelError(f"{path}: {len(data)} bytes, but the network takes {at}")
    for name, arrays in blobs.items():
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ModelError(f"{path}: layer {name} holds numbers that are not finite")
    return blobs


def _number(path: Path, layer: Layer, key: str) -> int:
    try:
        value = int(layer.params[key])
    except (KeyError, ValueError) as error:
        raise ModelError(f"{path}: layer {layer.name} doesn't say parameter {key}") from error
    if not 0 < value <= _FILE_LIMIT_BYTES:
        raise ModelError(f"{path}: layer {layer.name}: parameter {key} = {value}")
    return value


def _bounded(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > _FILE_LIMIT_BYTES:
            raise ModelError(f"{path}: {size} bytes are more than the limit of {_FILE_LIMIT_BYTES}")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: can't be read: {error.strerror}") from error


def _compact(path: Path, layers: list[Layer], blobs: dict[str, dict[str, NDArray[Any]]]) -> Converted:
    """A chain of convolutions and PReLUs, pixel shuffle, plus the input repeated; maybe resized at the end."""
    chain = [layer for layer in layers if layer.kind in ("Convolution", "PReLU")]
    wanted = ["Convolution", "PReLU"] * (len(chain) // 2) + ["Convolution"]
    chained = all(after.inputs == before.outputs for before, after in pairwise(chain))
    if [layer.kind for layer in chain] != wanted or not chained:
        raise ModelError(f"{path}: its convolutions and PReLUs are no plain chain")
    (shuffle,) = (layer for layer in layers if layer.kind == "PixelShuffle")
    inner = _number(path, shuffle, "0")
    resizes = [layer for layer in layers if layer.kind == "Interp"]
    if resizes[0].params.get("0") != "1" or float(resizes[0].params["1"]) != inner:
        raise ModelError(f"{path}: its input isn't added by nearest neighbour x{inner}")
    scale = Fraction(inner)
    for layer in resizes[1:]:
        if layer.params.get("0") != "3" or layer.params.get("1") != layer.params.get("2"):
            raise ModelError(f"{path}: layer {layer.name} is no bicubic resize")
        scale *= Fraction(layer.params["1"])
    if len(resizes) > 2 or scale.denominator != 1:
        raise ModelError(f"{path}: it scales by {scale}, which is no whole number")
    tensors = {f"body.{i}.{part}": array for i, layer in enumerate(chain) for part, array in blobs[layer.name].items()}
    return Converted("compact", int(scale), tensors)


def _rrdb(path: Path, layers: list[Layer], blobs: dict[str, dict[str, NDArray[Any]]]) -> Converted:
    """Convolutions in the order of the official RRDBNet; leaky ones and residual scales where it has them."""
    convolutions = [layer for layer in layers if layer.kind == "Convolution"]
    block_count, rest = divmod(len(convolutions) - 6, 15)
    if rest or block_count < 1:
        raise ModelError(f"{path}: {len(convolutions)} convolutions are no whole number of RRDB blocks")
    inner = [f"body.{i}.rdb{j}.conv{k}" for i in range(block_count) for j in (1, 2, 3) for k in (1, 2, 3, 4, 5)]
    names = ["conv_first", *inner, "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"]
    for name, layer in zip(names, convolutions, strict=True):
        plain = name in ("conv_first", "conv_body", "conv_last") or name.endswith(".conv5")
        activation = (layer.params.get("9"), layer.params.get("-23310"))
        if activation != ((None, None) if plain else ("2", f"1,{_LEAKY_SLOPE}")):
            raise ModelError(f"{path}: layer {layer.name} doesn't have the activation of {name}")
    residuals = [layer for layer in layers if layer.kind == "Eltwise"]
    scaled = all(layer.params.get("-23301") == f"2,{_LEAKY_SLOPE},1.000000e+00" for layer in residuals)
    if len(residuals) != 4 * block_count or not scaled:
        raise ModelError(f"{path}: its residuals are not those of {block_count} RRDB blocks")
    doublings = [layer.params for layer in layers if layer.kind == "Interp"]
    if len(doublings) != 2 or any(p.get("0") != "1" or float(p.get("1", 0)) != 2.0 for p in doublings):
        raise ModelError(f"{path}: it doesn't double its size twice by nearest neighbour")
    tensors = {
        f"{name}.{part}": array
        for name, layer in zip(names, convolutions, strict=True)
        for part, array in blobs[layer.name].items()
    }
    return Converted("rrdb", 4, tensors)
