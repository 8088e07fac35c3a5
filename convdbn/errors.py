"""Errors that are not programming errors; each class has its exit code on the command line."""


class UsageError(ValueError):
    """Options that do not fit together, or that would destroy something."""

    exit_code = 2


class DataError(ValueError):
    """Pictures that are missing, unreadable, or unsuitable for the model."""

    exit_code = 3


class CheckpointError(ValueError):
    """A file that is not a checkpoint of convdbn, or not a complete one."""

    exit_code = 4


class Diverged(RuntimeError):
    """Training produced non-finite or exploding statistics; the last good checkpoint remains."""

    exit_code = 5


class Interrupted(Exception):
    """Training was stopped from outside after its state was saved; `resume` continues it."""

    exit_code = 75
