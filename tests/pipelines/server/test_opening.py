"""Who calls, and which chain that means; nothing a peer says opens another file or runs other code."""

import json
import socket

import pytest

from nilatron.core.errors import BadInputError
from nilatron.pipelines.chain.find import External
from nilatron.pipelines.chain.xml import ChainError
from nilatron.pipelines.server.caller import Caller, SharedState
from nilatron.pipelines.server.opening import chain_by_name, node_chain, read_request, with_properties
from nilatron.pipelines.server.peer import PeerConnection
from nilatron.pipelines.wire import Close, Config, ConfigName, Connection, Header, LimitError, Limits, Text, Timeouts

CHAIN = b"""<configuration><version>2</version><stream><external>
<execute name="nilatron.pipelines.node" target="cg_sense" type="python"/><configuration/></external></stream></configuration>"""
ENTITY = b'<!DOCTYPE c [<!ENTITY e SYSTEM "file:///etc/hostname">]>'


@pytest.fixture
def asking():
    """What a server makes of messages, and the connection that it has then."""
    sockets = []

    def ask(*messages, limits=None, **options):
        ours, theirs = socket.socketpair()
        sockets.extend((ours, theirs))
        connection = PeerConnection(ours, limits or Limits(), Timeouts(5, 5, 5), SharedState(bytearray(2)))
        peer = Connection(theirs)
        for message in messages:
            peer.send(message)
        theirs.shutdown(socket.SHUT_WR)
        return read_request(connection, **options), connection

    yield ask
    for sock in sockets:
        sock.close()


def node_of(chain):
    return next(node for node in chain.stream if isinstance(node, External))


def test_a_name_is_a_client(asking):
    request, connection = asking(ConfigName("cg_sense.xml"), Header.of("<h/>"), Close())
    assert request.caller is connection.shared.caller is Caller.CLIENT
    assert node_of(request.chain).target == "cg_sense"
    assert isinstance(connection.receive(), Close)


def test_a_whole_chain_is_a_client(asking):
    request, _ = asking(Config(CHAIN + b"\0"), Header.of("<h/>"), Close())
    assert request.caller is Caller.CLIENT
    assert node_of(request.chain).target == "cg_sense"


@pytest.mark.parametrize("content", [b"", b'<?xml version="1.0"?>\n', b"<configuration/>", b"<configuration/>\0"])
def test_a_nodes_configuration_is_gadgetron(asking, content):
    request, _ = asking(Config(content), Header.of("<h/>"))
    assert request.caller is Caller.NODE
    assert node_of(request.chain).target == "nila"


def test_text_with_parameters_is_fire(asking):
    text = json.dumps({"parameters": {"config": "l1_wavelet", "iterations": 7, "customconfig": ""}})
    request, _ = asking(ConfigName("openrecon"), Header.of("<h/>"), Text.of(text))
    node = node_of(request.chain)
    assert request.caller is Caller.FIRE
    assert node.target == "l1_wavelet"
    assert node.properties["iterations"] == "7"
    assert node.properties["pixel_type"] == "int16"


@pytest.mark.parametrize("name", ["sendOriginal", "sendoriginal", "options", "Options"])
def test_fires_own_parameters_are_no_properties(asking, name):
    text = json.dumps({"parameters": {name: "true", "steps": 3}})
    node = node_of(asking(ConfigName("openrecon"), Header.of("<h/>"), Text.of(text))[0].chain)
    assert name not in node.properties
    assert node.properties["steps"] == "3"


@pytest.mark.parametrize(
    ("asked", "every_client_is_fire", "caller"),
    [
        (ConfigName("openrecon"), False, Caller.FIRE),
        (ConfigName("openrecon.xml"), False, Caller.FIRE),
        (ConfigName("cg_sense"), False, Caller.CLIENT),
        (ConfigName("cg_sense"), True, Caller.FIRE),
        (Config(CHAIN), True, Caller.FIRE),
        (Config(b"<configuration/>"), True, Caller.NODE),
    ],
)
def test_fire_without_parameters(asking, asked, every_client_is_fire, caller):
    request, connection = asking(asked, Header.of("<h/>"), Close(), every_client_is_fire=every_client_is_fire)
    assert request.caller is connection.shared.caller is caller
    assert (node_of(request.chain).properties.get("pixel_type") == "int16") is (caller is Caller.FIRE)
    assert isinstance(connection.receive(), Close)


def test_the_variable_says_what_openrecon_means(monkeypatch):
    monkeypatch.setenv("openrecon", "cg_sense")
    assert chain_by_name("openrecon").name == "cg_sense"


def test_nothing_asked_for(asking):
    assert asking()[0] is None
    assert asking(Close())[0] is None
    assert asking(ConfigName("nila"), Close())[0] is None


@pytest.mark.parametrize(
    "messages", [(Header.of("<h/>"),), (ConfigName("nila"), ConfigName("nila")), (Text.of("hello"), Header.of("<h/>"))]
)
def test_an_order_that_makes_no_sense(asking, messages):
    with pytest.raises(BadInputError, match="expected"):
        asking(*messages)


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "/etc/passwd",
        "..\\secret",
        "sub/chain",
        "link",
        "nila\0.xml",
        "a" * 1000,
        "",
        "null",
        "savedataonly",
    ],
)
def test_names_lead_nowhere_else(tmp_path, name):
    folder = tmp_path / "configs"
    (folder / "sub").mkdir(parents=True)
    for place in (tmp_path / "secret.xml", folder / "sub/chain.xml"):
        place.write_bytes(CHAIN)
    (folder / "link.xml").symlink_to(tmp_path / "secret.xml")
    with pytest.raises(ChainError):
        chain_by_name(name, (folder,))


def test_links_inside_the_folder_and_its_own_files_are_found(tmp_path):
    (tmp_path / "own.xml").write_bytes(CHAIN)
    (tmp_path / "alias.xml").symlink_to(tmp_path / "own.xml")
    assert {chain_by_name(name, (tmp_path,)).name for name in ("own", "alias.xml")} == {"own", "alias"}


@pytest.mark.parametrize(
    "content",
    [
        ENTITY + b"<configuration>&e;</configuration>",
        ENTITY + CHAIN,
        CHAIN.replace(b"nilatron.pipelines.node", b"os"),
        CHAIN.replace(b"<external>", b"<gadget><dll>x</dll><classname>Shell</classname></gadget><external>"),
    ],
)
def test_no_entity_and_no_foreign_code(asking, content):
    from nilatron.pipelines.chain.host import build

    with pytest.raises(ChainError, match=r"entities|runs only|unknown gadget"):
        build(asking(Config(content), Header.of("<h/>"), Close())[0].chain)


def test_sizes_are_bounded(asking):
    with pytest.raises(LimitError):
        asking(Config(b" " * 100), limits=Limits(config_bytes=99))


def test_properties_go_to_our_node_and_pixels_only_to_the_last():
    chain = with_properties(chain_by_name("nila_after_gadgetron"), {"pixel_type": "int16"}, {"steps": "4"})
    assert node_of(chain).properties["pixel_type"] == "complex64"
    assert node_of(chain).properties["steps"] == "4"


def test_the_nodes_target():
    chain = node_chain(b'<configuration><property name="target" value="cg_sense"/></configuration>')
    assert node_of(chain).target == "cg_sense"
    assert node_of(chain).properties == {}
