"""Multilingual calibration of instruction-tuned language models."""

__version__ = "0.1.0"
