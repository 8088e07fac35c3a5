"""The ledger of long scripts: nothing that is known is computed again, and nothing of other options is taken up."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from reporting import Ledger, fingerprint


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def never():
    raise AssertionError("computed again")


def test_an_interrupted_script_goes_on_where_it_stopped():
    first = Ledger("table", "options")
    assert first.get("a", lambda: {"error": 1.5}) == {"error": 1.5}
    assert first.array("rows", lambda: np.arange(3.0)).tolist() == [0, 1, 2]
    with pytest.raises(AssertionError):
        first.get("b", never)
    again = Ledger("table", "options")
    assert again.get("a", never) == {"error": 1.5}
    assert again.array("rows", never).tolist() == [0, 1, 2]
    assert again.get("b", lambda: 2) == 2
    assert again.close() >= 0
    assert not list(Path("runs").iterdir())


def test_other_options_start_anew():
    Ledger("table", "options").get("a", lambda: 1)
    assert Ledger("table", "others").get("a", lambda: 2) == 2


def test_fingerprints_tell_options_and_contents_apart():
    Path("weights").write_bytes(b"one")
    before = fingerprint(Path("weights"), 3)
    assert fingerprint(Path("weights"), 3) == before != fingerprint(Path("weights"), 4)
    Path("weights").write_bytes(b"two")
    assert fingerprint(Path("weights"), 3) != before
