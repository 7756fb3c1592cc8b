"""FID, KID, precision and recall, perceptual path length, structure distance: as papers measure them."""
