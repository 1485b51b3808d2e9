import uuid
from dataclasses import replace

import ismrmrd
import pytest

from nilatron.pipelines.archive import identity
from nilatron.pipelines.archive.identity import RunIdentity, checked_uid, file_sha256, image_digest, is_uid, uid
from nilatron.pipelines.files.atomic import InputError


def test_an_identifier_follows_from_its_parts_and_is_that_of_a_uuid():
    found = uid("image", "1", "2")
    assert found == uid("image", "1", "2")
    assert is_uid(found)
    assert found.startswith("2.25.")
    assert uuid.UUID(int=int(found.removeprefix("2.25."))).variant == uuid.RFC_4122
    others = {uid("image", "12"), uid("image", "1", "3"), uid("series", "1", "2"), uid("image", "1", "2", "")}
    assert len(others | {found}) == 5


@pytest.mark.parametrize("text", ["1.2", "0.0", "2.25." + "9" * 59])
def test_identifiers_of_others_are_taken(text):
    assert checked_uid(text) == text


@pytest.mark.parametrize("text", ["", "1", "1.", ".1", "1.02", "1.2.a", "1.2 ", "1..2", "2.25." + "9" * 60])
def test_what_is_none_is_refused(text):
    with pytest.raises(InputError, match="expected a DICOM UID"):
        checked_uid(text)


def test_runs_differ_in_anything_that_they_are_made_from(monkeypatch):
    run = RunIdentity("raw", {"chain": "a", "seed": "0"})
    assert run.text == RunIdentity("raw", {"seed": "0", "chain": "a"}).text
    others = [
        replace(run, raw_sha256="b"),
        replace(run, facts={"chain": "a", "seed": "1"}),
        replace(run, facts={"chain": "a"}),
    ]
    texts = {run.text, *(other.text for other in others)}
    monkeypatch.setattr(identity, "__version__", "another")
    assert len(texts | {run.text}) == 5


def test_a_file_counts_with_all_its_bytes(tmp_path):
    path = tmp_path / "raw.h5"
    path.write_bytes(b"abc")
    first = file_sha256(path)
    path.write_bytes(b"abd")
    assert first != file_sha256(path)
    assert file_sha256(tmp_path / "no such file") == "none"


def changed(image, how):
    if how == "a pixel":
        image.data[0, 0, 3, 4] += 1e-3
    elif how == "its place":
        image.position[2] += 1
    elif how == "its slice":
        image.slice = 5
    else:
        meta = ismrmrd.Meta.deserialize(image.attribute_string)
        meta["nilatron_seconds" if how == "the time that it took" else "nilatron_steps"] = "9.5"
        image.attribute_string = meta.serialize()
    return image_digest(image)


@pytest.mark.parametrize("how", ["a pixel", "its place", "its slice", "how it was made"])
def test_an_image_counts_with_pixels_head_and_making(image, how):
    assert image_digest(image()) == image_digest(image())
    assert changed(image(), how) != image_digest(image())


def test_the_time_that_an_image_took_does_not_count(image):
    assert changed(image(), "the time that it took") == image_digest(image())
