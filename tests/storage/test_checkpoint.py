import contextlib
import json
import os

import pytest
import torch
from safetensors.torch import save_file

from convdbn.energy import BoltzmannMachine, Gaussian
from convdbn.errors import CheckpointError
from convdbn.images import build_transform
from convdbn.models.files import open_model, save
from convdbn.models.machines import conv_rbm
from convdbn.models.stack import Stack
from convdbn.storage import checkpoint


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def tensors():
    return {
        "weight": torch.randn(3, 2, 2, generator=seeded()),
        "step": torch.tensor(7),
        "bytes": torch.arange(9, dtype=torch.uint8),
        "double": torch.randn(2, generator=seeded(1), dtype=torch.float64),
        "nothing": torch.empty(0),
        "transposed": torch.randn(4, 3, generator=seeded(2)).T,
    }


def small_stack():
    stack = Stack(build_transform([{"kind": "pad", "size": 1}]), [conv_rbm(Gaussian(1), 3, 3)], (1, 8, 8))
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.normal_(generator=seeded(5))
    return stack


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.safetensors"
    save(path, small_stack(), {"recipe": {}, "data": {}, "progress": {"layer": 1, "step": 0}})
    return path


def test_round_trip(tmp_path):
    path = tmp_path / "a.safetensors"
    metadata = {"model": {"kind": "a", "sizes": [1, 2]}, "text": 'quotes " and umlauts äöü', "number": 0.1}
    checkpoint.write(path, tensors(), metadata)
    read, found = checkpoint.read(path)
    assert set(read) == set(tensors())
    for name, tensor in tensors().items():
        assert torch.equal(read[name], tensor) and read[name].dtype == tensor.dtype, name
    assert found == {**metadata, "format": checkpoint.FORMAT}
    assert checkpoint.read_metadata(path) == found
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]


def test_writing_keeps_gradients_and_memory_out(tmp_path):
    parameter = torch.nn.Parameter(torch.ones(2))
    checkpoint.write(tmp_path / "a", {"p": parameter}, {})
    read, _ = checkpoint.read(tmp_path / "a")
    assert not read["p"].requires_grad
    with torch.no_grad():
        parameter.fill_(5)
    assert read["p"].tolist() == [1, 1]


def test_what_is_read_begins_where_new_tensors_begin(tmp_path):
    """Products round by it on some processors, and a resumed run must be the one that was not stopped."""
    path = tmp_path / "a.safetensors"
    checkpoint.write(path, {f"{n:02d}": torch.ones(n) for n in range(1, 40)}, {})
    read, _ = checkpoint.read(path)
    assert {x.data_ptr() % 64 for x in read.values()} == {torch.ones(3).data_ptr() % 64} == {0}


def test_any_reader_of_safetensors_can_open_it(model):
    from safetensors import safe_open

    with safe_open(model, framework="numpy") as file:
        assert "machines.0.links.0.weight" in file.keys()  # noqa: SIM118
        assert json.loads(file.metadata()["convdbn"])["model"]["picture"] == [1, 8, 8]


def test_cut_anywhere_is_a_checkpoint_error(model, tmp_path):
    whole = model.read_bytes()
    header = int.from_bytes(whole[:8], "little")
    cuts = {0, 1, 7, 8, 9, 8 + header // 2, 7 + header, 8 + header, 9 + header, len(whole) - 1}
    cuts |= set(range(0, len(whole), max(1, len(whole) // 60)))
    broken = tmp_path / "broken.safetensors"
    for cut in sorted(cuts):
        broken.write_bytes(whole[:cut])
        for read in (checkpoint.read, checkpoint.read_metadata, open_model):
            with pytest.raises(
                CheckpointError, match=r"broken\.safetensors': is truncated, or not a safetensors file"
            ):
                read(broken)


def test_a_byte_too_many_is_a_checkpoint_error(model):
    model.write_bytes(model.read_bytes() + b"\0")
    with pytest.raises(CheckpointError):
        open_model(model, "model")


def test_damaged_headers_never_raise_anything_else(model, tmp_path):
    """Every byte of the header replaced in turn: the file loads, or is refused as a checkpoint."""
    whole = model.read_bytes()
    header = int.from_bytes(whole[:8], "little")
    broken = tmp_path / "broken.safetensors"
    loaded = 0
    for place in range(8 + header):
        for value in (0, ord("9"), ord('"')):
            broken.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            with contextlib.suppress(CheckpointError):
                open_model(broken, "model")
                loaded += 1
    assert loaded < 8 + header


@pytest.mark.parametrize(
    "content",
    [b"\x89PNG\r\n\x1a\n" + bytes(100), b"PK\x03\x04" + bytes(300), bytes(64), b"\xff" * 64, b"{}", b"text\n" * 40],
    ids=["png", "zip", "zeros", "ones", "json", "text"],
)
def test_what_is_not_safetensors(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"not a safetensors file .*copy it again or retrain"):
        open_model(path, "model")


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"format": "pt"},
        {"convdbn": "no json"},
        {"convdbn": "[]"},
        {"convdbn": "7"},
        {"convdbn": "null"},
        {"convdbn": "{}"},
        {"convdbn": '{"format": "x"}'},
        {"convdbn": '{"format": null}'},
    ],
    ids=str,
)
def test_safetensors_that_are_not_ours(tmp_path, metadata):
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.ones(2)}, path, metadata)
    for read in (checkpoint.read, checkpoint.read_metadata, open_model):
        with pytest.raises(CheckpointError, match=r"other.safetensors'.*not written by convdbn"):
            read(path)


