"""The precision of products, inside and outside of training."""

import pytest
import torch

from convdbn.errors import UsageError
from convdbn.learning.phases import ContrastiveDivergence
from convdbn.learning.precision import Precision
from convdbn.learning.trainer import Trainer
from convdbn.models.machines import rbm
from convdbn.recipes import LayerSettings


@pytest.mark.parametrize(("name", "products"), [("float32", "ieee"), ("tf32", "tf32"), ("bfloat16", "ieee")])
def test_the_precision_of_a_gpu_is_put_back(name, products):
    places = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = [place.fp32_precision for place in places]
    with Precision(rbm(36, 20), name, gpu=True):
        assert [place.fp32_precision for place in places] == [products, products]
    assert [place.fp32_precision for place in places] == before
    with Precision(rbm(36, 20), name, gpu=False):
        assert [place.fp32_precision for place in places] == before


def test_it_is_put_back_after_an_error():
    machine = rbm(36, 20)
    with pytest.raises(UsageError), Precision(machine, "bfloat16", gpu=False):
        machine.field((torch.rand(1, 7), None), 1)
    assert machine.links[0].products is None


@pytest.mark.parametrize(("name", "operands"), [("float32", None), ("bfloat16", torch.bfloat16)])
def test_products_are_rounded_in_updates_alone(name, operands):
    """What a caller does between two updates is in float32."""

    class Watched(ContrastiveDivergence):
        def __call__(self, machine, samples, *, generator):
            seen.append(machine.links[0].products)
            return super().__call__(machine, samples, generator=generator)

        def __deepcopy__(self, memo):
            return self

    seen = []
    settings = LayerSettings(updates=2, precision=name)
    run = Trainer(rbm(36, 20), settings, generator=torch.Generator().manual_seed(0), phase=Watched())
    for _ in run.steps([torch.rand(4, 36)] * 2):
        assert run.machine.links[0].products is None
    assert seen == [operands, operands]
