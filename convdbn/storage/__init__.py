"""Files of a run: checkpoints and metrics, and when to save so that a run can stop and resume."""

__all__ = ["checkpoint", "metrics", "resumable"]
