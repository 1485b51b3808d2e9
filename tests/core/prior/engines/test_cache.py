from nilatron.core.prior.engines.cache import NoCache


def test_nothing_is_kept():
    NoCache().write("onnx", {"weights": "ab"}, b"content")
    assert NoCache().read("onnx", {"weights": "ab"}) is None
