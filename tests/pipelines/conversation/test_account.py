import ismrmrd
import pytest

from nilatron.gadgets.items import Context, ScanError
from nilatron.pipelines.conversation.account import PASSED, IncompleteError, ScanAccount
from nilatron.pipelines.conversation.eager_reader import EagerReader
from nilatron.pipelines.wire import Close, Error, Header, Text


def account(*messages):
    waiting = [[message] for message in (*messages, Close())]
    return ScanAccount(EagerReader(lambda: waiting.pop(0)), "test")


@pytest.fixture
def context():
    return Context(None)


def test_items_pass_and_their_times_are_noted(context):
    line = ismrmrd.Acquisition()
    assert list(account(Text.of("hello"), line).items(context)) == [line]
    assert context.timing.arrived_s is not None
    assert context.timing.ended_s is not None
    assert context.log.counts == {"texts and queries, ignored": 1}


@pytest.mark.parametrize("message", [Error.of("why"), Header(b"")])
def test_what_has_no_meaning_among_data_ends_the_scan(message, context):
    with pytest.raises(ScanError, match=r"why|has no meaning"):
        list(account(message).items(context))


@pytest.mark.parametrize(
    ("counts", "problems", "n_images", "words"),
    [
        ({"images expected": 2}, [], 1, "only 1 of 2 images"),
        ({PASSED: 1}, [], 1, "passed on unchanged"),
        ({}, ["a fall-back"], 1, "a fall-back"),
        ({}, [], 0, "none of the 1 items"),
    ],
)
def test_what_is_missing_is_told(counts, problems, n_images, words, context):
    scan = account(ismrmrd.Acquisition())
    list(scan.items(context))
    context.log.counts.update(counts)
    context.log.problems.extend(problems)
    with pytest.raises(IncompleteError, match=words):
        scan.check(context, n_images)


def test_a_scan_without_data_is_not_complete_and_one_with_its_images_is(context):
    empty = account()
    list(empty.items(context))
    with pytest.raises(IncompleteError, match="no data came"):
        empty.check(context, 0)
    scan = account(ismrmrd.Acquisition())
    list(scan.items(context))
    context.log.counts["images expected"] = 1
    scan.check(context, 1)
