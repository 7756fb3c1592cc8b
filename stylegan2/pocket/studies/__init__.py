"""What is measured in the rendered world."""
