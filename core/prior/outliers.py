"""Pictures of what is no head, drawn at random: shapes, outlines with a filling, textures, patterns, and spoilt heads."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from nilatron.core.prior.augment import bernoulli, random_field, uniform

SIDE = 168  # pixels; it can be cut into 2, 3, 4 or 6 equal parts
HEAD_EDGE = 0.15  # of the image scale


def outlier(head: Tensor, generator: torch.Generator) -> Tensor:
    """Magnitude (SIDE, SIDE) of about image scale 1; some kinds are made of the head (SIDE, SIDE)."""
    kind = float(torch.rand((), generator=generator))
    if kind < 0.22:
        return outlined(generator)
    if kind < 0.36:
        return leaves(_whole(1, 60, generator), generator)
    if kind < 0.44:
        return (0.5 + 0.3 * fractal(uniform(0.3, 2, generator), generator)).clamp(0, 1.5)
    if kind < 0.52:
        return pattern(generator)
    if kind < 0.64:
        return shuffled(head, generator)
    if kind < 0.84:
        return refilled(head, generator)
    return warped(head, generator)


def _whole(low: int, high: int, generator: torch.Generator) -> int:
    """Whole number from low to high - 1."""
    return int(torch.randint(low, high, (), generator=generator))


def _grid() -> tuple[Tensor, Tensor]:
    axis = torch.linspace(-1, 1, SIDE)
    return axis[:, None].expand(SIDE, SIDE), axis[None, :].expand(SIDE, SIDE)


def fractal(exponent: float, generator: torch.Generator) -> Tensor:
    """Random field of mean 0 and variance 1 whose amplitude spectrum is |k|^-exponent."""
    frequency = torch.fft.fftfreq(SIDE)
    radius = torch.hypot(frequency[:, None], frequency[None, :]).clamp_min(1 / SIDE)
    white = torch.fft.fft2(torch.randn(SIDE, SIDE, generator=generator))
    field: Tensor = torch.fft.ifft2(white / radius**exponent).real
    return (field - field.mean()) / field.std()


def random_shape(generator: torch.Generator) -> Tensor:
    """Ellipse, bar, wedge or ring anywhere, boolean."""
    y, x = _grid()
    y, x = y - uniform(-0.8, 0.8, generator), x - uniform(-0.8, 0.8, generator)
    size, angle = math.exp(uniform(math.log(0.03), math.log(0.7), generator)), uniform(0, math.pi, generator)
    u = math.cos(angle) * y + math.sin(angle) * x
    v = (math.cos(angle) * x - math.sin(angle) * y) * uniform(1, 4, generator)
    kind = _whole(0, 4, generator)
    if kind == 0:
        return torch.hypot(u, v) < size
    if kind == 1:
        return (u.abs() < size) & (v.abs() < size)
    if kind == 2:
        return (u > -size / 2) & (1.7 * v + u < size) & (u - 1.7 * v < size)
    radius = torch.hypot(u, v)
    return (radius < size) & (radius > size * uniform(0.5, 0.9, generator))


def leaves(n: int, generator: torch.Generator) -> Tensor:
    """Shapes that cover each other, some of them textured."""
    image = torch.full((SIDE, SIDE), uniform(0, 0.6, generator) if bernoulli(0.5, generator) else 0.0)
    for _ in range(n):
        value = torch.full((SIDE, SIDE), uniform(0, 1.2, generator))
        if bernoulli(0.3, generator):
            value = value * (1 + uniform(0, 0.4, generator) * fractal(uniform(0.5, 1.5, generator), generator))
        image = torch.where(random_shape(generator), value, image)
    return image.clamp(0, 1.5)


def _outline(generator: torch.Generator) -> tuple[Tensor, float]:
    """Distance from the centre of a wobbly oval, and its size."""
    y, x = _grid()
    angle = torch.atan2(y, x)
    wobble = sum(uniform(0, 0.08, generator) * torch.cos(k * angle + uniform(0, 6, generator)) for k in range(1, 6))
    return torch.hypot(y * uniform(0.8, 1.3, generator), x) * (1 + wobble), uniform(0.45, 0.95, generator)


def outlined(generator: torch.Generator) -> Tensor:
    """An oval object as a limb or a fruit is: often with a rim, filled evenly, with shapes, a texture or spokes."""
    radius, size = _outline(generator)
    image = torch.zeros(SIDE, SIDE)
    if bernoulli(0.5, generator):
        image = torch.where(radius < size, uniform(0.3, 1.2, generator), 0.0)
        size *= uniform(0.7, 0.97, generator)
    kind = _whole(0, 4, generator)
    if kind == 0:
        inside = leaves(_whole(3, 40, generator), generator)
    elif kind == 1:
        inside = 0.5 + 0.25 * fractal(uniform(0.6, 2, generator), generator)
    elif kind == 2:
        inside = torch.full((SIDE, SIDE), uniform(0.2, 1, generator))
    else:
        y, x = _grid()
        spokes = torch.atan2(y, x) * _whole(3, 16, generator) + radius * uniform(0, 30, generator)
        inside = 0.5 + 0.4 * spokes.cos()
    image = torch.where(radius < size, inside.clamp(0, 1.5), image)
    for _ in range(_whole(0, 8, generator)):
        spot = random_shape(generator) & (radius < size)
        image = torch.where(spot, uniform(0, 1.3, generator), image)
    return image


def pattern(generator: torch.Generator) -> Tensor:
    """Stripes or a checkerboard, everywhere or inside an oval."""
    y, x = _grid()
    angle, frequency = uniform(0, math.pi, generator), uniform(4, 60, generator)
    wave = (frequency * (math.cos(angle) * y + math.sin(angle) * x)).cos()
    wave = wave.sign() if bernoulli(0.5, generator) else wave
    if bernoulli(0.5, generator):
        wave = wave * (frequency * (math.cos(angle) * x - math.sin(angle) * y)).cos()
    radius, size = _outline(generator)
    inside = radius < size if bernoulli(0.6, generator) else torch.ones_like(radius, dtype=torch.bool)
    return torch.where(inside, 0.5 + 0.5 * wave, 0.0)


def shuffled(head: Tensor, generator: torch.Generator) -> Tensor:
    """The head, cut into squares that change their places."""
    n = (2, 3, 4, 6)[_whole(0, 4, generator)]
    side = SIDE // n
    squares = head[: n * side, : n * side].reshape(n, side, n, side).permute(0, 2, 1, 3).reshape(n * n, side, side)
    moved = squares[torch.randperm(n * n, generator=generator)].reshape(n, n, side, side)
    return moved.permute(0, 2, 1, 3).reshape(n * side, n * side)


def refilled(head: Tensor, generator: torch.Generator) -> Tensor:
    """The head's outline with something else behind its rim."""
    bright = (head > HEAD_EDGE).to(torch.float32)[None, None]
    solid = F.avg_pool2d(F.max_pool2d(bright, 9, 1, 4), 31, 1, 15)[0, 0]
    rim = uniform(0.55, 0.95, generator)
    depth = ((solid - rim) * 10).clamp(0, 1)
    kind = _whole(0, 3, generator)
    if kind == 0:
        filling = outlined(generator)
    elif kind == 1:
        filling = leaves(_whole(2, 30, generator), generator)
    else:
        filling = head.flip(0).roll(_whole(0, SIDE, generator), 0)
    return head * (1 - depth) + filling * depth


def warped(head: Tensor, generator: torch.Generator) -> Tensor:
    """The head, pulled out of shape by up to a fifth of its size."""
    strength = uniform(0.1, 0.22, generator)
    shift = torch.stack([random_field((SIDE, SIDE), generator, (5, 7)) for _ in range(2)], dim=-1)
    y, x = _grid()
    places = torch.stack((x, y), dim=-1) + strength * shift
    return F.grid_sample(head[None, None], places[None], align_corners=True)[0, 0].clamp_min(0)
