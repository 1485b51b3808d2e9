"""The torch network as a CUDA graph: recorded once for each shape, it needs one launch instead of several hundred."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nilatron.core.prior.edm import ChannelDenoiser
from nilatron.core.prior.engines.engine import MAX_SHAPES

N_WARM_UPS = 3  # as torch advises: kernels are chosen and workspaces allocated before the recording

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recording:
    """A CUDA graph with the tensors that it reads and writes.

    Attributes
    ----------
    x, s
        Inputs, which have to be overwritten before a replay.
    out
        D(x, s), which each replay overwrites.
    replay
        Function that queues the graph on the GPU.
    """

    x: Tensor
    s: Tensor
    out: Tensor
    replay: Callable[[], None]


def record(denoiser: ChannelDenoiser, x: Tensor, s: Tensor) -> Recording:
    """Record D for inputs of these shapes (torch.cuda.CUDAGraph).

    Raises
    ------
    RuntimeError
        When an operation of the network cannot be recorded, or there is not enough memory.
    """
    x, s = x.clone(), s.clone()
    side_stream = torch.cuda.Stream(x.device)  # type: ignore[no-untyped-call]
    side_stream.wait_stream(torch.cuda.current_stream(x.device))
    with torch.cuda.stream(side_stream):
        for _ in range(N_WARM_UPS):
            denoiser(x, s)
    torch.cuda.current_stream(x.device).wait_stream(side_stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        out = denoiser(x, s)
    return Recording(x, s, out, graph.replay)


class CudaGraphDenoiser:
    """D by replaying CUDA graphs; without a graph if a shape cannot be recorded or the result of its replay differs.

    The last `MAX_SHAPES` recordings are kept, with their memory on the GPU.

    Parameters
    ----------
    denoiser
        Denoiser of torch.
    recorder
        Function that makes a recording, as `record` does.
    """

    def __init__(
        self, denoiser: ChannelDenoiser, recorder: Callable[[ChannelDenoiser, Tensor, Tensor], Recording] = record
    ) -> None:
        self.failure = ""
        self._denoiser = denoiser
        self._recorder = recorder
        self._recordings: OrderedDict[tuple[torch.Size, torch.Size], Recording | None] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def sigma_data(self) -> float:
        """Root mean square of one real component of the training images."""
        return self._denoiser.sigma_data

    @property
    def multiple(self) -> int:
        """The image sides have to be a multiple of this."""
        return self._denoiser.multiple

    @property
    def n_inputs(self) -> int:
        """Number of input channels: 2, or 4 for a self-conditioned network."""
        return self._denoiser.n_inputs

    def remark(self) -> str:
        """Why some shape runs without a graph; empty where all have one."""
        return self.failure

    def __call__(self, x: Tensor, s: Tensor, /) -> Tensor:
        """D(x, s); see `ChannelDenoiser`. The host waits for the GPU only at the first call for each shape."""
        with self._lock:  # a recording has memory for the inputs of only one call
            recording = self._recording(x, s)
            if recording is None:
                return self._denoiser(x, s)
            return replayed(recording, x, s)

    def _recording(self, x: Tensor, s: Tensor) -> Recording | None:
        key = (x.shape, s.shape)
        if key not in self._recordings:
            self._recordings[key] = self._checked(x, s)
            if len(self._recordings) > MAX_SHAPES:
                self._recordings.popitem(last=False)
        self._recordings.move_to_end(key)
        return self._recordings[key]

    def _checked(self, x: Tensor, s: Tensor) -> Recording | None:
        """A new recording whose result equals that of the network; None if there is none."""
        try:
            recording = self._recorder(self._denoiser, x, s)
        except RuntimeError as error:
            self._failed(f"no CUDA graph for {tuple(x.shape)}: {error}")
            return None
        expected, result = self._denoiser(x, s), replayed(recording, x, s)
        difference = float((result - expected).norm() / expected.norm().clamp_min(torch.finfo(torch.float32).tiny))
        if not difference < 1e-2:
            self._failed(f"the CUDA graph for {tuple(x.shape)} differs by {difference:.2g}")
            return None
        return recording

    def _failed(self, why: str) -> None:
        self.failure = why
        log.warning("%s; the network runs without", why)


def replayed(recording: Recording, x: Tensor, s: Tensor) -> Tensor:
    """D(x, s) by a replay, copied out of the recording's memory."""
    recording.x.copy_(x)
    recording.s.copy_(s)
    recording.replay()
    return recording.out.clone()
