"""A person in a photo, read as the attributes of a pocket face."""
