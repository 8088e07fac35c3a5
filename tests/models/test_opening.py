"""One opening for names, paths and objects of both kinds."""

import pytest
import torch

from convdbn.errors import CheckpointError, UsageError
from convdbn.models.classifier import Classifier
from convdbn.models.files import create_model, open_model, save
from convdbn.models.pyramid import SpatialPyramid
from convdbn.models.stack import Stack
from convdbn.storage.checkpoint import FILES


@pytest.fixture
def stack():
    return create_model("crbm_mnist")


def test_a_name_a_file_and_an_object_are_the_same_model(stack, tmp_path):
    named, written = open_model("crbm_mnist"), open_model(stack.save(tmp_path / "m.safetensors"))
    held = open_model(stack)
    assert held.model is stack and held.path is None and not held.trainer
    assert named.path.stem == "crbm_mnist" and written.path == tmp_path / "m.safetensors"
    for opened in (named, written, held):
        assert isinstance(opened.model, Stack) and opened.model.recipe == stack.recipe is not None
        assert all(torch.equal(x, stack.state_dict()[name]) for name, x in opened.model.state_dict().items())


def test_a_classifier_is_opened_as_one(stack, tmp_path):
    network = Classifier.from_stack(stack, ["a", "b"], SpatialPyramid(grid=(2,)))
    save(tmp_path / FILES["classifier"], network, {"finetuned": {"seed": 1}})
    for source in (tmp_path, tmp_path / FILES["classifier"]):
        for kind in (None, "classifier"):
            opened = open_model(source, kind)
            assert isinstance(opened.model, Classifier) and opened.model.classes == ["a", "b"]
            assert opened.metadata["finetuned"] == {"seed": 1}
    assert open_model(network).model is network
    for source in (tmp_path, network):
        with pytest.raises(CheckpointError, match="holds a classifier, not a model"):
            open_model(source, "model")
    with pytest.raises(CheckpointError, match="holds a model, not a classifier"):
        open_model(stack, "classifier")


def test_what_is_no_model_is_refused():
    with pytest.raises(CheckpointError, match=r"model='crbm_mnits': no such file or model; did you mean crbm_mnist"):
        open_model("crbm_mnits")
    with pytest.raises(UsageError, match=r"name='crbm_mnits': no such model; did you mean crbm_mnist"):
        create_model("crbm_mnits")
    with pytest.raises(CheckpointError, match="no such file"):
        open_model("somewhere/else")
    with pytest.raises(UsageError, match="model=int: pass the name of a model, a path, or a model"):
        open_model(3)
