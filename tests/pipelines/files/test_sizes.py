from nilatron.pipelines.files.sizes import LARGE_BYTES, SMALL_BYTES, most_unpacked


def test_what_is_small_needs_no_evidence_and_what_is_large_does():
    assert most_unpacked(0) == SMALL_BYTES
    assert most_unpacked(1 << 15) == 1100 << 15
    assert most_unpacked(1 << 20) == LARGE_BYTES
    assert most_unpacked(1 << 30) == 20 << 30
    sizes = [most_unpacked(1 << n) for n in range(40)]
    assert sizes == sorted(sizes)
