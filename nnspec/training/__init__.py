"""Losses, metrics, optimizers and schedules: builders of graph, compiled into the step. Importing this package registers them all."""

from nnspec.training import class_metrics, cross_entropy, losses, metrics, optimizers, own, schedules, yes_or_no

__all__ = ["class_metrics", "cross_entropy", "losses", "metrics", "optimizers", "own", "schedules", "yes_or_no"]
