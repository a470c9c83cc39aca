"""The files of a new project or plugin, as templates, and what fills them in."""
