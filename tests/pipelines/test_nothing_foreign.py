"""Nothing from the network imports code, opens a file outside the configuration folders, expands an entity, or is unpickled.

What the interpreter does meanwhile is watched by an audit hook.
"""

import ast
import json
import pickle
import socket
import sys
import threading
import tracemalloc
from contextlib import contextmanager
from pathlib import Path

import ismrmrd
import numpy as np
import pytest
from ismrmrd.xsd import ToXML

from nilatron.core.errors import BadInputError
from nilatron.gadgets.stock.registry import STOCK_GADGETS
from nilatron.pipelines.chain.find import ChainError
from nilatron.pipelines.chain.grammar import check_grammar
from nilatron.pipelines.chain.host import build
from nilatron.pipelines.chain.xml import parse_chain, parse_configuration
from nilatron.pipelines.conversation.conversation import ConversationSettings, Opening, run_conversation
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.header import parse_header
from nilatron.pipelines.server.caller import SharedState
from nilatron.pipelines.server.opening import read_request
from nilatron.pipelines.server.peer import PeerConnection
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items
from nilatron.pipelines.wire import (
    Close,
    Config,
    ConfigName,
    Connection,
    Decoder,
    Error,
    Header,
    Limits,
    Text,
    Timeouts,
    encode,
)
from nilatron.pipelines.wire.received_image import parse_attributes

ROOT = Path(__file__).resolve().parents[2]
WATCHED = (
    "import",
    "open",
    "pickle.find_class",
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "ctypes.dlopen",
)
TIMEOUTS = Timeouts(10, 10, 5)
SCAN = SimulationSettings(matrix=(16, 12, 1), n_coils=2, noise_lines=8)
CHAIN = "<configuration><version>2</version><stream>{}</stream></configuration>"
GADGET = "<gadget><dll>{dll}</dll><classname>{name}</classname></gadget>"
NODE = '<external><execute name="{name}" target="{target}" type="python"/><configuration>{inner}</configuration></external>'
watch = threading.local()


def hook(event, arguments):
    seen = getattr(watch, "seen", None)
    if seen is not None and event in WATCHED:
        seen.append((event, str(arguments[0])))


sys.addaudithook(hook)


@contextmanager
def watched():
    """What this thread imports, opens, starts and unpickles."""
    watch.seen = []
    try:
        yield watch.seen
    finally:
        watch.seen = None


def test_the_watch_sees_what_it_should_see(tmp_path):
    with watched() as seen:
        (tmp_path / "a").write_text("")
        pickle.loads(pickle.dumps(Path))  # noqa: S301
    assert {event for event, _ in seen} >= {"open", "pickle.find_class"}


def message_bytes(*messages):
    return b"".join(bytes(part) for message in messages for part in encode(message))


@pytest.fixture(scope="module")
def header():
    return ToXML(simulate_items(SCAN)[0])


def open_scan(data, folders=()):
    """What a session of the server does with the opening of a scan; the error, None when it can be held."""
    peer, here = socket.socketpair()
    with peer, here:
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
        try:
            request = read_request(PeerConnection(here, Limits(), TIMEOUTS, SharedState(bytearray(2))), folders)
            build(request.chain)
        except BadInputError as error:
            return str(error)
    return None


def fire(**parameters):
    return json.dumps({"parameters": parameters})


