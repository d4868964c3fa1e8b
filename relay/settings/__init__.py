"""From flags, variables and files to ``config.Settings``."""
