"""From a graph to a planned program, and from that to source a person can read."""
