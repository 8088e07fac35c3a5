"""Spellings of version 0.1.0 are understood for one version, with a warning that says the present one."""

import pytest

import convdbn
from convdbn.commands.former import present, present_words
from convdbn.errors import UsageError


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("features --checkpoint run --data d --trim", "features run --data d --sizes trim"),
        ("features --data=d --checkpoint=run", "features run --data=d"),
        ("visualize --checkpoint run --method maximise", "visualize run --method maximize"),
        ("train --colour true --data d --centring=data", "train --color true --data d --centering data"),
        ("evaluate --checkpoint run --data d --likelihood", "likelihood run --data d"),
        ("evaluate --data d --classifier labels --checkpoint run", "label-error run --data d"),
    ],
)
def test_words_of_a_command_line(words, expected):
    with pytest.warns(DeprecationWarning, match=r"is the spelling of version 0\.1\.0; write"):
        assert present_words(words.split()) == expected.split()


@pytest.mark.parametrize(
    "words", ["", "--help", "inspect run --json", "train --hidden-bias=-3 --transform [] --data d", "evaluate -h"]
)
def test_present_words_stay_as_they_are(words, recwarn):
    assert present_words(words.split()) == words.split()
    assert not recwarn


def test_arguments():
    with pytest.warns(
        DeprecationWarning, match="checkpoint='run' is the spelling of version 0.1.0; write model='run'"
    ):
        assert present("features", {"checkpoint": "run", "layer": 2}) == ("features", {"model": "run", "layer": 2})
    with pytest.warns(DeprecationWarning, match="trim=True .* write sizes='trim'"):
        assert present("features", {"trim": True}) == ("features", {"sizes": "trim"})
    with pytest.warns(DeprecationWarning, match=r"evaluate\(reconstruction=True\) .* write reconstruction\(\.\.\.\)"):
        assert present("evaluate", {"reconstruction": True, "data": "d"}) == ("reconstruction", {"data": "d"})


def test_a_call_of_version_0_1_0_gives_the_present_result():
    refused = pytest.raises(UsageError, match=r"output='a\.png': name a file that ends in \.html")
    with pytest.warns(DeprecationWarning, match="run_dir="), refused:
        convdbn.report(run_dir="rbm500_mnist", output="a.png")
    with pytest.warns(DeprecationWarning, match="checkpoint="):
        figure = convdbn.plot(checkpoint="rbm500_mnist", figure="weights", device="cpu")
    assert len(figure.axes) == 1
