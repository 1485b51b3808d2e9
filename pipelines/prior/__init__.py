"""Weights in and out: converted from elsewhere, exported for engines, described, judged on pictures.

convert, convert_settings, convert_source   denoisers that were trained elsewhere
export                                      one ONNX file and engines
info, report, denoise                       what weights are, how well they denoise, and what they do to a picture
"""
