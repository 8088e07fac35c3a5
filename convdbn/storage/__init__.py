"""What is on disk: checkpoints, metrics, and runs that can be stopped and resumed."""

__all__ = ["checkpoint", "metrics", "resumable"]
