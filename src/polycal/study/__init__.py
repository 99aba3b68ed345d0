"""What is asked for: the config, the sweep, the layout of files, languages, prompts."""
