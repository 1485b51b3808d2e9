import pytest

from nilatron.core.prior.weights import WeightsError
from nilatron.pipelines import doctor
from nilatron.pipelines.chain.find import ChainError


@pytest.mark.slow
def test_a_sound_installation():
    findings = list(doctor.examine())
    assert [f"{finding.subject}: {finding.result}" for finding in findings if not finding.ok] == []
    names = [finding.subject for finding in findings]
    assert names[0] == "interpreter"
    assert {"torch", "ismrmrd", "GPU", "prior", "chains", "loop-back replay"} <= set(names)


def test_a_missing_package():
    finding = doctor.package_version("no-such-package-of-nilatron")
    assert not finding.ok
    assert "not installed" in finding.result


def test_weights_that_do_not_load(monkeypatch):
    def refuse():
        raise WeightsError("no weights file")

    monkeypatch.setattr("nilatron.core.prior.edm_weights.load_prior", refuse)
    assert doctor.weights() == doctor.Finding("prior", "no weights file", ok=False)


def test_a_chain_that_cannot_be_built(monkeypatch):
    def refuse(name):
        raise ChainError(f"{name} is broken")

    monkeypatch.setattr("nilatron.pipelines.chain.find.find_chain", refuse)
    finding = doctor.chains()
    assert not finding.ok
    assert "is broken" in finding.result


@pytest.mark.parametrize("error", [RuntimeError("crash"), OSError("disk full")])
def test_a_replay_that_fails(monkeypatch, error):
    def crash(*_):
        raise error

    monkeypatch.setattr("nilatron.pipelines.replay.replay", crash)
    finding = doctor.loop_back()
    assert not finding.ok
    assert str(error) in finding.result
