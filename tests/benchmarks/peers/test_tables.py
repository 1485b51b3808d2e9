"""Tables: ratios to our rows, and rows of what is missing."""

from peers import registry, tables

RESULTS = {
    "nila": {"seconds": 2.0, "psnr_db": 30.0, "n_evaluations": 8, "peak_bytes": 5e8, "note": ""},
    "dds": {"seconds": 10.0, "psnr_db": 28.5, "n_evaluations": 50, "peak_bytes": 4e8, "note": "a | b"},
    "sigpy": {"missing": "not installed (sigpy)"},
    "bart": {"seconds": 3.0, "psnr_db": 29.0, "n_evaluations": 0, "peak_bytes": 3e7, "note": ""},
    "maps": {"seconds": 0.5, "map_error": 0.0, "peak_bytes": 3e8, "note": ""},
    "ecalib": {"seconds": 1.0, "map_error": 0.001, "peak_bytes": 3e7, "note": ""},
    "read": {"seconds": 1e-5, "per_second": 1e5, "peak_bytes": 3e8, "note": ""},
    "read-pypi": {"seconds": 5e-5, "per_second": 2e4, "peak_bytes": 3e8, "note": ""},
}


def test_every_method_has_a_baseline_of_its_own_table():
    for method in registry.METHODS:
        base = registry.BY_KEY[registry.baseline(method)]
        assert base.table == method.table
        assert base.label.startswith("**")
    assert len(registry.BY_KEY) == len(registry.METHODS)


def test_images_are_compared_with_nila_fast():
    rows = {row["method"]: row for row in tables.image_rows(RESULTS)}
    assert rows["DDS, reimplemented"]["times ours"] == "5"
    assert rows["DDS, reimplemented"]["ours better by / dB"] == "+1.50"
    assert rows["**Nila fast** (ours)"]["ours better by / dB"] is None
    assert "|" not in rows["DDS, reimplemented"][""]


def test_what_is_missing_has_a_row_that_says_why():
    row = next(row for row in tables.image_rows(RESULTS) if row["method"].startswith("SigPy"))
    assert (row["seconds"], row["PSNR / dB"], row[""]) == (None, None, "not installed (sigpy)")


def test_maps_and_streams_have_their_own_tables():
    maps = tables.map_rows(RESULTS)
    assert [row["times ours"] for row in maps] == ["1", "2"]
    assert [row["times ours"] for row in tables.stream_rows(RESULTS)] == ["1", "5"]


def test_a_slice_is_maps_and_image():
    assert "ratio 0.62" in tables.slice_sentence(RESULTS)
    assert tables.slice_sentence({"nila": RESULTS["nila"]}) is None
