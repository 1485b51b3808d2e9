import numpy as np

from nilatron.core.prior.prior import Estimate
from nilatron.core.sampling.self_conditioning import self_conditioned_denoiser


def recorded():
    seen = []

    def denoiser(x, sigma, before):
        seen.append(before)
        return Estimate(x * sigma)

    return denoiser, seen


def test_each_call_is_given_the_result_of_the_one_before():
    denoiser, seen = recorded()
    run = self_conditioned_denoiser(denoiser)
    image = np.ones((1, 1, 4, 6), np.complex64)
    for sigma in (0.5, 0.25, 0.125):
        run(image, sigma)
    assert seen[0] is None
    np.testing.assert_array_equal(seen[1], 0.5 * image)
    np.testing.assert_array_equal(seen[2], 0.25 * image)


def test_results_of_another_resolution_or_run_are_forgotten():
    denoiser, seen = recorded()
    run = self_conditioned_denoiser(denoiser)
    run(np.ones((1, 1, 4, 6), np.complex64), 0.5)
    run(np.ones((1, 1, 8, 12), np.complex64), 0.5)
    self_conditioned_denoiser(denoiser)(np.ones((1, 1, 8, 12), np.complex64), 0.5)
    assert seen == [None, None, None]
