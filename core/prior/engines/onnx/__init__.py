"""Networks as ONNX files: written, read in bounds, and computed by ONNX Runtime."""
