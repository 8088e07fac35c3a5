"""Writes the tables of the README from results/*.json, between their markers.

    python scripts/readme_tables.py [--check]

With --check nothing is written, and the exit code is 1 where the README differs.
"""

import json
import re
import sys
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ROWS = {
    "features": "convolutional RBM, 32 filters, learned without labels",
    "random": "the same network, random filters (mean of 3 draws)",
    "sklearn_rbm": "scikit-learn BernoulliRBM, 100 units",
    "pixels": "raw pixels",
    "pca": "PCA, all 64 components, whitened",
}
WORKS = {
    "rbm": "RBM 784-500, 60,000 pictures",
    "conv1": "conv RBM 1x28x28, 40 filters 9x9, C = 2, 10,000 pictures",
    "conv2": "conv RBM 40x10x10, 40 filters 5x5, C = 2, 10,000 pictures",
    "wide": "conv RBM 1x32x32, 256 filters 7x7, C = 2, one update of 20",
}
LABELS_ROW = "convolutional RBM, 256 filters, learned without labels"
BASELINES = {
    "kmeans": "k-means patches (Coates et al. 2011), 256 centroids",
    "random": "the same network, random filters",
    "pixels": "raw pixels",
    "pca": "PCA, 50 components, whitened",
}
PAPER = {"1000": "2.62 ± .12", "2000": "2.13 ± .10", "3000": "1.91 ± .09", "5000": "1.59 ± .11", "60000": ".82"}
FINE_TUNED = {
    "finetuned": "fine-tuned with distorted pictures, both layers",
    "finetuned_random_init": "the same from random filters",
}
CORRUPTIONS = {
    "clean": "as they are",
    "noise_10": "10 % noise",
    "noise_20": "20 % noise",
    "occlusion_10": "10 % covered",
    "occlusion_25": "25 % covered",
}
NOISE_ROWS = {
    "features": "convdbn",
    "random": "the same network, random filters",
    "kmeans": "k-means patches",
    "pixels": "raw pixels",
    "pca": "PCA",
}
NOISE_PAPER = {
    "CDBN (lonl/CDBN)": ("95.1", "92.8", "84.4"),
    "DBN (there)": ("91.5", "86.7", "60.1"),
    "softmax (there)": ("87.7", "83.2", "74.7"),
}
PARTS_PAPER = {"faces": (".39", ".86", ".95"), "motorbikes": (".44", ".69", ".81"), "cars": (".43", ".72", ".87")}
NATS = {
    "rbm16": ("RBM, 16 hidden units, pixels cut at .5", "-142.6 (Melchior et al. 2016)"),
    "rbm16_flipped": ("the same on flipped pictures", "-142.1 (there)"),
    "rbm500_10_epochs": ("RBM, 500 hidden units, 10 epochs", ""),
    "rbm500": ("RBM, 500 hidden units, 300 epochs: `rbm500_mnist`", "-86.3 (CD-25; Salakhutdinov and Murray 2008)"),
    "dbn500_2000": ("DBN, 500 and 2,000, lower bound: `dbn_mnist`", "-86.0 (there)"),
    "dbm500_1000": ("DBM, 500 and 1,000, lower bound: `dbm_mnist`", "-84.6 (Salakhutdinov and Hinton 2009)"),
}
FAMILY = (
    (
        "classify_rbm",
        "generative",
        "classification RBM, 1,500 hidden units, generative",
        "3.39 (Larochelle, Bengio 2008)",
    ),
    ("classify_rbm", "discriminative", "the same, 500 hidden units, discriminative", "1.81 (there)"),
    ("classify_rbm", "hybrid", "the same, 1,500 hidden units, hybrid", "1.28 (there)"),
    ("dbn", "greedy", "DBN 500-500-2000 with label units, layer by layer", ""),
    ("dbn", "up_down", "the same after up-down learning", "1.25 (Hinton et al. 2006)"),
    ("dbn", "backprop", "the same fine-tuned by backpropagation", "1.15 (Hinton 2007)"),
    ("dbm", "finetuned", "DBM 500-1000 fine-tuned by backpropagation", ".95 (Salakhutdinov, Hinton 2009)"),
)
FOLDERS = ("layers 1 and 2", "layer 1", "layer 2", "random", "kmeans", "pixels")
CALTECH_PAPER = ("57.7", "65.4")
PEERS = {"rbm": "RBM 784-500, 60,000 pictures", "conv1": "conv RBM, 40 filters 9x9, 10,000 pictures"}


