"""Tools for the weights of a prior: conversion, export, description and evaluation.

convert, convert_settings, convert_source   convert denoisers that were trained elsewhere
export                                      exports weights as ONNX and builds TensorRT engines
info                                        describes a weights file
report                                      evaluates how well weights denoise
denoise                                     denoises one image file
"""
