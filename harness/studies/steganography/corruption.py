"""What may happen to a translation on its way back: noise, rounding, JPEG, bands of spatial frequency, blur.

Images are (N, C, H, W) in [−1, 1]. Frequencies are in cycles a pixel: 0.5 is the highest along a row, and
only oblique waves reach the last ring.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor

SIGMAS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
QUALITIES = (100, 95, 90, 75, 50, 25)
RINGS = ((0.0, 1 / 16), (1 / 16, 1 / 8), (1 / 8, 1 / 4), (1 / 4, 3 / 8), (3 / 8, 1 / 2), (1 / 2, 0.71))
RING_RMS = 0.02
BLURS = (0.3, 0.5, 1.0, 2.0)


def noisy(y: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    """y + N(0, σ²), not clamped."""
    return y + sigma * torch.randn(y.shape, generator=generator, device=y.device)


def rounded(y: Tensor) -> Tensor:
    """y as 8-bit values, and back."""
    return _bytes(y).to(y.dtype) / 127.5 - 1


def jpeg(y: Tensor, quality: int) -> Tensor:
    """y through the bytes of a JPEG file of that quality (1 to 100), colour not subsampled, and back."""
    import simplejpeg

    space = "GRAY" if y.shape[1] == 1 else "RGB"
    images = _bytes(y).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    files = [simplejpeg.encode_jpeg(image, quality, space, "444") for image in images]
    back = numpy.stack([simplejpeg.decode_jpeg(file, space) for file in files])
    return torch.as_tensor(back, device=y.device).permute(0, 3, 1, 2).to(y.dtype) / 127.5 - 1


def _bytes(y: Tensor) -> Tensor:
    return ((y + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def frequency(height: int, width: int) -> Tensor:
    """The length (H, W) of each wave vector of a discrete Fourier transform."""
    down, across = torch.fft.fftfreq(height), torch.fft.fftfreq(width)
    return (down[:, None] ** 2 + across[None] ** 2).sqrt()


def band(y: Tensor, low: float, high: float) -> Tensor:
    """The part of y whose frequencies f have low ≤ f < high."""
    f = frequency(*y.shape[-2:]).to(y.device)
    return torch.fft.ifft2(torch.fft.fft2(y) * ((f >= low) & (f < high))).real


def ring_noise(y: Tensor, low: float, high: float, rms: float, generator: torch.Generator) -> Tensor:
    """y plus Gaussian noise of a ring of frequencies, of root mean square `rms` in every image."""
    noise = band(torch.randn(y.shape, generator=generator, device=y.device), low, high)
    return y + noise * (rms / noise.square().mean((1, 2, 3), keepdim=True).sqrt())


def blurred(y: Tensor, sigma: float) -> Tensor:
    """y convolved with a Gaussian of standard deviation `sigma` pixels, edges repeated."""
    reach = int(3 * sigma + 1)
    at = torch.arange(-reach, reach + 1, device=y.device, dtype=y.dtype)
    weights = torch.exp(-at.square() / (2 * sigma**2))
    weights = (weights / weights.sum()).expand(y.shape[1], 1, 1, -1)
    y = F.conv2d(F.pad(y, (reach, reach, 0, 0), "replicate"), weights, groups=y.shape[1])
    down = weights.transpose(2, 3)
    return F.conv2d(F.pad(y, (0, 0, reach, reach), "replicate"), down, groups=y.shape[1])


def all_of(y: Tensor, clean: Tensor, generator: torch.Generator) -> Iterator[tuple[str, Tensor]]:
    """Every corruption of the translations y by name, the first of them none.

    `without_ring_k` replaces a band of y by that of the `clean` translation, `ring_k` adds noise to it.
    """
    yield "0", y
    for sigma in SIGMAS:
        yield f"noise_{digits(sigma)}", noisy(y, sigma, generator)
    yield "rounded", rounded(y)
    for quality in QUALITIES:
        yield f"jpeg_{quality}", jpeg(y, quality)
    for number, (low, high) in enumerate(RINGS, 1):
        yield f"ring_{number}", ring_noise(y, low, high, RING_RMS, generator)
        yield f"without_ring_{number}", y - band(y - clean, low, high)
    for sigma in BLURS:
        yield f"blur_{digits(sigma)}", blurred(y, sigma)


def digits(number: float) -> str:
    """A number as a part of a name, its point left out: 0.05 is '005', 0.3 is '03', 1.0 is '1'."""
    return f"{number:g}".replace(".", "")
