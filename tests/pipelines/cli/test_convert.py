"""`nilatron convert` as from a shell."""

import pytest

from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.weights import shipped_weights

OURS = load_prior(shipped_weights("tiny")).denoiser
WORDS = ("--convention", "edm", "--architecture", "tiny", "--multiple", "8", "--licence", "CC0", "--key", "net.=")


@pytest.mark.slow
def test_table_and_weights(command, own, folder):
    words = ("convert", "-w", own, "-o", folder / "new.safetensors", *WORDS, "--sigma-data", OURS.sigma_data)
    code, out, _ = command(*words)
    assert code == 0
    assert out.splitlines()[0].startswith("| sigma | noisy | soft wavelet | converted")
    assert out.splitlines()[-1] == f"weights: {folder / 'new.safetensors'}"
    assert load_prior(folder / "new.safetensors").metadata["licence"] == "CC0"


@pytest.mark.slow
def test_a_refusal_shows_the_table_and_leaves_nothing(command, own, head, folder, one_line):
    words = ("convert", own, "-o", folder / "new.safetensors", *WORDS, "--sigma-data", OURS.sigma_data)
    code, out, err = command(*words, "--noise", "complex", "--check", head)
    assert code == 2
    assert len(out.splitlines()) == 7
    assert "did you mean that?" in one_line(err)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (("--key", "net."), "--key expects OLD=NEW"),
        (("-w", "other.onnx"), "weights are given twice"),
        ((), "needs --sigma-data"),
        (("--sigma-data", "0.5", "--check", "absent"), "absent: no such file"),
    ],
)
def test_bad_words(command, own, folder, extra, message, one_line):
    code, out, err = command("convert", own, "-o", folder / "new.safetensors", *WORDS, *extra)
    assert (code, out) == (2, "")
    assert message in one_line(err)
    assert list(folder.iterdir()) == []