HOSTILE = {
    "a path as a name": [ConfigName("../../../etc/passwd")],
    "an absolute path as a name": [ConfigName("/etc/passwd")],
    "a path with .xml": [ConfigName("/etc/passwd.xml")],
    "a name with NUL inside": [ConfigName("nila\n/etc/passwd")],
    "a URL as a name": [ConfigName("http://127.0.0.1/chain.xml")],
    "another module": [Config.of(CHAIN.format(NODE.format(name="os", target="system", inner="")))],
    "our package, another module": [
        Config.of(CHAIN.format(NODE.format(name="nilatron.pipelines.cli", target="main", inner="")))
    ],
    "a target that is no reconstruction": [
        Config.of(CHAIN.format(NODE.format(name="nilatron.pipelines.node", target="run", inner="")))
    ],
    "a library": [Config.of(CHAIN.format(GADGET.format(dll="/lib/libc.so.6", name="system")))],
    "a class by module": [Config.of(CHAIN.format(GADGET.format(dll="d", name="os.system")))],
    "a connection elsewhere": [Config.of(CHAIN.format('<external><connect address="127.0.0.1" port="1"/></external>'))],
    "weights of the node": [Config.of('<configuration><property name="weights" value="/etc/passwd"/></configuration>')],
    "a target of the node": [Config.of('<configuration><property name="target" value="os.system"/></configuration>')],
    "a path in JSON": [ConfigName("openrecon"), Text.of(fire(config="../../etc/passwd"))],
    "a path as customconfig": [Config.of(fire(customconfig="/etc/passwd"))],
    "weights in JSON": [ConfigName("nila"), Text.of(fire(weights="/etc/passwd"))],
    "a pickle as configuration": [Config(pickle.dumps(Path))],
    "a pickle as JSON": [Config(b"{" + pickle.dumps(Path))],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_a_peer_asks_for_names_neither_code_nor_files(header, tmp_path, kind):
    (tmp_path / "mine.xml").write_text(
        CHAIN.format(NODE.format(name="nilatron.pipelines.node", target="cg_sense", inner=""))
    )
    asked, *texts = HOSTILE[kind]
    assert STOCK_GADGETS  # imported before anything is watched
    for warm in (ConfigName("nila"), ConfigName("mine")):
        assert open_scan(message_bytes(warm, Header.of(header)), (tmp_path,)) is None
    with watched() as seen:
        error = open_scan(message_bytes(asked, Header.of(header), *texts), (tmp_path,))
    assert error
    assert "root:" not in error
    allowed = (str(tmp_path), str(ROOT / "xml_configs"), str(ROOT / "src" / "nilatron" / "xml_configs"))
    assert [(event, what) for event, what in seen if event != "open" or not what.startswith(allowed)] == []


def test_a_link_that_leads_out_of_the_folder_is_not_followed(header, tmp_path):
    folder, outside = tmp_path / "configs", tmp_path / "secret.xml"
    folder.mkdir()
    outside.write_text(CHAIN.format(NODE.format(name="nilatron.pipelines.node", target="cg_sense", inner="")))
    (folder / "mine.xml").symlink_to(outside)
    error = open_scan(message_bytes(ConfigName("mine"), Header.of(header)), (folder,))
    assert "leads out of the configuration folder" in error


LAUGHS = "<!DOCTYPE x [<!ENTITY a0 'ha'>{}]>".format(
    "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 20}'>" for n in range(1, 8))
)
DOCTYPES = {
    "a file": ('<!DOCTYPE x [<!ENTITY e SYSTEM "file://{secret}">]>', "&e;"),
    "a file as a parameter": ('<!DOCTYPE x [<!ENTITY % p SYSTEM "file://{secret}"> %p;]>', ""),
    "an external type": ('<!DOCTYPE x SYSTEM "file://{secret}">', ""),
    "a definition": ('<!DOCTYPE x [<!ENTITY e "halibut">]>', "&e;"),
    "a thousand million": (LAUGHS, "&a7;"),
}
STUDY = "<ismrmrdHeader><studyInformation><studyID>{}</studyID></studyInformation></ismrmrdHeader>"
ITS_GADGET = CHAIN.format("<gadget><dll>{0}</dll><classname>{0}</classname></gadget>")
INNER = '<configuration><property name="a" value="b"/>{}</configuration>'
PLACES = {
    "header": (STUDY, parse_header, InputError),
    "chain": (ITS_GADGET, parse_chain, ChainError),
    "grammar": (ITS_GADGET, lambda xml: check_grammar(xml, "x"), ChainError),
    "configuration": (INNER, lambda xml: parse_configuration(xml, "x"), ChainError),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", DOCTYPES)
def test_no_entity_is_expanded(tmp_path, place, kind):
    secret = tmp_path / "secret.txt"
    secret.write_text("swordfish")
    document, entity = DOCTYPES[kind]
    inside, read, error = PLACES[place]
    xml = (document.replace("{secret}", str(secret)) + inside.format(entity)).encode()
    tracemalloc.start()
    with watched() as seen, pytest.raises(error) as caught:
        read(xml)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "swordfish" not in str(caught.value)
    assert not [what for event, what in seen if event == "open"]
    assert peak < 1 << 20


@pytest.mark.parametrize("kind", DOCTYPES)
def test_no_entity_is_expanded_in_the_attributes_of_an_image(tmp_path, kind):
    secret = tmp_path / "secret.txt"
    secret.write_text("swordfish")
    document, entity = DOCTYPES[kind]
    inner = f"<ismrmrdMeta><meta><name>a</name><value>b{entity}</value></meta></ismrmrdMeta>"
    with watched() as seen:
        meta = parse_attributes((document.replace("{secret}", str(secret)) + inner).encode())
    assert "swordfish" not in str(meta)
    assert "haha" not in str(meta)
    opened = [what for event, what in seen if event == "open"]
    assert [what for what in opened if not what.endswith(".py")] == []  # a warning that is logged quotes its source


def pickled_everywhere():
    """Messages with a pickle wherever bytes may be."""
    bad = pickle.dumps(Path("x"))
    image = message_bytes(ismrmrd.Image.from_array(np.zeros((2, 2), np.float32)))
    head, attributes = image[:200], image[200:208]
    assert attributes == bytes(8)
    return (
        message_bytes(Text(bad)) + head + len(bad).to_bytes(8, "little") + bad + image[208:] + message_bytes(Error(bad))
    )


def test_nothing_that_a_node_receives_is_unpickled(header):
    stream = pickled_everywhere()
    with watched() as seen:
        messages = list(Decoder().feed(stream))
        assert messages[1].meta == {}
        for document in (pickle.dumps(Path("x")), pickle.dumps(Path("x"), 0)):
            for read in (parse_header, parse_chain, lambda xml: parse_configuration(xml, "x")):
                with pytest.raises(BadInputError):
                    read(document)
    assert seen == []
    here, peer = socket.create_server(("127.0.0.1", 0)), None
    with here:
        peer = socket.create_connection(here.getsockname(), 20)
        node, _ = here.accept()
    with peer:
        peer.sendall(stream + message_bytes(Close()))
        with watched() as seen:
            thread = threading.Thread(target=lambda: peer.recv(1 << 20))
            thread.start()
            report = run_conversation(
                Connection(node, timeouts=TIMEOUTS),
                Opening("cg_sense", b"", header.encode()),
                settings=ConversationSettings(end_s=0.2),
            )
            thread.join(20)
    assert report.outcome == "failed"
    assert not [event for event, _ in seen if event == "pickle.find_class"]


FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "code", "runpy"}
IMPORTS_BY_NAME = {
    "core/prior/engines/packages.py": "packages of engines that may not be installed",
    "pipelines/prior/convert_source.py": "code of their own that users name on their command line",
    "pipelines/server/processes.py": "the front names session and worker",
    "pipelines/training/images.py": "readers of pictures that may not be installed",
}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "import_module", "exec_module"}
SOURCES = [path for layer in ("core", "gadgets", "pipelines") for path in sorted((ROOT / layer).rglob("*.py"))]


@pytest.mark.slow
def test_no_source_can_unpickle_or_import_by_name():
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None) or ""}
                found += [(path.name, name) for name in names if name.split(".")[0] in FORBIDDEN_MODULES]
            elif isinstance(node, ast.Call):
                name = node.func.id if isinstance(node.func, ast.Name) else None
                whole = ast.unparse(node.func)
                is_load = whole in ("np.load", "numpy.load", "torch.load")
                keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                by_name = whole.endswith((".import_module", ".exec_module"))
                if name in FORBIDDEN_CALLS or (by_name and str(path.relative_to(ROOT)) not in IMPORTS_BY_NAME):
                    found.append((path.name, whole))
                if is_load and keywords.get("allow_pickle") != "False":
                    found.append((path.name, ast.unparse(node)))
    assert found == []
