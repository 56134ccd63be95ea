"""The rows a network learns from: sources, columns, splits, preparation and batches."""
