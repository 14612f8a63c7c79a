"""Images to region features: the backbone that makes them, the HDF5 file that holds them."""
