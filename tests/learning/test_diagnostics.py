"""Which layers are warned of. The metrics themselves are tested where they come from, in `test_trainer`."""

import pytest

from convdbn.learning.diagnostics import idle_units


@pytest.mark.parametrize(
    ("dead", "always_on", "said"),
    [
        (0.0, 0.0, []),
        (0.5, 0.5, []),
        (0.75, 0.0, ["75 % of the units are dead"]),
        (0.0, 0.51, ["51 % of the units are always on"]),
        (1.0, 0.9, ["100 % of the units are dead", "90 % of the units are always on"]),
    ],
)
def test_a_layer_most_of_whose_units_do_nothing_is_warned_of(dead, always_on, said):
    lines = idle_units({"step": 7, "dead": dead, "always_on": always_on})
    assert [line.split(":")[0] for line in lines] == said
    assert all(": " in line for line in lines)
