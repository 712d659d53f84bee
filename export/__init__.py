"""A trained network becomes one ONNX file that says everything about itself."""
