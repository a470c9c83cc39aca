"""How what a run can do holds up when its modalities are damaged: measured trial by trial, kept in the run."""
