from nilatron.pipelines.chain.find import find_chain
from nilatron.pipelines.cli.app import BAD_INPUT


def test_check_names_every_problem_with_file_and_line(command, tmp_path):
    path = tmp_path / "mine.xml"
    xml = find_chain("nila").xml.decode()
    path.write_text(xml.replace('target="nila"', 'target="nlia"').replace("ImageWriter", "PictureWriter"))
    lines = path.read_text().splitlines()
    code, out, err = command("configs", "check", path)
    assert (code, out) == (BAD_INPUT, "")
    assert str(path) in err
    for word, reason in (("nlia", "unknown target 'nlia'"), ("PictureWriter", "has no writer 'PictureWriter'")):
        at = next(number for number, line in enumerate(lines, 1) if word in line)
        assert f"line {at}: " in err
        assert reason in err


def test_check_takes_shipped_names_and_prefers_the_file_that_lies_there(command, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    assert command("configs", "check", "nila")[::2] == (0, "")
    assert command("configs", "check", "nila.xml")[::2] == (0, "")
    (tmp_path / "nila.xml").write_text("<configuration/>")
    code, _, err = command("configs", "check", "nila.xml")
    assert code == BAD_INPUT
    assert "line 1: /configuration: expected one <stream>" in err
    assert f"{tmp_path / 'nila.xml'} is used, not the chain of this name in" in caplog.text
    assert command("configs", "check", "nila")[0] == 0


def test_check_says_that_the_legacy_form_is_legacy(command, tmp_path):
    path = tmp_path / "old.xml"
    path.write_text(
        "<gadgetronStreamConfiguration><reader><slot>1008</slot><dll>gadgetron_mricore</dll>"
        "<classname>GadgetIsmrmrdAcquisitionMessageReader</classname></reader><writer><slot>1022</slot>"
        "<dll>gadgetron_mricore</dll><classname>MRIImageWriter</classname></writer></gadgetronStreamConfiguration>"
    )
    code, out, err = command("configs", "check", path)
    assert code == 0
    assert f"{path}: note: line 1: <gadgetronStreamConfiguration> is the legacy form" in err
    assert "Gadgetron would take it" in out
