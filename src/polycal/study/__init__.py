"""What is asked for: the config, the sweep, paths, languages, formats and prompts."""
