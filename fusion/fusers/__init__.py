"""Ways to fuse what is present, one file each."""
