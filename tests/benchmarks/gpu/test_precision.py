"""TF32 is off inside, and as before outside."""

import contextlib

import torch

from gpu.precision import full_float32


def flags():
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


def test_full_float32_ends_with_its_block():
    before = flags()
    with contextlib.suppress(ValueError), full_float32():
        assert flags() == (False, False)
        raise ValueError
    assert flags() == before
    assert before[0], "torch allows convolutions TF32 by default: else nothing was shown"
