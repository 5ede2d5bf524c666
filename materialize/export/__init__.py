"""A dataset as other tools want it: folders and a table, NPZ, TFRecord, WebDataset."""
