"""Losses, metrics, optimizers and schedules: builders of graph, compiled into the step. Importing this package registers them all."""

from nnspec.training import class_metrics, classification, losses, metrics, optimizers, own, schedules

__all__ = ["class_metrics", "classification", "losses", "metrics", "optimizers", "own", "schedules"]