def results(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "results" / f"{name}.json").read_text())


def source(figures: dict[str, Any]) -> str:
    return f"`{figures['command']}`, {figures['machine']}, torch {figures['versions']['torch']}, {figures['date']}."


def line(*cells: str) -> str:
    """One line of a table."""
    return f"| {' | '.join(cells)} |"


def digits_table() -> str:
    demo = results("demo")
    rows = [f"| {label} | {demo['digits'][name]:.3f} |" for name, label in ROWS.items()]
    return "\n".join(["| features | test accuracy |", "|---|---|", *rows, "", source(demo)])


def speed_table() -> str:
    speed = results("bench_speed")
    columns = ("seconds", "floor_seconds", "ratio", "end_to_end_ratio")
    rows = [
        f"| {label} | {' | '.join(f'{speed[name][column]:.3g}' for column in columns)} |"
        for name, label in WORKS.items()
    ]
    head = [
        "| CD-1, batch 100, float32, two threads | seconds | bare products | ratio | end to end, ratio to updates |",
        "|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows, "", source(speed)])


def gpu_table() -> str:
    speed = results("bench_speed_cuda")

    def floor(row: dict[str, Any]) -> float:
        return max(row["arithmetic_floor_seconds"], row["memory_floor_seconds"])

    columns: tuple[tuple[str, Callable[[dict[str, Any]], float]], ...] = (
        ("", itemgetter("seconds")),
        ("", itemgetter("tf32_seconds")),
        ("", itemgetter("end_to_end_seconds")),
        ("_1000", itemgetter("seconds")),
        ("_1000", itemgetter("tf32_seconds")),
        ("_1000", floor),
    )
    rows = [
        line(
            label.replace(", one update of 20", ", one update"),
            *(f"{of(speed[name + key]):.2g}" for key, of in columns),
        )
        for name, label in WORKS.items()
    ]
    head = [
        line(
            f"CD-1, seconds on an {speed['device_name']}",
            *("batch 100", "TF32", "end to end", "batch 1,000", "TF32", "floor of the device"),
        ),
        "|---" * 7 + "|",
    ]
    return "\n".join([*head, *rows, "", source(speed)])


def peers_table() -> str:
    peers = results("bench_peers")
    rows = [
        f"| {label} | {name} | {row['seconds']:.2f} | {row['ratio']:.2f} | {peers['notes'][name]} |"
        for work, label in PEERS.items()
        for name, row in peers[work].items()
    ]
    head = ["| batch 100, two threads | package | seconds | to convdbn | what it does |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows, "", source(peers)])


def scaling_table() -> str:
    scaling = results("bench_scaling")
    counts, sizes = scaling["by_count"], scaling["nanoseconds_per_hidden_position_by_size"]
    rows = [
        f"| {int(count):,} pictures of 28x28, streamed | {row['microseconds_per_picture']:.0f} µs a picture, "
        f"{row['to_fewest_before_and_after']:.2f} of what 10,000 took just before and after, "
        f"peak {row['peak_gib']:.2f} GiB |"
        for count, row in counts.items()
    ]
    rows += [f"| pictures of {size}x{size} | {value:.0f} ns a hidden position |" for size, value in sizes.items()]
    share = scaling["features"]["share_of_bare_speed"]
    rows.append(f"| features, two layers of 40 filters | {share:.0%} of the speed of the bare convolutions |")
    return "\n".join(["| one layer, 24 filters 9x9, two threads | |", "|---|---|", *rows, "", source(scaling)])


def mnist_table() -> str:
    mnist = results("mnist")
    rows = [
        f"| `convdbn train --recipe mnist` on 60,000 pictures | {mnist['train_seconds']:.0f} s |",
        f"| its peak memory | {mnist['train_peak_gib']:.1f} GiB |",
        f"| `convdbn features` of the 10,000 test pictures, layer 1 / layer 2 "
        f"| {mnist['features_1_seconds']:.0f} s / {mnist['features_2_seconds']:.0f} s |",
    ]
    return "\n".join(["| MNIST, two layers of 128 filters, two cores | |", "|---|---|", *rows, "", source(mnist)])


def labels_table() -> str:
    figures = results("mnist_labels")
    counts = list(figures["svm"])
    kinds = {LABELS_ROW: figures["svm"]}
    kinds |= {label: figures[name] for name, label in FINE_TUNED.items()}
    kinds |= {label: figures["baselines"][name] for name, label in BASELINES.items()}
    rows = [line(label, *(_with_se(row.get(count)) for count in counts)) for label, row in kinds.items()]
    head = [
        line("MNIST test error %, labeled pictures:", *(f"{int(count):,}" for count in counts)),
        "|---" * (len(counts) + 1) + "|",
    ]
    paper = line("CDBN, two layers (Lee et al. 2009)", *(PAPER[count] for count in counts))
    return "\n".join([*head, *rows, paper, "", source(figures)])


def _with_se(row: dict[str, Any] | None, figure: str = "error") -> str:
    if row is None:
        return ""
    return f"{row[figure]:.2f}" + ("" if row["se"] is None else f" ± {row['se']:.2f}")


def caltech_table() -> str:
    figures = results("caltech101")
    kinds = {
        "convdbn, layers 1 and 2, learned on natural scenes": figures,
        "layer 1": figures["layer_1"],
        "layer 2": figures["layer_2"],
        "the same network, random filters": figures["baselines"]["random"],
        "k-means patches (Coates et al. 2011), 128 centroids": figures["baselines"]["kmeans"],
        "raw pixels, 32x32": figures["baselines"]["pixels"],
        "PCA of these, 50 components, whitened": figures["baselines"]["pca"],
    }
    rows = [
        f"| {label} | {' | '.join(_with_se(row[n], 'accuracy') for n in ('15', '30'))} |"
        for label, row in kinds.items()
    ]
    head = ["| Caltech-101 accuracy %, labeled pictures a class: | 15 | 30 |", "|---|---|---|"]
    paper = f"| CDBN, layers 1 and 2 (Lee et al. 2009) | {' | '.join(CALTECH_PAPER)} |"
    return "\n".join([*head, *rows, paper, "", source(figures)])


def parts_table() -> str:
    figures = results("object_parts")
    rows = []
    for layer in (1, 2, 3):
        cells = []
        for name, published in PARTS_PAPER.items():
            found = figures[name][f"layer_{layer}"]
            cells.append(f"{found['area_as_many']:.2f} / {found['area']:.2f} ({published[layer - 1]})")
        rows.append(line(f"layer {layer}", *cells))
    head = [line("AUC-PR against as many / four times as many (published)", *PARTS_PAPER), "|---|---|---|---|"]
    return "\n".join([*head, *rows, "", source(figures)])


def faces_table() -> str:
    figures = results("complete")
    covers = ("left", "right", "top", "bottom")
    rows = [
        line(label, *(f"{figures['cdbm_faces'][cover][key]:.3f}" for cover in covers))
        for key, label in {
            "squared_error": "`cdbm_faces`",
            "of_mean": "mean face",
            "of_nearest": "nearest face, by the half that is seen",
            "of_regression": "ridge regression on that half",
        }.items()
    ]
    head = [line("squared error of a covered pixel; the half that is covered:", *covers), "|---" * 5 + "|"]
    return "\n".join([*head, *rows, "", source(figures)])


def likelihood_table() -> str:
    figures = results("likelihood")
    rows = []
    for name, (label, published) in NATS.items():
        row = figures[name]
        kind = "test_ll" if "test_ll" in row else "bound"
        reverse = "exact" if row["exact"] else f"{row[kind + '_reverse']:.2f}"
        rows.append(line(label, f"{row[kind]:.2f}", reverse, published))
    head = [line("MNIST test log-likelihood, nats", "forward AIS", "reverse AIS", "published"), "|---" * 4 + "|"]
    return "\n".join([*head, *rows, "", source(figures)])


def family_table() -> str:
    rows = [line(label, f"{results(name)[row]['error']:.2f}", published) for name, row, label, published in FAMILY]
    head = [line("MNIST test error %", "convdbn", "published"), "|---" * 3 + "|"]
    sources = [source(results(name)) for name in dict.fromkeys(name for name, *_ in FAMILY)]
    return "\n".join([*head, *rows, "", *sources])


def autoencoder_table() -> str:
    figures = results("autoencoder")
    deep, layers = figures["autoencoder"], figures["layers"]
    rows = [
        line(
            "784-1000-500-250-30, trained together",
            f"{deep['squared_error']:.2f}",
            "3.00 (Hinton, Salakhutdinov 2006)",
        ),
        line("its layers one by one, before that", f"{layers['squared_error']:.2f}", ""),
        line("30 principal components", f"{deep['pca_squared_error']:.2f}", "13.87 (there)"),
    ]
    head = [line("MNIST, squared error of a test picture", "convdbn", "published"), "|---" * 3 + "|"]
    return "\n".join([*head, *rows, "", source(figures)])


def denoising_table() -> str:
    figures = results("denoising")
    counts = [name for name in figures if name.isdigit()]
    kinds = {
        "three layers of 1,000 denoising units, fine-tuned": "error",
        "the same network from random weights": "error_from_random_weights",
    }
    rows = [line(label, *(f"{figures[count][kind]:.2f}" for count in counts)) for label, kind in kinds.items()]
    head = [
        line("MNIST test error %, labeled pictures:", *(f"{int(count):,}" for count in counts)),
        "|---" * (len(counts) + 1) + "|",
    ]
    return "\n".join([*head, *rows, "", source(figures)])


def noise_table() -> str:
    figures = results("noise")
    accuracy = figures["accuracy"]
    rows = [
        line(label, *(f"{accuracy[kind][name]:.1f}" for kind in CORRUPTIONS)) for name, label in NOISE_ROWS.items()
    ]
    rows += [line(name, *published, "", "") for name, published in NOISE_PAPER.items()]
    head = [line("MNIST accuracy %, test pictures:", *CORRUPTIONS.values()), "|---" * 6 + "|"]
    return "\n".join([*head, *rows, "", source(figures)])


def folders_table() -> str:
    figures = results("folders")
    sets = {name: row for name, row in figures.items() if isinstance(row, dict) and "labels" in row}
    rows = [
        line(
            f"{name}, {row['labels']:,} labels of {row['pictures']:,}{' *' if row['may choose settings'] else ''}",
            *(f"{row[kind]['error']:.1f}" for kind in FOLDERS),
        )
        for name, row in sets.items()
    ]
    head = [
        line("test error %", "both layers", "layer 1", "layer 2", "random filters", "k-means patches", "pixels"),
        "|---" * (len(FOLDERS) + 1) + "|",
    ]
    return "\n".join([*head, *rows, "", f"\\* chose the settings. {source(figures)}"])


def main() -> int:
    path = ROOT / "README.md"
    before = after = path.read_text()
    tables = (
        digits_table,
        speed_table,
        gpu_table,
        peers_table,
        scaling_table,
        mnist_table,
        folders_table,
        labels_table,
        caltech_table,
        parts_table,
        faces_table,
        noise_table,
        likelihood_table,
        family_table,
        autoencoder_table,
        denoising_table,
    )
    for name, table in ((table.__name__.removesuffix("_table"), table) for table in tables):
        pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        after, count = re.subn(pattern, lambda m, t=table: m[1] + t() + "\n" + m[2], after, flags=re.DOTALL)
        assert count == 1, f"README.md needs one pair of <!-- {name} --> markers"
    if "--check" in sys.argv:
        return int(after != before)
    path.write_text(after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
