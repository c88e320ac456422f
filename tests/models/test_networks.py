"""What is promised of our own executors: the official networks, only quicker."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from restore import models
from restore.models import compact, rrdb
from restore.ops import RrdbShape
from restore.recipe import Precision
from restore.train.basicsr_shim import import_basicsr

Tensors = Mapping[str, Tensor]


def _psnr(a: Tensor, b: Tensor) -> float:
    return -10 * math.log10(float(((a.clamp(0, 1) - b.clamp(0, 1)) ** 2).mean()))


def _spandrel(state: Tensors, image: Tensor) -> Tensor:
    from spandrel import ModelLoader

    module = ModelLoader("cpu").load_from_state_dict(dict(state)).model.eval()
    with torch.inference_mode():
        out: Tensor = module(image)
    return out


def test_rrdb_equals_spandrel(rrdb_state: Tensors, picture: Tensor) -> None:
    image = picture[..., :20, :24]
    ours = rrdb.build(rrdb_state, 4, "cpu", Precision.FP32).net(image)
    assert torch.allclose(ours, _spandrel(rrdb_state, image), atol=2e-5, rtol=0)


@pytest.mark.usefixtures("weights_folder")
@pytest.mark.parametrize("precision", [Precision.FP32, Precision.BF16])
@pytest.mark.parametrize("name", ["x4plus-anime", "animevideov3-x4"])
def test_a_tile_becomes_the_same_whatever_shares_its_batch(name: str, precision: Precision, picture: Tensor) -> None:
    tiles = torch.cat([picture[..., :16, :18], picture[..., 16:32, :18], picture[..., 20:36, 9:27]])
    net = models.load(models.resolve(name), "cpu", precision).net
    assert torch.equal(net(tiles)[1:2], net(tiles[1:2]))


def test_rrdb_equals_basicsr(rrdb_state: Tensors, picture: Tensor) -> None:
    pytest.importorskip("torchvision")
    pytest.importorskip("lmdb", reason="basicsr, the extra `train`, is not installed")
    import_basicsr()
    from basicsr.archs.rrdbnet_arch import RRDBNet

    network = RRDBNet(3, 3, scale=4, num_feat=64, num_block=6, num_grow_ch=32).eval()
    network.load_state_dict(dict(rrdb_state), strict=True)
    image = picture[..., :20, :24]
    with torch.inference_mode():
        theirs = network(image)
    ours = rrdb.build(rrdb_state, 4, "cpu", Precision.FP32).net(image)
    assert torch.allclose(ours, theirs, atol=2e-5, rtol=0)


@pytest.mark.parametrize(("scale", "fold"), [(2, 2), (1, 4)])
def test_rrdb_on_a_folded_input_equals_basicsr_and_spandrel(scale: int, fold: int) -> None:
    pytest.importorskip("lmdb", reason="basicsr, the extra `train`, is not installed")
    import_basicsr()
    from basicsr.archs.rrdbnet_arch import RRDBNet

    network = RRDBNet(3, 3, scale=scale, num_feat=64, num_block=2, num_grow_ch=32).eval()
    state = network.state_dict()
    image = torch.rand(2, 3, 16, 24)
    with torch.inference_mode():
        theirs = network(image)
    built = rrdb.build(state, scale, "cpu", Precision.FP32)
    assert built.multiple_of == fold
    assert torch.allclose(built.net(image), theirs, atol=2e-5, rtol=0)
    assert torch.allclose(_spandrel(state, image), theirs, atol=2e-5, rtol=0)


def test_compact_equals_spandrel(compact_state: Tensors, picture: Tensor) -> None:
    ours = compact.build(compact_state, 4, "cpu", Precision.FP32).net(picture)
    assert torch.allclose(ours, _spandrel(compact_state, picture), atol=2e-5, rtol=0)


def test_compact_equals_basicsr(compact_state: Tensors, picture: Tensor) -> None:
    pytest.importorskip("lmdb", reason="basicsr, the extra `train`, is not installed")
    import_basicsr()
    from basicsr.archs.srvgg_arch import SRVGGNetCompact

    network = SRVGGNetCompact(3, 3, num_feat=64, num_conv=16, upscale=4, act_type="prelu").eval()
    network.load_state_dict(dict(compact_state), strict=True)
    with torch.inference_mode():
        theirs = network(picture)
    ours = compact.build(compact_state, 4, "cpu", Precision.FP32).net(picture)
    assert torch.allclose(ours, theirs, atol=2e-5, rtol=0)


@pytest.mark.parametrize("scale", [2, 3])
def test_compact_at_other_scales_is_the_x4_picture_resized(compact_state: Tensors, picture: Tensor, scale: int) -> None:
    whole = _spandrel(compact_state, picture)
    size = (picture.shape[2] * scale, picture.shape[3] * scale)
    theirs = torch.nn.functional.interpolate(whole, size=size, mode="bicubic", align_corners=False)
    ours = compact.build(compact_state, scale, "cpu", Precision.FP32).net(picture)
    assert torch.allclose(ours, theirs, atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("network", "precision", "decibels"),
    [
        ("compact", Precision.BF16, 46),
        ("compact", Precision.FP16, 64),
        ("rrdb", Precision.BF16, 45),
        ("rrdb", Precision.FP16, 64),
    ],
)
def test_half_precision_stays_close_even_on_fur(
    network: str, precision: Precision, decibels: float, compact_state: Tensors, rrdb_state: Tensors, picture: Tensor
) -> None:
    if network == "compact":
        exact, half = (compact.build(compact_state, 4, "cpu", p).net(picture) for p in (Precision.FP32, precision))
    else:
        image = picture[..., :20, :24]
        exact, half = (rrdb.build(rrdb_state, 4, "cpu", p).net(image) for p in (Precision.FP32, precision))
    assert half.dtype == torch.float32
    assert _psnr(exact, half) >= decibels


@pytest.mark.parametrize("scale", [4, 3, 2])
def test_influence_in_compact_reaches_exactly_its_radius(compact_state: Tensors, scale: int) -> None:
    built = compact.build(compact_state, scale, "cpu", Precision.FP32)
    radius = built.receptive_radius_px
    assert radius == (18 if scale == 4 else 19)
    _check_reach(built.net, scale, radius, side_px=2 * radius + 9)


@pytest.mark.parametrize("fold", [1, 2])
def test_influence_in_rrdb_reaches_no_further_than_its_radius(fold: int) -> None:
    shape = RrdbShape(blocks=1, features=8, growth=4, doublings=2, fold=fold, channels=3)
    state = {name: 0.1 * torch.rand(size) for name, size in rrdb.wanted(shape).items()}
    built = rrdb.build(state, shape.scale, "cpu", Precision.BF16)  # plain convolutions: they keep a NaN in its place
    radius = built.receptive_radius_px
    assert radius is not None
    side_px = fold * (radius + 4)
    image = torch.rand(1, 3, 2 * side_px, 2 * side_px)
    reached = []
    for at in range(side_px, side_px + fold):  # where in its fold the pixel lies matters
        spoilt = image.clone()
        spoilt[..., at, at] = float("nan")
        rows = torch.nonzero(torch.isnan(built.net(spoilt))[0, 0].any(dim=1)).flatten()
        reached += [at - int(rows[0]) // shape.scale, int(rows[-1]) // shape.scale - at]
    assert max(reached) == radius


@pytest.mark.usefixtures("weights_folder")
def test_models_know_how_far_they_see() -> None:
    names = ("animevideov3-x4", "x4plus-anime")
    loaded = (models.load(models.resolve(name), "cpu", Precision.FP32) for name in names)
    assert [model.receptive_radius_px for model in loaded] == [18, 94]


def _check_reach(net: object, scale: int, radius: int, side_px: int) -> None:
    """A NaN in one input pixel spoils all outputs within `radius`, and none beyond."""
    assert callable(net)
    image = torch.rand(1, 3, side_px, side_px)
    middle = side_px // 2
    image[..., middle, middle] = float("nan")
    spoilt = torch.isnan(net(image))[0, 0]
    rows = torch.nonzero(spoilt.any(dim=1)).flatten()
    assert int(rows[0]) // scale == middle - radius
    assert int(rows[-1]) // scale == middle + radius
