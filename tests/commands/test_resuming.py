"""Refining and fine-tuning that are stopped go on to the same end, and no run is lost or taken for another."""

import itertools
import json
import re
import signal

import pytest
import torch
from running import interrupted, stop_after
from safetensors.torch import load_file

import convdbn
from convdbn import cli
from convdbn.errors import Interrupted, UsageError

TINY = {"recipe": "rbm", "data": "digits", "updates": 30, "held_out": 0, "device": "cpu"}
WHERE = {"data": "digits", "device": "cpu"}
VERBS = {
    "autoencoder": ("refine", {"method": "autoencoder", "epochs": 2, "batch": 300, "distort": 0.5}),
    "up-down": ("refine", {"method": "up-down", "epochs": 2, "batch": 300}),
    "finetune": ("finetune", {"epochs": 3, "batch": 60, "labels": 200, "distort": 0.5}),
    "finetune, nothing held out": ("finetune", {"epochs": 2, "batch": 60, "labels": 200, "held_out": 0}),
    "finetune with a baseline": ("finetune", {"epochs": 1, "batch": 60, "labels": 200, "baseline": True}),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    convdbn.train(**TINY, filters=[20, 10], output_dir=folder)
    return folder


def stopping(monkeypatch, updates):
    """A signal comes before update `updates`."""
    for command in ("finetune", "refine"):
        monkeypatch.setattr(f"convdbn.commands.{command}.stop_on_signal", stop_after(updates))


def contents(folder):
    """Tensors of every file of a run."""
    return {path.name: load_file(path) for path in folder.glob("*.safetensors")}


@pytest.mark.parametrize("kind", VERBS)
def test_stopped_and_resumed_it_ends_bit_for_bit_the_same(tmp_path, monkeypatch, trained, kind):
    """Stopped before the first update, within an epoch, and until it is done."""
    verb, options = VERBS[kind]

    def call(folder, **more):
        return getattr(convdbn, verb)(model=trained, output_dir=folder, **WHERE, **options, **more)

    with monkeypatch.context() as patch:
        stopping(patch, 10**9)
        expected = call(tmp_path / "whole")
    parts, stops = tmp_path / "parts", 0
    for updates in itertools.chain([0, 1], itertools.repeat(3)):
        stopping(monkeypatch, updates)
        try:
            result = call(parts, resume=True)
            break
        except Interrupted:
            stops += 1
            if kind != "finetune with a baseline":
                assert convdbn.inspect(parts)["finished"] is False
    assert stops >= 3
    assert convdbn.inspect(parts)["finished"] is True
    one, other = contents(tmp_path / "whole"), contents(parts)
    assert one.keys() == other.keys()
    for name, tensors in one.items():
        assert tensors.keys() == other[name].keys()
        assert all(torch.equal(x, other[name][key]) for key, x in tensors.items()), name
    if verb == "finetune":
        assert {**result, "output": ""} == {**expected, "output": ""}
    stopping(monkeypatch, 0)
    before = contents(parts)
    call(parts, resume=True)  # nothing is left to stop
    assert before.keys() == contents(parts).keys()


@pytest.mark.parametrize("verb", ["refine", "finetune"])
def test_runs_are_neither_lost_nor_taken_for_others(tmp_path, monkeypatch, trained, verb):
    options = {"refine": {"method": "autoencoder"}, "finetune": {"labels": 100}}[verb]
    stopping(monkeypatch, 1)

    def call(folder, **more):
        return getattr(convdbn, verb)(
            **{"model": trained, "output_dir": folder, "batch": 50, **WHERE, **options, **more}
        )

    with pytest.raises(Interrupted):
        call(tmp_path / "run")
    before = contents(tmp_path / "run")
    with pytest.raises(UsageError, match="holds a run already; choose another folder, --overwrite or --resume"):
        call(tmp_path / "run")
    with pytest.raises(UsageError, match=r"resume=True: epochs, rate differ from the run in .*give the same options"):
        call(tmp_path / "run", rate=0.1, epochs=7, resume=True)
    with pytest.raises(UsageError, match="resume=True: model differ"):
        call(tmp_path / "run", model=tmp_path, resume=True)
    with pytest.raises(UsageError, match="resume=True: needs output_dir"):
        call(None, resume=True)
    with pytest.raises(UsageError, match="overwrite=True, resume=True: contradict each other"):
        call(tmp_path / "run", overwrite=True, resume=True)
    after = contents(tmp_path / "run")
    for name, tensors in before.items():
        assert all(torch.equal(x, after[name][key]) for key, x in tensors.items())
    with pytest.raises(Interrupted, match="step 1: saved; go on with --resume"):
        call(tmp_path / "run", overwrite=True)


def test_a_trained_run_is_not_refined_by_resuming_nor_the_reverse(tmp_path, trained):
    convdbn.train(**TINY, filters=[20, 10], output_dir=tmp_path)
    refining = {"model": trained, "method": "autoencoder", "epochs": 1, "output_dir": tmp_path, **WHERE}
    with pytest.raises(UsageError, match=r"method, .* differ from the run"):
        convdbn.refine(**refining, resume=True)
    convdbn.refine(**refining, overwrite=True)
    with pytest.raises(UsageError, match="resume=True: refined differ from the run"):
        convdbn.train(**TINY, filters=[20, 10], output_dir=tmp_path, resume=True)


def test_an_unfinished_classifier_can_be_looked_at(tmp_path, monkeypatch, trained):
    stopping(monkeypatch, 2)
    with pytest.raises(Interrupted):
        convdbn.finetune(model=trained, output_dir=tmp_path, labels=100, **WHERE)
    found = convdbn.inspect(tmp_path)
    assert found["finished"] is False and found["finetuned"]["labels"] == 100
    assert found == convdbn.inspect(tmp_path / "classifier.safetensors")
    assert json.loads(json.dumps(found)) == found
    assert convdbn.load_classifier(tmp_path)(torch.rand(3, 1, 8, 8)).shape == (3, 10)


def test_what_is_begun_anew_keeps_no_baseline_of_before(tmp_path, trained):
    words = {"model": trained, "output_dir": tmp_path, "labels": 100, "epochs": 1, **WHERE}
    convdbn.finetune(**words, baseline=True)
    assert sorted(contents(tmp_path)) == ["baseline.safetensors", "classifier.safetensors"]
    # What is refused loses nothing.
    for wrong in ({"held_out": 0.01, "labels": 20}, {"layers": 3}, {"data": tmp_path}):
        with pytest.raises(ValueError, match=r"held_out=0\.01: 1 of 20|layers=|no pictures"):
            convdbn.finetune(**{**words, **wrong}, overwrite=True)
        assert sorted(contents(tmp_path)) == ["baseline.safetensors", "classifier.safetensors"]
    convdbn.finetune(**words, overwrite=True)
    assert list(contents(tmp_path)) == ["classifier.safetensors"]


@pytest.mark.parametrize(("verb", "words"), [("refine", ["--method", "up-down"]), ("finetune", ["--distort", "0"])])
def test_a_signal_leaves_a_run_with_which_the_same_command_goes_on(
    tmp_path, monkeypatch, trained, caplog, verb, words
):
    where = {"data": "digits", "output-dir": tmp_path / "run", "device": "cpu"}
    command = [
        verb,
        str(trained),
        *(f"--{name}={value}" for name, value in where.items()),
        *words,
        "--batch=5",
        "--epochs=5000",
    ]
    code, out, log = interrupted(command, signal.SIGTERM, tmp_path / "log", lambda log: "epoch 1:" in log)
    assert (code, out) == (75, ""), log
    stopped = re.search(rf"convdbn {verb}: step (\d+): saved; go on with --resume", log)
    assert int(stopped[1]) > 100 and "Traceback" not in log  # an epoch
    assert convdbn.inspect(tmp_path / "run")["finished"] is False
    stopping(monkeypatch, 3)
    assert cli.main([*command, "--resume"]) == 75
    assert f"step {int(stopped[1]) + 3}: saved" in caplog.text
