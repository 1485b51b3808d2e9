"""The worker is killed while it works: no image is lost, and the next slices are its successor's."""

import os
import signal
import time

from nilatron.pipelines.wire import Config

SLOW = Config(
    b'<configuration><property name="target" value="nila"/><property name="steps" value="120"/>'
    b'<property name="series" value="conventional,nila"/></configuration>'
)


def test_a_killed_worker_leaves_conventional_images_and_the_scan_goes_on(server, talk, scan):
    n_before = len([line for line in server.lines if "worker is ready" in line["message"]])
    pid = server.wait_for("worker is ready", n_before)["pid"]
    restarts = server.metric("nilatron_worker_restarts_total") or 0
    connection = server.connect()
    talk.send(connection, SLOW, scan)
    first = connection.receive()
    deadline = time.monotonic() + 30
    while not server.metric("nilatron_slices_working") and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    images, errors = talk.replies(connection)
    images = [first, *images]
    assert len(images) == 4
    replaced = [image for image in images if "nilatron_fallback" in image.meta]
    assert len(replaced) == 1
    assert "the worker was lost" in replaced[0].meta["nilatron_fallback"]
    assert [image.meta["nilatron_steps"] for image in images if "nilatron_steps" in image.meta] == ["120"]
    assert "the worker was lost" in errors[0].text
    assert server.wait_for("worker is ready", n_before + 1)["pid"] != pid
    assert server.metric("nilatron_worker_restarts_total") == restarts + 1
    assert server.wait_for("scan ended", fall_backs=1)["images"] == 4
