"""Codes of any rate up to 5/6 and any length: the smaller 5G family, shortened, punctured and repeated.

    code = matched_code(1000, 200)                               # 200 message bits in 1,000 channel bits
    llr = channels.bsc_llr(channels.bsc(code.encode(bits), 0.2, generator), 0.2)
    code.decode(llr)                                             # messages (B, k)

3GPP TS 38.212, 5.3.2 and 5.4.2, with base graph 2 alone, without checksum and interleaver.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from harness.kit.ldpc.base_graph_2 import BASE_GRAPH_2
from harness.kit.ldpc.code import Code, code_from, decode

INFORMATION, ROWS = 10, 42
"""Columns of the base graph that hold the message, and its rows; each row adds a column of parity."""

LEAST_MESSAGE = 6
HIDDEN = 2
"""Columns that are never sent."""

LIFTS = {0: 2, 1: 3, 2: 5, 3: 7, 4: 9, 5: 11, 6: 13, 7: 15}
"""Lifting set to the smallest of its sizes, each of which is the double of the one before, up to 384."""


@dataclass(frozen=True, eq=False)
class MatchedCode:
    """`mother` carries the message in its last k bits; sent (n,) which bit of a word each channel bit is."""

    mother: Code
    sent: Tensor

    @property
    def n(self) -> int:
        """Channel bits per word."""
        return len(self.sent)

    @property
    def k(self) -> int:
        """Message bits per word."""
        return self.mother.k

    def encode(self, bits: Tensor) -> Tensor:
        """What is sent (B, n) uint8 of the messages `bits` (B, k), which hold 0 and 1."""
        return self.mother.encode(bits)[:, self.sent.to(bits.device)]

    def decode(self, llr: Tensor, iterations: int = 50) -> Tensor:
        """The messages (B, k) uint8 that the sum-product rule finds for LLRs (B, n) (see `code.decode`)."""
        sums = torch.zeros(len(llr), self.mother.n, device=llr.device)
        sums.index_add_(1, self.sent.to(llr.device), llr.float())
        return self.mother.message(decode(self.mother, sums, iterations, "sum_product").bits)


@cache
def matched_code(n: int, k: int) -> MatchedCode:
    """The code of k message bits in n channel bits. Raises ValueError unless 6 ≤ k ≤ 3840 and k ≤ n · 5/6."""
    if not LEAST_MESSAGE <= k <= 3840 or 6 * k > 5 * n:
        raise ValueError(f"a matched code has 6 to 3840 message bits and at most rate 5/6, not {k} in {n}")
    lifting, size = lift(k)
    seen = k - HIDDEN * size
    rows = min(max(4, -(-(n - seen) // size)), ROWS)
    checks, bits = circulants(lifting, size, rows)
    kept = (bits < k) | (bits >= INFORMATION * size)  # other message bits are 0, and both sides know it
    column = np.where(bits < k, rows * size + bits, bits - INFORMATION * size)
    matrix = np.zeros((rows * size, rows * size + k), np.uint8)
    matrix[checks[kept], column[kept]] = 1
    order = np.r_[rows * size + HIDDEN * size : rows * size + k, 0 : rows * size]
    return MatchedCode(code_from(matrix), torch.from_numpy(np.resize(order, n)))


def lift(k: int) -> tuple[int, int]:
    """The lifting set and size for k message bits: the smallest that leaves room for them."""
    columns = 10 if k > 640 else 9 if k > 560 else 8 if k > 192 else 6
    sizes = ((least << power, lifting) for lifting, least in LIFTS.items() for power in range(8))
    size, lifting = min(pair for pair in sizes if columns * pair[0] >= k and pair[0] <= 384)
    return lifting, size


def circulants(lifting: int, size: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The edges of the first `rows` rows of the lifted base graph: check and bit of each."""
    table = np.array(BASE_GRAPH_2)
    row, column, shift = table[table[:, 0] < rows][:, [0, 1, 2 + lifting]].T[..., None]
    place = np.arange(size)
    return (row * size + place).ravel(), (column * size + (place + shift) % size).ravel()
