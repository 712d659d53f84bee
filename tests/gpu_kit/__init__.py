"""ONNX Runtime with a CUDA provider that is not there."""
