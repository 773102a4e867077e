"""Training: data sources, augmentation, the loop with its checkpoints, and recipes."""
