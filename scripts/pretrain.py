"""Train the models that come with the package, without labels.

    python scripts/pretrain.py NAME --data DATA [--data-root DIR] [--device cuda]

Those that end in _mnist learn from `--data mnist` (dbn_mnist and dbm_mnist begin with rbm500_mnist), cdbn_natural
from a folder of photographs (published: the 200 training pictures of BSDS500), those that end in _faces from
`--data faces`, the first 22 persons of Caltech-101's Faces_easy (cdbm_faces begins with crbm_faces), each by the
recipe of its name. Writes convdbn/weights/NAME.safetensors and docs/figures/NAME.png; the run itself stays in
runs/NAME, where the same command takes it up again after an interruption.
"""

from pathlib import Path

from faces import persons
from objects import trained
from reporting import parser

import convdbn
from convdbn import recipes
from convdbn.models.files import WEIGHTS, open_model, save

NAMES = (
    "cdbn_mnist",
    "cdbn_natural",
    "rbm500_mnist",
    "dbn_mnist",
    "dbm_mnist",
    "crbm_mnist",
    "crbm_faces",
    "cdbm_faces",
)
HALF = NAMES[1:]
"""Models that ship in half precision, since the package is small; every figure is of what ships."""


def main() -> None:
    command = parser(__doc__, "--device")
    command.add_argument("name", choices=NAMES)
    command.add_argument("--data", required=True)
    command.add_argument("--data-root")
    options = command.parse_args()
    if options.data == "faces" and options.data_root is None:
        command.error("--data faces: needs --data-root, the folder that holds caltech101")
    run = Path("runs", options.name)
    if options.data == "faces":
        trained(recipes.load(options.name), persons(options.data_root)[0], run, device=options.device)
    else:
        convdbn.train(
            recipe=options.name,
            data=options.data,
            data_root=options.data_root,
            output_dir=run,
            resume=True,
            device=options.device,
        )
    model = open_model(run, "model").model
    model.metadata["data"] = {"data": "/".join(Path(options.data).parts[-2:])}  # where it lay says nothing to others
    model = model.half() if options.name in HALF else model
    save(WEIGHTS / f"{options.name}.safetensors", model, model.metadata)
    convdbn.visualize(model=run, output=f"docs/figures/{options.name}.png")


if __name__ == "__main__":
    main()
