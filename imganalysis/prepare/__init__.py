"""From the pixels of a stack to the picture that is measured, and where there is tissue."""
