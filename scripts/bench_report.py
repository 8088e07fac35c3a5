"""Time to make and to open a report of three layers, and its size.

    python scripts/bench_report.py --data-root DIR

The layers are those of the `parts` recipe, after a few updates on Caltech-101 (the time does not depend on what they
learn); the report uses 1,000 of its pictures, of 101 classes. Two threads. Opening lasts from the request to two
frames after the page has loaded, in Debian's chromium without a window, the median of five. Writes
results/bench_report.json.
"""

import shutil
import statistics
import tempfile
import time
from pathlib import Path

import torch
from playwright.sync_api import sync_playwright
from reporting import parser, write

import convdbn

UPDATES = 10
PICTURES = 1000
OPENED = 5
"""Number of times to open the page."""
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
TWO_FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def opening(path: Path) -> tuple[float, str]:
    """Median seconds until the page is complete, each time in a new browser context, and the browser's version."""
    taken = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for _ in range(OPENED):
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            start = time.perf_counter()
            page.goto(path.as_uri())
            page.evaluate(TWO_FRAMES)
            taken.append(time.perf_counter() - start)
            page.close()
        version = browser.version
        browser.close()
    return statistics.median(taken), version


def main() -> None:
    options = parser(__doc__, "--data-root").parse_args()
    torch.set_num_threads(2)
    data = {"data": "caltech101", "data_root": options.data_root}
    with tempfile.TemporaryDirectory() as folder:
        model = convdbn.train(recipe="parts", output_dir=folder, updates=UPDATES, device="cpu", **data)
        start = time.perf_counter()
        made = convdbn.report(folder, count=PICTURES, device="cpu", **data)
        seconds = time.perf_counter() - start
        open_seconds, browser = opening(Path(made["output"]))
    result = {
        "recipe": "parts",
        "units": [layer.unit.n for layer in model.layers],
        "pictures": made["pictures"],
        "threads": 2,
        "seconds": round(seconds, 1),
        "megabytes": made["megabytes"],
        "seconds_to_open": round(open_seconds, 2),
        "browser": f"Chromium {browser}",
        "seed": 0,
    }
    print(result)
    write(Path("results/bench_report.json"), result)


if __name__ == "__main__":
    main()
