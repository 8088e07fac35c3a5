"""`convdbn report`: the file that it writes, and the same file in a browser."""

import io
import json
import os
import re
import shutil
import subprocess
import time
import warnings

import numpy as np
import pytest
from PIL import Image

import convdbn
from convdbn import cli
from convdbn.errors import DataError, UsageError
from convdbn.visual import projections

# 26 -> 24 / 2 = 12 -> 10 / 2 = 5 -> 4 / 2 = 2
THREE = {
    "filters": [7, 9, 5],
    "kernel": [3, 3, 2],
    "pool": 2,
    "updates": 6,
    "batch": 4,
    "held_out": 0,
    "log_every": 2,
}
CLASSES = ("<b>cats", 'dogs & "foxes"')
EVIL = "<img src=x onerror=alert(1)>.png"
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run of three layers on two classes, and its report."""
    root = tmp_path_factory.mktemp("shown")
    random = np.random.default_rng(0)
    for index in range(24):
        path = root / "pictures" / CLASSES[index % 2] / (EVIL if index == 4 else f"{index:03d}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 60 + 195 * (index % 2), (26, 26), dtype=np.uint8)).save(path)
    convdbn.train(recipe="rbm", data=root / "pictures", output_dir=root / "run", **THREE)
    return root / "run"


@pytest.fixture(scope="module")
def written(run):
    return convdbn.report(run, device="cpu")


def embedded(path):
    """What the page knows of the units."""
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


class TestFile:
    def test_it_lies_in_the_run_and_knows_every_unit(self, run, written):
        assert written["output"] == str(run / "report.html") and written["pictures"] == 24
        assert written["megabytes"] == round((run / "report.html").stat().st_size / 1e6, 2) < 1
        data = embedded(run / "report.html")
        assert [len(layer["units"]) for layer in data["layers"]] == THREE["filters"]
        assert data["classes"] == list(CLASSES)
        assert f"{CLASSES[0]}/{EVIL}" in data["titles"]
        for unit in (unit for layer in data["layers"] for unit in layer["units"]):
            assert sum(unit["histogram"]) == 24 and len(unit["best"]) == 9
            assert 0 <= unit["mean"] <= 1 and 0 <= unit["sparseness"] <= 1 and 0 <= unit["information"] <= 1
            assert len({title for _, title, *_ in unit["best"]}) == 9  # one patch of a picture

    def test_it_says_whose_receptive_field_it_shows(self, run, written):
        text = (run / "report.html").read_text(encoding="utf-8")
        head, *rows = re.findall(r"<tr><th scope=.*</tr>", text)[:3]
        assert re.findall(">([^<>]+ sees)<", head) == ["A unit before pooling sees", "A pooling unit sees"]
        shown = [re.findall("(\\d+)\N{MULTIPLICATION SIGN}\\d+ pixels", row) for row in rows]
        layers = convdbn.inspect(run)["layers"][:2]
        names = ("receptive_field_before_pooling", "receptive_field")
        assert shown == [[str(layer[name]) for name in names] for layer in layers]
        assert shown[0][0] < shown[0][1]

    def test_nothing_is_fetched_and_nothing_from_outside_is_markup(self, run, written):
        text = (run / "report.html").read_text(encoding="utf-8")
        assert set(re.findall(r"\w+://[^\"'\s]*", text)) == {"http://www.w3.org/2000/svg"}  # a name, not an address
        assert "<img" not in text and "<b>" not in text
        assert text.count("<script") == 2

    def test_the_same_again_from_the_same_seed(self, run, written, tmp_path):
        paths = [tmp_path / "deep" / "a.html", tmp_path / "b.html"]
        first, second = (convdbn.report(run, output=path, count=10, seed=5, device="cpu") for path in paths)
        assert first["pictures"] == 10
        assert paths[0].read_bytes() == paths[1].read_bytes()
        assert second["output"] == str(paths[1])

    def test_pictures_that_are_gone_are_no_reason_to_fail(self, run, tmp_path, monkeypatch, caplog):
        copied = shutil.copytree(run, tmp_path / "moved")
        monkeypatch.setattr("convdbn.images.folder.EXTENSIONS", (".none",))
        result = convdbn.report(copied / "model.safetensors", device="cpu")
        assert result["pictures"] == 0 and caplog.text.count("has no pictures") == 1
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert result["output"] == str(copied / "report.html")
        assert "No pictures, so no patches and no activity" in (copied / "report.html").read_text()
        assert embedded(copied / "report.html")["layers"][2]["units"] == [{}] * 5
        with pytest.raises(DataError, match="has no pictures"):
            convdbn.report(copied, data=run.parent / "pictures", device="cpu")

    def test_a_model_of_the_package(self, tmp_path, monkeypatch, capsys, caplog):
        monkeypatch.chdir(tmp_path)
        assert cli.main(["report", "rbm500_mnist", "--device", "cpu", "--json"]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert printed["output"] == "rbm500_mnist.html"
        assert printed["pictures"] == 0 and caplog.text.count("--data-root") == 1
        assert [len(layer["units"]) for layer in embedded(tmp_path / "rbm500_mnist.html")["layers"]] == [500]

    def test_pictures_that_do_not_fit(self, run, tmp_path):
        with pytest.raises(DataError, match="do not fit filters"):
            convdbn.report(run, data="digits", output=tmp_path / "report.html", device="cpu")

    def test_what_can_not_be(self, run, tmp_path):
        with pytest.raises(UsageError, match="count=0: must be a whole number of at least 1"):
            convdbn.report(run, count=0)
        assert cli.main(["report", str(tmp_path / "nothing")]) == 4
        with pytest.raises(UsageError, match=r"output='.*a\.pdf': name a file that ends in \.html"):
            convdbn.report(run, output=tmp_path / "a.pdf", data="digits")  # which do not fit


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window. A system that has none gets it from its packages where that is allowed."""
    api = pytest.importorskip("playwright.sync_api", reason="the report is NOT tested in a browser: no playwright")
    names = ("chromium", "chromium-browser", "google-chrome")
    allowed = os.environ.get("CONVDBN_INSTALL_BROWSER") == "1" or "CI" in os.environ
    if not any(map(shutil.which, names)) and allowed and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "-y", "chromium"], capture_output=True, check=False)
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        reason = (
            "the report is NOT tested in a browser: no chromium; install it, or CONVDBN_INSTALL_BROWSER=1 as root"
        )
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=FLAGS.split())
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, run, written):
    """The report, opened from its file; whatever it asks for, says or complains of is kept."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    asked, said = [], []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("console", lambda message: said.append(message.text))
    opened.on("dialog", lambda dialog: (said.append("dialog"), dialog.dismiss()))
    start = time.perf_counter()
    opened.goto((run / "report.html").as_uri())
    assert time.perf_counter() - start < 10  # a second at most on an idle machine
    yield opened
    assert [url for url in asked if not url.startswith("data:")] == [(run / "report.html").as_uri()]
    assert said == []
    opened.close()


def unit(page, layer, number):
    return page.locator(f".grid >> nth={layer - 1}").locator(f'[data-unit="{number}"]')


def order(page, layer):
    """Numbers of the units that are shown, as they stand."""
    buttons = page.locator(f".grid >> nth={layer - 1}").locator(".unit:not([hidden])")
    return [int(number) for number in buttons.evaluate_all("all => all.map(one => one.dataset.unit)")]


class TestBrowser:
    def test_a_click_shows_all_there_is_about_a_unit(self, page, run, tmp_path):
        page.screenshot(path=tmp_path / "all.png", full_page=True)
        unit(page, 2, 4).click()
        panel = page.locator("#panel")
        assert panel.locator("h3").inner_text() == "Layer 2, unit 4"
        known, text = embedded(run / "report.html")["layers"][1]["units"][4], panel.inner_text()
        assert "8\N{MULTIPLICATION SIGN}8 pixels, every 2 pixels" in text
        for name in ("mean", "sparseness", "information"):
            assert f"{known[name]:.3g}" in text
        assert CLASSES[known["classes"][0][0]] in text
        assert panel.locator(".strip >> nth=0").locator(".tile").count() == 3
        assert panel.locator(".strip >> nth=1").locator(".tile").count() == 9
        assert panel.locator("rect").count() == 20
        assert unit(page, 2, 4).get_attribute("aria-current") == "true"

    @pytest.mark.parametrize("layer", [1, 2])
    def test_tiles_show_the_right_picture(self, page, run, layer):
        """Middles of the enlarged pixels on the screen, against the projection itself."""
        tile = unit(page, layer, 4).locator(".tile")
        screen = np.asarray(Image.open(io.BytesIO(tile.screenshot())).convert("L"), dtype=float)
        picture = projections.linear_combination(convdbn.load(run, device="cpu"), layer, [4])[0, 0]
        wanted = 255 * (picture / picture.abs().max() / 2 + 0.5)
        zoom, middle = len(screen) // len(picture), len(screen) // len(picture) // 2
        assert zoom >= 3
        assert np.abs(screen[middle::zoom, middle::zoom] - wanted.numpy()).max() < 2

    def test_names_of_files_are_text(self, page, run):
        data = embedded(run / "report.html")
        evil = data["titles"].index(f"{CLASSES[0]}/{EVIL}")
        layer, number = next(
            (layer["n"], number)
            for layer in data["layers"]
            for number, one in enumerate(layer["units"])
            if evil in [title for _, title, *_ in one["best"]]
        )
        unit(page, layer, number).click()
        assert EVIL in page.locator("#panel").inner_text()
        page.wait_for_timeout(200)
        assert page.locator("img").count() == 0  # and no dialog, see `page`

    def test_units_are_found_by_number_and_by_class(self, page, run):
        units = embedded(run / "report.html")["layers"]
        page.keyboard.press("/")
        page.keyboard.type("6")
        assert [order(page, layer) for layer in (1, 2, 3)] == [[6], [6], []]
        assert page.locator("#count").inner_text() == "2 of 21 units"
        assert not page.locator("#layer3").is_visible()
        page.locator("#search").fill("DOGS &")
        for layer in (1, 2, 3):
            best = [number for number, one in enumerate(units[layer - 1]["units"]) if one["classes"][0][0] == 1]
            assert order(page, layer) == best
        page.locator("#search").fill("")
        assert [len(order(page, layer)) for layer in (1, 2, 3)] == THREE["filters"]

    @pytest.mark.parametrize("key", ["mean", "sparseness", "information"])
    def test_units_are_sorted(self, page, run, key):
        page.locator("#sort").select_option(key)
        for layer, known in enumerate(embedded(run / "report.html")["layers"], start=1):
            values = [known["units"][number][key] for number in order(page, layer)]
            assert values == sorted(values, reverse=True) and len(values) == THREE["filters"][layer - 1]
        page.locator("#sort").select_option("")
        assert order(page, 2) == list(range(9))

    def test_other_projections(self, page):
        before = unit(page, 2, 4).locator(".tile").screenshot()
        page.locator("#method").select_option(label="maximized input")
        assert unit(page, 2, 4).locator(".tile").screenshot() != before

    def test_all_of_it_by_keyboard(self, page):
        focused = "[document.activeElement.parentElement.className, document.activeElement.dataset.unit]"
        unit(page, 1, 0).focus()
        panel = page.locator("#panel")
        for key, number in [("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", 6), ("Home", 0)]:
            page.keyboard.press(key)
            assert page.evaluate(focused)[1] == str(number)
        assert "Choose a unit" in panel.inner_text()
        page.keyboard.press("Enter")
        assert panel.locator("h3").inner_text() == "Layer 1, unit 0"
        page.keyboard.press("ArrowRight")
        assert panel.locator("h3").inner_text() == "Layer 1, unit 1"
        page.keyboard.press("Escape")
        assert "Choose a unit" in panel.inner_text()
        assert page.evaluate(focused)[1] == "1"
        # One stop of the Tab key for each layer: from unit 1 of the first to the second.
        page.keyboard.press("Tab")
        assert page.evaluate(focused) == [page.locator(".grid >> nth=1").get_attribute("class"), "0"]
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == "search"

    def test_rows_are_walked_up_and_down(self, page):
        page.set_viewport_size({"width": 300, "height": 800})
        unit(page, 1, 0).focus()
        page.keyboard.press("ArrowDown")
        below = int(page.evaluate("document.activeElement.dataset.unit"))
        places = [unit(page, 1, number).bounding_box() for number in (0, below)]
        assert below > 1 and places[0]["x"] == places[1]["x"] and places[0]["y"] < places[1]["y"]
        page.keyboard.press("ArrowUp")
        assert page.evaluate("document.activeElement.dataset.unit") == "0"

    def test_a_narrow_window_hides_nothing(self, page, tmp_path):
        page.set_viewport_size({"width": 360, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert not page.locator("#panel").is_visible()
        chosen = unit(page, 3, 2)
        chosen.click()
        page.screenshot(path=tmp_path / "narrow.png")
        panel, box = page.locator("#panel").bounding_box(), chosen.bounding_box()
        assert panel["width"] == 360 and box["y"] + box["height"] <= panel["y"]
        page.locator("#panel .close").click()
        assert not page.locator("#panel").is_visible()
