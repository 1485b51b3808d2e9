import socket

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

    monkeypatch.setattr("nilatron.pipelines.replay.run.replay", crash)
    finding = doctor.loop_back()
    assert not finding.ok
    assert str(error) in finding.result


def test_extras_with_what_is_missing_of_them(monkeypatch):
    stated = [
        "numpy>=2",
        'pydicom>=3; extra == "dicom"',
        "no-such-package>=1; extra == 'dicom'",
        'numpy ; extra == "all"',
    ]
    monkeypatch.setattr("importlib.metadata.requires", lambda _: stated)
    assert [(one.subject, one.result, one.ok) for one in doctor.extras()] == [
        ("extra all", "installed", True),
        ("extra dicom", "without no-such-package: pip install 'nilatron[dicom]'", True),
    ]


def test_extras_of_a_source_tree():
    (finding,) = doctor.extras("no-such-package-of-nilatron")
    assert finding.ok
    assert "source tree" in finding.result


def test_the_machine_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "nilatron").mkdir()
    (tmp_path / "nilatron" / "entry").write_bytes(bytes(3 << 20))
    assert doctor.cache().result == f"{tmp_path / 'nilatron'}, 1 file, 3.0 MiB"
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert "(OMP_NUM_THREADS=3)" in doctor.threads().result
    monkeypatch.setattr("nilatron.pipelines.conversation.memory.memory_bytes", lambda: 1 << 20)
    assert not doctor.memory().ok


def test_a_port_that_is_taken():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert not doctor.is_free(other.getsockname()[1])
    assert doctor.ports().ok
