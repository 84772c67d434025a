"""Flooding belief propagation in PyTorch, on any device.

Words are decoded side by side, the word last in every tensor, so that each gather moves whole rows. Messages
lie by slot: the first edge of every check, then the second of every check, and so on; shorter checks and bits
are padded. A word leaves once all its checks are met and a waiting one takes its column, so no word waits for
the slowest and none depends on its neighbours. Every step writes into buffers made once: fresh tensors of
this size cost ten times the arithmetic in page faults.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = {"cpu": 256}  # columns; a wider block leaves the cache, a narrower one pays more for each call
WIDE_BLOCK = 4096  # elsewhere
SURE = 1e3  # the total of an absent bit: it never decides a check
SIGN = -(2**31)  # the sign bit of a float32 seen as an int32
BELOW_ONE = 1 - 2**-24


@dataclass(frozen=True)
class Graph:
    """Index tables of a parity-check matrix.

    bit: (d_c, m), the bit at each slot of each check; n where there is none.
    edge: (d_v, n), the place in the flattened `bit` of each edge of each bit; d_c·m where there is none.
    """

    bit: Tensor
    edge: Tensor

    @classmethod
    def of(cls, edges: Tensor, n: int, device: torch.device) -> Graph:
        """From the edges (2, E), pairs of check and bit sorted by check."""
        checks, bits = edges
        m, slot = int(checks[-1]) + 1, rank(checks)
        bit = torch.full((max(2, int(slot.max()) + 1), m), n)
        bit[slot, checks] = bits
        order = bits.argsort(stable=True)
        bits, which = bits[order], rank(bits[order])
        edge = torch.full((int(which.max()) + 1, n), bit.numel())
        edge[which, bits] = (slot * m + checks)[order]
        return cls(bit.to(device), edge.to(device))


def rank(groups: Tensor) -> Tensor:
    """For each entry of a sorted tensor, how many equal ones stand before it."""
    sizes = groups.bincount()
    return torch.arange(len(groups)) - (sizes.cumsum(0) - sizes)[groups]


def leave_one_out(combine: Callable[..., Tensor], values: Tensor, answer: Tensor) -> None:
    """answer[i] = all values[j], j ≠ i, combined along the first dimension; `values` is used up."""
    last = len(values) - 1
    answer[1].copy_(values[0])
    for i in range(2, last + 1):
        combine(answer[i - 1], values[i - 1], out=answer[i])
    for i in range(last - 1, 0, -1):
        combine(answer[i], values[i + 1], out=answer[i])
        combine(values[i], values[i + 1], out=values[i])
    answer[0].copy_(values[1])


def parity(values: Tensor, odd: Tensor) -> Tensor:
    """`odd`, whose sign bits become the product of the signs of `values` along the first dimension."""
    signs, product = values.view(torch.int32), odd.view(torch.int32)
    torch.bitwise_xor(signs[0], signs[1], out=product)
    for slot in signs[2:]:
        product ^= slot
    return product


def min_sum(said: Tensor, spare: Tensor, answer: Tensor, odd: Tensor) -> None:
    """To each slot the product of the other slots' signs and the least of their sizes; `said` is used up."""
    torch.bitwise_and(said.view(torch.int32), ~SIGN, out=spare.view(torch.int32))
    leave_one_out(torch.minimum, spare, answer)
    signs = said.view(torch.int32)
    signs ^= parity(said, odd)
    signs &= SIGN
    answer.view(torch.int32).bitwise_or_(signs)


def sum_product(said: Tensor, spare: Tensor, answer: Tensor, odd: Tensor) -> None:
    """To each slot atanh of the product of the others' tanh(said/2), that is half the LLR of their sum."""
    said.clamp_(-30, 30).expm1_()
    torch.div(said, torch.add(said, 2, out=spare), out=spare)
    leave_one_out(torch.mul, spare, answer)
    answer.clamp_(-BELOW_ONE, BELOW_ONE).atanh_()


RULES = {"min_sum": (min_sum, 0.8), "sum_product": (sum_product, 2.0)}


