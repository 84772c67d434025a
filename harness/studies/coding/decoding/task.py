"""How fast decoders turn received blocks into what was sent, and how often they get it wrong.

One block stands for one image: m channel bits for everybody. A learned decoder makes pixels of them. For the
others a block is a word of a (3, 6)-regular code, rate 1/2; what it takes to make pixels of the decoded bits
is not counted, which favours them.

The network computes in fp32, bf16 or int8 (`precision`); LDPC decoders choose their own numbers.

A method calls `problem.measure` with its decoder and returns what that found. Each round times the decoder
and a network of NECST's architecture in turn, so that their ratio is one of neighbours in time.
"""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

import harness
from harness.kit import clocks
from harness.kit.ldpc.code import Code, frame_errors, regular_code
from harness.studies.coding.networks import CodeNetworks
from harness.studies.coding.noisy_codes import BinaryChannel

PIXELS = 784
ROUNDS, FEW_ROUNDS, SLOW = 7, 3, 0.5
"""Timed rounds, and how many are enough where one call takes longer than `SLOW` seconds."""

SHORTEST = 0.02
"""Seconds that a timed stretch lasts at least: short calls are repeated."""

POOL = 64
"""Words that calls with smaller batches take turns with: how long one word takes is its own matter."""

ERRORS, AT_ONCE = 50, 256
"""Frame errors that end a simulation, and words decoded at once in it, whatever the batch that is timed."""

Decoder = Callable[[Tensor], Any]
Precision = Literal["fp32", "bf16", "int8"]


@dataclass(frozen=True)
class Problem:
    """Blocks of `code` behind `channel`, `batch` at a time; `network` is a decoder like NECST's, from what is
    received (B, m), float32, to logits (B, 784)."""

    code: Code
    channel: BinaryChannel
    batch: int
    words: int
    device: str
    network: Decoder

    def received(self, count: int, noise: torch.Generator, code: Code | None = None) -> Tensor:
        """What arrives of random words, (count, m)."""
        code = code or self.code
        message = torch.randint(0, 2, (count, code.k), generator=noise)
        return self.channel.send(code.encode(message), noise)

    def measure(
        self,
        decode: Decoder,
        run: Any,
        *,
        exact: bool = True,
        at_most: int | None = None,
        code: Code | None = None,
    ) -> dict[str, Tensor]:
        """Time `decode(received)`, and count its errors where it returns words (`exact`).

        `code` is what the decoder is made for, if not the problem's: anything with its `k` and `encode`.
        `received` (batch, m) lies on the device; `at_most` cuts the batch of decoders that take one
        word after another anyway, whose speed per word does not depend on it.
        """
        batch = min(self.batch, at_most or self.batch)
        pool = self.received(batch * max(1, POOL // batch), run.stream("speed"), code).to(self.device)
        mine = (decode, itertools.cycle(pool.split(batch)))
        whole = self.received(self.batch, run.stream("speed")).float().to(self.device)
        reference = (self.network, itertools.cycle([whole]))
        found = {
            "batch": torch.tensor([batch, self.batch]),
            "seconds": race([mine, reference], self.device, -(-POOL // batch)),
        }
        if exact:
            noise = run.stream("frames")
            counted = frame_errors(
                code or self.code,
                lambda words: self.channel.send(words, noise),
                lambda symbols: torch.as_tensor(decode(symbols.to(self.device))).cpu(),
                noise,
                ERRORS,
                self.words,
                min(at_most or AT_ONCE, AT_ONCE),
            )
            found["errors"] = torch.tensor([counted.errors, counted.words, counted.stopped_by == "errors"])
        return found


Entrant = tuple[Decoder, Iterator[Tensor]]


@torch.no_grad()
def race(entrants: list[Entrant], device: str, calls: int = 1) -> Tensor:
    """Seconds per call, (rounds, entrants), means of `calls` or more, in turns; a GPU's work is waited for.

    The first call of each, which may compile, counts nowhere, nor for how many rounds there are.
    """
    for entrant in entrants:
        _seconds(entrant, device, 1)
    warm_up = [_seconds(entrant, device, 2) for entrant in entrants]
    repeats = [max(calls, round(SHORTEST / max(seconds, 1e-6))) for seconds in warm_up]
    rows = []
    for number in range(FEW_ROUNDS if max(warm_up) > SLOW else ROUNDS):
        order = range(len(entrants)) if number % 2 == 0 else reversed(range(len(entrants)))
        times = {index: _seconds(entrants[index], device, repeats[index]) for index in order}
        rows.append([times[index] for index in range(len(entrants))])
    return torch.tensor(rows, dtype=torch.float64)


def _seconds(entrant: Entrant, device: str, repeats: int) -> float:
    """Mean seconds of `repeats` calls, each on the next of the blocks."""
    decode, blocks = entrant
    return clocks.seconds(lambda: decode(next(blocks)), device, repeats)


def at_precision(decoder: nn.Module, precision: Precision) -> Decoder:
    """`decoder` with weights and products in these numbers; converting what comes in counts as its work.

    int8: weights once, activations by the range of each call (PyTorch's dynamic quantisation, on a CPU).
    """
    if precision == "bf16":
        rounded = copy.deepcopy(decoder).bfloat16()
        return lambda received: rounded(received.bfloat16()).float()
    if precision == "int8":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch plans to move this elsewhere
            return torch.ao.quantization.quantize_dynamic(decoder, {nn.Linear}, dtype=torch.qint8)
    return decoder


@harness.task
def decoding(
    run: harness.Run,
    *,
    bits: Annotated[int, "[6, inf)"] = 1000,
    channel: Literal["bsc", "bec"] = "bsc",
    eps: Annotated[float, "[0, 0.5]"] = 0.07,
    batch: Annotated[int, "[1, inf)"] = 256,
    words: Annotated[int, "[1, inf)"] = 2000,
    device: Literal["cpu", "cuda"] = "cpu",
    precision: Literal["fp32", "bf16", "int8"] = "fp32",
) -> Problem:
    """Blocks of `bits` bits, `batch` at a time, behind noise that a rate of 1/2 can stand (threshold .084).

    `precision` is that of NECST's network, beside which all are timed; `words` is the budget for the frame
    error rate. Decoders run on `device`, wherever other cells do; rows of both devices can so stand in one
    table. Raises ValueError for bits that no (3, 6)-regular code has.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise harness.Skip("there is no CUDA GPU here; the rows for the CPU need none")
    if precision == "int8" and device != "cpu":
        raise harness.Skip("PyTorch's int8 layers run on a CPU; on a GPU take bf16")
    decoder = CodeNetworks(PIXELS, bits, run.stream("weights")).decoder.to(device)
    code = regular_code(bits, 3, 6, seed=0)
    return Problem(code, BinaryChannel(channel, eps), batch, words, device, at_precision(decoder, precision))
