"""The page of ``nnspec view``: it reads the folders of runs, and touches none."""
