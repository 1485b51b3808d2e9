"""Engines that compute the denoiser D: torch, ONNX Runtime, OpenVINO and TensorRT, in several precisions."""
