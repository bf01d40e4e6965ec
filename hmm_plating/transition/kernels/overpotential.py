"""The galvanostat's overpotential, cathodic e^{−αy} − anodic e^{(1−α)y} = rate."""

from __future__ import annotations

import math

from hmm_plating.compiled import inlined

_NEWTON_ITERATIONS = 60


@inlined
def solve_overpotential(cathodic, anodic, rate, alpha):
    """Scalar twin of `galvanostatic_overpotential`."""
    if alpha == 0.5:
        root = math.sqrt(rate * rate + 4 * cathodic * anodic)
        if rate > 0:
            return 2 * math.log(2 * cathodic / (rate + root))
        return 2 * math.log((root - rate) / (2 * anodic))
    beta = 1 - alpha
    rest = math.log(cathodic / anodic)  # where the rate is 0
    exchange = cathodic * math.exp(-alpha * rest)
    low, high = rest, rest
    if rate > 0:
        low = -math.log((rate + exchange) / cathodic) / alpha
    else:
        high = math.log((exchange - rate) / anodic) / beta
    y = low if rate > 0 else high
    for _ in range(_NEWTON_ITERATIONS):
        forward, backward = cathodic * math.exp(-alpha * y), anodic * math.exp(beta * y)
        excess = forward - backward - rate
        if excess > 0:
            low = y
        else:
            high = y
        following = y + excess / (alpha * forward + beta * backward)
        if not (low <= following <= high):
            following = 0.5 * (low + high)
        if abs(following - y) <= 1e-15 * (1 + abs(y)):
            return following
        y = following
    return y
