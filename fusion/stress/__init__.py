"""What is left of what a run can do when its modalities are damaged, trial by trial."""
