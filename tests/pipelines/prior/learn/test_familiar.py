import pytest

from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.familiarity_training import FamiliarityTraining
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.prior.learn.familiar import LearnFamiliarSettings, learn_familiar


def test_what_is_familiar_is_stored_with_the_weights(subjects, make_weights, tmp_path):
    training = FamiliarityTraining(steps=2, batch_size=4, fresh=1, presentations=2, left_out=3)
    found = learn_familiar(
        LearnFamiliarSettings((subjects,), make_weights(True), training), tmp_path / "out.safetensors"
    )
    read = load_prior(tmp_path / "out.safetensors").errors.familiarity
    assert (read.threshold, read.false_alarms) == (found.threshold, found.false_alarms)
    with pytest.raises(InputError, match="predict no errors"):
        learn_familiar(LearnFamiliarSettings((subjects,), make_weights(False), training), tmp_path / "out")
