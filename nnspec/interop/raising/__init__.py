"""What raises a graph of ONNX's to a spec: layers for nodes, weights as layers keep them, structure where it repeats."""
