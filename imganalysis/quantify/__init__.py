"""Labels and pixels to one row per cell; cells to numbers per field and biopsy."""
