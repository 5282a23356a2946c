"""Write a network for use without this project: a Python file that needs torch only, ONNX, and weights."""
