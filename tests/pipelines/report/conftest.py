import ismrmrd
import numpy as np
import pytest

from nilatron.pipelines.files.images import ImageFile


@pytest.fixture
def image_file(tmp_path):
    """Writes images, given as (pixels, series, slice, metadata); returns the file."""

    def write(*images, path=tmp_path / "out.h5"):
        with ImageFile(path, "images", overwrite=True) as file:
            counts = {}
            for pixels, series, index, meta in images:
                made = ismrmrd.Image.from_array(np.asarray(pixels), transpose=False)
                made.image_series_index, made.slice = series, index
                made.image_index = counts[series] = counts.get(series, 0) + 1
                made.meta = meta
                file.write(made)
        return path

    return write
