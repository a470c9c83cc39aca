"""Where parameters are pulled to: one file each."""
