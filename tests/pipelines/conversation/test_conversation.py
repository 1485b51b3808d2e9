"""Conversations over loop-back TCP: what the other end has received, whatever happens."""

import logging
import threading
import time

import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.items import Context, ScanError
from nilatron.pipelines.conversation.conversation import Conversation, ConversationSettings, Opening, run_conversation
from nilatron.pipelines.wire import Close, Connection, Error, Header, ImageArray, Text, Timeouts, encode
from nilatron.pipelines.wire.structures import IMAGE_HEADER

N_PIXELS = 512 * 1024  # of an image of 2 MB
HEADER = (
    b'<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><experimentalConditions/><encoding><trajectory>cartesian'
    b"</trajectory><encodedSpace><matrixSize><x>512</x><y>512</y><z>512</z></matrixSize><fieldOfView_mm><x>9</x><y>9</y>"
    b"<z>9</z></fieldOfView_mm></encodedSpace><encodingLimits/></encoding></ismrmrdHeader>"
)


def line(n_coils=16, n_samples=512, flag=None):
    acquisition = ismrmrd.Acquisition.from_array(np.ones((n_coils, n_samples), np.complex64))
    if flag is not None:
        acquisition.set_flag(flag)
    return acquisition


def image(index):
    made = ismrmrd.Image.from_array(np.full((1, N_PIXELS // 1024, 1024), index, np.float32))
    made.image_index = index
    return made


def message_bytes(*messages):
    return b"".join(bytes(part) for message in messages for part in encode(message))


def makes(n_images, fault=None, after=0):
    """A gadget that sends images after the first item and leaves the rest unread; `fault` comes after so many images."""

    def gadget(items, context):
        next(items)
        context.log.counts["images expected"] += n_images
        for index in range(1, n_images + 1):
            if fault is not None and index == after + 1:
                raise fault
            yield image(index)
        if fault is not None and after == n_images:
            raise fault

    return gadget


def passes_images(items, context):
    """A gadget that makes nothing."""
    assert context.header is None
    return (item for item in items if isinstance(item, ismrmrd.Image))


def reads_all(items, context):
    """A gadget: one image for each line."""
    for number, _ in enumerate(items, 1):
        context.log.counts["images expected"] += 1
        yield image(number)


LINE = message_bytes(line())
SCAN = message_bytes(*[line()] * 60, Close())  # 4 MB


@pytest.mark.parametrize("fault", [None, RuntimeError("too late")])
def test_eight_images_of_2_mb_arrive_although_input_is_unread_and_the_peer_is_slow(ends, held, fault):
    here, peer = ends
    _, wait = held(here, makes(8, fault, after=8))
    peer.send_meanwhile(SCAN)
    time.sleep(0.2)
    peer.read_to_end(pause_s=0.01)
    assert peer.kinds() == [*range(1, 9), *([] if fault is None else ["Error"]), "Close"]
    assert all(m.data.size == N_PIXELS and np.all(m.data == m.image_index) for m in peer.messages()[:8])
    report = wait()
    assert (report.outcome, report.n_images) == ("complete" if fault is None else "failed", 8)


@pytest.mark.parametrize(
    ("gadget", "n_images"),
    [
        (ModuleNotFoundError("No module named 'torch'"), 0),
        (ScanError("no such property"), 0),
        (makes(3, ScanError("line 1 is no line"), after=0), 0),
        (makes(3, MemoryError("at image 3"), after=2), 2),
        (makes(3, RuntimeError("at the end"), after=3), 3),
        (makes(3, KeyError("three"), after=1), 1),
    ],
)
def test_a_failure_is_told_after_the_images_that_could_be_made(ends, held, gadget, n_images):
    here, peer = ends
    _, wait = held(here, gadget)
    peer.send_meanwhile(SCAN)
    peer.read_to_end()
    assert peer.kinds() == [*range(1, n_images + 1), "Error", "Close"]
    assert peer.error().startswith("nilatron test: ")
    report = wait()
    assert (report.outcome, report.n_images) == ("failed", n_images)
    assert report.error in peer.error()


def test_missing_images_and_fall_backs_are_told(ends, held):
    here, peer = ends

    def gadget(items, context):
        for _ in items:
            pass
        context.log.counts["images expected"] += 2
        context.log.problems.append("slice 1: the network failed")
        yield image(1)

    _, wait = held(here, gadget)
    peer.send_meanwhile(SCAN)
    peer.read_to_end()
    assert peer.kinds() == [1, "Error", "Close"]
    assert "only 1 of 2 images could be made: slice 1: the network failed" in peer.error()
    wait()


@pytest.mark.slow
def test_a_reader_that_takes_nothing_is_given_up(ends, held):
    here, peer = ends
    _, wait = held(here, makes(8), Timeouts(0.5, 5, 0.5))
    peer.send_meanwhile(SCAN)
    report = wait()
    assert report.outcome == "peer gone"
    assert "took nothing for 0.5 s" in report.error
    assert 0 <= report.n_images < 8


def test_a_peer_that_never_stops_sending_is_left_in_bounded_time_and_knows_why(ends, held):
    here, peer = ends
    _, wait = held(here, makes(1, RuntimeError("enough")), end_mib=8, end_s=0.5)

    def flood():
        try:
            while True:
                peer.socket.sendall(LINE)
        except OSError:
            return

    threading.Thread(target=flood, daemon=True).start()
    peer.read_to_end()
    assert peer.reset or peer.kinds()[:2] == ["Error", "Close"]
    wait()


@pytest.mark.parametrize(
    ("messages", "kinds", "text"),
    [
        ([], ["Error", "Close"], "no data came"),
        ([line(flag=ismrmrd.ACQ_IS_NOISE_MEASUREMENT)], ["Close"], None),
        ([line()], ["Error", "Close"], "none of the 1 items that came gave an image"),
        ([Error.of("a coil broke")], ["Error", "Close"], "reports an error: a coil broke"),
        ([line(), Header(HEADER)], ["Error", "Close"], "a Header message came among the data"),
        ([image(7)], [7, "Error", "Close"], "1 image came in, passed on unchanged"),
        ([Text.of("hello"), line(flag=ismrmrd.ACQ_IS_NOISE_MEASUREMENT)], ["Close"], None),
    ],
)
def test_no_scan_without_images_looks_like_success_unless_none_were_to_come(ends, held, messages, kinds, text):
    here, peer = ends
    _, wait = held(here, passes_images)
    peer.send_meanwhile(message_bytes(*messages, Close()))
    peer.read_to_end()
    assert peer.kinds() == kinds
    assert text is None or text in peer.error()
    assert wait().outcome == ("complete" if text is None else "failed")


def test_image_arrays_are_refused_with_advice(ends, held):
    here, peer = ends
    _, wait = held(here, reads_all)
    pixels = np.zeros((2, 2, 1, 1, 1, 1, 1), np.complex64, order="F")
    heads = np.zeros((1, 1, 1), IMAGE_HEADER, order="F")
    peer.send_meanwhile(message_bytes(ImageArray(pixels, heads, [b""]), Close()))
    peer.read_to_end()
    assert "put this node before the reconstruction" in peer.error()
    wait()


def test_abort_tells_the_other_end_while_the_gadget_computes(ends, held):
    here, peer = ends
    computing, go_on = threading.Event(), threading.Event()

    def gadget(*_):
        yield image(1)
        computing.set()
        go_on.wait(10)
        yield image(2)

    conversation, wait = held(here, gadget)
    peer.send_meanwhile(LINE)
    assert computing.wait(10)
    threading.Thread(target=peer.read_to_end, daemon=True).start()
    conversation.abort("asked to stop", 0.5)
    go_on.set()
    report = wait()
    assert peer.kinds() == [1, "Error", "Close"]
    assert (report.outcome, report.error, report.n_images) == ("failed", "asked to stop", 1)


def test_the_text_of_an_error_can_always_be_sent(ends, held, caplog):
    caplog.set_level(logging.CRITICAL + 1, "nilatron")  # pytest-xdist cannot send it with the test's log
    here, peer = ends
    _, wait = held(here, makes(1, RuntimeError("\udcff broken" + "!" * 100_000)))
    peer.send_meanwhile(SCAN)
    peer.read_to_end()
    assert peer.kinds() == ["Error", "Close"]
    assert "? broken!!!" in peer.error()
    assert len(peer.error()) == 20_000
    wait()


def test_clients_of_a_server_get_errors_as_text(ends, held):
    here, peer = ends
    _, wait = held(here, makes(1, RuntimeError("no")), errors_as="text")
    peer.send_meanwhile(SCAN)
    peer.read_to_end()
    assert peer.kinds() == ["Text", "Close"]
    wait()


def test_an_interrupt_is_told_and_goes_on(ends):
    here, peer = ends
    raised = []

    def run():
        conversation = Conversation(Connection(here), "test", ConversationSettings(end_s=1))
        try:
            conversation.run(lambda: (makes(1, KeyboardInterrupt()), Context(None)))
        except KeyboardInterrupt as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    peer.send_meanwhile(SCAN)
    peer.read_to_end()
    thread.join(10)
    assert raised
    assert "KeyboardInterrupt" in peer.error()


@pytest.mark.parametrize(
    ("opening", "reason"),
    [
        (Opening("cg_sense", b"<configuration", HEADER), "is not XML"),
        (Opening("cg_sense", b'<configuration><property name="a" value="b"/></configuration>', HEADER), "no property"),
        (Opening("none", b"\0", HEADER), "unknown target 'none'"),
        (Opening("cg_sense", b"", b"<ismrmrdHeader/>"), "has no <encoding>"),
        (Opening("cg_sense", b"<configuration/>\0", HEADER), "needs about"),
    ],
)
def test_what_cannot_be_reconstructed_is_refused_before_memory_is_taken(ends, opening, reason):
    here, peer = ends
    peer.send_meanwhile(message_bytes(line(n_coils=512), Close()))
    reader = threading.Thread(target=peer.read_to_end)
    reader.start()
    report = run_conversation(Connection(here), opening, device="cpu", settings=ConversationSettings(end_s=2))
    reader.join(10)
    assert reason in peer.error()
    assert report.outcome == "failed"
