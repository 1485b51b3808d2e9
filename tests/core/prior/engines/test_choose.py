import pytest

from nilatron.core.prior.engines.choose import EngineSettings, engine_for
from nilatron.core.prior.weights import load_prior, shipped_weights


def test_words_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match="engine must be one of torch"):
        EngineSettings(engine="caffe")
    with pytest.raises(ValueError, match="precision must be one of auto, fp32"):
        EngineSettings(precision="int8")


def test_the_label_names_engine_and_precision():
    prior = load_prior(shipped_weights("tiny"))
    assert engine_for(prior, EngineSettings(precision="fp32"), "cpu").label == "torch fp32"
    assert engine_for(prior, EngineSettings(precision="bf16"), "cpu").label == "torch bf16"
