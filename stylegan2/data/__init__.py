"""Images in and out: the pocket renderer, sources, the LMDB writer and the dataset (import the submodule you need)."""
