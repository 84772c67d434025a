"""VIMCO: gradients of ln mean_k f(y_k) for discrete y (Mnih and Rezende, ICML 2016, 1602.06725)."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.kit.log_space import log_mean_exp


def learning_signal(log_f: Tensor) -> Tensor:
    """How much each sample raised the bound beyond what the other K − 1 promise, (K, B) -> (K, B).

    L − L_(−k), where L_(−k) puts the geometric mean of the others in place of f(y_k). Needs K ≥ 2.
    """
    samples = len(log_f)
    if samples < 2:
        raise ValueError(f"VIMCO compares samples: it needs at least 2, not {samples}")
    others = (log_f.sum(0) - log_f) / (samples - 1)
    itself = torch.eye(samples, dtype=torch.bool, device=log_f.device).unsqueeze(-1)
    replaced = torch.where(itself, others, log_f.unsqueeze(0))
    return log_mean_exp(log_f) - log_mean_exp(replaced.transpose(0, 1))


def surrogate(log_f: Tensor, log_q: Tensor) -> Tensor:
    """A scalar per datum (B,) whose gradient is an unbiased one of E[ln mean_k f(y_k)], y_k ~ q.

    `log_f` (K, B) may carry gradients (of the decoder, for example); `log_q` (K, B) carries the sampler's.
    """
    signal = learning_signal(log_f.detach())
    return log_mean_exp(log_f) + (signal * log_q).sum(0)
