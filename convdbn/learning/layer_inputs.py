"""The input of a layer in training: batches of pictures after the transform and the frozen layers below."""

import logging
import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from convdbn.errors import DataError
from convdbn.images import Images, random_crops
from convdbn.images.base import Batch
from convdbn.images.splits import labeled, labels_of
from convdbn.models.fitting import Sizes, fitted
from convdbn.models.stack import Stack
from convdbn.ops.grad import without_gradients
from convdbn.recipes import LayerSettings, Recipe
from convdbn.recipes.geometry import Geometry, receptive_field
from convdbn.sampling.bits import draw_bits

log = logging.getLogger(__name__)

CACHE_BYTES = 2**30
CHUNK = 100
"""Pictures to propagate through the frozen layers at once."""

Maps = Tensor | list[Tensor]


class LayerInput:
    """Batches for layer `depth` of a stack. They depend on the seed and the step alone, so that a run can resume.

    With `sample_input` the layers below are drawn anew for each batch, from the pictures up; the trainer draws the
    last of them. Memory holds the maps of all pictures if they fit in `cache_bytes`, are used more than once and
    never change; otherwise each batch is computed from the pictures, and memory does not grow with their number.

    `sizes` says what to do with whole pictures that the pooling blocks do not divide: those of the layers below, of
    this layer unless it takes crops, and of the layers `above`. If it takes crops, "error" becomes "trim".
    """

    def __init__(
        self,
        stack: Stack,
        images: Images,
        settings: LayerSettings,
        depth: int,
        *,
        seed: int,
        sizes: Sizes = "error",
        above: Sequence[Geometry] = (),
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.stack, self.images, self.settings, self.depth, self.seed = stack, images, settings, depth, seed
        own = [] if settings.crop else [settings.geometry]
        self.whole = [*stack.geometry[:depth], *own, *above]
        self.sizes: Sizes = "trim" if settings.crop and sizes == "error" else sizes
        self.drawn = settings.sample_input and depth > 0
        self.order = (-1, torch.empty(0, dtype=torch.long))
        self.cache: Maps | None = None
        if cache_bytes and not images.changing and self.settings.updates * self.settings.batch > len(images):
            self._fill_cache(cache_bytes)

    def batches(self, start: int) -> Iterator[Tensor]:
        """The batches of updates `start` and on."""
        batches = self._batches(range(start, self.settings.updates))
        # On a CPU, reading ahead and the updates would compete for the same cores.
        on_gpu = any(x.is_cuda for x in self.stack.parameters())
        return ahead(batches) if on_gpu and self.cache is None else batches

    def batch(self, step: int) -> Tensor:
        """The visible states of update `step`: crops, whole maps, or vectors."""
        return next(self._batches([step]))

    def sample(self, count: int) -> Tensor:
        """`count` states of the visible layer, or a few more."""
        return torch.cat([*self._batches(range(math.ceil(count / self.settings.batch)))])

    def _batches(self, steps: Iterable[int]) -> Iterator[Tensor]:
        pending: deque[tuple[int, Tensor]] = deque()  # more than one if the images are read ahead

        def indices() -> Iterator[Tensor]:
            for step in steps:
                pending.append((step, self._indices(step)))
                yield pending[-1][1]

        cached = self.cache is not None
        for maps in (
            map(self._from_cache, indices()) if cached else map(self._prepare, self.images.batches(indices()))
        ):
            yield self._finish(*pending.popleft(), maps, is_input=cached and not self.drawn)

    @without_gradients
    def _finish(self, step: int, indices: Tensor, maps: Maps, *, is_input: bool) -> Tensor:
        """The batch of a step from maps: the input of this layer if `is_input`, otherwise that of layer 1."""
        if self.settings.crop:
            return self._crop(step, maps, is_input=is_input)
        if not is_input and not self.drawn:
            maps = self._maps(maps)
        if not isinstance(maps, Tensor):
            raise DataError(
                f"images={self.images.name!r}: have several sizes; set `crop` in the recipe to train on "
                "random crops, or add {kind: resize, size: 64} to its transform"
            )
        maps = self._propagate(maps, _seeded(self.seed, self.depth, step)) if self.drawn else maps
        maps = maps.flatten(1) if self.settings.kernel == 0 else maps
        return torch.cat([maps, self.one_hot_labels[indices].to(maps)], 1) if self.settings.labels else maps

    def _crop(self, step: int, maps: Maps, *, is_input: bool) -> Tensor:
        """A random crop of the layer's input for each picture."""
        generator = _seeded(self.seed, self.depth, step)
        if is_input:
            return random_crops(maps, self.settings.crop, generator=generator)
        # Only the pixels below the crop go through the layers below.
        crop = Geometry((self.settings.crop, self.settings.crop), 1)
        side, stride = receptive_field([*self.stack.geometry[: self.depth], crop], axis=0)
        return self._propagate(random_crops(maps, side, stride=stride, generator=generator), generator)

    @property
    def device(self) -> torch.device:
        """The device of the cache, of the order of the pictures, and of the labels."""
        return self.cache.device if isinstance(self.cache, Tensor) else torch.device("cpu")

    @cached_property
    def one_hot_labels(self) -> Tensor:
        """One-hot labels of all pictures, `(N, classes)`, which the trainer takes beside the pixels; zeros for
        pictures without a label."""
        classes = labels_of(self.images)
        labels = F.one_hot(classes, len(self.images.classes))
        if self.settings.labeled:
            mask = torch.zeros(len(labels), 1, dtype=torch.long)
            indices = labeled(classes.numpy(), self.settings.labeled, seed=self.seed)
            mask[torch.from_numpy(indices)] = 1
            labels = labels * mask
        return labels.to(self.device)

    def _from_cache(self, indices: Tensor) -> Maps:
        """The cached maps of these pictures."""
        if isinstance(self.cache, Tensor):
            return self.cache.index_select(0, indices)
        assert self.cache is not None
        return [self.cache[i] for i in indices.tolist()]

    @without_gradients
    def _prepare(self, pictures: Batch) -> Maps:
        """The input of layer 1: one tensor, or a list if the sizes of the pictures differ."""
        if isinstance(pictures, Tensor):
            return self._fit(self.stack.prepare(pictures))
        return _stack([self._fit(self.stack.prepare(picture[None]))[0] for picture in pictures])

    def _fit(self, x: Tensor) -> Tensor:
        return x if self.sizes == "error" else fitted(x, self.whole, self.sizes)

    def _maps(self, pictures: Maps) -> Maps:
        """Means of the layer below this one, one tensor or a list just as the pictures."""
        if isinstance(pictures, Tensor):
            return self._propagate(pictures)
        return _stack([self._propagate(picture[None])[0] for picture in pictures])

    def _propagate(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Means of the layer below this one, from the input of layer 1; with a generator, the layers between are
        drawn."""
        for depth in range(self.depth):
            if generator is not None and self.drawn and self.stack.machines[depth].units[0].binary:
                # The generator of the batch is on the CPU for all devices.
                x = draw_bits(x, generator=generator)
            x = self.stack.infer(x, depth)[-1]
        return x

    def _indices(self, step: int) -> Tensor:
        """Indices of the pictures of one update: the next ones of an endless sequence of shuffled epochs. They are on
        the device of the cache, so that a batch needs no copy to a GPU."""
        count, parts = len(self.images), []
        position, end = step * self.settings.batch, (step + 1) * self.settings.batch
        while position < end:
            epoch, offset = divmod(position, count)
            if self.order[0] != epoch:
                self.order = (epoch, torch.randperm(count, generator=_seeded(self.seed, epoch)).to(self.device))
            parts.append(self.order[1][offset : offset + end - position])
            position += len(parts[-1])
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    @without_gradients
    def _fill_cache(self, cache_bytes: int) -> None:
        """Cache all maps, or the pictures if maps are drawn anew; cache nothing if the chunks so far show that all of
        them will not fit."""
        chunks: list[Maps] = []
        used = done = 0
        for pictures in self.images.batches(torch.arange(len(self.images)).split(CHUNK)):
            inputs = self._prepare(pictures)
            chunk = inputs if self.drawn else self._maps(inputs)
            used, done = used + sum(x.nbytes for x in chunk), done + len(chunk)
            expected = used * len(self.images) // done
            if expected > cache_bytes:
                log.info("layer %d: input is not cached, it would need %s", self.depth + 1, _size(expected))
                return
            chunks.append(chunk)
        whole = [chunk for chunk in chunks if isinstance(chunk, Tensor)]
        one_size = len(whole) == len(chunks) and len({chunk.shape[1:] for chunk in whole}) == 1
        self.cache = torch.cat(whole) if one_size else [x for chunk in chunks for x in chunk]
        log.info("layer %d: input of %d pictures is cached, %s", self.depth + 1, len(self.images), _size(used))


def input_for(
    stack: Stack,
    images: Images,
    recipe: Recipe,
    depth: int,
    *,
    settings: LayerSettings | None = None,
    cache_bytes: int = CACHE_BYTES,
) -> LayerInput:
    """The input of machine `depth` of the recipe in training; `settings` replace the recipe's.

    If no layer takes crops, whole pictures are trimmed or padded for all layers at once. Otherwise every layer uses
    as much of them as it can.
    """
    cropped = any(layer.crop for layer in recipe.layers)
    return LayerInput(
        stack,
        images,
        settings or recipe.machines[depth],
        depth,
        seed=recipe.seed,
        sizes="trim" if cropped and recipe.sizes == "error" else recipe.sizes,
        above=[] if cropped else [layer.geometry for layer in recipe.layers[depth + 1 :]],
        cache_bytes=cache_bytes,
    )


def prepared(stack: Stack, images: Images) -> Tensor:
    """The input of layer 1 for all pictures; vectors if layer 1 is fully connected."""
    parts: list[Tensor] = []
    for batch in images.batches(torch.arange(len(images)).split(CHUNK)):
        parts += map(stack.prepare, [batch] if isinstance(batch, Tensor) else [picture[None] for picture in batch])
    if len({x.shape[1:] for x in parts}) > 1:
        raise DataError(f"images={images.name!r}: have several sizes; resize them in the model's transform")
    x = torch.cat(parts)
    x = x.flatten(1) if stack.geometry[0].dense else x
    stack.machines[0].units[0].check(x, "images")
    return x


def ahead(batches: Iterator[Tensor]) -> Iterator[Tensor]:
    """The same batches; another thread makes the next one, so that reading files and copying to a device overlap with
    the updates."""
    with ThreadPoolExecutor(1) as worker:
        future = worker.submit(next, batches, None)
        while (batch := future.result()) is not None:
            future = worker.submit(next, batches, None)
            yield batch


def _seeded(*numbers: int) -> torch.Generator:
    """A generator with a seed made from all the numbers."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1))


def _stack(maps: list[Tensor]) -> Maps:
    """One tensor if all maps have one size, otherwise the list."""
    return torch.stack(maps) if len({x.shape for x in maps}) == 1 else maps


def _size(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"
