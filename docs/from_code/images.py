"""Series of images and the keys of their metadata."""

from __future__ import annotations

import ast
from pathlib import Path

from from_code.fields import code, compared, table

ROOT = Path(__file__).resolve().parents[2]

SERIES = {
    "main": "image of the target: Nila, l1-wavelet, CG-SENSE or zero-filled",
    "conventional": "CG-SENSE image of the same slice; it leaves first, and replaces an image that could not be made",
    "mean": "mean of posterior samples (MMSE)",
    "map": "noise-free end of a posterior sample's chain, near the maximum of the posterior (MAP)",
    "sample": "one posterior sample: an image that fits both the data and the prior, grain included",
    "uncertainty": "error map: standard deviation of the error of the image's magnitude, in the units of the image",
    "std": "standard deviation of the magnitudes of posterior samples, uncalibrated",
}

KEYS = {
    "DataRole": "`Image`; with `Quantitative` for uncertainty maps",
    "SeriesDescription": "method; ends in `DOUBTFUL` where the image is doubtful",
    "SeqDescription": "the same in one word",
    "ImageComment": "method, `research only`, and then every reason why the image is less than it should be",
    "ImageType": "`DERIVED`, `SECONDARY`, and `IMAGE` or `UNCERTAINTY`",
    "ImageProcessingHistory": "`Nilatron` and the method",
    "WindowCenter": "centre of the display window in pixel values",
    "WindowWidth": "its width: the 99.5th percentile of the pixels, at least 5 SNR units",
    "ScaleRatio": "pixel values per SNR unit",
    "RescaleSlope": "SNR units per pixel value: pixel times slope is in SNR units",
    "RescaleIntercept": "always 0",
    "ImageNumber": "number of the image in its series",
    "Keep_image_geometry": "1: FIRE shall keep the geometry of the header",
    "Skip_processing_after_recon": "1 for uncertainty maps: the scanner's filters would change them",
    "encoding": "number of the encoding space in the header",
    "encoding_FOV": "field of view (x, y, z) of the encoded space in mm",
    "recon_FOV": "field of view (x, y, z) of the recon space in mm",
    "nilatron_saturated_pixels": "pixels that were clipped; lower `image_scale` if there are any",
    "nilatron_version": "version of the program",
    "nilatron_seed": "seed of the run; the same seed gives the same image",
    "nilatron_device": "cpu or cuda",
    "nilatron_target": "target of the node; `cg_sense` where the conventional image stands in",
    "nilatron_sampler": "what made the image: nila_fast, nila_published, CG-SENSE",
    "nilatron_acceleration": "k-space samples of the grid over acquired ones",
    "nilatron_noise_source": "where the noise covariance comes from: noise scan, noise file, store, given, upstream or data",
    "nilatron_noise_measurement": "measurementID of the noise measurement",
    "nilatron_noise_dwell_us": "dwell time of the noise lines in microseconds",
    "nilatron_noise_bandwidth_ratio": "relative receiver noise bandwidth that was used",
    "nilatron_sigma_header": "noise level that noise scan and header promise, in SNR units; `none` without a noise scan",
    "nilatron_sigma_measured": "noise level measured in the data, in SNR units",
    "nilatron_sigma_used": "noise level that the reconstruction used, in SNR units",
    "nilatron_sigma_model": "complex standard deviation of the noise as the sampler takes it",
    "nilatron_scale": "image scale: the network sees the image divided by it",
    "nilatron_chi2": "data residual per sample in units of the noise variance; about 1 where the image explains the data",
    "nilatron_unexplained": "part of the signal that the image does not explain and that is no noise",
    "nilatron_doubt": "why the image is doubtful; absent where it is not",
    "nilatron_fallback": "why the conventional image stands in the place of the target's",
    "nilatron_shortened": "why there were fewer steps or samples than asked for",
    "nilatron_steps": "evaluations of the network",
    "nilatron_coarse_steps": "of them at about half the resolution",
    "nilatron_iterations": "iterations of l1-wavelet",
    "nilatron_cg_iterations": "conjugate gradient iterations of all data consistency steps",
    "nilatron_detail": "detail of the sampler: `detail` as wanted, or what noise and acceleration made of it",
    "nilatron_second_look": "whether the image was looked at again: `yes` or `no`",
    "nilatron_uncertainty_from": "what the error map is: prediction of the weights, or spread of posterior samples",
    "nilatron_uncertainty_calibration": "calibrated, or uncalibrated: then the map promises nothing",
    "nilatron_uncertainty_kappa": "the magnitude is within so many times the map for the share of pixels below",
    "nilatron_uncertainty_coverage": "that share of the object's pixels",
    "nilatron_uncertainty_confidence": "probability that another subject has this coverage or more",
    "nilatron_uncertainty_subjects": "subjects that it was calibrated on, for scans of this acceleration and noise",
    "nilatron_psnr_bound_db": "lower bound of the image's PSNR in dB",
    "nilatron_psnr_bound_confidence": "probability with which the bound holds for another subject",
    "nilatron_coil_maps": "where the coil maps come from",
    "nilatron_maps_refined": "whether the image corrected its coil maps, and by which figures; absent where that was not tried",
    "nilatron_map_sets": "sets of coil maps, where there is more than one: the field of view wraps",
    "nilatron_unfamiliarity": "how unlike the training images the image is, or why that was not judged",
    "nilatron_unfamiliarity_threshold": "above it the image is noted as unfamiliar",
    "nilatron_prior_mismatch": "sentence about an image that the prior was not trained for; absent where it was",
    "nilatron_neighbours": "slices that the image was told of, with their distances; `none` where there were none",
    "nilatron_neighbours_used": "whether the weights have a head that knows them",
    "nilatron_neighbours_sha256": "SHA-256 of that head's weights",
    "nilatron_samples": "posterior samples behind the error map and the series of samples",
    "nilatron_split_sigma": "noise level at which the samples parted from the image, image scale 1",
    "nilatron_sample_widening": "coefficient by which their deviations were enlarged to the size of errors; 0: not at all",
    "nilatron_weights_sha256": "SHA-256 of the prior's weights",
    "nilatron_engine": "engine and precision of the network",
    "nilatron_seconds": "from the slice's last line to this image; only with a time budget",
    "nilatron_slice_budget_s": "the budget of the slice",
    "nilatron_scan_budget_s": "the budget of the scan",
}

