"""Images in and out: sources, the LMDB writer and the dataset (import the submodule you need)."""
