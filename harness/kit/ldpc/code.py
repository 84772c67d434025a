"""Low-density parity-check codes: the matrix, the encoder, decoding by belief propagation.

    code = regular_code(1002, 3, 6, seed=0)
    words = code.encode(bits)                                    # (B, k) -> (B, n)
    llr = channels.bsc_llr(channels.bsc(words, 0.05, generator), 0.05)
    decoded = decode(code, llr)                                  # bits (B, n), success (B,), iterations (B,)
    code.message(decoded.bits)                                   # (B, k)

Gallager, Low-Density Parity-Check Codes (1963); the scaled min-sum rule is that of Chen & Fossorier,
IEEE Trans. Commun. 50 (2002).
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol, get_args

import numpy as np
import torch
from torch import Tensor

from harness.kit.ldpc.channels import CERTAIN

Algorithm = Literal["min_sum", "sum_product"]
Engine = Literal["numba", "torch"]

# Swaps of edges that are tried against short cycles.
SWAPS = 400


@dataclass(frozen=True, eq=False)
class Code:
    """A linear code: the words w with parity_check · w = 0 (mod 2), in systematic form.

    parity_check: (m, n) uint8; rows may depend on each other. information: (k,) positions of a word that
    hold the message; parity: (n − k,) the others; parity_map: (k, n − k) float32, the message's part in each.
    """

    parity_check: Tensor
    information: Tensor
    parity: Tensor
    parity_map: Tensor

    @property
    def n(self) -> int:
        """Bits per word."""
        return self.parity_check.shape[1]

    @property
    def k(self) -> int:
        """Message bits per word: n less the rank of the parity checks."""
        return len(self.information)

    @cached_property
    def edges(self) -> Tensor:
        """(2, E) int64: the check and the bit of each one of the matrix, sorted by check."""
        return self.parity_check.nonzero().T.contiguous()

    def encode(self, bits: Tensor) -> Tensor:
        """The words (B, n) uint8 of the messages `bits` (B, k), which hold 0 and 1."""
        if bits.ndim != 2 or bits.shape[1] != self.k:
            raise ValueError(f"messages of this code have the shape (B, {self.k}), not {tuple(bits.shape)}")
        if ((bits != 0) & (bits != 1)).any():
            raise ValueError(f"message bits are 0 or 1, not {bits[(bits != 0) & (bits != 1)][0].item()}")
        words = torch.empty(len(bits), self.n, dtype=torch.uint8, device=bits.device)
        # Sums of at most k ones are exact in float32, whose products, unlike whole numbers', run on BLAS.
        sums = bits.float() @ self.parity_map.to(bits.device)
        words[:, self.information] = bits.to(torch.uint8)
        words[:, self.parity] = sums.remainder(2).to(torch.uint8)
        return words

    def message(self, words: Tensor) -> Tensor:
        """The message bits (..., k) of words (..., n)."""
        return words[..., self.information.to(words.device)]


def code_from(parity_check: Tensor | np.ndarray) -> Code:
    """The code of any parity-check matrix (m, n) of 0 and 1, regular or not.

    ValueError if an entry is neither 0 nor 1, a row is empty, or no message bit is left.
    """
    matrix = np.asarray(parity_check)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"a parity-check matrix has rows and columns, not the shape {matrix.shape}")
    other = matrix[(matrix != 0) & (matrix != 1)]
    if other.size:
        raise ValueError(f"a parity-check matrix holds 0 and 1, not {other[0]}")
    empty = np.flatnonzero(~matrix.any(1))
    if empty.size:
        raise ValueError(
            f"row {empty[0]} of the parity-check matrix is empty: it checks nothing; leave it out"
        )
    matrix = matrix.astype(np.uint8)
    pivots, reduced = reduced_rows(matrix)
    free = np.setdiff1d(np.arange(matrix.shape[1]), pivots)
    if not free.size:
        raise ValueError(
            f"this parity-check matrix {matrix.shape} has rank {len(pivots)}: no message bit is left"
        )
    return Code(
        parity_check=torch.from_numpy(matrix),
        information=torch.from_numpy(free),
        parity=torch.from_numpy(pivots),
        parity_map=torch.from_numpy(reduced[:, free].T.astype(np.float32)),
    )


def reduced_rows(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gauss–Jordan elimination over GF(2): the pivot columns (r,) and the rows (r, n) that hold them."""
    n = matrix.shape[1]
    rows = np.packbits(np.pad(matrix, ((0, 0), (0, -n % 64))), axis=1).view(np.uint64)
    octets = rows.view(np.uint8)
    pivots: list[int] = []
    for column in range(n):
        holds = (octets[:, column // 8] >> (7 - column % 8) & 1).astype(bool)
        below = np.flatnonzero(holds[len(pivots) :])
        if below.size:
            rank, row = len(pivots), len(pivots) + below[0]
            rows[[rank, row]] = rows[[row, rank]]
            holds[row], holds[rank] = holds[rank], False
            rows[holds] ^= rows[rank]
            pivots.append(column)
    return np.array(pivots), np.unpackbits(octets[: len(pivots)], axis=1)[:, :n]


def regular_code(n: int, d_v: int, d_c: int, seed: int) -> Code:
    """A random code of n bits in which each bit is in d_v checks and each check has d_c bits.

    Gallager's ensemble, then double edges and, where n leaves room, all cycles of length four are
    removed by swapping edges. ValueError where no such matrix exists.
    """
    if min(n, d_v, d_c) < 1 or n * d_v % d_c:
        raise ValueError(f"n·d_v must be a positive multiple of d_c, not {n}·{d_v} with d_c = {d_c}")
    if d_c > n or d_v >= d_c:
        raise ValueError(f"a regular code needs d_v < d_c <= n, not d_v = {d_v}, d_c = {d_c}, n = {n}")
    rng = np.random.default_rng(seed)
    bits = np.repeat(np.arange(n), d_v)
    checks = rng.permutation(np.repeat(np.arange(n * d_v // d_c), d_c))
    return code_from(without_short_cycles(bits, checks, rng))


def without_short_cycles(bits: np.ndarray, checks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The (m, n) matrix of the edges (bits, checks) after random swaps, none of which adds a fault."""
    faults, edges = short_cycles(bits, checks)
    for _ in range(SWAPS):
        if not faults:
            break
        swap = [rng.choice(edges), rng.integers(len(bits))]
        proposal = checks.copy()
        proposal[swap] = checks[swap[::-1]]
        then, then_edges = short_cycles(bits, proposal)
        if then <= faults:
            checks, faults, edges = proposal, then, then_edges
    matrix = np.zeros((checks.max() + 1, bits.max() + 1), dtype=np.uint8)
    matrix[checks, bits] = 1
    if matrix.sum() < len(bits):
        raise ValueError(
            f"no regular matrix {matrix.shape} without double edges was found: take a longer code"
        )
    return matrix


def short_cycles(bits: np.ndarray, checks: np.ndarray) -> tuple[int, np.ndarray]:
    """How many cycles of length four the edges (bits, checks) close, and which edges are in one.

    A double edge counts as len(bits) cycles, so that it is the first to go.
    """
    from scipy.sparse import csr_array, triu

    matrix = csr_array((np.ones(len(bits), dtype=np.int64), (checks, bits)))
    shared = triu(matrix @ matrix.T, k=1).tocoo()
    close = shared.data > 1
    cycles = int((shared.data[close] * (shared.data[close] - 1) // 2).sum())
    one, other = shared.coords[0][close], shared.coords[1][close]
    pair, bit = (matrix[one] * matrix[other]).nonzero()
    double_check, double_bit = (matrix > 1).nonzero()
    n = matrix.shape[1]
    places = np.concatenate([one[pair] * n + bit, double_check * n + double_bit])
    return cycles + len(bits) * len(double_bit), np.flatnonzero(np.isin(checks * n + bits, places))


@dataclass(frozen=True)
class Decoded:
    """bits (B, n) uint8, hard decisions; success (B,) bool, all checks met; iterations (B,) int32, used."""

    bits: Tensor
    success: Tensor
    iterations: Tensor


def decode(
    code: Code,
    llr: Tensor,
    iterations: int = 50,
    algorithm: Algorithm = "min_sum",
    engine: Engine | None = None,
) -> Decoded:
    """Belief propagation, stopped word by word once all checks are met; on the device of `llr`.

    llr: (B, n) float, ln p(received | 0) − ln p(received | 1), cut at ±30 (channels.CERTAIN); nan is refused.
    iterations: at most so many. algorithm: "min_sum", scaled by 0.8, or "sum_product".
    engine: "numba", compiled and layered, on the CPU; "torch", flooding, on any device. Layered needs about
    half the iterations. By default numba on the CPU where it is installed, torch elsewhere.
    """
    if algorithm not in get_args(Algorithm):
        raise ValueError(f"algorithm is one of {', '.join(get_args(Algorithm))}, not {algorithm!r}")
    if iterations < 1:
        raise ValueError(f"iterations is at least 1, not {iterations}")
    if llr.ndim != 2 or llr.shape[1] != code.n:
        raise ValueError(f"LLRs for this code have the shape (B, {code.n}), not {tuple(llr.shape)}")
    engine = pick_engine(engine, llr.device)
    if len(llr) and llr.amax().isnan():
        raise ValueError("the LLRs hold nan: the channel's output or parameter is not a number")
    llr = llr.float().clamp(-CERTAIN, CERTAIN)
    if engine == "torch":
        from harness.kit.ldpc import torch_decoder as ldpc_torch

        return Decoded(*ldpc_torch.decode(code.edges, llr, iterations, algorithm))
    from harness.kit.ldpc import numba_decoder as ldpc_numba

    arrays = ldpc_numba.decode(code.edges.numpy(), llr.detach().numpy(), iterations, algorithm)
    return Decoded(*map(torch.from_numpy, arrays))


def pick_engine(engine: Engine | None, device: torch.device) -> Engine:
    """The engine asked for if it can serve; by default the fastest that can."""
    compiled = device.type == "cpu" and importlib.util.find_spec("numba") is not None
    if engine is None:
        if device.type == "cpu" and not compiled:
            warnings.warn("numba is missing: LDPC decodes slowly, by torch; pip install numba", stacklevel=3)
        return "numba" if compiled else "torch"
    if engine not in get_args(Engine):
        raise ValueError(f"engine is one of {', '.join(get_args(Engine))}, not {engine!r}")
    if engine == "numba" and not compiled:
        raise ValueError(
            f"engine 'numba' needs numba and the CPU, not {device}: pip install numba, or take 'torch'"
        )
    return engine


@dataclass(frozen=True)
class FrameErrors:
    """A Monte-Carlo point: `errors` wrong words among `words`, and which of the two limits ended it."""

    errors: int
    words: int
    stopped_by: Literal["errors", "words"]

    @property
    def rate(self) -> float:
        """The frame error rate."""
        return self.errors / self.words


class Encoder(Protocol):
    """A code, as far as a sender knows it."""

    @property
    def k(self) -> int: ...

    def encode(self, bits: Tensor) -> Tensor: ...


def frame_errors(
    code: Encoder,
    transmit: Callable[[Tensor], Tensor],
    receive: Callable[[Tensor], Tensor],
    generator: torch.Generator,
    errors: int = 100,
    words: int = 100_000,
    batch: int = 1024,
) -> FrameErrors:
    """Send random messages until `errors` words came out wrong or `words` were sent.

    transmit: words (B, n) -> LLRs (B, n); receive: LLRs -> hard decisions (B, n). A word is wrong if any of
    its bits is, whether or not the decoder noticed. Batches are sent whole, so a limit can be passed by one.
    """
    if min(errors, words, batch) < 1:
        raise ValueError(f"errors, words and batch are at least 1, not {errors}, {words}, {batch}")
    wrong = sent = 0
    while wrong < errors and sent < words:
        messages = torch.randint(2, (batch, code.k), generator=generator, device=generator.device)
        sent_words = code.encode(messages)
        wrong += int((receive(transmit(sent_words)) != sent_words).any(1).sum())
        sent += batch
    return FrameErrors(wrong, sent, "errors" if wrong >= errors else "words")
