"""Simulated GPUs beside the plain one of simulated_gpu.py."""