def test_a_newer_format_is_named(tmp_path):
    path = tmp_path / "new.safetensors"
    save_file({"a": torch.ones(2)}, path, {"convdbn": json.dumps({"format": checkpoint.FORMAT + 1})})
    for read in (checkpoint.read, checkpoint.read_metadata, open_model):
        with pytest.raises(
            CheckpointError,
            match=rf"has format {checkpoint.FORMAT + 1}, newer than {checkpoint.FORMAT}; upgrade convdbn",
        ):
            read(path)


@pytest.mark.parametrize("name", ["nowhere.safetensors", "empty", "a/b/c"])
def test_a_file_that_is_not_there(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"no such file; give a run folder, its \.safetensors file"):
        open_model(tmp_path / name, "model")


@pytest.mark.parametrize(
    "change",
    [
        lambda t, m: t.pop("machines.0.links.0.weight"),
        lambda t, m: t.update(extra=torch.ones(1)),
        lambda t, m: t.update({"machines.0.links.0.weight": torch.ones(3, 1, 4, 4)}),
        lambda t, m: m["model"]["machines"].clear(),
        lambda t, m: m["model"]["machines"].append(5),
        lambda t, m: m.pop("model"),
        lambda t, m: m.update(model=None),
        lambda t, m: m["model"].pop("picture"),
        lambda t, m: m["model"].update(transform=[{"kind": "unknown"}]),
        lambda t, m: m["model"].update(transform=5),
        lambda t, m: m["model"]["machines"][0]["units"][1].update(kind="os.system"),
        lambda t, m: m["model"]["machines"][0]["units"][1].update(n=-3),
        lambda t, m: m["model"]["machines"][0]["units"][1].update(n="3"),
        lambda t, m: m["model"]["machines"][0]["units"][1].update(surplus=3),
        lambda t, m: m["model"]["machines"][0]["units"].clear(),
        lambda t, m: m["model"]["machines"][0]["links"][0].__setitem__(1, 9),
        lambda t, m: m["model"]["machines"][0]["links"][0].pop(),
        lambda t, m: m["model"]["machines"][0]["links"][0][2].update(kernel=[3]),
    ],
)
def test_parameters_that_do_not_fit(model, change):
    read, metadata = checkpoint.read(model)
    change(read, metadata)
    checkpoint.write(model, read, metadata)
    with pytest.raises(CheckpointError, match=r"model.safetensors'.*do not fit the architecture"):
        open_model(model, "model")


def test_no_class_name_is_taken_from_the_file(model):
    """The kinds are keys of tables of our own; nothing that can be imported stands in the metadata."""
    from convdbn.energy import UNITS
    from convdbn.energy.links import LINKS
    from convdbn.images import TRANSFORMS

    machine = checkpoint.read_metadata(model)["model"]
    assert {unit["kind"] for unit in machine["machines"][0]["units"]} <= set(UNITS)
    assert {link[2]["kind"] for link in machine["machines"][0]["links"]} <= set(LINKS)
    assert {transform["kind"] for transform in machine["transform"]} <= set(TRANSFORMS)
    with pytest.raises(ValueError, match="kind='BoltzmannMachine': is not registered; choose from"):
        BoltzmannMachine.build({"units": [{"kind": "BoltzmannMachine"}], "links": []})


@pytest.mark.parametrize("failing", ["replace", "fsync"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=repr)
def test_a_failure_in_the_middle_leaves_the_old_file_whole(model, monkeypatch, failing, error):
    before = model.read_bytes()

    def fail(*args):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, failing, fail)
        with pytest.raises(type(error)):
            checkpoint.write(model, tensors(), {})
    assert model.read_bytes() == before
    assert [file.name for file in model.parent.iterdir()] == [model.name]
    assert open_model(model, "model").model.picture == (1, 8, 8)


def test_the_new_name_stands_only_when_the_bytes_are_on_disk(model, monkeypatch):
    """The file is synced before the rename, and the folder after it."""
    events = []
    fsync, replace = os.fsync, os.replace

    def logged_fsync(descriptor):
        events.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        fsync(descriptor)

    def logged_replace(old, new):
        events.append("rename")
        assert os.path.getsize(old) > 0
        replace(old, new)

    monkeypatch.setattr(os, "fsync", logged_fsync)
    monkeypatch.setattr(os, "replace", logged_replace)
    checkpoint.write(model, tensors(), {})
    assert events == ["file", "rename", "folder"]


def test_unwritable_metadata_leaves_the_old_file_whole(model):
    before = model.read_bytes()
    with pytest.raises(TypeError, match="JSON"):
        checkpoint.write(model, tensors(), {"function": print})
    assert model.read_bytes() == before
    assert [file.name for file in model.parent.iterdir()] == [model.name]


def test_a_state_dict_that_shares_memory_is_written(tmp_path):
    """A machine may hold one link twice: the state dict then has one tensor under two names."""
    weight = torch.ones(3, 3)
    checkpoint.write(tmp_path / "a", {"one": weight, "two": weight, "part": weight[:1]}, {})
    read, _ = checkpoint.read(tmp_path / "a")
    assert torch.equal(read["one"], weight) and torch.equal(read["two"], weight) and read["part"].shape == (1, 3)
