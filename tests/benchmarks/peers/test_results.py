"""The report: what Nila fast took against its floor, and files after every case."""

import json

import pytest

from nilatron.core.prior.weights import shipped_weights
from peers.results import Report, floor_row

MACHINE = {"n_cores": 2, "convolution_flops": 1e11, "convolution": "", "copy_bytes": 1e10, "load_at_start": 0.0}
NILA = {
    "seconds": 2.0,
    "psnr_db": 30.0,
    "n_evaluations": 8,
    "n_products": 50,
    "full_share": 0.7,
    "peak_bytes": 5e8,
    "note": "",
}
TINY = shipped_weights("tiny")


def test_no_floor_for_what_did_not_run():
    assert floor_row(MACHINE, "", (4, 1, 64, 64), {"missing": "failed"}, TINY) is None
    assert floor_row(MACHINE, "", (4, 1, 64, 64), {}, TINY) is None


@pytest.mark.slow
def test_twice_the_machine_is_twice_as_far_from_the_floor():
    faster = {**MACHINE, "convolution_flops": 2e11, "copy_bytes": 2e10}
    rows = [floor_row(machine, "", (4, 1, 64, 64), NILA, TINY) for machine in (MACHINE, faster)]
    assert abs(rows[1]["achieved / floor"] / rows[0]["achieved / floor"] - 2) < 1e-9


def test_every_case_is_in_the_files_as_soon_as_it_is_done(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)  # as if it were not installed
    report = Report(tmp_path / "out", MACHINE, TINY)
    for name in ("first", "second"):
        report.add(name, f"title of the {name}", (4, 1, 64, 64), {"nila": NILA, "sigpy": {"missing": "not installed"}})
        assert f"## title of the {name}" in (tmp_path / "out" / "compare.md").read_text()
        assert json.loads((tmp_path / "out" / "compare.json").read_text())["cases"][name]["nila"]["seconds"] == 2.0
    assert "not installed" in report.markdown()
    assert not (tmp_path / "out" / "compare.png").exists()
