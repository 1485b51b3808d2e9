"""A running server, and peers that are not ours."""

import io
import threading

import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.methods import METHODS
from nilatron.pipelines.chain.find import load_chain
from nilatron.pipelines.chain.host import run_chain
from nilatron.pipelines.device import resolve_device
from nilatron.pipelines.wire import Config, Decoder, Text

pytestmark = pytest.mark.slow


@pytest.mark.row("F2.28")
def test_eight_scans_at_once(server, talk):
    results = {}

    def one(number):
        results[number] = talk(server, "zero_filled" if number % 2 else "nila")

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(len(images) for images, _ in results.values()) == [2] * 4 + [4] * 4
    assert not any(errors for _, errors in results.values())


@pytest.mark.row("F2.28")
def test_a_queue_that_is_too_long_gives_conventional_images(make_server, talk):
    server = make_server("--slice-budget-s", "0.001")
    images, errors = talk(server, Config.of('<configuration><property name="target" value="nila"/></configuration>'))
    assert len(images) == 4
    replaced = [image for image in images if image.image_series_index == 1]
    assert all(image.meta["nilatron_fallback"] for image in replaced)
    assert errors


@pytest.mark.row("F2.28")
def test_no_gpu_means_the_processor(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert resolve_device("auto") == "cpu"


@pytest.mark.row("F2.28")
def test_a_device_without_memory_gives_the_conventional_image(simulated, converse, monkeypatch):
    """Simulated: the sampler raises what a GPU without memory raises."""
    from dataclasses import replace

    import torch

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setitem(METHODS, "nila", replace(METHODS["nila"], run=full))
    reply = converse(simulated(), target="nila")
    assert [image.image_series_index for image in reply.images] == [2, 1]
    assert "out of memory" in reply.images[1].meta["nilatron_fallback"]
    assert "out of memory" in reply.error


@pytest.mark.row("F2.28")
def test_a_worker_that_is_killed(server, talk, scan, load):
    tests = load("tests/pipelines/server/test_supervision.py")
    tests.test_a_killed_worker_leaves_conventional_images_and_the_scan_goes_on(server, talk, scan)


@pytest.mark.row("F2.29")
@pytest.mark.row("F2.35")
def test_fire_gets_int16(server, talk):
    images, errors = talk(server, "cg_sense", texts=['{"parameters": {"config": "cg_sense"}}'])
    assert not errors
    assert [image.data.dtype for image in images] == [np.int16] * 2


@pytest.mark.row("F2.35")
def test_the_stock_client_gets_text_for_an_error(server, talk):
    images, errors = talk(server, "no_such_chain.xml")
    assert not images
    assert [type(error) for error in errors] == [Text]


@pytest.mark.row("F2.35")
def test_the_launcher_of_the_pypi_package(nodes, forked):
    with forked() as node:
        images = nodes.reconstruct(node)
    assert len(images) == 2


@pytest.mark.row("F2.35")
def test_what_the_node_sends_is_read_by_the_pypi_package_and_by_ismrmrd(simulated, converse):
    from gadgetron.external import readers

    reply = converse(simulated(n_slices=2))
    source = io.BytesIO(reply.received)
    found = []
    while (number := int.from_bytes(source.read(2), "little")) == 1022:
        found.append(readers.read_image(source))
    assert number == 4
    assert [image.image_index for image in found] == [1, 2]
    for image, ours in zip(found, Decoder().feed(reply.received), strict=False):
        np.testing.assert_array_equal(image.data, ours.data)
        assert ismrmrd.Meta.deserialize(image.attribute_string)["DataRole"] == "Image"


@pytest.mark.row("F2.35")
@pytest.mark.shared
@pytest.mark.parametrize("place", ["raw", "whitened", "bucket", "buffer", "buffer_refprep"])
def test_what_a_gadgetron_server_sent_gives_the_same_images_everywhere(shared, place):
    from nilatron.gadgets.items import Context
    from nilatron.pipelines.files.header import parse_header
    from nilatron.pipelines.wire import Close, Header

    def images_of(name):
        messages = list(Decoder().feed((shared / "wire" / name).read_bytes()))
        header = next(message for message in messages if isinstance(message, Header))
        items = [m for m in messages if not isinstance(m, Config | Header | Close)]
        images = list(run_chain(load_chain("cg_sense"), iter(items), Context(parse_header(header.content))))
        return {(image.repetition, image.slice): image.data for image in images}

    expected, found = images_of("node_raw.bin"), images_of(f"node_{place}.bin")
    assert found.keys() == expected.keys()
    for key, pixels in expected.items():
        scale = np.sum(pixels * found[key]) / np.sum(found[key] ** 2)
        assert np.linalg.norm(scale * found[key] - pixels) < 0.05 * np.linalg.norm(pixels)
