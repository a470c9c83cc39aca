"""Render one offline HTML page per run, from the files of its folder alone."""
