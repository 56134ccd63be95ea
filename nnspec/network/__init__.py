"""From a list of entries to a graph of layers: expansion, formulas and inference in one walk; then down to ops."""
