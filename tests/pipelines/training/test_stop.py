import os
import signal
import threading

import pytest

from nilatron.pipelines.training.stop import StopCondition


def test_without_signal_or_time_there_is_no_reason():
    with StopCondition() as watch:
        assert watch.reason is None
    assert StopCondition(minutes=60).reason is None


def test_the_time_is_over_at_once_when_there_is_none():
    assert StopCondition(minutes=0).reason == "the time is over"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_once_and_then_acts(number):
    before = signal.getsignal(number)
    with StopCondition() as watch:
        os.kill(os.getpid(), number)
        assert watch.reason == number.name
        assert signal.getsignal(number) is before
    assert signal.getsignal(number) is before


def test_outside_the_main_thread_signals_stay_as_they_are():
    reasons = []

    def body():
        with StopCondition(minutes=0) as watch:
            reasons.append(watch.reason)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert reasons == ["the time is over"]
    assert signal.getsignal(signal.SIGTERM) is before
