"""Fair contrastive representation learning: bounds on information without an adversary."""

import time
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

import harness
from harness.studies.fairness import Problem
from harness.studies.fairness.networks import Adam, Networks
from harness.studies.fairness.people import minibatches


@harness.method(task="fairness", cite="Gupta, Ferber, Dilkina, Ver Steeg, AAAI 2021, arXiv 2101.04108")
def fcrl(
    problem: Problem,
    run: harness.Run,
    *,
    contrast: Annotated[float, "[0, inf)"] = 0.1,
    rate: Annotated[float, "[0, inf)"] = 0.05,
) -> dict[str, Tensor]:
    """Descend −E ln p(y | z, u) − λ I_NCE(x; z | u) + β E KL(q(z | x) || N(0, I)).

    λ is `contrast`, β is `rate`. I_NCE tells the code of each x from those of the other x of the same group
    in the minibatch, by a critic softplus(f(x)ᵀ W_u g(z)). Unlike the other methods it uses y, and its
    encoder does not see u. The authors' scripts have β = λ/2, λ from 0.01 to 2, z of 8, ReLU and
    minibatches of 128; z, softplus, minibatches and updates are the task's here.
    """
    model = _Model(problem)
    noise = run.generator("noise")
    adam = Adam(model.networks, beta1=0.9)
    parameters = [parameter for network in model.networks for parameter in network.parameters]
    batches = minibatches(problem.train, problem.notion, problem.budget.batch, run.stream("order"))
    started = time.perf_counter()
    with run.phase("train"):
        for step in range(1, problem.budget.steps + 1):
            rows = next(batches).rows
            mean, scale = model.encode(rows.x)
            z = mean + scale * torch.randn(mean.shape, generator=noise, device=mean.device)
            kl = (0.5 * (mean.square() + scale.square() - 1) - scale.log()).sum(1).mean()
            loss = model.prediction_loss(z, rows) + rate * kl - contrast * model.contrastive_bound(z, rows)
            gradients = torch.autograd.grad(loss, parameters)
            adam.step(gradients, problem.budget.learning_rate * problem.budget.pace(step))
            run.progress(step, problem.budget.steps)
    run.measure("runs", 1)
    run.measure("gradient_steps", problem.budget.steps)
    run.measure("train_seconds", time.perf_counter() - started)
    return model.codes(problem)


class _Model:
    """Encoder, predictor and the three parts of the critic; z is (B, d)."""

    def __init__(self, problem):
        latent, hidden = problem.settings["latent"], problem.settings["hidden"]
        width, groups = problem.train.x.shape[1], problem.train.u.shape[1]
        start, like = problem.run.stream("weights"), problem.train.x
        self.networks = (
            Networks.drawn(1, [width, hidden, 2 * latent], start, like),
            Networks.drawn(1, [latent + groups - 1, hidden, 1], start, like),
            Networks.drawn(1, [width, hidden, latent], start, like),
            Networks.drawn(groups, [latent, latent], start, like),
            Networks.drawn(1, [latent, latent], start, like),
        )
        self.encoder, self.predictor, self.of_x, self.by_group, self.of_z = self.networks

    def encode(self, x):
        """Mean and scale of q(z | x)."""
        mean, scale = self.encoder(x)[0].chunk(2, -1)
        return mean, F.softplus(scale) + 1e-4

    def prediction_loss(self, z, rows):
        """−mean ln p(y | z, u)."""
        logits = self.predictor(torch.cat([z, rows.bits], 1))[0, :, 0]
        return F.binary_cross_entropy_with_logits(logits, rows.y)

    def contrastive_bound(self, z, rows):
        """A lower bound on I(x; z | u) in nats, at most the log of a group's rows in the minibatch."""
        bent = torch.einsum("kbd,bk->bd", self.by_group(self.of_x(rows.x)), rows.u)
        likeness = F.softplus(bent @ self.of_z(z)[0].T)
        same = rows.u @ rows.u.T
        others = (likeness * same).sum(1) / same.sum(1)
        return ((likeness.diagonal() + 1e-8).log() - (others + 1e-8).log()).mean()

    @torch.no_grad()
    def codes(self, problem):
        """What the task scores: codes of all rows."""
        made = {}
        for part, rows in (("train", problem.train), ("test", problem.test)):
            mean, scale = self.encode(rows.x)
            draw = torch.randn(
                mean.shape, generator=problem.run.generator(f"codes {part}"), device=mean.device
            )
            made |= {f"mean_{part}": mean, f"scale_{part}": scale, f"z_{part}": mean + scale * draw}
        return {name: array.cpu().contiguous() for name, array in made.items()}
