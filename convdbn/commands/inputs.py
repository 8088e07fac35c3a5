"""The models and pictures of the commands, from their arguments."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from convdbn.commands.former import NAMES
from convdbn.commands.options import Split, ValueRange, checked_device
from convdbn.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn
    from torch.utils.data import DataLoader, Dataset

    from convdbn.images import Images
    from convdbn.models.classifier import Classifier
    from convdbn.models.files import Opened
    from convdbn.models.stack import Stack
    from convdbn.recipes import Recipe

    Model: TypeAlias = str | Path | Stack
    Pictures: TypeAlias = NDArray[Any] | Tensor
    Data: TypeAlias = str | Path | Pictures | Dataset[Any] | DataLoader[Any] | Images | tuple[Pictures, Any]

M = TypeVar("M", bound="nn.Module")


class Source:
    """The argument `data` of a command with its options; pictures in files are opened only when they are needed."""

    def __init__(
        self,
        data: "Data",
        *,
        data_root: str | Path | None = None,
        download: bool = False,
        value_range: ValueRange = None,
    ) -> None:
        from convdbn.images import as_images

        self.path = str(data) if isinstance(data, str | Path) else None
        self.options: dict[str, Any] = {"data_root": data_root, "download": download}
        if self.path is None:
            for name, value in self.options.items():
                if value:
                    raise UsageError(f"{name}={value!r}: has no effect with data in memory; leave it out")
            data, self.options = as_images(data, value_range=value_range), {}
        elif value_range is not None:
            self.options["value_range"] = value_range
        self.data: Any = data

    @property
    def name(self) -> str:
        """The name of the data in messages."""
        return self.data.name if self.path is None else self.path

    def images(self, channels: int, split: Split = "train") -> "Images":
        """The pictures, converted to this number of channels."""
        from convdbn.images import as_images, in_channels

        return in_channels(as_images(self.data, split=split, color=channels != 1, **self.options), channels)

    @property
    def has_test_split(self) -> bool:
        """Whether the data has test pictures of its own."""
        from convdbn.images import DATA_SETS

        return self.path in DATA_SETS and DATA_SETS[self.path].has_test

    def labeled(self, channels: int) -> tuple["Images", "Images"]:
        """Training and test pictures with labels; a fifth of every class if the data has no test pictures."""
        train = self.images(channels)
        if self.has_test_split:
            return train, self.images(channels, "test")
        from convdbn.images import stratified

        return stratified(train, "train"), stratified(train, "test")

    def parted(self, channels: int) -> tuple["Images", "Images"]:
        """Training and test pictures, with labels or without; a tenth of all if the data has no test pictures."""
        if self.has_test_split:
            return self.labeled(channels)
        from convdbn.images import hold_out

        whole = self.images(channels)
        train, test = hold_out(whole, len(whole), seed=0)
        if test is None:
            raise UsageError(
                f"data={self.name!r}: has {len(whole)} pictures, too few to test on a tenth; give at least 10"
            )
        return train, test

    @property
    def record(self) -> dict[str, Any]:
        """The metadata of a run about its data: the name or absolute path, and for data in memory the number of
        pictures."""
        if self.path is not None:
            return {"data": absolute(self.path)}
        return {"data": self.name, "pictures": len(self.data)}


def absolute(data: str) -> str:
    """The absolute path of a folder or file; any other text, such as the name of a data set, as it is."""
    from convdbn.images import DATA_SETS

    path = Path(data).expanduser()
    return str(path.resolve()) if data not in DATA_SETS and path.exists() else data


def model_from(model: "Model | Classifier", device: str) -> "Stack":
    """The model: the one in memory itself, or the one of this name or path."""
    from convdbn.models.files import open_model

    return _on_device(open_model(model, "model").model, model, device)


def classifier_from(model: "Model | Classifier", device: str) -> "Classifier":
    """The classifier: the one in memory itself, or the one of this path."""
    from convdbn.models.files import open_model

    return _on_device(open_model(model, "classifier").model, model, device)


def _on_device(network: M, source: object, device: str) -> M:
    """The network on the device; with auto, a network in memory stays where it is."""
    return network if network is source and device == "auto" else network.to(checked_device(device))


def model_name(model: object) -> str:
    """The metadata of a run about the model that it began with."""
    return str(model) if isinstance(model, str | Path) else f"{type(model).__name__} in memory"


def opened(model: "Model | Classifier") -> "Opened[Stack]":
    """A stack with the metadata of its training; CheckpointError for a file that does not have them."""
    from convdbn.models.files import open_model

    return with_training(open_model(model, "model"))


def with_training(run: "Opened[Stack]") -> "Opened[Stack]":
    """The same run; CheckpointError for a file without recipe, data or progress."""
    from convdbn.models.stack import TRAINING

    missing = [] if run.path is None else [name for name in TRAINING if name not in run.metadata]
    if missing:
        raise CheckpointError(
            f"model={str(run.path)!r}: has no record of its training ({', '.join(missing)}); give a run of "
            "`convdbn train`, or the name of a model of the package"
        )
    return run


def is_packaged(file: Path) -> bool:
    """Whether the file belongs to a model of the package."""
    from convdbn.models.files import WEIGHTS

    return file.parent == WEIGHTS


def history_of(model: "Model | Classifier") -> Sequence[Mapping[str, float]]:
    """The rows of metrics of the model's training; UsageError if there are none."""
    history = opened(model).history
    if not history:
        raise UsageError(f"model={model_name(model)!r}: has no metrics; give a run folder of `convdbn train`")
    return history


def recipe_of(model: "Model | Classifier") -> "Recipe":
    """The recipe that trained the model; UsageError if there is none."""
    from convdbn.recipes import Recipe

    metadata = opened(model).metadata
    if "recipe" not in metadata:
        raise UsageError(f"model={model_name(model)!r}: has no recipe; give a run folder of `convdbn train`")
    return Recipe.from_dict(metadata["recipe"])


def with_present_names(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a saved run; version 0.1.0 wrote the model as `checkpoint`."""
    return {NAMES.get(name, name): value for name, value in options.items()}


def present_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a saved run to compare with; version 0.1.0 wrote a path to the data as it was typed."""
    present = with_present_names(options)
    if "data" in present and "pictures" not in present:
        present["data"] = absolute(present["data"])
    return present
