import re

import pytest

from nilatron.pipelines.chain.find import ChainError, External, find_chain, list_chains, load_chain
from nilatron.pipelines.chain.host import NODE_MODULE, build

SHIPPED = ["cg_sense", "l1_wavelet", "nila", "nila_after_gadgetron", "nila_published", "zero_filled"]


def chain_of(classname):
    return (
        "<configuration><version>2</version><readers/><writers/><stream>"
        f"<gadget><dll>gadgetron_mricore</dll><classname>{classname}</classname></gadget></stream></configuration>"
    )


def test_the_shipped_chains_are_there_and_can_be_built():
    assert set(SHIPPED) <= set(list_chains())
    for name in SHIPPED:
        chain = load_chain(name)
        targets = []
        build(chain, lambda target, properties, seen=targets: seen.append((target, properties)))
        assert len(targets) == 1
        own = next(node for node in chain.stream if isinstance(node, External))
        assert own.module == NODE_MODULE
        assert [port.classname for port in chain.readers] == [
            "GadgetIsmrmrdAcquisitionMessageReader",
            "GadgetIsmrmrdWaveformMessageReader",
        ]
        assert [port.classname for port in chain.writers] == ["ImageWriter"]
        if name != "nila_after_gadgetron":
            assert chain.stream == (own,)
            assert own.properties["whitened"] == "auto"


def test_chains_are_found_by_name_by_path_and_in_directories(tmp_path):
    path = tmp_path / "mine.xml"
    path.write_text(chain_of("ImageFinishGadget"))
    (tmp_path / "nila.xml").write_text(chain_of("AutoScaleGadget"))
    assert find_chain("nila").xml == find_chain("nila.xml").xml
    assert find_chain(str(path)).name == "mine"
    assert load_chain("mine", [tmp_path]).stream[0].name == "ImageFinishGadget"
    assert load_chain("nila", [tmp_path]).stream[0].name == "AutoScaleGadget"
    assert set(list_chains([tmp_path])) == {*list_chains(), "mine"}


def test_a_file_that_lies_there_is_preferred_and_that_is_told(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    shipped = find_chain("nila")
    assert find_chain("nila.xml") == shipped
    (tmp_path / "nila.xml").write_text(chain_of("AutoScaleGadget"))
    assert load_chain("nila.xml").stream[0].name == "AutoScaleGadget"
    assert f"{tmp_path / 'nila.xml'} is used" in caplog.text
    assert find_chain("nila") == shipped
    assert find_chain("nila.xml", allow_paths=False) == shipped


def test_a_path_that_leads_nowhere_says_so(tmp_path):
    with pytest.raises(ChainError, match="No such file"):
        find_chain(str(tmp_path / "nila.xml"))


def test_unknown_chains_list_the_known_ones(tmp_path):
    with pytest.raises(ChainError, match="unknown chain 'grappa'.*" + ".*".join(SHIPPED)):
        find_chain("grappa")
    with pytest.raises(ChainError, match=re.escape(str(tmp_path / "none"))):
        find_chain("nila", [tmp_path / "none"])


def test_a_name_from_a_network_opens_no_file(tmp_path):
    inside = tmp_path / "configs"
    inside.mkdir()
    path = tmp_path / "mine.xml"
    path.write_text(chain_of("ImageFinishGadget"))
    for name in (str(path), "../mine", "../mine.xml"):
        with pytest.raises(ChainError, match="unknown chain"):
            find_chain(name, [inside], allow_paths=False)
