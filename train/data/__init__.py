"""Caption files, data sets of photographs and captions, their variations, and cached grids."""
