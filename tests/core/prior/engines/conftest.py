import ctypes
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.weights import shipped_weights

SIGMA_DATA = 0.25


class MemoryCache:
    """A `ModelCache` for as long as it lives."""

    def __init__(self):
        self.entries = {}

    def read(self, kind, key):
        return self.entries.get((kind, *sorted(key.items())))

    def write(self, kind, key, content):
        self.entries[kind, *sorted(key.items())] = content


@pytest.fixture
def cache():
    return MemoryCache()


@pytest.fixture(scope="session")
def kept():
    """What tests share: exporting takes seconds."""
    return MemoryCache()


@pytest.fixture(scope="session")
def tiny():
    return load_prior(shipped_weights("tiny"))


@pytest.fixture(scope="session")
def linear_graph():
    """A model in the format's terms whose answer is known: D(x, s) = x sigma_data^2 / (s^2 + sigma_data^2)."""
    pytest.importorskip("onnx", reason="onnx is not installed")
    from onnx import TensorProto, helper

    variance = float(SIGMA_DATA**2)
    constants = [
        helper.make_tensor("variance", TensorProto.FLOAT, [1], [variance]),
        helper.make_tensor("column", TensorProto.INT64, [4], [-1, 1, 1, 1]),
    ]
    nodes = [
        helper.make_node("Mul", ["s", "s"], ["s2"]),
        helper.make_node("Add", ["s2", "variance"], ["sum"]),
        helper.make_node("Div", ["variance", "sum"], ["skip"]),
        helper.make_node("Reshape", ["skip", "column"], ["skips"]),
        helper.make_node("Mul", ["x", "skips"], ["d"]),
    ]
    images = ["S", 2, "H", "W"]
    graph = helper.make_graph(
        nodes,
        "linear",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, images),
            helper.make_tensor_value_info("s", TensorProto.FLOAT, ["S"]),
        ],
        [helper.make_tensor_value_info("d", TensorProto.FLOAT, images)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.fixture(scope="session")
def facts():
    from nilatron.core.prior.engines.onnx.file import OnnxFacts

    return OnnxFacts(SIGMA_DATA, 4, "fp32", "ab" * 32, {"licence": "MIT", "data": "none"})


@pytest.fixture(scope="session")
def linear(linear_graph, facts):
    from nilatron.core.prior.engines.onnx.file import pack_onnx, parse_onnx

    return parse_onnx(pack_onnx(linear_graph, facts), "linear")


@pytest.fixture(scope="session")
def linear_answer():
    def answer(x, s):
        return x * (SIGMA_DATA**2 / (s**2 + SIGMA_DATA**2))[:, None, None, None]

    return answer


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(3)
    return torch.randn((3, 2, 8, 12), generator=generator)


class FakeTensorRT:
    """TensorRT's Python interface as far as it is used, on the CPU: engines are JSON, and compute the linear model."""

    __version__ = "10.16.1"
    NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
    MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")

    class ILogger:
        Severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1, WARNING=2, INFO=3, VERBOSE=4)

    def __init__(self):
        self.built, self.refused = [], set()  # shapes
        self.loads = 0
        fake = self

        class Profile:
            def set_shape(self, name, low, best, high):
                assert low == best == high
                self.__dict__[name] = list(high)

        class Config:
            def set_memory_pool_limit(self, pool, n_bytes):
                assert pool == "workspace"
                assert n_bytes > 0

            def add_optimization_profile(self, profile):
                self.profile = profile
                return 0

        class Builder:
            def __init__(self, logger):
                assert isinstance(logger, FakeTensorRT.ILogger)

            def create_network(self, flags):
                assert flags == 2  # 1 << STRONGLY_TYPED
                return SimpleNamespace()

            def create_builder_config(self):
                return Config()

            def create_optimization_profile(self):
                return Profile()

            def build_serialized_network(self, network, config):
                assert network.parsed
                x, s = config.profile.x, config.profile.s
                assert s == x[:1]
                if tuple(x) in fake.refused:
                    return None
                fake.built.append(tuple(x))
                return memoryview(json.dumps({"x": x}).encode())  # as IHostMemory, a buffer

        class Parser:
            num_errors = 1

            def __init__(self, network, logger):
                assert isinstance(logger, FakeTensorRT.ILogger)
                self.network = network

            def parse(self, content):
                self.network.parsed = b"Reshape" in content
                return self.network.parsed

            def get_error(self, index):
                return SimpleNamespace(desc=lambda: f"no such operator ({index})")

        class Runtime:
            def __init__(self, logger):
                assert isinstance(logger, FakeTensorRT.ILogger)

            def deserialize_cuda_engine(self, plan):
                fake.loads += 1
                try:
                    return Engine(json.loads(plan)["x"])
                except ValueError:
                    return None

        class Engine:
            def __init__(self, shape):
                self.shape = shape

            def create_execution_context(self):
                return Context(self.shape)

        class Context:
            def __init__(self, shape):
                self.expected, self.shapes, self.addresses = shape, {}, {}

            def set_input_shape(self, name, shape):
                self.shapes[name] = list(shape)
                return list(shape) == (self.expected if name == "x" else self.expected[:1])

            def set_tensor_address(self, name, address):
                self.addresses[name] = address
                return True

            def execute_async_v3(self, stream_handle):
                assert stream_handle == 0

                def memory(name, shape):
                    n = int(np.prod(shape))
                    return np.ctypeslib.as_array((ctypes.c_float * n).from_address(self.addresses[name])).reshape(shape)

                x, s = memory("x", self.shapes["x"]), memory("s", self.shapes["s"])
                skip = SIGMA_DATA**2 / (s**2 + SIGMA_DATA**2)
                n, _, n_y, n_x = self.shapes["x"]
                memory("d", [n, 2, n_y, n_x])[...] = x[:, :2] * skip[:, None, None, None]
                return True

        self.Builder, self.OnnxParser, self.Runtime = Builder, Parser, Runtime


@pytest.fixture
def trt():
    return FakeTensorRT()
