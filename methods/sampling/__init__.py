"""The denoising loop and its inputs: schedule, noise, constraints, guidance."""
