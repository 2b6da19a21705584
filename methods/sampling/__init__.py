"""The one denoising loop, and what it is given: schedule, noise, constraints, guidance."""
