"""Stand-ins for TensorRT and the CUDA runtime, no more generous than the facts about them."""
