"""What PyTorch computes by a kernel of its own much faster than by Keras's operations; imported on PyTorch only."""

from collections.abc import Sequence

import torch

# Channels of a group that fill the vectors of PyTorch's kernel for short floating-point types on a CPU. On such groups
# it takes half the time of a way through float32, on others two to three times as long.
_VECTOR = 16


def group_normalised(
    x: torch.Tensor, groups: int, gain: torch.Tensor, bias: torch.Tensor, epsilon: float
) -> torch.Tensor:
    """Normalise groups of a map with the channels last, (B, H, W, C) to the same shape and type.

    Gain and bias are float32, as are all sums. PyTorch takes mean(x^2) - mean(x)^2 for the variance of such a map,
    which is wrong in float32 if a mean is large beside its spread. Each group's first pixel is subtracted before,
    which changes nothing else. A shorter type has no digits that could be lost.
    """
    if x.dtype == torch.float32:
        pixel = x.detach()[:, :1, :1].unflatten(-1, (groups, -1)).mean(-1, keepdim=True)
        x = x - pixel.expand(-1, -1, -1, -1, x.shape[-1] // groups).flatten(-2)
    planes = x.permute(0, 3, 1, 2)
    if x.device.type == "cpu" and x.shape[-1] // groups % _VECTOR:
        planes = planes.float()
    if not planes.requires_grad:
        planes = planes.contiguous()  # PyTorch 2.13 crashes on a view whose own gradient nobody asks for
    found = torch.nn.functional.group_norm(planes, groups, gain, bias, epsilon)
    return found.permute(0, 2, 3, 1).to(x.dtype)


def moved_towards(averages: Sequence[torch.Tensor], values: Sequence[torch.Tensor], gain: float | torch.Tensor) -> None:
    """Move each of some tensors by a share of its way to another: a + gain (v - a), in place, all in three calls."""
    with torch.no_grad():
        ways = torch._foreach_sub([value.to(a.dtype) for a, value in zip(averages, values, strict=True)], averages)
        torch._foreach_mul_(ways, gain)
        torch._foreach_add_(averages, ways)
