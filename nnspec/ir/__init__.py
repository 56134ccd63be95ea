"""Values and ops: the one language that gradients, passes, exporters and backends speak."""
