"""What other programs write: files of weights, and how their layouts become ours."""
