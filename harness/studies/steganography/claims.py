"""The five claims of the paper and its follow-up as checks, with thresholds that were fixed beforehand.

They were fixed after prototypes (one to three seeds, other draws of the data), before any run of the study;
`suites/claims/steganography.yaml` states them again, with those that compare two methods. One condition came
later: that something be hidden, in claim 3, without which a pair that hides nothing agreed by chance.
"""

from __future__ import annotations

from harness.studies.steganography.measures import hides

HIDING = 2 / 3
"""1: E(0) is at most this share of the honest error."""
SEVERAL_FOLD = 2.0
"""2: E after noise of σ .02 or after JPEG 75, whichever is worse, is at least this multiple of E(0)."""
HIGH_OVER_LOW = 2.0
"""3: the error that noise adds in the highest ring is at least this multiple of the lowest ring's.
There is a carrier only where something is hidden: see `measures.hides`."""
WAY = 0.75
"""4: under a cap of 4/255 the attack takes at least this share of the way from |G(y0) − x| to E(0)."""
FLAT = 1.4
LARGER = 0.45
"""5: E(.05) is at most FLAT times E(0), and E(0) at least LARGER times the honest error, but not above it."""


def verdicts(found: dict[str, float]) -> dict[str, float]:
    """`claim_1` to `claim_5`, 1 where a cell's figures agree with the claim and 0 where they do not.

    Claims 1 to 4 are about a plain CycleGAN, claim 5 about one trained with noise; any cell may be asked. An
    honest pair meets claim 5 and no other: a flat curve at the honest error is what the defence wants.
    """
    e0, honest = found["e_0"], found["honest"]
    worst = max(found["e_noise_002"], found["e_jpeg_75"])
    low, high = (found[f"e_ring_{number}"] - e0 for number in (1, 6))
    agrees = (
        e0 <= HIDING * honest,
        worst >= SEVERAL_FOLD * e0,
        hides(e0, honest) and high >= HIGH_OVER_LOW * max(low, 0.0) and high > 0,
        found.get("attack_cap4_way", 0.0) >= WAY,
        found["e_noise_005"] <= FLAT * e0 and LARGER * honest <= e0 <= honest,
    )
    return {f"claim_{number}": float(each) for number, each in enumerate(agrees, 1)}
