"""Owns one forward and backward pass: as torch runs it, or recorded once as a CUDA graph and replayed.

A step of a small network is hundreds of short kernels, and starting them from Python takes longer than running them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from restore.models.pconv import Filled, PconvUnet

Loss = Callable[[Filled, Tensor, Tensor], Tensor]
Gradients = Callable[[Tensor, Tensor], Tensor]
"""Takes x (N, 3, H, W) and valid (N, 1, H, W), leaves the gradients in the network's parameters, gives the loss."""

_WARM_UPS = 3
"""Before a recording, so that libraries have loaded and chosen their kernels."""


def eager(net: PconvUnet, loss_of: Loss, dtype: torch.dtype) -> Gradients:
    def gradients(x: Tensor, valid: Tensor) -> Tensor:
        for parameter in net.parameters():
            parameter.grad = None
        loss = loss_of(net(x, valid, dtype), x, valid)
        loss.backward()
        return loss.detach()

    return gradients


def replayed(net: PconvUnet, loss_of: Loss, dtype: torch.dtype, shape: tuple[int, int, int, int]) -> Gradients:
    """For batches of one shape (N, 3, H, W), on CUDA."""
    plain = eager(net, loss_of, dtype)
    device = next(net.parameters()).device
    x = torch.rand(shape, device=device)
    valid = torch.rand(shape[0], 1, *shape[2:], device=device) > 0.1
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UPS):
            plain(x, valid)
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = plain(x, valid)  # the gradients that it leaves are written again by every replay

    def gradients(new_x: Tensor, new_valid: Tensor) -> Tensor:
        x.copy_(new_x)
        valid.copy_(new_valid)
        graph.replay()
        return loss.clone()

    return gradients
