import numpy as np
import pytest
from PIL import Image

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.prior.subjects import images_by_subject


@pytest.fixture
def images(tmp_path):
    for folder, name in (("a", "one_1.png"), ("a", "one_2.png"), ("b", "two_1.png")):
        (tmp_path / folder).mkdir(exist_ok=True)
        Image.fromarray(np.full((20, 24), 200, np.uint8)).save(tmp_path / folder / name)
    return tmp_path


def test_a_folder_is_a_subject(images):
    found = images_by_subject([images])
    assert {name: len(own) for name, own in found.items()} == {"a": 2, "b": 1}


@pytest.mark.parametrize("pattern", ["(one|two)_", "^[a-z]+"])
def test_a_pattern_tells_subjects_by_file_names(images, pattern):
    assert set(images_by_subject([images], pattern)) == {"one", "two"}


def test_names_without_a_subject_and_broken_patterns_are_refused(images):
    with pytest.raises(InputError, match=r"does not match"):
        images_by_subject([images], "patient")
    with pytest.raises(InputError, match=r"no regular expression"):
        images_by_subject([images], "(")
