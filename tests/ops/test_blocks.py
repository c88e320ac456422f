"""active_blocks: what it promises, for the plain-torch reference and for whatever kernel is installed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from restore.ops.blocks import active_blocks
from restore.ops.masked_conv_reference import BLOCK_PX


def by_distance(valid: Tensor, pad_px: int, scale: int) -> list[int]:
    """The promise, pixel by pixel: enlarge, grow each active pixel to a square, see which blocks it meets."""
    plane: NDArray[np.bool_] = (valid[:, 0].numpy() != 0).repeat(scale, 1).repeat(scale, 2)
    n, height, width = plane.shape
    rows, columns = -(-height // BLOCK_PX[0]), -(-width // BLOCK_PX[1])
    grown = np.zeros((n, rows * BLOCK_PX[0], columns * BLOCK_PX[1]), bool)
    for i, y, x in np.argwhere(plane):
        grown[i, max(y - pad_px, 0) : y + pad_px + 1, max(x - pad_px, 0) : x + pad_px + 1] = True
    blocks = grown.reshape(n, rows, BLOCK_PX[0], columns, BLOCK_PX[1]).any((2, 4))
    return [int(number) for number in np.flatnonzero(blocks)]


def sparse(n: int, height: int, width: int, pixels: int) -> Tensor:
    valid = torch.zeros(n, 1, height, width, dtype=torch.bool)
    for _ in range(pixels):
        at = [int(torch.randint(size, ())) for size in (n, height, width)]
        valid[at[0], 0, at[1], at[2]] = True
    return valid


@pytest.mark.parametrize("pad_px", [0, 1, 5, 16, 33, 1000])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_lists_the_blocks_within_reach_of_an_active_pixel_in_order(pad_px: int, scale: int) -> None:
    for n, height, width, pixels in ((1, 50, 130, 2), (2, 33, 65, 3), (1, 16, 32, 1), (3, 1, 1, 1), (1, 100, 7, 0)):
        valid = sparse(n, height, width, pixels)
        blocks, count = active_blocks(valid, pad_px=pad_px, scale=scale)
        expected = by_distance(valid, pad_px, scale)
        assert count.tolist() == [len(expected)]
        assert blocks[: len(expected)].tolist() == expected
        assert (blocks[len(expected) :] == -1).all()
        assert len(blocks) == n * -(-height * scale // BLOCK_PX[0]) * -(-width * scale // BLOCK_PX[1])
        assert blocks.dtype == count.dtype == torch.int32


def test_a_pixel_counts_up_to_the_distance_and_not_beyond() -> None:
    valid = torch.zeros(1, 1, 48, 96, dtype=torch.bool)
    valid[0, 0, 20, 40] = True  # 5 rows below the first row of blocks' last row, 9 columns right of the first column's
    assert active_blocks(valid, pad_px=4)[0][:1].tolist() == [4]
    assert active_blocks(valid, pad_px=5)[0][:3].tolist() == [1, 4, -1]
    assert active_blocks(valid, pad_px=8)[0][:3].tolist() == [1, 4, -1]
    assert active_blocks(valid, pad_px=9)[0][:5].tolist() == [0, 1, 3, 4, -1]


def test_alpha_is_active_where_it_is_above_0() -> None:
    alpha = torch.zeros(1, 1, 40, 70, dtype=torch.uint8)
    alpha[0, 0, 0, 0], alpha[0, 0, 39, 69] = 1, 255
    blocks, count = active_blocks(alpha)
    assert (blocks[:2].tolist(), count.item()) == ([0, 8], 2)
    same, _ = active_blocks(alpha > 0)
    assert torch.equal(blocks, same)


def test_memory_form_does_not_change_the_list() -> None:
    valid = sparse(2, 60, 90, 4)
    views = [valid, valid.transpose(2, 3).contiguous().transpose(2, 3), torch.cat([valid, ~valid], 1)[:, :1]]
    lists = [active_blocks(view, pad_px=3)[0] for view in views]
    assert all(torch.equal(blocks, lists[0]) for blocks in lists)


def test_nothing_at_all_gives_an_empty_list() -> None:
    for shape in ((0, 1, 20, 20), (1, 1, 0, 20), (1, 1, 20, 0)):
        blocks, count = active_blocks(torch.zeros(shape, dtype=torch.bool), pad_px=2)
        assert (blocks.shape, count.tolist()) == ((0,), [0])


def test_what_does_not_fit_is_refused() -> None:
    valid = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    for wrong in (valid.float(), valid[0], valid.expand(1, 2, 4, 4)):
        with pytest.raises(ValueError, match="valid must be"):
            active_blocks(wrong)
    with pytest.raises(ValueError, match="pad_px"):
        active_blocks(valid, pad_px=-1)
    with pytest.raises(ValueError, match="scale"):
        active_blocks(valid, scale=0)


def test_opcheck_finds_schema_and_fake_consistent() -> None:
    for valid in (sparse(2, 40, 70, 3), sparse(1, 40, 70, 0).byte()):
        torch.library.opcheck(torch.ops.restore.active_blocks.default, (valid, 5, 2))


def test_shapes_are_known_without_running() -> None:
    blocks, count = active_blocks(torch.empty(2, 1, 40, 70, dtype=torch.bool, device="meta"), scale=4)
    assert (blocks.shape, count.shape) == ((2 * 10 * 9,), (1,))
    assert blocks.dtype == count.dtype == torch.int32


@pytest.mark.needs_cuda
def test_cuda_equals_the_reference() -> None:
    cases = ((1, 50, 130, 2), (2, 333, 465, 9), (3, 1, 1, 1), (1, 100, 7, 0), (0, 9, 9, 0), (1, 2048, 3000, 900))
    for n, height, width, pixels in cases:
        valid = sparse(n, height, width, pixels) if n else torch.zeros(0, 1, height, width, dtype=torch.bool)
        for pad_px, scale in ((0, 1), (9, 1), (40, 2), (3, 4)):
            expected = active_blocks(valid, pad_px=pad_px, scale=scale)
            for plane in (valid, valid.byte() * 3):
                found = active_blocks(plane.cuda(), pad_px=pad_px, scale=scale)
                assert torch.equal(found[0].cpu(), expected[0])
                assert torch.equal(found[1].cpu(), expected[1])


@pytest.mark.needs_cuda
def test_a_cuda_graph_lists_what_its_input_holds_when_it_is_replayed() -> None:
    valid = torch.zeros(1, 1, 200, 300, dtype=torch.bool, device="cuda")
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        active_blocks(valid, pad_px=4)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        blocks, count = active_blocks(valid, pad_px=4)
    for pixels in (3, 0, 40):
        now = sparse(1, 200, 300, pixels)
        valid.copy_(now)
        graph.replay()
        expected = active_blocks(now, pad_px=4)
        assert torch.equal(blocks.cpu(), expected[0])
        assert torch.equal(count.cpu(), expected[1])
