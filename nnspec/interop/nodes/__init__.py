"""ONNX's operators as ops of ours: a file a family, each with its table of rules."""
