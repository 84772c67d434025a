"""AC-WGAN-GP: the source's kind of generator, and its critic with a second head that names the class.

Song et al. (2018) as in their code; improved Wasserstein GAN (Gulrajani et al., NeurIPS 2017, 1704.00028)
with an auxiliary classifier (Odena et al., ICML 2017, 1610.09585). "acwgan" is shaped for a CPU;
"acwgan_paper" has the source's sizes, for a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.studies.attack.generators import CLASSES, Averages, one_hot, settled

PENALTY = 10.0


class ClassNorm(nn.Module):
    """Batch normalisation whose scale and shift belong to the class."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.scale, self.shift = nn.Embedding(CLASSES, channels), nn.Embedding(CLASSES, channels)
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.norm(x) * self.scale(y)[:, :, None, None] + self.shift(y)[:, :, None, None]


class SmallGenerator(nn.Module):
    """z (N, d) and classes (N,) to images (N, 1, S, S) in [0, 1]: the side is doubled twice."""

    def __init__(self, side: int, latent: int, width: int) -> None:
        super().__init__()
        self.side, self.latent, self.width = side, latent, width
        self.first = nn.Linear(latent + CLASSES, width * (side // 4) ** 2)
        self.norms = nn.ModuleList([ClassNorm(width), ClassNorm(width // 2)])
        self.middle = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.last = nn.Conv2d(width // 2, 4, 5, padding=2)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        quarter = self.side // 4
        x = self.first(torch.cat([z, one_hot(y)], dim=1)).view(-1, self.width, quarter, quarter)
        x = self.middle(F.relu(self.norms[0](x, y)))
        x = F.relu(self.norms[1](F.pixel_shuffle(x, 2), y))
        return F.pixel_shuffle(self.last(x), 2).sigmoid()


class SmallCritic(nn.Module):
    """Images to a score (N,) and class logits (N, 10)."""

    def __init__(self, side: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(2 * width * (side // 4) ** 2, 128),
            nn.LeakyReLU(0.2),
        )
        self.score, self.classes = nn.Linear(128, 1), nn.Linear(128, CLASSES)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.body(2 * x - 1)
        return self.score(hidden).squeeze(1), self.classes(hidden)


class Up(nn.Module):
    """A residual block that doubles the side; the class scales its norms and stands beside its channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([ClassNorm(inputs), ClassNorm(outputs)])
        self.first = nn.Conv2d(inputs + CLASSES, outputs, 3, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.beside = nn.Conv2d(inputs + CLASSES, outputs, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        planes = one_hot(y)[:, :, None, None].expand(-1, -1, *x.shape[2:])

        def doubled(x: Tensor) -> Tensor:
            return F.interpolate(torch.cat([x, planes], dim=1), scale_factor=2.0)

        inner = self.first(doubled(F.relu(self.norms[0](x, y))))
        return self.beside(doubled(x)) + self.second(F.relu(self.norms[1](inner, y)))


class PaperGenerator(nn.Module):
    """As `SmallGenerator`, of two residual blocks, 4 and 2 widths of channels."""

    def __init__(self, side: int, latent: int, width: int) -> None:
        super().__init__()
        self.side, self.latent, self.width = side, latent, width
        self.first = nn.Linear(latent + CLASSES, 4 * width * (side // 4) ** 2)
        self.blocks = nn.ModuleList([Up(4 * width, 2 * width), Up(2 * width, width)])
        self.norm, self.last = ClassNorm(width), nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        quarter = self.side // 4
        x = self.first(torch.cat([z, one_hot(y)], dim=1)).view(-1, 4 * self.width, quarter, quarter)
        for block in self.blocks:
            x = block(x, y)
        return self.last(F.relu(self.norm(x, y))).sigmoid()


class Down(nn.Module):
    """A residual block that halves the side, without norms, which a gradient penalty forbids."""

    def __init__(self, inputs: int, outputs: int, halve: bool = True) -> None:
        super().__init__()
        self.first, self.second = (
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.Conv2d(outputs, outputs, 3, 1, 1),
        )
        self.beside, self.halve = nn.Conv2d(inputs, outputs, 1), halve

    def forward(self, x: Tensor) -> Tensor:
        x = self.beside(x) + self.second(F.relu(self.first(F.relu(x))))
        return F.avg_pool2d(x, 2) if self.halve else x


class PaperCritic(nn.Module):
    """As `SmallCritic`: four residual blocks, the mean over places, and two heads."""

    def __init__(self, side: int, width: int) -> None:
        super().__init__()
        sizes = [1, width, 2 * width, 4 * width, 4 * width]
        self.body = nn.Sequential(
            *(Down(sizes[place], sizes[place + 1], halve=place < 2) for place in range(4)), nn.ReLU()
        )
        self.score, self.classes = nn.Linear(4 * width, 1), nn.Linear(4 * width, CLASSES)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.body(2 * x - 1).mean((2, 3))
        return self.score(hidden).squeeze(1), self.classes(hidden)


class CriticClasses(nn.Module):
    """The critic's class head alone, as an auxiliary classifier: images to logits (N, 10)."""

    def __init__(self, critic: nn.Module) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, x: Tensor) -> Tensor:
        return self.critic(x)[1]


@dataclass(frozen=True)
class Recipe:
    """Sizes and training. `follow` is the rate of the running mean of the generator's weights, 1 for none."""

    generator: type[nn.Module]
    critic: type[nn.Module]
    latent: int
    width: int
    critic_width: int
    rate: float
    beta2: float
    critic_steps: int
    follow: float


RECIPES = {
    "acwgan": Recipe(SmallGenerator, SmallCritic, 64, 48, 32, 5e-4, 0.9, 2, 0.01),
    "acwgan_paper": Recipe(PaperGenerator, PaperCritic, 128, 32, 32, 2e-4, 0.999, 5, 1.0),
}
BATCH = 64


class AdversarialPair(nn.Module):
    """A generator with the critic that it was trained against."""

    def __init__(self, kind: str, side: int) -> None:
        super().__init__()
        recipe = RECIPES[kind]
        self.latent = recipe.latent
        self.generator = recipe.generator(side, recipe.latent, recipe.width)
        self.critic = recipe.critic(side, recipe.critic_width)

    @classmethod
    def restore(cls, kind: str, side: int, arrays: Mapping[str, Tensor]) -> AdversarialPair:
        """The pair whose `state_dict` was stored."""
        pair = cls(kind, side)
        pair.load_state_dict(dict(arrays))
        return settled(pair)  # type: ignore[return-value]

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return self.generator(z, y)


def train_pair(
    kind: str, x: Tensor, y: Tensor, steps: int, levels: int, told: Callable[[int, int], None]
) -> AdversarialPair:
    """`steps` generator updates on images (N, 1, S, S) of `levels` gray values and classes (N,).

    Images are dequantised, rates fall linearly to 2 %. Draws from the global generator.
    """
    recipe, pair = RECIPES[kind], AdversarialPair(kind, x.shape[-1]).to(x.device)
    generator, critic = pair.generator, pair.critic
    optimisers = [
        torch.optim.Adam(part.parameters(), recipe.rate, (0.0, recipe.beta2), fused=True)
        for part in (generator, critic)
    ]
    averages = Averages(generator, recipe.follow)
    for step in range(steps):
        for optimiser in optimisers:
            optimiser.param_groups[0]["lr"] = recipe.rate * max(0.02, 1 - step / steps)
        for _ in range(recipe.critic_steps):
            rows = torch.randint(len(x), (BATCH,), device=x.device)
            real = (x[rows] * (levels - 1) + torch.rand_like(x[rows])) / levels
            _step(optimisers[1], _critic_loss(pair, real, y[rows]))
        classes = torch.randint(CLASSES, (2 * BATCH,), device=x.device)
        score, named = critic(generator(torch.randn(2 * BATCH, recipe.latent, device=x.device), classes))
        _step(optimisers[0], F.cross_entropy(named, classes) - score.mean())
        averages.follow()
        told(step + 1, steps)
    averages.settle()
    return settled(pair)  # type: ignore[return-value]


def _critic_loss(pair: AdversarialPair, real: Tensor, y: Tensor) -> Tensor:
    """Wasserstein distance with the penalty on gradients in between, and the class of real images."""
    with torch.no_grad():
        made = pair.generator(torch.randn(len(real), pair.latent, device=real.device), y)
    between = torch.lerp(made, real, torch.rand_like(real)).requires_grad_()  # a weight for each pixel
    scores, named = pair.critic(torch.cat([real, made]))
    (slope,) = torch.autograd.grad(pair.critic(between)[0].sum(), between, create_graph=True)
    penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
    real_score, made_score = scores.split(len(real))
    return made_score.mean() - real_score.mean() + F.cross_entropy(named[: len(real)], y) + PENALTY * penalty


def _step(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
