"""What stands for torch and its tensors where they are not needed yet."""
