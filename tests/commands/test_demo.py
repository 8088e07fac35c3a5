"""The demonstration's parts."""

import inspect
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import convdbn


@pytest.fixture
def demonstration():
    """The module that the verb `demo` lives in."""
    found = convdbn.demo
    return found if inspect.ismodule(found) else sys.modules[found.__module__]


class TestDemo:
    """The demonstration's parts; the whole takes minutes."""

    def test_shifted_digits(self, demonstration):
        shifted, labels = demonstration.shifted_digits()
        assert shifted.shape == (5 * 1797, 1, 8, 8) and shifted.dtype == np.float32
        assert (shifted.min(), shifted.max()) == (0, 1)
        plain, *moved = shifted.reshape(5, 1797, 8, 8)
        assert (labels.reshape(5, 1797) == labels[:1797]).all()
        directions = set()
        for copy in moved:
            found = [
                (down, right)
                for down, right in ((1, 0), (-1, 0), (0, 1), (0, -1))
                if (np.roll(plain, (down, right), (1, 2))[:, 1:-1, 1:-1] == copy[:, 1:-1, 1:-1]).all()
            ]
            assert len(found) == 1
            directions |= {*found}
            (down, right) = found[0]
            edge = copy[:, 0 if down == 1 else -1] if down else copy[:, :, 0 if right == 1 else -1]
            assert (edge == 0).all()
        assert len(directions) == 4

    def test_random_filters_have_the_same_scale_and_leave_the_rest(self, finished, demonstration):
        from convdbn.evaluation.baselines import with_random_filters

        model = convdbn.load(finished)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        random = with_random_filters(model, seed=0)
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name])
            if name.endswith("weight"):
                assert not torch.equal(random.state_dict()[name], value)
                assert 0.5 < float(random.state_dict()[name].std() / value.std()) < 2
            else:
                assert torch.equal(random.state_dict()[name], value)
        again = with_random_filters(model, seed=0).state_dict()
        assert all(torch.equal(again[name], value) for name, value in random.state_dict().items())

    def test_pictures_and_summary_are_written(self, tmp_path, monkeypatch, demonstration):
        """With four filters and four updates a layer, and without the baselines."""
        train, model = convdbn.train, {}

        def briefly(**options):
            model["photos"] = train(**options, filters=[4, 4], updates=4, log_every=1)
            return model["photos"]

        monkeypatch.setattr(demonstration, "train", briefly)
        monkeypatch.setattr(demonstration, "_digits", lambda: ({"features": 0.98765}, model["photos"]))
        summary = demonstration.demo(output_dir=str(tmp_path / "demo"))
        assert json.loads((tmp_path / "demo" / "summary.json").read_text()) == summary
        assert summary["digits"] == {"features": 0.9877}
        assert summary["seconds"] >= 0
        assert len(summary["figures"]) >= 2
        assert all(Path(figure).read_bytes().startswith(b"\x89PNG") for figure in summary["figures"])
        assert convdbn.inspect(tmp_path / "demo" / "photos")["finished"]
