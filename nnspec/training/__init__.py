"""Losses, metrics, optimizers and schedules: builders of graph, compiled into the step."""
