"""The order of the examples: from the first scan to a prior of one's own."""

from __future__ import annotations

ORDER = (
    "scan_in_ten_lines",
    "noise_and_sigma",
    "uncertainty",
    "against_l1_wavelet",
    "own_chain",
    "own_denoiser",
    "own_prior",
)


class GalleryOrder:
    """Sort key of sphinx-gallery: the place of an example in `ORDER`."""

    def __init__(self, src_dir: str) -> None:
        del src_dir

    def __call__(self, filename: str) -> int:
        """Place of the file; ValueError for one that has none."""
        return ORDER.index(filename.removesuffix(".py"))
