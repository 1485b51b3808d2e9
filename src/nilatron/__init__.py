"""Nilatron: streaming MRI reconstruction with diffusion priors, as Gadgetron gadgets, and from Python.

Nothing is imported before it is used: `import nilatron` costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for true; `typing` takes longer to import than all of this

if TYPE_CHECKING:
    from nilatron.core.baselines.cg_sense import cg_sense
    from nilatron.core.baselines.l1_wavelet import l1_wavelet
    from nilatron.core.coils.espirit import espirit_maps
    from nilatron.core.errors import BadInputError
    from nilatron.core.sense import SenseOperator
    from nilatron.pipelines.python.prior import Denoiser, load_prior, sample_images, sample_posterior
    from nilatron.pipelines.python.raw import RawScan, RawSlice, read_raw
    from nilatron.pipelines.python.reconstruct import Reconstruction, reconstruct
    from nilatron.pipelines.python.replay import Image, Images, replay

__version__ = "0.2.0"

__all__ = [
    "BadInputError",
    "Denoiser",
    "Image",
    "Images",
    "RawScan",
    "RawSlice",
    "Reconstruction",
    "SenseOperator",
    "__version__",
    "cg_sense",
    "espirit_maps",
    "l1_wavelet",
    "load_prior",
    "read_raw",
    "reconstruct",
    "replay",
    "sample_images",
    "sample_posterior",
]

_MODULES = {
    "core.baselines.cg_sense": ("cg_sense",),
    "core.baselines.l1_wavelet": ("l1_wavelet",),
    "core.coils.espirit": ("espirit_maps",),
    "core.errors": ("BadInputError",),
    "core.sense": ("SenseOperator",),
    "pipelines.python.prior": ("Denoiser", "load_prior", "sample_images", "sample_posterior"),
    "pipelines.python.raw": ("RawScan", "RawSlice", "read_raw"),
    "pipelines.python.reconstruct": ("Reconstruction", "reconstruct"),
    "pipelines.python.replay": ("Image", "Images", "replay"),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}


if not TYPE_CHECKING:  # to which every name would be known

    def __getattr__(name):
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        globals()[name] = found = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
        return found

    def __dir__():
        return sorted({*globals(), *__all__})
