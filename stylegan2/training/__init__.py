"""Training: configuration, trainer, losses, adaptive augmentation and transfer methods."""
