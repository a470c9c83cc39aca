"""Features of frozen encoders: computed once, kept in files, and read in place of the samples."""
