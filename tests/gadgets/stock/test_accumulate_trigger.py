import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.items import Context
from nilatron.gadgets.settings import SettingsError
from nilatron.gadgets.stock.registry import STOCK_GADGETS
from nilatron.gadgets.stock.types import AcquisitionBucket

accumulate = STOCK_GADGETS["AcquisitionAccumulateTriggerGadget"]


@pytest.fixture
def context(scan_header):
    return Context(scan_header((8, 8, 1)))


@pytest.fixture
def line(make_line):
    return lambda *flags, **counters: make_line(np.ones((1, 8)), *flags, **counters)


def test_a_change_of_index_sends_buckets_sorted_with_waveforms_on_the_first(line, context):
    items = [line(slice=1), line(slice=0), ismrmrd.Waveform(), line(slice=1, repetition=1)]
    first, second, third = accumulate({"trigger_dimension": "repetition", "sorting_dimension": "slice"})(items, context)
    assert [[entry.idx.slice for entry in bucket.data] for bucket in (first, second, third)] == [[0], [1], [1]]
    assert [len(bucket.waveforms) for bucket in (first, second, third)] == [1, 0, 0]
    assert third.datastats[0].repetition == {1}


def test_without_dimensions_there_is_one_bucket(line, context):
    (bucket,) = accumulate({})([line(slice=i, repetition=i) for i in range(5)], context)
    assert len(bucket.data) == 5
    assert bucket.datastats[0].extent("slice") == 5


def test_flags_decide_between_data_and_calibration(line, context):
    items = [
        line(),
        line(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION),
        line(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING),
        line(ismrmrd.ACQ_IS_NOISE_MEASUREMENT),
        line(ismrmrd.ACQ_IS_NAVIGATION_DATA),
        line(ismrmrd.ACQ_IS_DUMMYSCAN_DATA),
    ]
    (bucket,) = accumulate({})(items, context)
    assert bucket.data == [items[0], items[2]]
    assert bucket.ref == [items[1], items[2]]
    assert context.log.counts["lines left out: navigation"] == 1
    assert context.log.counts["lines left out: dummy"] == 1


@pytest.mark.parametrize("n_lines", [0, 3])
def test_waveforms_at_the_end_are_not_an_error(line, context, n_lines):
    properties = {
        "trigger_dimension": "n_acquisitions",
        "n_acquisitions_before_trigger": "3",
        "n_acquisitions_before_ongoing_trigger": "2",
    }
    items = [*(line() for _ in range(n_lines)), ismrmrd.Waveform()]
    assert len(list(accumulate(properties)(items, context))) == n_lines // 3
    assert context.log.counts["waveforms without lines"] == 1


def test_every_so_many_lines(line, context):
    properties = {
        "trigger_dimension": "n_acquisitions",
        "n_acquisitions_before_trigger": "3",
        "n_acquisitions_before_ongoing_trigger": "2",
    }
    buckets = list(accumulate(properties)([line() for _ in range(8)], context))
    assert [len(bucket.data) for bucket in buckets] == [3, 2, 2, 1]


def test_other_items_pass(context):
    bucket, text = AcquisitionBucket(), "text"
    assert list(accumulate({})([bucket, text], context)) == [bucket, text]


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"trigger_dimension": "slices"}, "'trigger_dimension'.*'slice'.*not 'slices'"),
        ({"sorting_dimension": "cha"}, "'sorting_dimension'"),
        ({"n_acquisitions_before_trigger": "0"}, "1 or more"),
        ({"n_acquisitions_before_trigger": "many"}, "whole number"),
        ({"trigger": "slice"}, "no property 'trigger'.*trigger_dimension"),
    ],
)
def test_wrong_properties_are_named(properties, message):
    with pytest.raises(SettingsError, match=f"AcquisitionAccumulateTriggerGadget.*{message}"):
        accumulate(properties)
