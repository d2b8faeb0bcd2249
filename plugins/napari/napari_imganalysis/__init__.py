"""imganalysis in napari: opens its image formats; every calculation is imganalysis's own."""
