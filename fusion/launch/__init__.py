"""Starting a command on several processes, with presets that are configuration files of Accelerate."""
