"""Whole updates as CUDA graphs: recorded once, then replayed with a single launch."""

import logging
from collections.abc import Callable, Hashable

import torch
from torch import Tensor

from convdbn.energy import State

log = logging.getLogger(__name__)

WARM_UP = 3
"""Updates without a graph before the recording: they create buffers and let libraries choose algorithms."""


class Captured:
    """`update(data)`, which on a CUDA device is recorded once and then replayed.

    The update must change its state (parameters, gradients, optimizer state, chains) in place. The result is valid
    until the next call. Numbers that the recording freezes go into `key`: another key, or another shape of the data,
    makes a new recording. On other devices each call is the plain update.
    """

    def __init__(self, update: Callable[[Tensor], State], *, generator: torch.Generator) -> None:
        self.update, self.generator = update, generator
        self.key: Hashable = None
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.refused = False

    def __call__(self, data: Tensor, key: Hashable = None) -> State:
        if not data.is_cuda or self.refused:
            return self.update(data)
        if (data.shape, key) != self.key:
            self.key, self.calls, self.graph = (data.shape, key), 0, None
        self.calls += 1
        if self.calls <= WARM_UP:
            return self._on_side_stream(data)
        if self.graph is None and not self._record(data):
            return self.update(data)
        assert self.graph is not None
        self.data.copy_(data)
        self.graph.replay()
        return self.result

    def _on_side_stream(self, data: Tensor) -> State:
        """A recording requires that the warm-up does not use the default stream."""
        stream, main = torch.cuda.Stream(), torch.cuda.current_stream()
        stream.wait_stream(main)
        with torch.cuda.stream(stream):
            result = self.update(data)
        main.wait_stream(stream)
        return result

    def _record(self, data: Tensor) -> bool:
        """Record without running; False, with a line in the log, if this build of CUDA cannot."""
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.generator)
        self.data = data.clone()
        try:
            with torch.cuda.graph(graph):
                self.result = self.update(self.data)
        except RuntimeError as error:
            log.warning("no CUDA graph, updates run kernel by kernel: %s", str(error).splitlines()[0])
            self.refused = True
            return False
        self.graph = graph
        return True
