"""`inspect`: what a checkpoint holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from convdbn import recipes

if TYPE_CHECKING:
    pass


def inspect(checkpoint: str | Path) -> dict[str, Any]:
    """What a checkpoint holds: its layers and their features, its transforms, recipe, data and progress; or what a
    classifier does, and how it was trained."""
    from convdbn.energy import Gaussian
    from convdbn.models import classifier, stack

    if (tuned := classifier.classifier_file(checkpoint)) is not None:
        network, metadata, trainer = classifier.load_run(tuned)
        return {
            "file": str(tuned),
            "parameters": sum(p.numel() for p in network.parameters()),
            "finished": not trainer,
            "classes": network.classes,
            "transform": network.transform.spec(),
            "finetuned": metadata.get("finetuned"),
        }
    model, metadata, trainer = stack.load_trained(checkpoint)
    stages = len(recipes.Recipe.from_dict(metadata["recipe"]).machines)
    return {
        "file": str(stack.model_file(checkpoint)),
        "parameters": sum(p.numel() for p in model.parameters()),
        "finished": not trainer and metadata["progress"]["layer"] == stages,
        "picture": list(model.picture),
        "layers": [info._asdict() for info in model.feature_info],
        "scales": [
            float(m.units[0].scale.mean()) if isinstance(m.units[0], Gaussian) else None for m in model.machines
        ],
        "transform": model.transform.spec(),
        **{key: metadata[key] for key in ("data", "progress", "recipe", "refined") if key in metadata},
    }
