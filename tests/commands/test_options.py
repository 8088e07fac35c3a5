"""Options that many commands have."""

import pytest
from tiny import contents

import convdbn
from convdbn.errors import UsageError


@pytest.mark.parametrize("device", ["gpu", "nowhere", "cuda:99"])
def test_unknown_devices_are_named(finished, pictures, recipe, device):
    before = contents(finished)
    with pytest.raises(UsageError, match=f"device='{device}'"):
        convdbn.load(finished, device=device)
    with pytest.raises(UsageError, match=f"device='{device}'"):
        convdbn.train(recipe=recipe, data=pictures, output_dir=finished, overwrite=True, device=device)
    assert contents(finished) == before