MADE_IN = (
    "gadgets/conventional.py",
    "gadgets/reconstruct.py",
    "gadgets/methods.py",
    "gadgets/nila/method.py",
    "gadgets/nila/neighbours.py",
    "gadgets/nila/refined.py",
    "gadgets/nila/run.py",
    "gadgets/nila/samples.py",
    "gadgets/nila/uncertainty.py",
)
ALSO_GADGETRON = "GADGETRON_"


def series() -> str:
    """Series of images by number."""
    from nilatron.gadgets.images import SERIES_INDEX

    compared("series", SERIES_INDEX, SERIES)
    rows = ((str(number), code(role), SERIES[role]) for role, number in SERIES_INDEX.items())
    return table(("image_series_index", "role", "what it holds"), rows)


def metadata_keys() -> str:
    """Keys of the image metadata, with their meaning."""
    found = keys_in_sources()
    compared("metadata key", {key.removeprefix(ALSO_GADGETRON) for key in found}, KEYS)
    rows = []
    for key, text in KEYS.items():
        names = [name for name in (key, ALSO_GADGETRON + key) if name in found]
        rows.append((", ".join(map(code, names)), text))
    return table(("key", "meaning"), rows)


def keys_in_sources() -> set[str]:
    """Every key that the gadgets write into image metadata, as the sources name it."""
    from nilatron.gadgets.images import SERIES_INDEX
    from nilatron.gadgets.methods import METHODS

    provenance = set().union(*(text_keys(ROOT / path) for path in MADE_IN)) - {*SERIES_INDEX, *METHODS}
    own = text_keys(ROOT / "gadgets/images.py", "_meta") - set(SERIES_INDEX)
    return own | {f"nilatron_{name}" for name in provenance}


def text_keys(path: Path, function: str | None = None) -> set[str]:
    """Keys of the dictionaries that a file, or one function of it, writes out, and assigns to."""
    tree: ast.AST = ast.parse(path.read_text())
    if function:
        tree = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == function)
    found = set()
    for node in ast.walk(tree):
        keys: list[ast.expr | None] = node.keys if isinstance(node, ast.Dict) else []
        if isinstance(node, ast.Assign):
            keys = [target.slice for target in node.targets if isinstance(target, ast.Subscript)]
        found |= {key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
    return found