class Block:
    """The words at work, one a column.

    word (W,) their numbers, −1 in an idle column; age (W,) iterations so far; channel (n, W) their LLRs;
    total (n + 1, W); message (edges + 1, W) from check to bit; the rest is room for intermediate results.
    """

    def __init__(self, graph: Graph, n: int, width: int) -> None:
        def zeros(*shape: int) -> Tensor:
            return torch.zeros(*shape, width, device=graph.bit.device)

        (d_c, m), d_v = graph.bit.shape, len(graph.edge)
        self.graph = graph
        self.word = torch.full((width,), -1, device=graph.bit.device)
        self.age = torch.zeros_like(self.word)
        self.channel, self.total, self.message = zeros(n), zeros(n + 1), zeros(d_c * m + 1)
        self.total[n] = SURE
        self.kept = zeros()
        self.said, self.spare, self.odd = zeros(d_c, m), zeros(d_c, m), zeros(m)
        self.heard = zeros(d_v, n)

    def load(self, columns: Tensor, words: Tensor, llr: Tensor) -> None:
        """Start the words numbered `words` (k,), of the LLRs `llr` (k, n), in `columns` (k,)."""
        self.word[columns], self.age[columns] = words, 0
        self.channel[:, columns] = llr.T
        self.total[:-1, columns] = llr.T
        self.kept[columns] = 0

    def listen(self) -> Tensor:
        """Bring each slot its bit's total; which words (W,) break a check."""
        torch.index_select(self.total, 0, self.graph.bit.flatten(), out=self.said.flatten(0, 1))
        return parity(self.said, self.odd).amin(0) < 0

    def iterate(self, algorithm: str) -> None:
        """One iteration of flooding, after `listen`."""
        rule, scale = RULES[algorithm]
        answer = self.message[:-1].view_as(self.said)
        rule(self.said.addcmul_(answer, self.kept, value=-scale), self.spare, answer, self.odd)
        torch.index_select(self.message, 0, self.graph.edge.flatten(), out=self.heard.flatten(0, 1))
        for more in self.heard[1:]:
            self.heard[0] += more
        torch.add(self.channel, self.heard[0], alpha=scale, out=self.total[:-1])
        self.kept.fill_(1)
        self.age += 1

    def narrowed(self) -> Block:
        """The same words without the idle columns."""
        columns = (self.word >= 0).nonzero().squeeze(1)
        block = Block(self.graph, len(self.channel), len(columns))
        for name in ("word", "age", "channel", "total", "message", "kept"):
            setattr(block, name, getattr(self, name).index_select(-1, columns))
        return block


@torch.no_grad()
def decode(edges: Tensor, llr: Tensor, iterations: int, algorithm: str) -> tuple[Tensor, Tensor, Tensor]:
    """Hard decisions (B, n) uint8, success (B,) bool and iterations (B,) int32 for finite LLRs (B, n).

    edges: (2, E), pairs of check and bit sorted by check. No iteration is used where the channel's own
    decisions meet all checks.
    """
    words, n = llr.shape
    hard = torch.empty(words, n, dtype=torch.uint8, device=llr.device)
    success = torch.empty(words, dtype=torch.bool, device=llr.device)
    used = torch.empty(words, dtype=torch.int32, device=llr.device)
    waiting = min(words, BLOCK.get(llr.device.type, WIDE_BLOCK))
    block = Block(Graph.of(edges.cpu(), n, llr.device), n, waiting)
    numbers = torch.arange(words, device=llr.device)
    block.load(numbers[:waiting], numbers[:waiting], llr[:waiting])
    while True:
        broken = block.listen()
        columns = ((block.word >= 0) & (~broken | (block.age == iterations))).nonzero().squeeze(1)
        old, new = block.word[columns], numbers[waiting : waiting + len(columns)]
        hard[old] = (block.total[:-1].index_select(1, columns) < 0).T.to(torch.uint8)
        success[old], used[old] = ~broken[columns], block.age[columns].int()
        block.word[columns] = -1
        block.iterate(algorithm)
        block.load(columns[: len(new)], new, llr[new])
        waiting += len(new)
        live = int((block.word >= 0).sum())
        if not live:
            break
        if 2 * live <= len(block.word):
            block = block.narrowed()
    return hard, success, used
